"""D² sampling: the exact sequential law, factorised distances, k-means and representatives."""

from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from sklearn.cluster import KMeans
from tolerance import assert_rounded

from labelgap.core.errors import BudgetError, UnknownName
from labelgap.select import badge, d_squared, kmeans, representatives
from labelgap.select.badge import Outer
from labelgap.select.geometry import Euclidean
from labelgap.select.seeds import greedy_seeds


def law(d2, picks, first=None):
    """Exact probability of every ordered tuple of `picks` draws from squared distances d2."""
    n, probability = len(d2), {}
    for tuple_ in permutations(range(n), picks):
        p = 1 / n if first is None else float(tuple_[0] == first)
        near = d2[tuple_[0]].copy()
        for i in tuple_[1:]:
            p *= near[i] / near.sum()
            near = np.minimum(near, d2[i])
        probability[tuple_] = p
    assert abs(sum(probability.values()) - 1) < 1e-12
    return probability


def fits(draw, probability, times=1500):
    """Chi-square of observed ordered tuples; never an impossible one."""
    seen = dict.fromkeys(probability, 0)
    for seed in range(times):
        seen[tuple(draw(np.random.default_rng(seed)).tolist())] += 1
    assert not any(count for t, count in seen.items() if probability[t] == 0)
    kept = [t for t in seen if probability[t] * times >= 5]
    rare = [t for t in seen if probability[t] * times < 5]
    observed = [seen[t] for t in kept] + [sum(seen[t] for t in rare)]
    expected = [times * probability[t] for t in kept] + [times * sum(probability[t] for t in rare)]
    if expected[-1] < 1:
        observed, expected = observed[:-1], expected[:-1]
        expected = list(np.array(expected) * sum(observed) / sum(expected))
    return chisquare(observed, expected).pvalue


def toy(n=6, d=3, seed=0):
    # Two tight groups and stragglers: many proposals of a block must be rejected.
    z = np.random.default_rng(seed).normal(size=(n, d))
    z[1], z[3] = z[0] + 0.2, z[2] - 0.2
    return torch.from_numpy(z).float()


def squared(x):
    return ((x[:, None] - x[None]) ** 2).sum(-1)


@pytest.mark.parametrize(
    ("picks", "block"),
    [(3, 2), *(pytest.param(*c, marks=pytest.mark.slow) for c in [(2, 16), (3, 64)])],
)
def test_d_squared_has_the_sequential_law(picks, block):
    z = toy()
    d2 = squared(z.double().numpy())
    assert fits(lambda rng: d_squared(z, picks, rng, block=block), law(d2, picks)) > 1e-3


def test_the_law_test_would_see_proposals_taken_without_rejection():
    z = toy()
    d2 = squared(z.double().numpy())

    def careless(rng):
        first = rng.integers(6)
        near = d2[first] / d2[first].sum()
        return np.array([first, *rng.choice(6, 2, replace=False, p=near)])

    assert fits(careless, law(d2, 3)) < 1e-6


def test_first_pick_may_be_given():
    z = toy()
    p = law(squared(z.double().numpy()), 3, first=4)
    assert fits(lambda rng: d_squared(z, 3, rng, first=4), p) > 1e-3


def test_greedy_seeds_with_one_trial_have_the_sequential_law():
    z = toy()
    p = law(squared(z.double().numpy()), 3)
    assert fits(lambda rng: greedy_seeds(z, 3, rng, trials=1), p) > 1e-3


def test_greedy_seeds_with_two_trials_keep_the_better():
    z = toy()
    d2 = squared(z.double().numpy())
    p = dict.fromkeys(permutations(range(6), 2), 0.0)
    for first, one, two in product(range(6), repeat=3):
        chance = d2[first] / d2[first].sum()
        cost = [np.minimum(d2[first], d2[i]).sum() for i in (one, two)]
        best = one if cost[0] <= cost[1] else two
        if best != first:
            p[first, best] += chance[one] * chance[two] / 6
    assert fits(lambda rng: greedy_seeds(z, 2, rng, trials=2), p) > 1e-3


