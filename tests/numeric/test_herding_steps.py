"""Herding in parts, from bounds, and how many rows a pick looks at: against the plain greedy."""

import numpy as np
import pytest
import torch

from labelgap.core.errors import BudgetError
from labelgap.select import herding, similarities
from labelgap.select.herding import _and_next, _Gains, cover, herd


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).float()


def unit_length(n, d=5, seed=0):
    return torch.nn.functional.normalize(normal(n, d, seed=seed), dim=1)


def kernel(a, b, variance):
    return np.exp(-(a.double()[:, None] - b.double()).square().sum(2).numpy() / variance)


def plain(k, covered, weights, picks, ties):
    """Every gain anew at every step; the smaller draw among equals."""
    rows, gains = [], []
    for _ in range(picks):
        gain = np.round(np.maximum(k - covered, 0) @ weights, 9)
        gain[rows] = -np.inf
        rows.append(int(np.lexsort((ties, -gain))[0]))
        gains.append(gain[rows[-1]])
        covered = np.maximum(covered, k[rows[-1]])
    return rows, gains


@pytest.fixture(params=[50, 1024])
def bounded(request, monkeypatch):
    """Bounds are taken here, in small blocks or one."""
    monkeypatch.setattr(similarities, "native_bfloat16", lambda _: True)
    monkeypatch.setattr(similarities, "BLOCK", request.param)
    monkeypatch.setattr(herding, "_FEW", 1.0)


@pytest.mark.parametrize("variance", [1.0, 2.0])
@pytest.mark.parametrize("again", [1, 4, 64])
def test_picks_from_bounds_are_the_plain_greedys(again, variance, bounded, monkeypatch):
    monkeypatch.setattr(herding, "_AGAIN", again)
    monkeypatch.setattr(herding, "_ROWS", 3)
    z, ties = unit_length(120), np.random.default_rng(0).random(120)
    z[::7] = z[0] + 0.02 * z[::7]  # many alike
    weights, start = (
        torch.rand(120, generator=torch.Generator().manual_seed(1)),
        unit_length(3, 5, 2),
    )
    covered = kernel(z, start, variance).max(1)
    rows, gains = herd(z, z, torch.from_numpy(covered), weights, variance, 25, ties)
    expected, added = plain(kernel(z, z, variance), covered, weights.double().numpy(), 25, ties)
    assert rows.tolist() == expected
    np.testing.assert_allclose(gains, added, atol=1e-4)


@pytest.mark.parametrize("block", [7, 50])
def test_exact_gains_in_blocks_are_sums_of_what_is_not_covered(block, monkeypatch):
    monkeypatch.setattr(similarities, "BLOCK", block)
    z, other = unit_length(30), unit_length(20, seed=1)
    for b in (z, other):
        covered, weights = (
            np.random.default_rng(2).random(len(b)),
            np.random.default_rng(3).random(len(b)),
        )
        made = _Gains(
            z, b, torch.from_numpy(covered), torch.from_numpy(weights), 1.5, bounded=False
        )
        k = kernel(z, b, 1.5)
        assert made.exact.all()
        assert made.bound.dtype == np.float64
        np.testing.assert_allclose(made.rows, k, atol=1e-6)
        np.testing.assert_allclose(made.bound, np.maximum(k - covered, 0) @ weights, rtol=1e-5)
        made.take(4)
        assert made.bound[4] == -np.inf
        made.look_again(np.array([0, 9]), exactly=False)
        left = np.maximum(k - np.maximum(covered, k[4]), 0) @ weights
        np.testing.assert_allclose(made.bound[[0, 9]], left[[0, 9]], rtol=1e-4, atol=1e-6)


