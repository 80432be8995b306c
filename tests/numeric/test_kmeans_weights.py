"""k-means of rows that stand for several items each: every step against weighted means in numpy."""

from importlib import import_module

import numpy as np
import pytest
import torch

from labelgap.core.errors import BudgetError
from labelgap.select.dsquared import propose
from labelgap.select.kmeans import (
    _assign,
    _lloyd,
    _mean,
    _nearest,
    _reassign,
    _Sums,
    kmeans,
    kmeans_of_sample,
    representatives,
)
from labelgap.select.seeds import greedy_seeds

module = import_module("labelgap.select.kmeans")


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def lloyd(z, k, seed, weights, steps=300, tolerance=1e-4, trials=None):
    """Weighted Lloyd from the same start; also how many steps were made."""
    z, w = z.numpy(), np.asarray(weights, dtype=float)
    mean = w @ z / w.sum()
    x = z - mean
    start = torch.from_numpy(x)
    centres = x[greedy_seeds(start, k, np.random.default_rng(seed), trials, weights=w)]
    enough = tolerance * (w @ (x**2).sum(1)) / w.sum() / x.shape[1]

    def assign():
        return ((x[:, None] - centres) ** 2).sum(2).argmin(1)

    cluster, made = assign(), 0
    for _ in range(steps):
        moved = np.stack([np.average(x[cluster == c], 0, w[cluster == c]) for c in range(k)])
        shift = ((moved - centres) ** 2).sum()
        centres, before, made = moved, cluster, made + 1
        cluster = assign()
        if shift <= enough or (cluster == before).all():
            break
    return centres + mean, cluster, w @ ((x - centres[cluster]) ** 2).sum(1), made


WEIGHTS = np.random.default_rng(7).integers(1, 40, 300).astype(np.float64)


@pytest.mark.parametrize("rows", [11, 2048])
@pytest.mark.parametrize("steps", [0, 1, 3, 300])
def test_every_step_is_that_of_weighted_means(steps, rows, monkeypatch):
    monkeypatch.setattr(module, "_ROWS", rows)
    z, w = normal(60, 3) + 4, WEIGHTS[:60]
    for trials in (None, 1):
        found = _lloyd(z, 5, np.random.default_rng(1), w, steps, 0.0, trials)
        centres, cluster, inertia, _ = lloyd(z, 5, 1, w, steps, 0.0, trials)
        np.testing.assert_allclose(found[0], centres)
        assert found[1].tolist() == cluster.tolist()
        assert found[2] == pytest.approx(inertia)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_mean_is_weighted_and_wide(dtype):
    z = (100 + normal(300, 3)).to(dtype)
    found = _mean(z, torch.from_numpy(WEIGHTS))
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found, np.average(z.double().numpy(), 0, WEIGHTS), rtol=1e-12)


def test_it_stops_by_the_weighted_variance():
    z, stops = 3 * normal(300, 2, seed=3), set()
    for tolerance in (1e-4, 1e-3, 1e-2, 1e-1):
        found = _lloyd(z, 8, np.random.default_rng(0), WEIGHTS, 300, tolerance)
        centres, _, _, made = lloyd(z, 8, 0, WEIGHTS, 300, tolerance)
        np.testing.assert_allclose(found[0], centres)
        stops.add(made)
    assert len(stops) > 2


def test_copies_written_out_are_rows_with_weights():
    """All that `kmeans` is given beside the items counts with copies too."""
    z, rng = normal(60, 3), np.random.default_rng(2)
    at = rng.permutation(np.repeat(np.arange(60), rng.integers(1, 5, 60)))
    first = np.unique(at, return_index=True)[1]
    lead = at[np.sort(first)]  # rows in the order in which they come first
    counts = np.bincount(at)[lead]
    for steps, tolerance, trials in ((300, 1e-4, None), (1, 0.0, None), (2, 0.0, 1), (300, 0.1, 2)):
        found = kmeans(
            z[at], 6, np.random.default_rng(1), steps=steps, tolerance=tolerance, trials=trials
        )
        centres, cluster, inertia, _ = lloyd(z[lead], 6, 1, counts, steps, tolerance, trials)
        np.testing.assert_allclose(found[0], centres)
        place = np.argsort(lead)
        assert found[1].tolist() == cluster[place[at]].tolist()
        assert found[2] == pytest.approx(inertia)


def test_as_many_clusters_as_rows_that_differ_or_more():
    z = torch.tensor([[2.0], [1.0], [2.0], [0.5], [1.0]])
    for k in (3, 4, 5):
        centres, cluster, inertia = kmeans(z, k, np.random.default_rng(0))
        assert centres.flatten().tolist() == [2.0, 1.0, 0.5, 2.0, 2.0][:k]
        assert cluster.tolist() == [0, 1, 0, 2, 1]
        assert inertia == 0


