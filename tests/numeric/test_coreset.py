"""Core-set: the picks of the plain greedy, its 2-approximation, and what explains a pick."""

import numpy as np
import torch
from scipy.spatial.distance import cdist
from tolerance import assert_rounded, rounding
from views import acquire, array_view, normal

from labelgap.methods.coreset import gaps


def test_picks_and_distances_are_those_of_the_plain_greedy():
    z, centres = normal(400, 16), normal(30, 16, seed=1)
    view = array_view({"features": z}, {"features": centres}, np.zeros(30))
    query = acquire("coreset").select(view, 120)
    # O(N·B·d), in float64, without a trick: every pick is the farthest of its turn. Two that are
    # equally far but for the rounding of float32 may take turns.
    x = z.double().numpy()
    nearest = cdist(x, centres.double().numpy()).min(axis=1)
    for i, score in zip(query.ids - 1000, query.score, strict=True):
        assert_rounded(nearest[i], nearest.max(), 2, dtype="float32")
        assert_rounded(score, nearest[i], 2, dtype="float32")
        nearest = np.minimum(nearest, cdist(x, x[[i]])[:, 0])
    assert (np.diff(query.score) <= rounding("float32", 2) * query.score[0]).all()


def test_all_labelled_items_are_centres():
    """An item beside the last labelled one must not be picked: published code lost half of L."""
    centres = 10 * torch.eye(6)
    z = torch.cat([centres + 0.01, torch.full((1, 6), -8.0)])
    view = array_view({"features": z}, {"features": centres}, np.zeros(6))
    assert acquire("coreset").select(view, 1).ids.tolist() == [1006]


def test_covers_better_than_chance():
    """Planted clusters of very unequal size: every cluster gets a pick."""
    rng = np.random.default_rng(0)
    means = 20 * normal(12, 8, seed=3)
    which = rng.choice(12, 1500, p=np.array([500, *[91] * 11]) / 1501)
    z = means[torch.from_numpy(which)] + normal(1500, 8, seed=4)
    view = array_view({"features": z}, {"features": z[:1]}, [0])
    picked = acquire("coreset").select(view, 11).ids - 1000
    reached = {*which[picked].tolist(), int(which[0])}
    assert len(reached) == 12
    assert len(set(which[rng.permutation(1500)[:12]].tolist())) < 12


def test_gaps_without_centres_start_at_infinity():
    z = torch.tensor([[0.0], [3.0], [1.0]])
    found = gaps(z, z[:0], lambda a, b: (a - b.T).abs().double())
    assert found.tolist() == [torch.inf, 3.0, 1.0]
    query = acquire("coreset").select(array_view({"features": z}), 3)
    assert sorted(query.ids.tolist()) == [1000, 1001, 1002]
    assert query.score is None
