"""BAIT's parts: moments, forms kept up to date, what is computed anew and when, and exact ties."""

import numpy as np
import pytest
import torch
from far_device import PLACE, FarDevice

from labelgap.select import fisher
from labelgap.select.fisher import REFRESH, _enter, _Forms, _leave, _products, bait, second_moment


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def forms(n=9, d=4, dtype=torch.float64):
    w, root = normal(n, d).to(dtype), normal(d, d, seed=1)
    return _Forms(w, second_moment(w), torch.linalg.inv(root @ root.T + torch.eye(d)))


def exact(kept):
    """Both forms of every row, one at a time."""
    both = kept.inverse @ kept.target @ kept.inverse
    rows = kept.w.to(kept.inverse.dtype)
    first = torch.stack([w @ kept.inverse @ w for w in rows])
    return first, torch.stack([w @ both @ w for w in rows])


def test_the_moment_is_the_mean_of_outer_products():
    for n in (1, 2, 5):
        w = normal(n, 3)
        outer = [torch.outer(row, row) for row in w]
        torch.testing.assert_close(second_moment(w), torch.stack(outer).mean(0))
        counts = np.arange(1, n + 1)
        heavy = sum(c * m for c, m in zip(counts.tolist(), outer, strict=True)) / counts.sum()
        torch.testing.assert_close(second_moment(w, counts), heavy)
        torch.testing.assert_close(second_moment(w.float(), counts), heavy, rtol=1e-6, atol=1e-6)
    assert torch.equal(
        second_moment(normal(0, 3), np.empty(0, np.int64)), torch.zeros(3, 3).double()
    )


@pytest.mark.parametrize("kind", [torch.float64, torch.float32])
def test_products_have_the_type_of_the_vector(kind):
    w, u, v = normal(11, 4), normal(4, seed=1), normal(4, seed=2)
    for found, by in zip(_products(w.to(kind), u, v), (u, v), strict=True):
        assert found.dtype == torch.float64
        assert found.is_contiguous()  # what follows goes over each again and again
        torch.testing.assert_close(found, w @ by, rtol=1e-6, atol=1e-5)


def test_on_another_device_both_products_are_one():
    w, u, v = normal(11, 4).float(), normal(4, seed=1), normal(4, seed=2)
    with FarDevice():
        found = [x.cpu() for x in _products(*(x.to(PLACE) for x in (w, u, v)))]
    for got, by in zip(found, (u, v), strict=True):
        assert got.dtype == torch.float64
        torch.testing.assert_close(got, w.double() @ by, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_forms_after_a_row_has_entered_or_left_are_those_of_the_new_matrix(sign, dtype):
    kept = forms(dtype=dtype)
    kept.w = kept.w / 4  # so that no row weighs more than the matrix holds
    kept.anew()
    for got, true in zip((kept.first, kept.second), exact(kept), strict=True):
        assert got.dtype == torch.float64
        torch.testing.assert_close(got, true, rtol=1e-12, atol=1e-14)
    matrix = torch.linalg.inv(kept.inverse)
    row = kept.w[2].double()
    kept.change(2, sign)
    torch.testing.assert_close(
        kept.inverse, torch.linalg.inv(matrix + sign * torch.outer(row, row))
    )
    digits = 1e-9 if dtype == torch.float64 else 1e-5
    for got, true in zip((kept.first, kept.second), exact(kept), strict=True):
        torch.testing.assert_close(got, true, rtol=digits, atol=digits)


def test_forms_are_computed_anew_after_16_64_and_256_steps(monkeypatch):
    assert sorted(REFRESH)[:4] == [16, 64, 256, 1024]
    steps, anew, change = [], _Forms.anew, _Forms.change
    done = []
    monkeypatch.setattr(_Forms, "anew", lambda self: steps.append(len(done)) or anew(self))
    monkeypatch.setattr(_Forms, "change", lambda self, *a: done.append(1) or change(self, *a))
    kept = forms(300, 4)
    kept.inverse /= 300
    steps.clear()
    ties = np.arange(300) / 300
    assert sorted(_enter(kept, 300, ties).tolist()) == list(range(300))
    assert steps == [16, 64, 256]
    steps.clear()
    done.clear()
    left, worth = _leave(kept, 70, ties)
    # And at the end, so that what is told of those that stay has no roundings of updates.
    assert steps == [16, 64, 70]
    assert len(left) == len(worth) == 230
    first, second = exact(kept)
    np.testing.assert_allclose(worth, (second / (1 - first))[torch.from_numpy(left)], rtol=1e-9)


def test_among_equals_the_smaller_draw_enters_first_and_the_larger_leaves_first():
    w = torch.eye(3).double().repeat(2, 1)  # rows i and i + 3 are equal, and all are worth the same
    ties = np.array([0.6, 0.1, 0.4, 0.5, 0.2, 0.3])
    for more in (1.0, 2.0):  # 2: all enter, and three leave
        found, value = bait(w, w[:0], 3, ties, ridge=0.01, more=more)
        assert found.tolist() == [1, 5, 3]
        assert len(set(value.tolist())) == 1


def test_among_items_that_tell_nothing_equal_draws_keep_their_order():
    ties = np.random.default_rng(0).integers(0, 3, 60).astype(float)
    found, _ = bait(torch.zeros(60, 2), torch.zeros(0, 2), 60, ties, ridge=0.01, more=2.0)
    assert found.tolist() == sorted(range(60), key=lambda i: ties[i])
    assert found.dtype == np.int64


def test_the_target_is_the_mean_of_candidates_and_labelled_items_and_the_start_is_theirs(
    monkeypatch,
):
    """F = (Σ_pool c w wᵀ + Σ_labelled w wᵀ) / items, M₀ = ridge · tr F/d · I + labelled / total."""
    w, labelled, counts = normal(5, 3), normal(4, 3, seed=1), np.array([1, 4, 2, 1, 2])
    made = []

    def spy(rows, target, inverse):
        made.append((rows, target.clone(), inverse.clone()))
        return _Forms(rows, target, inverse)

    monkeypatch.setattr(fisher, "_Forms", spy)
    for given in (None, counts):
        made.clear()
        bait(w, labelled, 2, np.arange(5) / 5, ridge=0.1, more=1.0, counts=given)
        heavy = w if given is None else w[np.repeat(np.arange(5), counts)]
        every = torch.cat([heavy, labelled])
        target = every.T @ every / len(every)
        start = 0.1 * target.trace() / 3 * torch.eye(3) + labelled.T @ labelled / 6
        torch.testing.assert_close(made[0][0], w / 6**0.5)
        torch.testing.assert_close(made[0][1], target)
        torch.testing.assert_close(torch.linalg.inv(made[0][2]), start)
        assert made[0][2].dtype == torch.float64
