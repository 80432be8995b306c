"""BAIT: the two-class Fisher information, and greedy choice against naive linear algebra."""

import numpy as np
import pytest
import torch
from tolerance import assert_rounded
from torch import Tensor
from views import acquire, array_view, normal

from labelgap.core.errors import BudgetError
from labelgap.methods.bait import information_factor
from labelgap.select.fisher import bait, second_moment

N, D, KNOWN = 70, 4, 9


def rows(seed: int = 0) -> Tensor:
    """Items of very different information."""
    return normal(N, D, seed=seed) * torch.from_numpy(
        np.random.default_rng(seed).random((N, 1)).astype(np.float32)
    )


def naive(
    w: Tensor, given: Tensor, picks: int, ridge: float, more: float, pool: Tensor | None = None
) -> list[int]:
    """All traces anew: forward, then backward."""
    all_ = (w if pool is None else pool).double().numpy()
    x, y = w.double().numpy(), given.double().numpy()
    target = (all_.T @ all_ + y.T @ y) / (len(all_) + len(y))
    total = len(y) + picks
    m = ridge * np.trace(target) / D * np.eye(D) + y.T @ y / total

    def trace(m: np.ndarray) -> float:
        return float(np.trace(np.linalg.solve(m, target)))

    chosen: list[int] = []
    for _ in range(round(more * picks)):
        free = [i for i in range(len(x)) if i not in chosen]
        best = min(free, key=lambda i: trace(m + np.outer(x[i], x[i]) / total))
        chosen.append(best)
        m = m + np.outer(x[best], x[best]) / total
    while len(chosen) > picks:
        out = min(chosen, key=lambda i: trace(m - np.outer(x[i], x[i]) / total))
        chosen.remove(out)
        m = m - np.outer(x[out], x[out]) / total
    return chosen


@pytest.mark.parametrize("more", [1.0, 2.0])
@pytest.mark.parametrize("known", [0, KNOWN])
def test_the_query_is_that_of_naive_traces(more: float, known: int) -> None:
    w = rows()
    found, value = bait(w[known:], w[:known], 6, np.arange(N - known) / N, ridge=0.01, more=more)
    assert set(found.tolist()) == set(naive(w[known:], w[:known], 6, 0.01, more))
    assert (np.diff(value) <= 0).all()
    assert (value > 0).all()


def test_the_scale_of_the_features_does_not_matter() -> None:
    z, logits = normal(N, D), normal(N, 3, seed=1)

    def ids(scale: float, shift: float) -> list[int]:
        outputs = {"features": scale * z + shift, "logits": logits}
        view = array_view(
            {k: v[KNOWN:] for k, v in outputs.items()},
            {k: v[:KNOWN] for k, v in outputs.items()},
            np.arange(KNOWN) % 3,
        )
        return acquire("bait").select(view, 6).ids.tolist()  # type: ignore[no-any-return]

    assert ids(1.0, 0.0) == ids(256.0, 0.0) == ids(1 / 64, 0.0)
    assert set(ids(1.0, 0.0)) == set(ids(1.0, 3.0))


def test_the_information_of_two_classes_has_rank_one() -> None:
    """E[∇ ∇ᵀ] of −log softmax over both outcomes, by automatic differentiation."""
    z = normal(1, D).double()
    top = 0.8
    p = torch.tensor([[top, 0.15, 0.05]], dtype=torch.float64)
    w = information_factor(z, p.log())
    h = torch.cat([z, torch.ones(1, 1, dtype=torch.float64)], dim=1)
    theta = torch.zeros(D + 1, dtype=torch.float64, requires_grad=True)
    offset = float(np.log(top / (1 - top)))
    total = torch.zeros(D + 1, D + 1, dtype=torch.float64)
    for outcome, chance in ((1.0, top), (0.0, 1 - top)):
        logit = (h @ theta + offset)[0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            logit, torch.tensor(outcome, dtype=torch.float64)
        )
        (gradient,) = torch.autograd.grad(loss, theta)
        total += chance * torch.outer(gradient, gradient)
    assert torch.allclose(torch.outer(w[0], w[0]), total, atol=1e-12)