def test_rows_are_made_exact_where_that_is_asked_for_alone(bounded):
    z = unit_length(60)
    made = _Gains(z, z, torch.zeros(60), torch.ones(60), 2.0, bounded=True)
    k = kernel(z, z, 2.0)
    assert not made.exact.any()
    assert (made.bound > k.sum(1)).all()
    bound = made.bound.copy()
    made.look_again(np.array([3, 5]), exactly=False)
    assert not made.exact.any()
    np.testing.assert_allclose(made.bound, bound, rtol=1e-6)
    made.look_again(np.array([3, 7]), exactly=True)
    assert np.flatnonzero(made.exact).tolist() == [3, 7]
    np.testing.assert_allclose(made.rows[[3, 7]], k[[3, 7]], atol=1e-6)
    np.testing.assert_allclose(made.bound[[3, 7]], k[[3, 7]].sum(1), rtol=1e-6)
    np.testing.assert_allclose(made.bound[[5, 8]], bound[[5, 8]], rtol=1e-6)


@pytest.mark.parametrize(("picks", "few"), [(1, True), (2, False)])
def test_bounds_are_for_one_pick_in_a_hundred(picks, few, monkeypatch):
    seen = []

    def spy(*args, bounded):
        seen.append(bounded)
        return _Gains(*args, bounded=bounded)

    monkeypatch.setattr(herding, "_Gains", spy)
    z = unit_length(100)
    herd(z, z, torch.zeros(100), torch.ones(100), 1.0, picks, np.arange(100) / 100)
    assert seen == [few]


@pytest.mark.parametrize("from_bounds", [False, True])
def test_where_bounds_mislead_ever_more_rows_are_looked_at(from_bounds, monkeypatch):
    """Items on a circle: a pick covers its neighbours, and the next leaders lead in vain."""
    monkeypatch.setattr(similarities, "native_bfloat16", lambda _: from_bounds)
    monkeypatch.setattr(herding, "_FEW", 1.0)
    monkeypatch.setattr(herding, "_AGAIN", 8)
    angle = 2 * np.pi * np.random.default_rng(0).random(200)
    z = torch.from_numpy(np.stack([np.cos(angle), np.sin(angle)], 1)).float()
    looked, taken, look, take = [], [], _Gains.look_again, _Gains.take

    def spy(self, rows, exactly):
        looked.append((len(taken), len(rows), exactly))
        look(self, rows, exactly)

    monkeypatch.setattr(_Gains, "look_again", spy)
    monkeypatch.setattr(_Gains, "take", lambda self, row: taken.append(row) or take(self, row))
    ties = np.random.default_rng(1).random(200)
    herd(z, z, torch.zeros(200), torch.ones(200), 0.9, 12, ties)
    for kind in (False, True)[: 1 + from_bounds]:
        most = 0
        for step in range(12):
            sizes = [size for at, size, exactly in looked if (at, exactly) == (step, kind)]
            assert sizes == [1, 2, 4, *[8] * 40][: len(sizes)]
            most = max(most, len(sizes))
        assert most > 4
    assert from_bounds or not any(exactly for _, _, exactly in looked)


def test_who_is_looked_at_next_leads_among_those_that_may():
    rng = np.random.default_rng(0)
    for _ in range(50):
        bound, some = rng.random(12), rng.random(12) < 0.7
        bound[rng.random(12) < 0.3] = -np.inf
        may = np.flatnonzero(some & np.isfinite(bound))
        if not len(may):
            continue
        leading = may[bound[may] == bound[may].max()]
        for number in range(1, 13):
            found = _and_next(leading, bound, some, number)
            assert set(found.tolist()) == set(may[np.argsort(-bound[may])][:number].tolist())
    assert _and_next(np.array([4, 2]), np.zeros(5), np.ones(5, bool), 1).tolist() == [4, 2]


def test_none_and_too_many():
    z, none = unit_length(4), (torch.zeros(4), torch.ones(4), 1.0)
    for found in herd(z, z, *none, 0, np.zeros(4)):
        assert found.shape == (0,)
    with pytest.raises(BudgetError, match="5 items asked for, 4 candidates"):
        herd(z, z, *none, 5, np.zeros(4))
    with pytest.raises(BudgetError, match="9 items asked for, 8 candidates"):
        cover(z.repeat(2, 1), z[:0], torch.ones(8), 1.0, 9, np.arange(8) / 8, 100)