@pytest.mark.parametrize("copies", [False, True])
def test_too_many_clusters_and_none_are_refused_in_words_of_clusters(copies):
    z = normal(4, 2)
    if copies:
        z[3] = z[0]
    with pytest.raises(BudgetError, match=r"^5 items asked for, 4 items to cluster there"):
        kmeans(z, 5, np.random.default_rng(0))
    with pytest.raises(BudgetError, match=r"^1 items asked for, 0 clusters there"):
        kmeans(z, 0, np.random.default_rng(0))
    centres, cluster, _ = kmeans(z, 1, np.random.default_rng(0))
    torch.testing.assert_close(centres[0], z.mean(0))
    assert cluster.tolist() == [0] * 4


@pytest.mark.parametrize("mass", [None, WEIGHTS[:12].copy()])
def test_sums_of_weighted_rows_follow_the_moves(mass):
    x, rng = normal(12, 3), np.random.default_rng(0)
    w = torch.ones(12).double() if mass is None else torch.from_numpy(mass)
    sums = _Sums(x, 4, None if mass is None else w)
    for _ in range(3):
        cluster = torch.from_numpy(rng.integers(0, 4, 12))
        sums.update(cluster)
        counts = np.bincount(cluster, w, minlength=4)
        assert sums.counts.tolist() == counts.tolist()
        assert sums.counts.dtype == (torch.int64 if mass is None else torch.float64)
        plain = torch.stack([(w[:, None] * x)[cluster == c].sum(0) for c in range(4)])
        torch.testing.assert_close(sums.sums, plain)


def nearest_items(z, k, centres):
    """The item nearest to each centre; the closer of two centres keeps it."""
    d2, chosen = ((z[None] - centres[:, None]) ** 2).sum(2), {}
    order = np.argsort(d2.min(1), kind="stable")
    wait = []
    for j in order:
        i = int(d2[j].argmin())
        if i in chosen.values():
            wait.append(j)
        else:
            chosen[int(j)] = i
    for j in wait:
        d2[:, list(chosen.values())] = np.inf
        chosen[int(j)] = int(d2[j].argmin())
    return [chosen[j] for j in range(k)]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("k", [5, 20, 55])
def test_representatives_are_nearest_to_the_weighted_centres(k, seed):
    z = normal(60, 2, seed=seed) + 2
    centres = lloyd(z, k, seed, WEIGHTS[:60])[0]
    expected = nearest_items(z.numpy(), k, centres)
    for found in (
        representatives(z, k, np.random.default_rng(seed), WEIGHTS[:60]),
        _nearest(z, k, np.random.default_rng(seed), WEIGHTS[:60]),
    ):
        assert found.tolist() == expected


def test_of_copies_with_weights_the_weights_add_up():
    z, at = normal(20, 2), np.concatenate([np.arange(20), np.arange(0, 20, 3)])
    w = WEIGHTS[: len(at)]
    for given, total in ((None, np.bincount(at)), (w, np.bincount(at, w))):
        for k in (4, 7):
            found = representatives(z[at], k, np.random.default_rng(3), given)
            assert found.tolist() == nearest_items(z.numpy(), k, lloyd(z, k, 3, total)[0])
    # More than differ: all of them, then copies drawn uniformly.
    found = representatives(z[at], 23, np.random.default_rng(3)).tolist()
    assert found[:20] == list(range(20))
    assert len(set(found[20:]) & set(range(20, 27))) == 3
    drawn = {tuple(representatives(z[at], 21, np.random.default_rng(s)).tolist()) for s in range(9)}
    assert len(drawn) > 1


def test_draws_are_by_distance_times_weight():
    d2, w = normal(30).square(), WEIGHTS[:30]
    d2[[3, 29]] = 0
    for weights in (None, w):
        mass = d2.numpy() * (1 if weights is None else weights)
        draws = np.random.default_rng(5).random(200) * mass.sum()
        found = propose(d2, 200, np.random.default_rng(5), weights)
        assert found.tolist() == np.searchsorted(mass.cumsum(), draws, side="right").tolist()
    assert propose(torch.zeros(30), 5, np.random.default_rng(0), w) is None


class Scripted(np.random.Generator):
    """Draws one half."""

    def random(self, *args, **kwargs):
        return 0.5


