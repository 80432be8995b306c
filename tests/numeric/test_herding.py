"""Kernel coverage: exact greedy against a plain one, its special cases, and odd input."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from views import acquire, array_view, normal

from labelgap.core.errors import BudgetError
from labelgap.select import similarities
from labelgap.select.arrays import wide_mean
from labelgap.select.herding import cover, herd
from labelgap.select.kernel import nearest_other, nearest_similarity, reach, similarity, unit

N, D = 60, 5


def directions(n: int = N, seed: int = 0) -> Tensor:
    z = normal(n, D, seed=seed)
    return unit(z, wide_mean(z))


def plain_kernel(a: Tensor, b: Tensor, variance: float) -> np.ndarray:
    gap = a.double()[:, None] - b.double()[None]
    return np.exp(-gap.square().sum(-1).numpy() / variance)


def plain_greedy(
    k: np.ndarray, covered: np.ndarray, weights: np.ndarray, picks: int
) -> tuple[list[int], list[float]]:
    """Every gain anew at every step."""
    rows, gains = [], []
    for _ in range(picks):
        gain = np.maximum(k - covered, 0) @ weights
        gain[rows] = -np.inf
        best = int(gain.argmax())
        rows.append(best)
        gains.append(float(gain[best]))
        covered = np.maximum(covered, k[best])
    return rows, gains


@pytest.mark.parametrize("variance", [0.02, 0.3, 2.0])
@pytest.mark.parametrize("labels", [0, 4])
def test_lazy_greedy_takes_what_plain_greedy_takes(variance: float, labels: int) -> None:
    z, centres = directions(), directions(labels, seed=1) if labels else torch.empty(0, D)
    weights = torch.rand(N, generator=torch.Generator().manual_seed(0))
    covered = nearest_similarity(z, centres, variance)
    rows, gains = herd(z, z, covered, weights, variance, 12, np.arange(N) / N)
    k = plain_kernel(z, z, variance)
    start = plain_kernel(z, centres, variance).max(axis=1, initial=0.0)
    assert np.allclose(covered, start, atol=1e-6)
    expected, added = plain_greedy(k, start, weights.double().numpy(), 12)
    assert rows.tolist() == expected
    # Sums of 60 float32 terms of size up to 1.
    assert np.allclose(gains, added, atol=60 * 2**-23)
    assert (np.diff(gains) <= 1e-5).all()


@given(st.integers(0, 10_000), st.floats(0.01, 3.0))
@settings(max_examples=25, deadline=None)
def test_what_greedy_covers_is_within_1_minus_1_over_e_of_the_best(
    seed: int, variance: float
) -> None:
    """Nemhauser, Wolsey & Fisher 1978; the best of all pairs among nine items by trying them."""
    z = directions(9, seed=seed)
    k = plain_kernel(z, z, variance)
    rows, _ = herd(z, z, torch.zeros(9), torch.ones(9), variance, 2, np.arange(9) / 9)
    best = max(np.maximum(k[i], k[j]).sum() for i in range(9) for j in range(9))
    assert np.maximum(k[rows[0]], k[rows[1]]).sum() >= (1 - 1 / np.e) * best - 1e-5


def test_a_kernel_that_tells_all_apart_takes_the_largest_weights() -> None:
    """σ → 0: each item covers itself alone (UHerding becomes uncertainty sampling)."""
    z, weights = directions(), torch.rand(N, generator=torch.Generator().manual_seed(3))
    rows, gains = herd(z, z, torch.zeros(N), weights, 1e-6, 10, np.zeros(N))
    order = torch.argsort(weights, descending=True)[:10]
    assert rows.tolist() == order.tolist()
    assert np.allclose(gains, weights[order], atol=1e-6)


def test_what_is_covered_already_adds_nothing_and_the_rest_is_a_draw() -> None:
    z = torch.cat([directions(6)] * 5)
    ties = np.random.default_rng(0).random(30)
    rows, gains = herd(z, z, torch.zeros(30), torch.ones(30), 1e-3, 12, ties)
    assert len({int(r) % 6 for r in rows[:6]}) == 6
    assert (gains[:6] > 4.9).all()
    assert np.abs(gains[6:]).max() < 1e-3
    rest, _ = herd(z[:6], z[:6], torch.ones(6), torch.ones(6), 1e-3, 6, ties[:6])
    assert rest.tolist() == np.argsort(ties[:6]).tolist()


def test_similarity_is_exact_for_the_same_item_and_where_the_kernel_is_narrow() -> None:
    z = directions()
    assert torch.allclose(similarity(z, z, 0.5).diagonal(), torch.ones(N), atol=1e-6)
    near = torch.nn.functional.normalize(z[:1] + 1e-4 * normal(5, D, seed=9), dim=1)
    for variance in (1e-8, 1e-6):
        found = similarity(z[:1], near, variance).numpy()
        assert np.allclose(found, plain_kernel(z[:1], near, variance), rtol=1e-3, atol=1e-6)


def test_the_reach_of_a_share_is_the_distance_to_that_neighbour() -> None:
    z = directions(200)
    d2 = np.sort((z.double()[:, None] - z.double()[None]).square().sum(-1).numpy(), axis=1)
    for share, place in ((0.005, 1), (0.1, 20), (0.5, 100), (0.0001, 1)):
        found = reach(z, share, np.random.default_rng(0))
        assert found == pytest.approx(np.median(d2[:, place]), rel=0.05)
    assert reach(z[:1], 0.5, np.random.default_rng(0)) == 0.0
    assert reach(torch.zeros(20, D), 0.5, np.random.default_rng(0)) == 0.0


def test_the_nearest_other_is_none_of_its_copies() -> None:
    z = torch.tensor([[0.0, 0], [0, 0], [3, 4], [0, 1]])
    assert nearest_other(z).tolist() == pytest.approx([1, 1, 18, 1])
    assert torch.isinf(nearest_other(z[:2])).all()


def test_a_pool_larger_than_the_sample_is_drawn_from_in_parts() -> None:
    z = directions(N)
    ties = np.random.default_rng(1).random(N)
    empty = torch.empty(0, D)
    rows, gains = cover(z, empty, torch.ones(N), 0.3, 20, ties, sample=24)
    assert len(set(rows.tolist())) == 20
    assert len(gains) == 20
    first = set(np.argsort(ties)[:24].tolist())
    assert set(rows[:5].tolist()) <= first  # 20 picks in four parts of at most a quarter of 24
    assert not set(rows.tolist()) <= first
    whole, _ = cover(z, empty, torch.ones(N), 0.3, 20, ties, sample=N)
    k = plain_kernel(z, z, 0.3)
    reached = [k[list(r)].max(axis=0).mean() for r in (rows, whole)]
    assert reached[0] > 0.9 * reached[1]
    everything, _ = cover(z, empty, torch.ones(N), 0.3, N, ties, sample=24)
    assert sorted(everything.tolist()) == list(range(N))
    with pytest.raises(BudgetError):
        cover(z, empty, torch.ones(N), 0.3, N + 1, ties, sample=24)


def test_centred_directions_do_not_see_the_common_part() -> None:
    z = normal(40, D, seed=2)
    shifted = z + 100.0
    assert torch.allclose(
        unit(z, wide_mean(z)), unit(shifted, wide_mean(shifted)), atol=40 * 100 * 2**-23
    )
    assert torch.equal(unit(torch.ones(3, D), torch.ones(D)), torch.zeros(3, D))


def view_of(z: Tensor, logits: Tensor, labels: int = 6, classes: int = 3):  # type: ignore[no-untyped-def]
    both = {"embedding": z, "features": z, "logits": logits}
    return array_view(
        {k: v[labels:] for k, v in both.items()},
        {k: v[:labels] for k, v in both.items()},
        np.arange(labels) % classes,
        classes=classes,
    )


@pytest.mark.parametrize("name", ["max-herding", "u-herding", "gap"])
def test_constant_features_one_class_and_certainty_still_give_a_query(name: str) -> None:
    z, logits = torch.ones(40, D), torch.zeros(40, 3)
    certain = torch.tensor([[1e4, 0.0, 0.0]]).expand(40, 3).contiguous()
    for features, out in ((z, logits), (normal(40, D), certain), (z, certain)):
        query = acquire(name).select(view_of(features, out), 8)
        assert len(set(query.ids.tolist())) == 8
        assert np.isfinite(query.score).all()
    one = acquire(name).select(view_of(normal(40, D), torch.zeros(40, 1), classes=1), 8)
    assert len(set(one.ids.tolist())) == 8


def test_max_herding_needs_no_label_and_no_logits() -> None:
    z = directions(30)
    query = acquire("max-herding", width=0.6).select(array_view({"embedding": z}), 5)
    unit_length = torch.nn.functional.normalize(z, dim=1)
    expected, _ = plain_greedy(
        plain_kernel(unit_length, unit_length, 0.36), np.zeros(30), np.full(30, 1 / 30), 5
    )
    assert (query.ids - 1000).tolist() == expected


def test_u_herding_with_equal_doubt_is_max_herding_and_narrow_it_is_margin() -> None:
    z = normal(46, D, seed=7)
    flat = view_of(z, torch.zeros(46, 3))
    options = {"adaptive": False, "width": 0.8}
    one = acquire("u-herding", **options).select(flat, 7)
    other = acquire("max-herding", width=0.8).select(flat, 7)
    assert one.ids.tolist() == other.ids.tolist()
    logits = normal(46, 3, seed=8)
    narrow = acquire("u-herding", adaptive=False, width=1e-4).select(view_of(z, logits), 7)
    margin = acquire("margin").select(view_of(z, logits), 7)
    assert set(narrow.ids.tolist()) == set(margin.ids.tolist())


def test_u_herdings_radius_is_the_least_distance_of_two_labels_that_differ() -> None:
    z = torch.nn.functional.normalize(normal(46, D, seed=7), dim=1)
    z[1] = z[0]
    query = acquire("u-herding").select(view_of(z, normal(46, 3)), 3)
    d = torch.pdist(z[[0, 2, 3, 4, 5]].double())
    assert query.notes["width"] == pytest.approx(float(d.min()), rel=1e-5)
    alike = acquire("u-herding").select(view_of(torch.ones(46, D), normal(46, 3)), 3)
    assert alike.notes["width"] == 1.0


def test_gap_multiplies_doubt_and_rarity() -> None:
    z, logits = normal(46, D, seed=7), normal(46, 3, seed=8)
    view = view_of(z, logits)
    view.labels[:] = [0, 0, 0, 1, 1, 0]  # four of class 0, two of class 1, none of class 2
    query = acquire("gap", rarity=1.0).select(view, 40)
    order = np.argsort(query.ids)
    p = logits[6:].double().softmax(1)
    two = p.topk(2, dim=1).values
    assert np.allclose(query.parts["uncertainty"][order], 1 - (two[:, 0] - two[:, 1]))
    expected = p @ torch.tensor([1 / 5, 1 / 3, 1.0], dtype=torch.float64)
    assert np.allclose(query.parts["rarity"][order], expected)
    plain = acquire("gap", uncertainty=False, rarity=0.0).select(view, 5)
    assert set(plain.parts) == {"coverage"}
    assert query.notes["temperature"] == 1.0


def mixed(n: int = 2200, d: int = 40, seed: int = 0) -> Tensor:
    """More directions than one block holds, some of them zero and some nearly alike."""
    z = normal(n, d, seed=seed)
    z[::50] = z[0] + 0.01 * z[::50]
    z[7] = 0.0
    return torch.nn.functional.normalize(z, dim=1)


@given(st.integers(0, 10_000), st.floats(1.0, 4.0), st.booleans())
@settings(max_examples=15, deadline=None)
def test_bounds_of_similarities_are_never_below_them(
    seed: int, variance: float, same: bool
) -> None:
    a = mixed(130, 24, seed)
    b = a if same else mixed(70, 24, seed + 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarities, "native_bfloat16", lambda _: True)
        patch.setattr(similarities, "BLOCK", 50)
        made = similarities.Similarities(a, b, variance, bounded=True)
        blocks = list(made.blocks())
    assert not made.exact
    gap = a.double()[:, None] - b.double()[None]
    k = torch.exp(-gap.square().sum(-1) / variance)
    found = torch.full_like(k, torch.nan)
    for rows, columns, block in blocks:
        assert bool(torch.isnan(found[rows, columns]).all())  # each pair once
        found[rows, columns] = block.double()
        if made.mirrored(rows, columns):
            found[columns, rows] = block.T.double()
    assert bool((found >= k * (1 - 2**-20)).all())
    assert bool((found <= k * np.exp(similarities.LOOSEST)).all())
    exactly = made.exactly(torch.arange(3))
    assert torch.allclose(exactly.double(), k[:3], atol=24 * 2**-22)


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("picks", [9, pytest.param(60, marks=pytest.mark.slow)])
def test_bounds_change_no_pick(native: bool, picks: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few picks are bounded first where bfloat16 is native, many are exact from the start."""
    monkeypatch.setattr(similarities, "native_bfloat16", lambda _: native)
    z = mixed()
    n = len(z)
    weights = torch.rand(n, generator=torch.Generator().manual_seed(1))
    covered = nearest_similarity(z, mixed(20, seed=3), 1.5)
    rows, gains = herd(z, z, covered, weights, 1.5, picks, np.arange(n) / n)
    k = plain_kernel(z, z, 1.5)
    expected, added = plain_greedy(k, covered.double().numpy(), weights.double().numpy(), picks)
    assert rows.tolist() == expected
    assert np.allclose(gains, added, atol=n * 2**-24)


def test_bounds_that_would_be_loose_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(similarities, "native_bfloat16", lambda _: True)
    z = directions()
    assert similarities.Similarities(z, z, 1e-3, bounded=True).exact
    assert similarities.Similarities(z, z, 2.0, bounded=False).exact
    assert not similarities.Similarities(z, z, 2.0, bounded=True).exact
    wide = z.double()
    assert similarities.Similarities(wide, wide, 2.0, bounded=True).exact
