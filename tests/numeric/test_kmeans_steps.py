"""k-means step by step against plain Lloyd steps; its stops; representatives of given centres."""

from importlib import import_module

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from labelgap.core.errors import BudgetError
from labelgap.select.kmeans import (
    _assign,
    _centres,
    _reassign,
    _Sums,
    kmeans,
    kmeans_of_sample,
    representatives,
)
from labelgap.select.seeds import greedy_seeds

# The package gives the name to the function.
module = import_module("labelgap.select.kmeans")


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def lloyd(z, k, seed, steps, tolerance=0.0, trials=None):
    """Plain Lloyd from the same start in numpy; no cluster empties. Also the steps made."""
    x = (z - z.mean(0)).numpy()
    centres = x[greedy_seeds(torch.from_numpy(x), k, np.random.default_rng(seed), trials)]
    enough = tolerance * x.var(0).mean()

    def assign():
        return ((x[:, None] - centres[None]) ** 2).sum(2).argmin(1)

    cluster, made = assign(), 0
    for _ in range(steps):
        moved = np.stack([x[cluster == c].mean(0) for c in range(k)])
        shift = ((moved - centres) ** 2).sum()
        centres, before, made = moved, cluster, made + 1
        cluster = assign()
        if shift <= enough or (cluster == before).all():
            break
    inertia = ((x - centres[cluster]) ** 2).sum()
    return centres + z.mean(0).numpy(), cluster, inertia, made


@pytest.mark.parametrize("rows", [10, 2048])
@pytest.mark.parametrize("steps", [0, 1, 2, 5, 300])
def test_every_step_is_lloyds(steps, rows, monkeypatch):
    monkeypatch.setattr(module, "_ROWS", rows)
    z = normal(90, 3) + 4
    centres, cluster, inertia, _ = lloyd(z, 6, 1, steps)
    found = kmeans(z, 6, np.random.default_rng(1), steps=steps, tolerance=0.0)
    np.testing.assert_allclose(found[0], centres)
    assert found[1].tolist() == cluster.tolist()
    assert found[2] == pytest.approx(inertia)


def test_the_trials_of_the_start_may_be_given():
    z = normal(90, 3)
    one, usual = (lloyd(z, 6, 1, 0, trials=trials)[0] for trials in (1, None))
    found = kmeans(z, 6, np.random.default_rng(1), steps=0, trials=1)[0]
    np.testing.assert_allclose(found, one)
    assert not np.allclose(one, usual)


def test_it_stops_where_centres_hardly_move():
    """A tolerance at which plain Lloyd stops before the assignments come to rest."""
    z = normal(400, 2, seed=3)
    *_, to_rest = lloyd(z, 8, 0, 300)
    stops = set()
    for tolerance in (1e-3, 1e-2, 1e-1):
        centres, _, _, made = lloyd(z, 8, 0, 300, tolerance)
        found = kmeans(z, 8, np.random.default_rng(0), tolerance=tolerance)[0]
        np.testing.assert_allclose(found, centres)
        stops.add(made)
    assert len(stops) > 1
    assert min(stops) < to_rest
    # The usual tolerance is 1e-4.
    usual = lloyd(z, 8, 0, 300, 1e-4)[0]
    np.testing.assert_allclose(kmeans(z, 8, np.random.default_rng(0))[0], usual)


@pytest.mark.parametrize("rows", [4, 2048])
def test_rows_go_to_the_nearest_and_among_equals_to_the_first(rows, monkeypatch):
    monkeypatch.setattr(module, "_ROWS", rows)
    x, centres = normal(11, 3), normal(4, 3, seed=1)
    centres[3] = centres[1]
    d2 = ((x[:, None] - centres) ** 2).sum(2)
    cluster, distance = _assign(x, x.square().sum(1), centres)
    assert cluster.tolist() == d2.numpy().argmin(1).tolist()
    assert 3 not in cluster.tolist()
    torch.testing.assert_close(distance, d2.amin(1))
    # An item on its centre is at 0, not below for rounding.
    far = 1e4 + x.float()
    assert (_assign(far, far.square().sum(1), far)[1] >= 0).all()


@pytest.mark.parametrize("rows", [2, 2048])
def test_sums_follow_the_moves(rows, monkeypatch):
    monkeypatch.setattr(module, "_ROWS", rows)
    x, rng = normal(12, 3), np.random.default_rng(0)
    sums = _Sums(x.float(), 4)
    for step in range(4):
        cluster = torch.from_numpy(rng.integers(0, 4 - step % 2, 12))
        sums.update(cluster)
        assert sums.counts.tolist() == np.bincount(cluster, minlength=4).tolist()
        plain = torch.stack([x.float()[cluster == c].double().sum(0) for c in range(4)])
        torch.testing.assert_close(sums.sums, plain)
    assert sums.sums.dtype == torch.float64