def test_a_first_seed_is_where_the_running_weight_passes_the_draw():
    z = normal(4, 2)
    for weights, draw in (([1, 2, 3, 4], None), ([5, 0, 1, 7], None)):
        w = np.array(weights, dtype=float)
        for seed in range(20):
            draw = np.random.default_rng(seed).random() * w.sum()
            expected = int(np.argmax(w.cumsum() > draw))
            assert greedy_seeds(z, 1, np.random.default_rng(seed), weights=w).tolist() == [expected]
    # At the border the item behind it, which has the weight from there on.
    half = Scripted(np.random.PCG64(0))
    assert greedy_seeds(z, 1, half, weights=np.array([2.0, 0.0, 1.0, 1.0])).tolist() == [2]


def test_seeds_are_where_the_weight_is():
    z, w = normal(40, 2), np.full(40, 1e-12)
    w[[3, 17, 30]] = 1.0
    for seed in range(5):
        found = greedy_seeds(z, 3, np.random.default_rng(seed), weights=w)
        assert sorted(found.tolist()) == [3, 17, 30]


@pytest.mark.parametrize("moved", [1, 3, 4])
def test_up_to_four_fifths_of_the_centres_are_looked_at_alone(moved, monkeypatch):
    """Of five centres: where more than four move all rows look at all centres."""
    looked, assign = [], _assign
    monkeypatch.setattr(module, "_assign", lambda x, n, c: looked.append(len(c)) or assign(x, n, c))
    x, centres = normal(40, 2), normal(5, 2, seed=1)
    norms = x.square().sum(1)
    before = assign(x, norms, centres)
    other = centres.clone()
    other[:moved] += 0.01
    found = _reassign(x, norms, other, (other == centres).all(1), *before)
    assert found[0].tolist() == assign(x, norms, other)[0].tolist()
    assert looked[0] == moved
    looked.clear()
    found = _reassign(x, norms, centres + 0.01, torch.zeros(5, dtype=torch.bool), *before)
    assert looked == [5]


def test_only_rows_that_lost_their_centre_look_at_all_again(monkeypatch):
    looked, assign = [], _assign
    monkeypatch.setattr(
        module, "_assign", lambda x, n, c: looked.append((len(x), len(c))) or assign(x, n, c)
    )
    x = torch.tensor([[0.0], [1.0], [5.0], [6.0]])
    centres, norms = torch.tensor([[0.0], [5.5]]), x.square().sum(1)
    before = assign(x, norms, centres)
    assert before[0].tolist() == [0, 0, 1, 1]
    moved = torch.tensor([[0.5], [5.5]])  # 0 goes away from the first row, and nearer to the second
    cluster, distance = _reassign(x, norms, moved, torch.tensor([False, True]), *before)
    assert cluster.tolist() == [0, 0, 1, 1]
    assert distance.tolist() == [0.25] * 4
    assert looked == [(4, 1), (1, 2)]
    looked.clear()
    # Nearer to all: nobody has to look anywhere else.
    nearer = torch.tensor([[0.0], [5.5]])
    cluster, _ = _reassign(x, norms, nearer, torch.tensor([True, True]), *before)
    assert not looked
    assert cluster.tolist() == [0, 0, 1, 1]


def test_a_feature_that_is_the_same_for_all_holds_no_centre_still():
    z = normal(80, 3)
    z[:, 1] = 2.0
    centres, cluster, _, made = lloyd(z, 6, 1, np.ones(80), 300, 0.0)
    found = _lloyd(z, 6, np.random.default_rng(1), np.ones(80), 300, 0.0)
    np.testing.assert_allclose(found[0], centres)
    assert found[1].tolist() == cluster.tolist()
    assert made > 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_clusters_of_a_sample_are_those_of_its_centres(dtype, monkeypatch):
    """Drawn without replacement; of 90 items far from the origin, each to its nearest centre."""
    monkeypatch.setattr(module, "_ROWS", 13)
    z = (normal(90, 3) + 20).to(dtype)
    for steps in (1, 300):
        rng = np.random.default_rng(5)
        some = z[np.sort(rng.choice(90, 40, replace=False))]
        centres = kmeans(some, 6, rng, steps=steps)[0]
        expected = ((z[:, None] - centres).double() ** 2).sum(2).argmin(1)
        found = kmeans_of_sample(z, 6, np.random.default_rng(5), 40, steps=steps)
        assert found.tolist() == expected.tolist()
        whole = kmeans_of_sample(z, 6, np.random.default_rng(5), 90, steps=steps)
        assert whole.tolist() == kmeans(z, 6, np.random.default_rng(5), steps=steps)[1].tolist()
    one, other = (kmeans(z, 6, np.random.default_rng(5), steps=s)[1].tolist() for s in (1, 300))
    assert one != other
