"""LCMD against its definition, written as loops; duplicates, constant features, no labels."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from views import acquire, array_view, normal

from labelgap.core.errors import BudgetError
from labelgap.select.geometry import Euclidean
from labelgap.select.lcmd import distances, largest_clusters


def naive(z, centres, n, ties):
    """All distances anew at every pick."""
    points, picks = list(centres), []
    if not len(centres):
        lengths = (z**2).sum(1)
        first = min(np.flatnonzero(lengths == lengths.max()), key=lambda i: ties[i])
        points, picks = [z[first]], [int(first)]
    while len(picks) < n:
        away = cdist(z, np.array(points), "sqeuclidean")
        cluster, near = away.argmin(1), away.min(1)
        near[picks] = 0
        if near.max() == 0:
            left = [i for i in np.argsort(ties) if i not in picks]
            return picks + left[: n - len(picks)]
        mass = [near[cluster == j].sum() for j in range(len(points))]
        members = np.flatnonzero(cluster == np.argmax(mass))
        best = max(members, key=lambda i: (near[i], -ties[i]))
        picks.append(int(best))
        points.append(z[best])
    return picks


@given(st.integers(0, 10_000), st.integers(0, 6), st.integers(1, 25), st.integers(1, 9))
def test_picks_are_those_of_the_definition(seed, labelled, n, block):
    z, centres = normal(40, 3, seed=seed), normal(labelled, 3, seed=seed + 1)
    ties = np.random.default_rng(seed).random(40)
    found, away, mass = largest_clusters(z, centres, n, ties, block)
    assert found.tolist() == naive(z.double().numpy(), centres.double().numpy(), n, ties)
    assert len(found) == len(away) == len(mass) == n
    assert (away[1 - min(labelled, 1) :] <= mass[1 - min(labelled, 1) :] * (1 + 1e-12)).all()


def test_a_crowd_comes_before_a_lone_item_that_is_farther():
    """k-center takes the outlier; the crowd's summed distance is larger."""
    crowd = 0.2 * normal(100, 2) + torch.tensor([3.0, 0.0])
    lone = torch.tensor([[0.0, 10.0]])
    z, centres = torch.cat([crowd, lone]), torch.tensor([[0.0, 0.0], [0.0, 4.0]])
    views = [array_view({"features": z}, {"features": centres}, [0, 1]) for _ in range(2)]
    assert acquire("lcmd").select(views[0], 1).ids[0] != 1100
    assert acquire("coreset").select(views[1], 1).ids[0] == 1100


def test_distances_are_exact_zeros_for_duplicates_far_from_the_origin():
    z = normal(30, 8) + 1000
    z[20] = z[3]
    found = distances(Euclidean(z), z[[3, 5]])
    expected = cdist(z[[3, 5]].double().numpy(), z.double().numpy(), "sqeuclidean")
    assert found[0, 3] == found[0, 20] == found[1, 5] == 0
    np.testing.assert_allclose(found, expected, rtol=1e-3)


def test_duplicates_are_asked_for_last_and_every_item_once():
    z = normal(10, 4).repeat(5, 1)
    found, away, _ = largest_clusters(z, z[:1], 50, np.random.default_rng(0).random(50))
    assert sorted(found.tolist()) == list(range(50))
    assert sorted((found[:9] % 10).tolist()) == list(range(1, 10))
    assert (away[:9] > 0).all()
    assert (away[9:] == 0).all()


def test_constant_features_are_drawn_uniformly():
    z, ties = torch.ones(20, 3), np.random.default_rng(1).random(20)
    found, away, _ = largest_clusters(z, z[:2], 6, ties)
    assert found.tolist() == np.argsort(ties)[:6].tolist()
    assert away.tolist() == [0.0] * 6


def test_without_labels_the_longest_item_is_first_and_no_distance_is_told():
    z = normal(25, 3)
    query = acquire("lcmd").select(array_view({"features": z}), 4)
    assert query.ids[0] == 1000 + int(z.norm(dim=1).argmax())
    assert query.score is None
    assert query.parts == {}


def test_too_many_are_refused():
    with pytest.raises(BudgetError):
        largest_clusters(normal(5, 2), normal(2, 2), 6, np.zeros(5))


@given(st.integers(0, 10_000), st.integers(0, 6), st.integers(1, 20), st.integers(1, 9))
def test_weighted_picks_are_those_of_the_copies_written_out(seed, labelled, n, block):
    rng = np.random.default_rng(seed)
    z, centres = normal(20, 3, seed=seed), normal(labelled, 3, seed=seed + 1)
    counts, ties = rng.integers(1, 9, 20), rng.random(20)
    at = np.repeat(np.arange(20), counts)
    found, away, mass = largest_clusters(z, centres, n, ties, block, counts)
    written_out, gaps, sums = largest_clusters(z[torch.from_numpy(at)], centres, n, ties[at])
    assert found.tolist() == at[written_out].tolist()
    np.testing.assert_allclose(away, gaps, rtol=1e-5)
    np.testing.assert_allclose(mass, sums, rtol=1e-5)
    expected = naive(z.double().numpy()[at], centres.double().numpy(), n, ties[at])
    assert found.tolist() == at[expected].tolist()