def test_empty_clusters_restart_at_the_farthest_items():
    x = torch.tensor([[0.0], [1.0], [2.0], [9.0]])
    sums = _Sums(x, 4)
    sums.update(torch.tensor([1, 1, 1, 3]))
    old = torch.tensor([[50.0], [1.0], [60.0], [8.0]])
    distance = torch.tensor([1.0, 0.0, 3.0, 2.0])
    assert _centres(x, sums, distance, old).flatten().tolist() == [2.0, 1.0, 9.0, 9.0]
    # Only one item is off its centre: the other empty cluster has nowhere to go.
    distance = torch.tensor([0.0, 0.0, 0.5, 0.0])
    assert _centres(x, sums, distance, old).flatten().tolist() == [2.0, 1.0, 60.0, 9.0]
    sums = _Sums(x, 3)
    sums.update(torch.tensor([1, 1, 1, 2]))
    assert _centres(x, sums, distance, old[:3]).flatten().tolist() == [2.0, 1.0, 9.0]


def given_centres(monkeypatch, centres):
    monkeypatch.setattr(module, "kmeans", lambda z, k, rng: (centres, None, 0.0))


def test_the_closer_centre_keeps_the_item_that_two_share(monkeypatch):
    z = torch.tensor([[0.0], [1.0], [5.0], [6.5]]) + 100
    # Both of the first two are nearest to item 0; the second is closer, the first gets item 1.
    given_centres(monkeypatch, torch.tensor([[0.3], [0.1], [5.2]]) + 100)
    assert representatives(z, 3, np.random.default_rng(0)).tolist() == [1, 0, 2]
    # Who has to wait takes none that is another's nearest, though that one comes later.
    given_centres(monkeypatch, torch.tensor([[0.1], [-0.2], [1.3]]) + 100)
    assert representatives(z, 3, np.random.default_rng(0)).tolist() == [0, 2, 1]
    # Three share item 2; they come in the order of their distance.
    given_centres(monkeypatch, torch.tensor([[5.3], [5.2], [5.1]]) + 100)
    assert representatives(z, 3, np.random.default_rng(0)).tolist() == [1, 3, 2]


def test_none_and_all_need_no_centres(monkeypatch):
    given_centres(monkeypatch, None)
    z = normal(5, 2)
    assert representatives(z, 0, np.random.default_rng(0)).tolist() == []
    assert representatives(z, 5, np.random.default_rng(0)).tolist() == [0, 1, 2, 3, 4]
    with pytest.raises(BudgetError):
        representatives(z, 6, np.random.default_rng(0))


@example(seed=1, k=8, moved=2, size=1.0)  # a still centre as near as one that moved
@given(seed=st.integers(0, 999), k=st.integers(1, 9), moved=st.integers(0, 9), size=st.floats(0, 9))
def test_rows_whose_centre_stands_still_look_at_the_moved_ones_alone(
    seed: int, k: int, moved: int, size: float
) -> None:
    """On a grid of whole numbers, where distances are exact and ties many: as if anew."""
    rng = np.random.default_rng(seed)
    x = torch.from_numpy(rng.integers(-3, 4, (40, 2)).astype(np.float32))
    centres = torch.from_numpy(rng.integers(-3, 4, (k, 2)).astype(np.float32))
    norms = x.square().sum(1)
    before = _assign(x, norms, centres)
    other = centres.clone()
    at = torch.from_numpy(rng.permutation(k)[:moved])
    other[at] += torch.from_numpy(np.round(size * rng.uniform(-1, 1, (len(at), 2)))).float()
    still = (other == centres).all(1)
    cluster, distance = _reassign(x, norms, other, still, *before)
    expected = _assign(x, norms, other)
    assert torch.equal(cluster, expected[0])
    assert torch.equal(distance, expected[1])


def test_centres_of_a_sample_part_a_pool_as_its_own_do():
    rng = np.random.default_rng(0)
    blob = rng.integers(0, 6, 5000)
    z = torch.from_numpy(50 * np.eye(6)[blob] + rng.normal(0, 1, (5000, 6)))
    found = kmeans_of_sample(z, 6, np.random.default_rng(1), 300).numpy()
    pairs = set(zip(blob.tolist(), found.tolist(), strict=True))
    assert len(pairs) == 6  # one cluster a blob, and one blob a cluster
    assert len({b for b, _ in pairs}) == len({c for _, c in pairs}) == 6
    whole = kmeans(z, 6, np.random.default_rng(1))[1]
    assert torch.equal(kmeans_of_sample(z, 6, np.random.default_rng(1), 5000), whole)
    with pytest.raises(BudgetError):
        kmeans_of_sample(z, 301, np.random.default_rng(1), 300)