def in_parts(z, centres, weights, variance, picks, ties, sample):
    """`cover` of items that differ, with sets and the plain greedy."""
    n, order = len(z), sorted(range(len(z)), key=lambda i: ties[i])
    parts = max(1, -(-picks // max(1, sample // 4))) if n > sample else 1
    chosen, added = [], []
    for part in range(parts):
        number = -(-(picks - len(chosen)) // (parts - part))
        free = [i for i in order if i not in chosen]
        unseen = free[part * sample :] if (part + 1) * sample <= n else free
        rows = sorted(unseen[:sample] if len(unseen) >= number else free[:sample])
        if len(free) <= sample:
            rows = sorted(free)
        known = torch.cat([centres, z[chosen]])
        covered = kernel(z[rows], known, variance).max(1, initial=0.0)
        w = weights.double().numpy()[rows]
        found, gains = plain(kernel(z[rows], z[rows], variance), covered, w, number, ties[rows])
        chosen += [rows[i] for i in found]
        added += (np.array(gains) / w.sum()).tolist()
    return chosen, added


@pytest.mark.parametrize(("n", "sample", "picks"), [
    (40, 40, 12), (40, 41, 40), (50, 12, 10), (40, 12, 10), (60, 12, 15), (48, 12, 12),
    (30, 5, 4), (31, 7, 31), (41, 40, 10), (41, 40, 11), (24, 12, 6), (26, 13, 6), (13, 12, 13),
    (47, 12, 10),
])  # fmt: skip
@pytest.mark.parametrize("labels", [0, 3])
def test_a_large_pool_is_covered_in_parts(n, sample, picks, labels):
    z, centres, rng = unit_length(n), unit_length(labels, seed=1), np.random.default_rng(n)
    weights, ties = torch.from_numpy(0.5 + rng.random(n)), rng.random(n)
    found, added = cover(z, centres, weights, 0.6, picks, ties, sample)
    expected, gains = in_parts(z, centres, weights, 0.6, picks, ties, sample)
    assert found.tolist() == expected
    np.testing.assert_allclose(added, gains, atol=1e-6)


def test_a_pool_with_copies_is_one_of_rows_that_differ_however_many_items_it_has():
    """15 rows, 60 items, a sample of 24: what differs fits into it, and is covered at once."""
    z, rng = unit_length(15), np.random.default_rng(4)
    at = np.concatenate([np.arange(15), rng.integers(15, size=45)])
    ties, weights = rng.random(60), torch.from_numpy(0.5 + rng.random(60))
    found, added = cover(z[at], z[:0], weights, 0.6, 40, ties, 24)
    heavy = np.bincount(at, weights)
    lead = np.array([min(np.flatnonzero(at == i), key=lambda j: ties[j]) for i in range(15)])
    rows, gains = plain(kernel(z, z, 0.6), np.zeros(15), heavy, 15, ties[lead])
    assert found[:15].tolist() == lead[rows].tolist()
    np.testing.assert_allclose(added[:15], np.array(gains) / heavy.sum(), atol=1e-6)
    rest = [i for i in np.argsort(ties) if i not in lead]
    assert found[15:].tolist() == rest[:25]
    assert added[15:].tolist() == [0.0] * 25


def test_equal_draws_keep_the_order_of_the_items():
    """The sample is the first items by the draw; of equal draws those that stand first."""
    z, ties = unit_length(80), np.random.default_rng(1).integers(0, 3, 80).astype(float)
    found, _ = cover(z, z[:0], torch.ones(80), 0.6, 5, ties, 20)
    first = sorted(range(80), key=lambda i: ties[i])[:20]
    assert set(found.tolist()) <= set(first)
    expected, _ = plain(
        kernel(z[sorted(first)], z[sorted(first)], 0.6),
        np.zeros(20),
        np.ones(20),
        5,
        ties[sorted(first)],
    )
    assert found.tolist() == [sorted(first)[i] for i in expected]
