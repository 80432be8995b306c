"""TypiClust: typicality by definition, the order of clusters, planted clusters."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from views import acquire, array_view, normal

from labelgap.methods.typiclust import cluster_order, round_robin, rounds
from labelgap.select.typical import typicality


def test_typicality_is_the_inverse_mean_distance_to_the_nearest():
    z = normal(60, 5)
    distance = cdist(z.double().numpy(), z.double().numpy())
    expected = 1 / (np.sort(distance, axis=1)[:, 1:21].mean(axis=1) + 1e-5)
    found = typicality(z, 20, 4000, np.random.default_rng(0)).numpy()
    np.testing.assert_allclose(found, expected)
    # At most half the cluster counts as neighbours.
    small = 1 / (np.sort(distance[:9, :9], axis=1)[:, 1:5].mean(axis=1) + 1e-5)
    few = typicality(z[:9], 20, 4000, np.random.default_rng(0)).numpy()
    np.testing.assert_allclose(few, small)


def test_sampled_neighbours_rank_items_alike():
    """A dense core in a wide cloud is found from a quarter of the cluster too."""
    z = torch.cat([0.1 * normal(100, 3), 3 * normal(900, 3, seed=1)])
    whole = typicality(z, 20, 4000, np.random.default_rng(0))
    part = typicality(z, 20, 250, np.random.default_rng(0))
    tops = [set(t.topk(100).indices.tolist()) for t in (whole, part)]
    assert len(tops[0] & set(range(100))) > 90
    assert len(tops[1] & set(range(100))) > 90


@pytest.mark.parametrize("sample", [4000, 90])
@pytest.mark.parametrize("near", [1.0, 1e-3])
def test_the_best_have_the_values_of_all_and_their_order(sample, near):
    # Near pairs: distances that products in float32 get wrong, far from the mean.
    z = torch.cat([normal(150, 5), 40 + near * normal(60, 5, seed=1)])
    may = np.random.default_rng(2).random(len(z)) < 0.6
    whole = typicality(z, 20, sample, np.random.default_rng(0)).numpy()
    for best in (1, 4, 30, 500):
        found = typicality(z, 20, sample, np.random.default_rng(0), best, may).numpy()
        order, expected = (np.argsort(-np.where(may, v, -1), kind="stable") for v in (found, whole))
        first = order[: min(best, int(may.sum()))]
        assert first.tolist() == expected[: len(first)].tolist()
        np.testing.assert_allclose(found[first], whole[first], rtol=1e-9)
        assert (found[~may] == 0).all()
        assert best > 30 or (found > 0).sum() < may.sum()  # others were left out


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.integers(1, 30))
def test_rounds_are_how_far_round_robin_reaches(lengths, n):
    reached = 0

    class Queue(list):
        def __getitem__(self, i):
            nonlocal reached
            reached = max(reached, i + 1)
            return list.__getitem__(self, i)

    queues = [Queue(range(length)) for length in lengths]
    n = min(n, sum(lengths))
    round_robin(lambda c: queues[c], np.arange(len(lengths)), n)
    needed = next((r for r in range(6) if sum(min(r, x) for x in lengths) >= n), 5)
    assert rounds(np.array(lengths), n) == max(1, needed)
    assert reached >= needed


def test_lone_and_coinciding_items_are_finite():
    rng = np.random.default_rng(0)
    assert typicality(normal(1, 4), 20, 100, rng).tolist() == [0.0]
    assert torch.isfinite(typicality(torch.ones(30, 4), 20, 100, rng)).all()


def test_clusters_without_labels_come_first_then_the_largest():
    sizes, labelled = np.array([50, 9, 80, 3, 0, 20]), np.array([0, 0, 2, 0, 0, 1])
    large, small = cluster_order(sizes, labelled, 6)
    assert large.tolist() == [0, 1, 5, 2]
    assert small.tolist() == [3]


def test_round_robin_takes_each_group_in_turn():
    queues = {0: [5, 6, 7], 1: [], 2: [8, 9]}
    found = round_robin(lambda c: np.array(queues[c], np.int64), np.array([0, 1, 2]), 4)
    assert found.tolist() == [5, 8, 6, 9]


def planted(sizes, dim=16, spread=0.05):
    """Groups around orthogonal directions; the first item of each is its exact centre."""
    means = torch.eye(dim)[: len(sizes)]
    which = np.repeat(np.arange(len(sizes)), sizes)
    z = means[torch.from_numpy(which)] + spread * normal(len(which), dim)
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    z[torch.from_numpy(first)] = means
    return z, which, first


def test_asks_for_the_centre_of_every_unlabelled_cluster_largest_first():
    z, which, first = planted([40, 90, 60, 30, 70])
    known = [first[1] + 5, first[3] + 5]
    free = np.setdiff1d(np.arange(len(z)), known)
    view = array_view(
        {"embedding": z[torch.from_numpy(free)]},
        {"embedding": z[torch.from_numpy(np.array(known))]},
        [0, 1],
    )
    query = acquire("typiclust").select(view, 3)
    picked = free[query.ids - 1000]
    assert which[picked].tolist() == [4, 2, 0]  # clusters 1 and 3 have a label
    # The centre itself, whose neighbours are nearest.
    assert picked.tolist() == first[[4, 2, 0]].tolist()
    assert query.notes["clusters_without_label"] == 3
    assert query.parts["cluster_size"].tolist() == [70, 60, 40]


def test_more_asked_for_than_clusters():
    z, which, _ = planted([30, 30])
    query = acquire("typiclust", max_clusters=2).select(array_view({"embedding": z}), 55)
    assert len(set(query.ids.tolist())) == 55
    assert np.bincount(which[query.ids[:20] - 1000]).tolist() == [10, 10]
