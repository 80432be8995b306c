"""ProbCover: plain greedy coverage, the radius of pure balls, planted clusters, exhaustion."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from tolerance import rounding
from views import acquire, array_view, normal

from labelgap.core.errors import LabelgapError
from labelgap.select.arrays import wide_mean
from labelgap.select.coverage import balls, greedy_cover, purity_radius
from labelgap.select.geometry import closer


def plain_greedy(z, known, radius, n, ties):
    """Dense graph, all degrees counted anew for every pick."""
    edges = cdist(z, z) < radius
    edges[:, (cdist(known, z) < radius).any(axis=0)] = False
    picks, gains = [], []
    for _ in range(n):
        degree = edges.sum(axis=1).astype(float)
        degree[picks] = -1
        i = int(np.lexsort((ties, -degree))[0])
        picks.append(i)
        gains.append(int(degree[i]))
        edges[:, edges[i]] = False
    return picks, gains


@pytest.mark.parametrize("radius", [0.8, 1.5, 2.5])
def test_picks_are_those_of_the_plain_greedy(radius):
    z, known = normal(300, 4), normal(5, 4, seed=1)
    view = array_view({"embedding": z}, {"embedding": known}, np.zeros(5))
    query = acquire("probcover", delta=radius, normalise=False).select(view, 60)
    picks, gains = plain_greedy(z.double().numpy(), known.double().numpy(), radius, 60, view.ties())
    assert query.parts["newly_covered"].tolist() == gains
    assert (query.ids - 1000).tolist() == picks


def test_a_bit_for_every_ball():
    z, points = normal(700, 3), normal(21, 3, seed=1)
    bits = np.unpackbits(balls(z, points, 1.2), axis=1)[:, :21].astype(bool)
    assert (bits == (cdist(z.double().numpy(), points.double().numpy()) < 1.2)).all()


def test_items_that_are_the_points_give_the_same_bits():
    """Three blocks, the last one ragged: each pair is looked at once and written twice."""
    z = normal(2_100, 5)
    assert (balls(z, z, 1.1) == balls(z, z.clone(), 1.1)).all()


@given(st.integers(1, 400), st.floats(-100, 100), st.integers(0, 2**32 - 1))
def test_pairs_at_the_radius_are_told_apart(d, offset, seed):
    """Float32 products cannot say which of these distances are below; the answer can."""
    rng = np.random.default_rng(seed)
    a = (rng.standard_normal((40, d)) + offset).astype(np.float32)
    step = rng.standard_normal((40, d))
    step *= rng.uniform(1 - 1e-6, 1 + 1e-6, (40, 1)) / np.linalg.norm(step, axis=1, keepdims=True)
    b = (a + step).astype(np.float32)
    z, points = torch.from_numpy(a), torch.from_numpy(b)
    exact = cdist(a.astype(float), b.astype(float))
    inside = closer(z, points, wide_mean(z), 1.0)
    clear = np.abs(exact - 1) > rounding("float64", d + 2)
    assert (inside == (exact < 1))[clear].all()


def test_once_all_is_covered_the_rest_is_uniform():
    """Published code goes on to return item 0; here a draw without replacement follows."""
    z = 0.01 * normal(50, 3) + 1
    queries = [
        acquire("probcover", delta=1.0).select(array_view({"embedding": z}, seed=s), 10)
        for s in range(2)
    ]
    for query in queries:
        assert len(set(query.ids.tolist())) == 10
        assert query.notes["random"] == 9
        assert query.notes["covered"] == 1.0
    assert set(queries[0].ids.tolist()) != set(queries[1].ids.tolist())


def test_radius_is_the_largest_with_enough_pure_balls():
    which = np.repeat(np.arange(3), 60)
    z = 6 * torch.eye(3)[torch.from_numpy(which)] + 0.8 * normal(180, 3)
    radius = purity_radius(z, 3, 0.95, np.random.default_rng(0))
    distance = cdist(z.double().numpy(), z.double().numpy())
    impure = (which[:, None] != which) & (distance < radius)
    assert 1 - impure.any(axis=1).mean() >= 0.95
    more = (which[:, None] != which) & (distance < radius * 1.05)
    assert 1 - more.any(axis=1).mean() < 0.95


def test_a_single_cluster_has_no_radius():
    with pytest.raises(LabelgapError, match="delta"):
        purity_radius(torch.ones(30, 4), 3, 0.95, np.random.default_rng(0))


def test_covers_planted_clusters_largest_first():
    sizes = [40, 90, 60, 30, 70]
    which = np.repeat(np.arange(5), sizes)
    z = torch.eye(16)[torch.from_numpy(which)] + 0.02 * normal(290, 16)
    known = torch.eye(16)[[1]]
    view = array_view({"embedding": z}, {"embedding": known}, [0], classes=5)
    query = acquire("probcover").select(view, 4)
    assert which[query.ids - 1000].tolist() == [4, 2, 0, 3]
    assert query.notes["covered"] == 1.0
    assert query.notes["random"] == 0


def test_a_sample_of_the_pool_stands_for_it():
    which = np.repeat(np.arange(4), 250)
    z = torch.eye(8)[torch.from_numpy(which)] + 0.02 * normal(1000, 8)
    view = array_view({"embedding": z}, classes=4)
    query = acquire("probcover", sample=100).select(view, 4)
    assert sorted(which[query.ids - 1000].tolist()) == [0, 1, 2, 3]
    assert sum(query.parts["newly_covered"]) == 100


def test_greedy_cover_without_points_draws_by_the_ties():
    ties = np.array([0.3, 0.1, 0.2])
    picks, gains = greedy_cover(np.zeros((3, 1), np.uint8), np.zeros(1, np.uint8), 3, ties)
    assert picks.tolist() == [1, 2, 0]
    assert gains.tolist() == [0, 0, 0]