def test_nothing_uncertain_is_a_draw_and_moments_of_nothing_are_zero() -> None:
    ties = np.random.default_rng(0).random(10)
    found, value = bait(torch.zeros(10, D), torch.zeros(0, D), 4, ties, ridge=0.01, more=2.0)
    assert found.tolist() == np.argsort(ties)[:4].tolist()
    assert (value == 0).all()
    assert torch.equal(second_moment(torch.zeros(0, D)), torch.zeros(D, D, dtype=torch.float64))
    assert len(bait(rows(), rows(), 0, np.zeros(N), ridge=0.01, more=2.0)[0]) == 0
    whole, _ = bait(rows(), rows()[:0], N, np.arange(N) / N, ridge=0.01, more=2.0)
    assert sorted(whole.tolist()) == list(range(N))
    with pytest.raises(BudgetError):
        bait(rows(), rows(), N + 1, np.zeros(N), ridge=0.01, more=2.0)


def test_many_updates_stay_with_forms_computed_anew() -> None:
    """More picks than dimensions by far: values after 60 updates of each kind."""
    w = rows(seed=3)
    found, value = bait(w, w[:0], 20, np.arange(N) / N, ridge=1e-4, more=3.0)
    chosen = w[torch.from_numpy(found)].double().numpy() / 20**0.5
    target = second_moment(w).numpy()
    m = 1e-4 * np.trace(target) / D * np.eye(D) + chosen.T @ chosen
    inverse = np.linalg.inv(m)
    for x, known in zip(chosen, value, strict=True):
        s = x @ inverse @ target @ inverse @ x / (1 - x @ inverse @ x)
        # float32 rows: seven digits, of a matrix whose condition is below 1e3.
        assert known == pytest.approx(s, rel=1e-3)


def test_moments_of_weighted_rows_are_those_of_the_copies_written_out() -> None:
    w, counts = rows(), np.random.default_rng(1).integers(1, 6, N)
    every = w[np.repeat(np.arange(N), counts)]
    assert_rounded(second_moment(w, counts), second_moment(every), 400, float(w.abs().max()) ** 2)
    assert torch.equal(second_moment(w, np.ones(N, np.int64)), second_moment(w))


@pytest.mark.parametrize("more", [1.0, 2.0])
def test_copies_weigh_in_the_pool_and_enter_once(more: float) -> None:
    """Naive traces with the copies written out in F; of each row one copy may be chosen."""
    w, counts = rows(5), np.random.default_rng(2).integers(1, 30, N)
    at = np.repeat(np.arange(N), counts)
    found, _ = bait(
        w, w[:0], 6, np.arange(N) / N, ridge=0.01, more=more, counts=counts.astype(np.int64)
    )
    expected = naive(w, w[:0], 6, 0.01, more, pool=w[torch.from_numpy(at)])
    assert set(found.tolist()) == set(expected)
    assert set(expected) != set(naive(w, w[:0], 6, 0.01, more))


def test_a_query_of_a_pool_with_copies_is_that_of_its_rows_and_then_copies() -> None:
    z, logits = normal(20, D), normal(20, 3, seed=1)
    at = torch.from_numpy(np.random.default_rng(3).permutation(np.repeat(np.arange(20), 3)))
    view = array_view({"features": z[at], "logits": logits[at]})
    query = acquire("bait").select(view, 30)
    rows_ = at[torch.from_numpy(query.ids - 1000)].tolist()
    assert sorted(rows_[:20]) == list(range(20))
    assert (query.parts["information"][20:] == 0).all()
    one = acquire("bait").select(array_view({"features": z, "logits": logits}), 6)
    three = acquire("bait").select(view, 6)
    # Every row three times: the moments are the same, and so is the query.
    assert {int(at[i]) for i in three.ids - 1000} == set((one.ids - 1000).tolist())
