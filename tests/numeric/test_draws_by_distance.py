"""D² sampling with draws that are given: which item a number between 0 and 1 stands for."""

from importlib import import_module

import numpy as np
import pytest
import torch

from labelgap.core.errors import BudgetError
from labelgap.select import badge, d_squared
from labelgap.select.badge import Outer
from labelgap.select.dsquared import _accept, _update, propose, sample
from labelgap.select.geometry import Euclidean
from labelgap.select.seeds import greedy_seeds


class Given(np.random.Generator):
    """A generator whose uniform draws are given."""

    def __init__(self, *uniforms):
        super().__init__(np.random.PCG64(0))
        self.uniforms = [np.asarray(u, dtype=float) for u in uniforms]

    def random(self, size):
        found = self.uniforms.pop(0)
        assert found.shape == (size,)
        return found


def line(*at):
    return torch.tensor(at, dtype=torch.float64)[:, None]


def test_a_proposal_is_the_item_in_whose_share_of_the_mass_the_draw_falls():
    d2 = torch.tensor([0.0, 1.0, 0.0, 2.0, 1.0, 0.0])
    draws = [0.0, 0.249, 0.25, 0.5, 0.749, 0.75, 0.999]
    assert propose(d2, 7, Given(draws)).tolist() == [1, 1, 3, 3, 3, 4, 4]
    # A draw of the whole mass is the last item that has any.
    assert propose(d2, 1, Given([1.0])).tolist() == [4]
    assert propose(torch.zeros(3), 2, Given()) is None
    # Also where nothing but the last item has any.
    assert propose(torch.tensor([0.0, 0.0, 1.0]), 2, Given([0.0, 0.9])).tolist() == [2, 2]
    # In float32 the running sum of these would stand still at 2²⁴.
    many, total = torch.tensor([2.0**24, 1.0, 2.0]), 2.0**24 + 3
    assert propose(many, 1, Given([(2.0**24 + 0.5) / total])).tolist() == [1]


def test_a_proposal_is_accepted_with_the_share_of_its_distance_that_is_left():
    """On a line from 0: items at 3, 4 and 10; once 3 is in, of 4's 16 there is 1 left."""
    items, d2 = Euclidean(line(0, 3, 4, 10)), torch.tensor([0.0, 9, 16, 100]).double()
    proposals = torch.tensor([1, 2, 3, 3])
    for bar, expected in ((1 / 16 - 1e-9, [1, 2, 3]), (1 / 16, [1, 3])):
        assert _accept(items, d2, proposals, Given([0.0, bar, 36 / 100 - 1e-9, 0.0])) == expected
    # 10 is 49 from 3 and 36 from 4: 36 counts if both are in, 49 if 3 alone is.
    assert _accept(items, d2, proposals, Given([0, 0, 0.36, 0.9])) == [1, 2]
    assert _accept(items, d2, proposals, Given([0, 0.5, 0.48, 0.9])) == [1, 3]
    assert _accept(items, d2, proposals, Given([1.0, 1.0, 1.0, 1.0])) == []


def test_distances_only_fall_and_are_zero_at_the_picks():
    items = Euclidean(line(0, 3, 4, 10))
    first = _update(None, items, [0])
    assert first.tolist() == pytest.approx([0, 9, 16, 100])
    assert _update(first, items, [3, 1]).tolist() == pytest.approx([0, 0, 1, 0])


def plain_sample(d2, n, rng, first, block):
    """The thinning written out from a table of squared distances in float64."""
    picks = [int(rng.integers(len(d2))) if first is None else first]
    near = d2[picks[0]].copy()
    while len(picks) < n and near.sum() > 0:
        mass = near.cumsum()
        proposals = [int((mass <= u * mass[-1]).sum()) for u in rng.random(block)]
        bars, now = rng.random(block) * near[proposals], near.copy()
        for bar, item in zip(bars, proposals, strict=True):
            if bar < now[item] and len(picks) < n:
                picks.append(item)
                now = np.minimum(now, d2[item])
        near = now
    rest = [i for i in range(len(d2)) if i not in picks]
    return picks + rng.choice(rest, n - len(picks), replace=False).tolist()


def squared(x):
    return ((x[:, None] - x[None]) ** 2).sum(-1)


@pytest.mark.parametrize("block", [1, 3, 20, 128])
@pytest.mark.parametrize("first", [None, 7])
def test_picks_are_those_of_the_law_written_out(block, first):
    z = np.random.default_rng(0).standard_normal((40, 3))
    z[30:] = z[:10]  # once all thirty places are taken, the rest is drawn at will
    for n in (1, 5, 29, 38):
        found = d_squared(torch.from_numpy(z), n, np.random.default_rng(n), first, block)
        expected = plain_sample(squared(z), n, np.random.default_rng(n), first, block)
        assert found.tolist() == expected
    assert d_squared(torch.from_numpy(z), 0, np.random.default_rng(0)).tolist() == []


