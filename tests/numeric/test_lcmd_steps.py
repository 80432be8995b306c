"""LCMD's parts: columns held at a time, distances measured anew, and the order of equal draws."""

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from labelgap.select import lcmd
from labelgap.select.geometry import Euclidean
from labelgap.select.lcmd import _Clusters, distances, largest_clusters


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).float()


@pytest.mark.parametrize(
    ("items", "held", "block", "most"),
    [(10, 35, 32, 3), (10, 35, 2, 2), (10, 1, 32, 1), (1, 3, 32, 3), (7, 1 << 23, 32, 7)],
)
def test_centres_are_met_as_many_at_a_time_as_memory_allows(items, held, block, most, monkeypatch):
    monkeypatch.setattr(lcmd, "_HELD", held)
    sizes, plain = [], lcmd.distances
    monkeypatch.setattr(lcmd, "distances", lambda i, few: sizes.append(len(few)) or plain(i, few))
    z, centres = normal(items, 3), normal(7, 3, seed=1)
    largest_clusters(z, centres, 0, np.zeros(items), block)
    assert sizes == [min(most, 7 - i) for i in range(0, 7, most)]
    sizes.clear()
    found, _, _ = largest_clusters(z, centres, items, np.arange(items) / items, block)
    assert sorted(found.tolist()) == list(range(items))
    assert max(sizes) <= most


def test_of_no_items_none_is_picked():
    for centres in (normal(2, 3), normal(0, 3)):
        for found in largest_clusters(normal(0, 3), centres, 0, np.empty(0)):
            assert found.shape == (0,)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("gather", [1, 7, 50, 1 << 22])
def test_near_items_are_measured_anew_in_pieces_in_any_unit(gather, scale, monkeypatch):
    monkeypatch.setattr(lcmd, "GATHER", gather)
    z = normal(24, 6)
    z[8:12] = z[:4]
    z[12:16] = z[:4] * (1 + 1e-4)
    z = scale * z
    items, sizes = Euclidean(z), []
    to = items.to
    items.to = lambda rows, few: sizes.append(len(rows)) or to(rows, few)
    for count in (4, 9):
        few = z[torch.arange(count) % 5]
        sizes.clear()
        found = distances(items, few)
        assert found.dtype == np.float64
        assert found.flags.c_contiguous
        exact = cdist(few.double().numpy(), z.double().numpy(), "sqeuclidean")
        near = exact.min(0) < 0.02 * items.norms.numpy()
        assert near.sum() == (12 if count == 4 else 13)
        np.testing.assert_allclose(found[:, near], exact[:, near], rtol=1e-9)
        np.testing.assert_allclose(found, exact, rtol=1e-4)
        most = max(1, gather // max(count, 6))
        assert sizes == [min(most, near.sum() - i) for i in range(0, near.sum(), most)]


def test_an_item_that_becomes_a_centre_is_at_it_whatever_the_column_says():
    state = _Clusters(4, np.array([1, 2, 1, 3]))
    assert state.cluster.tolist() == [-1] * 4
    state.add(np.array([4.0, 1.0, 2.0, 3.0]))
    state.add(np.array([5.0, 3.0, 1.0, 1e-9]), 3)
    assert state.away.tolist() == [4.0, 1.0, 1.0, 0.0]
    assert state.cluster.tolist() == [0, 0, 1, 1]
    assert state.masses().tolist() == [6.0, 1.0]
    state.add(np.full(4, 9.0))  # nobody's nearest
    assert state.masses().tolist() == [6.0, 1.0, 0.0]
    assert state.farthest(0, np.zeros(4)) == 0


def test_equal_draws_keep_the_order_of_the_items():
    ties = np.random.default_rng(0).integers(0, 3, 60).astype(float)
    found, _, _ = largest_clusters(torch.ones(60, 2), torch.ones(1, 2), 60, ties)
    assert found.tolist() == sorted(range(60), key=lambda i: ties[i])


def test_among_equals_the_first_centre_keeps_an_item_and_the_smaller_draw_is_first():
    state = _Clusters(4)
    state.add(np.array([2.0, 2.0, 1.0, 2.0]))
    state.add(np.array([2.0, 3.0, 1.0, 0.5]))
    assert state.cluster.tolist() == [0, 0, 0, 1]
    assert state.farthest(0, np.array([0.9, 0.2, 0.1, 0.0])) == 1
    assert state.farthest(0, np.array([0.2, 0.9, 0.1, 0.0])) == 0


def test_the_next_picks_are_those_if_each_new_centre_attracted_nobody_but_itself():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        state, ties = _Clusters(15, rng.integers(1, 6, 15)), rng.random(15)
        for _ in range(4):
            state.add(rng.integers(0, 9, 15).astype(float))
        masses, share = state.masses(), state.away * state.weights
        left, expected = masses.copy(), []
        while left.max() > 0 and len(expected) < 15:
            members = [
                i for i in np.flatnonzero(state.cluster == left.argmax()) if i not in expected
            ]
            if not members:
                left[left.argmax()] = 0
                continue
            expected.append(min(members, key=lambda i: (-state.away[i], ties[i])))
            left[state.cluster[expected[-1]]] -= share[expected[-1]]
        for number in (1, 4, 15):
            assert state.likely(masses, number, ties)[: len(expected)] == expected[:number]