def gradients(n=6, k=3, d=4, seed=1):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(k), n)
    p[np.arange(n), p.argmax(1)] -= 1
    return torch.from_numpy(p).float(), torch.from_numpy(rng.normal(size=(n, d))).float()


def materialised(a, h):
    return (a.double()[:, :, None] * h.double()[:, None]).flatten(1).numpy()


@pytest.mark.parametrize(
    ("first", "block"), [("random", 3), pytest.param("max-norm", 64, marks=pytest.mark.slow)]
)
def test_badge_has_the_law_of_the_materialised_gradients(first, block):
    a, h = gradients()
    g = materialised(a, h)
    start = int((g**2).sum(1).argmax()) if first == "max-norm" else None
    p = law(squared(g), 3, start)
    assert fits(lambda rng: badge(a, h, 3, rng, first, block), p) > 1e-3


def test_factorised_distances_are_the_materialised_ones():
    a, h = gradients(90, 10, 20)
    a[50:60], h[50:60] = a[:10], h[:10]  # duplicates
    a[60:70], h[60:70] = a[:10], h[:10] * (1 + 1e-5)  # nearly
    a[70:75] = 0  # certain: no gradient
    d2 = squared(materialised(a, h))
    every, some = torch.arange(90), torch.arange(5, 65)
    outer = Outer(a, h)  # nine digits of a few pairs and four of all: see `select.geometry`
    np.testing.assert_allclose(outer.pairs(every, some), d2[:, some], rtol=1e-7, atol=1e-30)
    near = outer.nearest(some).numpy()
    np.testing.assert_allclose(near, d2[:, some].min(1), rtol=1e-4, atol=1e-30)
    assert (near[5:15] == 0).all()
    assert (near[50:60] == 0).all()


def test_euclidean_distances_keep_their_digits_where_items_nearly_touch():
    z = 50 + torch.from_numpy(np.random.default_rng(0).normal(size=(80, 30))).float()
    z[40:50] = z[:10]
    z[50:60] = z[:10] + 1e-4
    z[60:70] = z[:10] + 1e-2
    d2 = squared(z.double().numpy())
    every, some = torch.arange(80), torch.arange(5, 65)
    items = Euclidean(z)  # nine digits and four
    np.testing.assert_allclose(items.pairs(every, some), d2[:, some], rtol=1e-8)
    np.testing.assert_allclose(items.nearest(some), d2[:, some].min(1), rtol=1e-4)


@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 50), st.data())
@settings(deadline=None)
def test_picks_are_distinct_whatever_coincides(n, distinct, block, data):
    rng = np.random.default_rng(n)
    z = torch.from_numpy(rng.normal(size=(distinct, 3))[rng.integers(0, distinct, n)]).float()
    size = data.draw(st.integers(0, n))
    picks = d_squared(z, size, rng, block=block).tolist()
    assert len(set(picks)) == size
    assert set(picks) <= set(range(n))
    # As many different points as can be had come first.
    kinds = len(torch.unique(z, dim=0))
    assert len(torch.unique(z[picks[:kinds]], dim=0)) == min(size, kinds)
    a = torch.ones(n, 2)
    assert len(set(badge(a, z, size, rng, block=block).tolist())) == size


def test_leftovers_are_uniform():
    z = torch.zeros(5, 2)
    pairs = dict.fromkeys(permutations(range(5), 2), 1 / 20)
    assert fits(lambda rng: d_squared(z, 2, rng), pairs) > 1e-3


def test_sampling_refusals_and_determinism():
    z = toy()
    with pytest.raises(BudgetError):
        d_squared(z, 7, np.random.default_rng(0))
    a, h = gradients()
    with pytest.raises(UnknownName, match="max-norm"):
        badge(a, h, 2, np.random.default_rng(0), "max_norm")
    one, two = (d_squared(z, 4, np.random.default_rng(3)).tolist() for _ in range(2))
    assert one == two


def blobs(n, d, groups, seed=0, spread=0.05):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(groups, d))
    label = np.arange(n) % groups
    z = centres[label] + spread * rng.normal(size=(n, d))
    return torch.from_numpy(z).float(), label, centres