@pytest.mark.parametrize("first", ["max-norm", "random"])
def test_badges_picks_are_those_of_the_gradients_written_out(first):
    rng = np.random.default_rng(1)
    a, h = rng.standard_normal((40, 3)), rng.standard_normal((40, 5))
    g = (a[:, :, None] * h[:, None]).reshape(40, -1)
    start = int((g**2).sum(1).argmax()) if first == "max-norm" else None
    tensors = torch.from_numpy(a), torch.from_numpy(h)
    for n, block in ((1, 128), (12, 128), (12, 3)):
        found = badge(*tensors, n, np.random.default_rng(n), first, block)
        expected = plain_sample(squared(g), n, np.random.default_rng(n), start, block)
        assert found.tolist() == expected
    assert badge(*tensors, 0, np.random.default_rng(0), first).tolist() == []
    longest = badge(*tensors, 1, np.random.default_rng(0))  # as the published code does
    assert longest.tolist() == [int((g**2).sum(1).argmax())]
    with pytest.raises(BudgetError):
        badge(*tensors, 41, np.random.default_rng(0), first)


@pytest.mark.parametrize("scale", [1.0, 1e3])
@pytest.mark.parametrize("gather", [1, 13, 1 << 22])
def test_gradients_that_nearly_touch_are_measured_by_differences(gather, scale, monkeypatch):
    monkeypatch.setattr(import_module("labelgap.select.badge"), "GATHER", gather)
    rng = np.random.default_rng(2)
    a, h = scale * rng.standard_normal((20, 3)), rng.standard_normal((20, 5))
    a[5:10], h[5:10] = a[:5] * (1 + 1e-9), h[:5] * (1 - 3e-9)
    a[10:15], h[10:15] = a[:5], h[:5]
    a[15], h[15] = -a[0], -h[0]  # the same product of opposite factors
    g = (a[:, :, None].astype(np.longdouble) * h[:, None]).reshape(20, -1)
    exact = squared(g).astype(float)
    items = Outer(torch.from_numpy(a), torch.from_numpy(h))
    every = torch.arange(20)
    np.testing.assert_allclose(items.pairs(every, every[:12]), exact[:, :12], rtol=1e-6)
    found = items.nearest(every[:5])
    np.testing.assert_allclose(found, exact[:, :5].min(1), rtol=1e-6)
    assert (found[:5] == 0).all()
    assert (found[10:15] == 0).all()
    assert len(items) == 20
    assert items.device == torch.device("cpu")


def test_a_geometry_of_ones_own_is_enough():
    """A metric that is 1 between different items: the rest is a uniform draw."""

    class Discrete:
        device = torch.device("cpu")

        def __len__(self):
            return 4

        def pairs(self, rows, cols):
            return (rows[:, None] != cols).double()

        def nearest(self, cols):
            return (torch.arange(4)[:, None] != cols).double().amin(1)

    seen = {tuple(sample(Discrete(), 2, np.random.default_rng(s)).tolist()) for s in range(200)}
    assert seen == {(i, j) for i in range(4) for j in range(4) if i != j}


def plain_seeds(x, k, rng, trials, block):
    """Greedy k-means++ from blocks of proposals, thinned; the best of each few is kept."""
    d2 = squared(x)
    picks = [int(rng.integers(len(x)))]
    near, size = d2[picks[0]].copy(), max(trials, block * trials)
    while len(picks) < k and near.sum() > 0:
        mass = near.cumsum()
        left = [int((mass <= u * mass[-1]).sum()) for u in rng.random(size)]
        bars = list(rng.random(size) * near[left])
        while left and len(picks) < k:
            trial = []
            while left and len(trial) < trials:
                item, bar = left.pop(0), bars.pop(0)
                if bar < near[item]:
                    trial.append(item)
            if not trial:
                break
            best = min(trial, key=lambda i: np.minimum(near, d2[i]).sum())
            near = np.minimum(near, d2[best])
            picks.append(best)
    rest = [i for i in range(len(x)) if i not in picks]
    return picks + rng.choice(rest, k - len(picks), replace=False).tolist()


@pytest.mark.parametrize(("trials", "block"), [(1, 3), (2, 1), (3, 5), (None, 48)])
def test_seeds_are_those_of_the_greedy_written_out(trials, block):
    x = np.random.default_rng(3).standard_normal((60, 2)) + 2
    x[50:] = x[:10]
    for k in (1, 4, 21, 49, 55):
        used = 2 + int(np.log(k)) if trials is None else trials
        given = {} if trials is None else {"trials": trials, "block": block}
        found = greedy_seeds(torch.from_numpy(x), k, np.random.default_rng(k), **given)
        assert found.tolist() == plain_seeds(x, k, np.random.default_rng(k), used, block)


def test_fewer_distances_are_held_where_items_are_many(monkeypatch):
    """Room for 120 distances among 60 items is room for two proposals at a time."""
    monkeypatch.setattr("labelgap.select.seeds._HELD", 120)
    x = np.random.default_rng(3).standard_normal((60, 2))
    found = greedy_seeds(torch.from_numpy(x), 9, np.random.default_rng(0), trials=2)
    assert found.tolist() == plain_seeds(x, 9, np.random.default_rng(0), 2, 1)


def test_seeds_need_one_item_each_and_one_at_least():
    z = torch.zeros(3, 2)
    with pytest.raises(BudgetError, match="3 items to cluster there"):
        greedy_seeds(z, 4, np.random.default_rng(0))
    with pytest.raises(BudgetError, match="0 clusters there"):
        greedy_seeds(z, 0, np.random.default_rng(0))
    assert sorted(greedy_seeds(z, 3, np.random.default_rng(0)).tolist()) == [0, 1, 2]
