"""Typicality item by item: samples and their quantile, tiny clusters, copies, who may be best."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from labelgap.select import typical
from labelgap.select.typical import _may_be_best, typicality


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).float()


def by_hand(z, neighbours, sample, seed):
    """1 / (mean distance to the nearest of those that are looked at, but itself)."""
    z, size = z.double().numpy(), len(z)
    if size < 2:
        return [0.0] * size
    met, wanted = range(size), max(1, min(neighbours, size // 2))
    if size > sample:
        met = np.random.default_rng(seed).choice(size, sample, replace=False)
        wanted = max(1, round(wanted * sample / size))
    found = []
    for i in range(size):
        away = sorted(np.linalg.norm(z[i] - z[j]) for j in met if j != i)
        found.append(1 / (np.mean(away[:wanted]) + 1e-5))
    return found


@pytest.mark.parametrize("rows", [1, 4, 1024])
@pytest.mark.parametrize(("size", "neighbours", "sample"), [
    (0, 20, 9), (1, 20, 9), (2, 20, 9), (3, 20, 9), (5, 1, 9), (9, 3, 9), (9, 20, 8), (30, 7, 12),
    (30, 2, 5), (30, 1, 2), (31, 20, 3),
])  # fmt: skip
def test_each_item_meets_its_share_of_the_sample(size, neighbours, sample, rows, monkeypatch):
    monkeypatch.setattr(typical, "_ROWS", rows)
    for z in (normal(size, 3), normal(size, 3).double(), 500 + normal(size, 3)):
        found = typicality(z, neighbours, sample, np.random.default_rng(5))
        assert found.dtype == torch.float64
        np.testing.assert_allclose(found, by_hand(z, neighbours, sample, 5), rtol=1e-9)


@pytest.mark.parametrize("rows", [1, 5, 1024])
@pytest.mark.parametrize("sample", [1000, 40, 25])
@pytest.mark.parametrize("neighbours", [1, 6, 40])
def test_of_copies_each_is_a_neighbour_of_the_others(neighbours, sample, rows, monkeypatch):
    monkeypatch.setattr(typical, "_ROWS", rows)
    z = normal(9, 3)[np.random.default_rng(1).integers(9, size=41)]
    z[40] = 7.0  # a row that is there once
    found = typicality(z, neighbours, sample, np.random.default_rng(5))
    np.testing.assert_allclose(found, by_hand(z, neighbours, sample, 5), rtol=1e-9)


def test_all_equal_items_are_as_typical_as_can_be():
    found = typicality(torch.ones(6, 2), 3, 100, np.random.default_rng(0))
    assert found.tolist() == pytest.approx([1e5] * 6)


def may_be_best(z, among, met, wanted, best):
    own = np.full(len(z), -1)
    own[met] = np.arange(len(met))
    return _may_be_best(z, z.double().mean(0), among, met, own, wanted, best)


@pytest.mark.parametrize("rows", [4, 100, 1024])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("best", [1, 3, 11])
def test_who_may_be_best_are_the_best_and_few_others(best, scale, rows, monkeypatch):
    """Squares in float32 are good to a millionth of the norms, here a hundredth of the least."""
    monkeypatch.setattr(typical, "_ROWS", rows)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        z = normal(150, 4, seed=seed)
        z[:20] *= 0.2
        z = scale * (z + 30)
        among, met = np.flatnonzero(rng.random(150) < 0.4), np.sort(rng.permutation(150)[:90])
        d = np.linalg.norm(z.double().numpy()[:, None] - z.double().numpy()[None, met], axis=2)
        d[met, np.arange(90)] = np.inf
        mean = np.sort(d, axis=1)[among, :7].mean(1)
        bar = np.sort(mean)[best - 1]
        found = may_be_best(z, among, met, 7, best)
        assert found[mean <= bar].all()
        assert not found[mean > 1.05 * bar].any()


@pytest.mark.parametrize("wanted", [1, 2, 7])
@pytest.mark.parametrize("best", [2, 3, 400])
def test_who_may_be_best_among_more_than_a_library_sorts_at_once(best, wanted):
    """A partition of a thousand numbers is not sorted by the way, as one of a hundred may be."""
    z, met = normal(1200, 4), np.arange(1000)
    d = cdist(z.double().numpy(), z[:1000].double().numpy())
    d[met, met] = np.inf
    mean = np.sort(d, axis=1)[:, :wanted].mean(1)
    bar = np.sort(mean)[best - 1]
    found = may_be_best(z, np.arange(1200), met, wanted, best)
    assert found[mean <= bar].all()
    assert not found[mean > 1.5 * bar].any()


def test_as_many_best_as_rivals_are_all_of_them():
    z, few = normal(40, 4), np.arange(0, 40, 3)
    for best in (len(few), len(few) + 5):
        assert may_be_best(z, few, np.arange(40), 5, best).tolist() == [True] * len(few)
    assert not may_be_best(z, few, np.arange(40), 5, len(few) - 1).all()


def test_a_distance_that_rounding_makes_too_large_does_not_lose_the_best():
    """Pairs whose distances differ by less than products in float32 can tell."""
    rng = np.random.default_rng(0)
    for _ in range(5):
        base = 4 * torch.nn.functional.normalize(
            torch.from_numpy(rng.standard_normal((60, 8))), dim=1
        )
        step = torch.nn.functional.normalize(torch.from_numpy(rng.standard_normal((60, 8))), dim=1)
        size = 0.03 * (1 + 1e-4 * torch.from_numpy(rng.permutation(60)))[:, None]
        z = torch.cat([base, base + size * step]).float()
        found = typicality(z, 1, 1000, np.random.default_rng(0), best=6)
        exact = torch.tensor(by_hand(z, 1, 1000, 0))
        first = exact.argsort(descending=True)[:6]
        np.testing.assert_allclose(found[first], exact[first], rtol=1e-9)
