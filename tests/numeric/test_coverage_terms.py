"""Coverage in small blocks: bits across bytes, the radius as a quantile, counts that fall."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from labelgap.core.errors import BudgetError
from labelgap.select import coverage
from labelgap.select.coverage import balls, greedy_cover, purity_radius


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


@pytest.mark.parametrize("block", [8, 16, 1024])
def test_bits_are_the_same_in_any_blocks(block, monkeypatch):
    monkeypatch.setattr(coverage, "_BLOCK", block)
    many, few = normal(37, 3), normal(27, 3, seed=1)
    for z, among in ((many, many), (many, few), (few, many)):
        inside = cdist(z.numpy(), among.numpy()) < 1.3
        packed = balls(z, among, 1.3)
        assert packed.shape == (len(z), -(-len(among) // 8))
        assert (packed == np.packbits(inside, axis=1)).all()


def test_pairs_of_one_set_are_looked_at_once(monkeypatch):
    looked = []
    closer = coverage.closer
    monkeypatch.setattr(coverage, "_BLOCK", 8)
    monkeypatch.setattr(coverage, "closer", lambda *a: looked.append(1) or closer(*a))
    z = normal(24, 3)
    balls(z, z, 1.0)
    assert len(looked) == 6
    balls(z, z.clone(), 1.0)
    assert len(looked) == 6 + 9


def groups():
    which = np.repeat(np.arange(3), 20)
    z = 8 * torch.eye(3).double()[torch.from_numpy(which)] + normal(60, 3)
    other = cdist(z.numpy(), z.numpy())
    other[which[:, None] == which] = np.inf
    return z, other.min(1)


@pytest.mark.parametrize("rows", [7, 4096])
def test_the_radius_is_a_quantile_of_distances_to_another_cluster(rows, monkeypatch):
    monkeypatch.setattr(coverage, "ROWS", rows)
    z, nearest = groups()
    for purity in (0.5, 0.9, 1.0):
        found = purity_radius(z, 3, purity, np.random.default_rng(0))
        assert found == pytest.approx(np.quantile(nearest, 1 - purity, method="lower"))
        # The largest: at it every ball that is to be pure is, for a ball is open.
        assert (nearest >= found).mean() >= purity


def test_the_radius_may_be_read_off_a_sample(monkeypatch):
    z, nearest = groups()
    found = {purity_radius(z, 3, 0.9, np.random.default_rng(s), sample=12) for s in range(8)}
    assert len(found) > 1
    assert all(np.isclose(nearest, r).any() for r in found)
    # One ball only: its own distance, whatever the purity.
    one = purity_radius(z, 3, 0.1, np.random.default_rng(0), sample=1)
    assert one == purity_radius(z, 3, 0.9, np.random.default_rng(0), sample=1)


def test_more_classes_than_items_are_as_many_as_items():
    z = torch.tensor([[0.0], [1.0], [4.0]])
    assert purity_radius(z, 10, 1.0, np.random.default_rng(0)) == pytest.approx(1.0)
    assert purity_radius(z, 10, 0.1, np.random.default_rng(0)) == pytest.approx(1.0)


@pytest.mark.parametrize("rows", [3, 4096])
@pytest.mark.parametrize("seed", range(4))
def test_cover_is_the_plain_greedys_and_ties_go_by_the_draw(rows, seed, monkeypatch):
    monkeypatch.setattr(coverage, "ROWS", rows)
    rng = np.random.default_rng(seed)
    inside, covered = rng.random((20, 13)) < 0.2, rng.random(13) < 0.2
    ties = rng.random(20)
    left, picks, gains = ~covered, [], []
    for _ in range(20):
        count = (inside & left).sum(1)
        count[picks] = -1
        i = int(np.lexsort((ties, -count))[0])
        picks.append(i)
        gains.append(int(count[i]))
        left &= ~inside[i]
    packed = np.packbits(inside, axis=1), np.packbits(covered)
    for n in (0, 1, 7, 20):
        found = greedy_cover(*packed, n, ties)
        assert found[0].tolist() == picks[:n]
        assert found[1].tolist() == gains[:n]
        assert found[0].dtype == found[1].dtype == np.int64
    with pytest.raises(BudgetError):
        greedy_cover(*packed, 21, ties)