def test_kmeans_is_a_fixed_point_of_its_definition():
    z = torch.from_numpy(np.random.default_rng(0).normal(size=(700, 8))).float() + 30
    centres, cluster, inertia = kmeans(z, 12, np.random.default_rng(1), tolerance=0.0)
    x = z.double().numpy()
    d2 = ((x[:, None] - centres.double().numpy()[None]) ** 2).sum(-1)
    # A product of float32 tells centres apart up to its rounding, relative to the squared norms
    # about the mean.
    size = 2 * ((x - x.mean(0)) ** 2).sum(1).max()
    assert_rounded(d2[np.arange(700), cluster], d2.min(1), 8 + 2, size, dtype="float32")
    assert_rounded(inertia, d2.min(1).sum(), 8 + 2, size * 700**0.5, dtype="float32")
    for c in range(12):
        assert_rounded(centres[c], x[cluster.numpy() == c].mean(0), 2)


def test_kmeans_finds_planted_blobs_and_matches_the_peer():
    z, label, _ = blobs(900, 16, 6)
    _, cluster, inertia = kmeans(z, 6, np.random.default_rng(0))
    assert len({(int(a), int(b)) for a, b in zip(cluster, label, strict=True)}) == 6
    peer = KMeans(6, n_init=1, random_state=0).fit(z.numpy())
    # The clusters are the same, the peer's centres and sums float32.
    x = z.double().numpy()
    exact = sum(((x[label == c] - x[label == c].mean(0)) ** 2).sum() for c in range(6))
    size = (x**2).sum(1).max() * len(x) ** 0.5
    assert_rounded([inertia, peer.inertia_], [exact] * 2, 16 + 150, size, dtype="float32")


def test_kmeans_inertia_is_within_a_percent_of_the_peer_in_the_mean():
    z = torch.from_numpy(np.random.default_rng(5).normal(size=(1500, 10))).float()
    ours = [kmeans(z, 100, np.random.default_rng(s))[2] for s in range(5)]
    peer = [KMeans(100, n_init=1, random_state=s).fit(z.numpy()).inertia_ for s in range(5)]
    assert np.mean(ours) <= 1.01 * np.mean(peer)


def test_kmeans_with_fewer_points_than_clusters_to_find():
    z = torch.tensor([[0.0, 0.0], [1.0, 0.0]]).repeat(5, 1)
    centres, cluster, inertia = kmeans(z, 4, np.random.default_rng(0))
    assert inertia == 0
    assert torch.equal(centres[cluster], z)
    for k in (0, 11):
        with pytest.raises(BudgetError):
            kmeans(z, k, np.random.default_rng(0))


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 40), st.integers(1, 12), st.booleans(), st.data())
def test_representatives_are_k_distinct_items(n, distinct, grid, data):
    rng = np.random.default_rng(n * 13 + distinct)
    points = rng.integers(0, 2, (distinct, 3)) if grid else rng.normal(size=(distinct, 3))
    z = torch.from_numpy(points[rng.integers(0, distinct, n)]).float()
    k = data.draw(st.integers(0, n))
    got = representatives(z, k, rng).tolist()
    assert len(got) == len(set(got)) == k
    assert set(got) <= set(range(n))
    kinds = len(torch.unique(z, dim=0))
    if k >= kinds:  # room for every distinct point
        assert len(torch.unique(z[got], dim=0)) == kinds


def test_representatives_are_nearest_to_the_centres():
    z, label, _ = blobs(300, 5, 10)
    got = representatives(z, 10, np.random.default_rng(2)).numpy()
    assert sorted(label[got]) == list(range(10))
    x = z.double().numpy()
    for i in got:
        mine = np.flatnonzero(label == label[i])
        away = ((x[mine] - x[mine].mean(0)) ** 2).sum(1)
        assert_rounded(
            away[mine == i], away.min()[None], 5 + 2, (x**2).sum(1).max(), dtype="float32"
        )
    with pytest.raises(BudgetError):
        representatives(z, 301, np.random.default_rng(0))
