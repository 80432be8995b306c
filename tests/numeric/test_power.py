"""Power scores: as chances, in log space, class by class."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import stats
from views import acquire, array_view, normal

from labelgap.core.streams import Streams
from labelgap.methods.clasp_pe import even, sharpness
from labelgap.select.power import log_class_entropy, log_margin, perturbed

ITEMS = 4
SCORES = torch.tensor([1.0, 2.0, 3.0, 6.0]).double()


@pytest.mark.parametrize("beta", [1.0, 2.0])
def test_the_first_and_the_second_are_drawn_by_their_chances(beta):
    """Without replacement: P(i then j) = w_i · w_j / (1 − w_i), over every ordered pair."""
    weight = (SCORES.numpy() ** beta) / (SCORES.numpy() ** beta).sum()
    draws, pairs = 6000, {}
    for seed in range(draws):
        ties = Streams(seed).ties(np.arange(ITEMS, dtype=np.int64), "gumbel")
        i, j = perturbed(SCORES.log(), beta, ties).topk(2).indices.tolist()
        pairs[i, j] = pairs.get((i, j), 0) + 1
    keys = [(i, j) for i in range(ITEMS) for j in range(ITEMS) if i != j]
    expected = [draws * weight[i] * weight[j] / (1 - weight[i]) for i, j in keys]
    found = [pairs.get(key, 0) for key in keys]
    assert stats.chisquare(found, expected).pvalue > 1e-4


def test_draws_at_the_ends_of_the_interval_are_finite():
    ends = np.array([0.0, 1 - 2.0**-53, 0.5])
    assert torch.isfinite(perturbed(torch.zeros(3), 1.0, ends)).all()


@given(st.integers(0, 10_000), st.integers(2, 6), st.floats(0.1, 20))
def test_log_margin_is_the_logarithm_of_the_margins_uncertainty(seed, classes, spread):
    logits = spread * normal(8, classes, seed=seed)
    p = np.sort(torch.softmax(logits.double(), 1).numpy(), axis=1)
    expected = 1 - (p[:, -1] - p[:, -2])
    # Where 1 − p₁ is good to some digits in float64.
    good = expected > 1e-6
    assert_allclose(log_margin(logits)[torch.from_numpy(good)].exp(), expected[good])


def test_certainty_beyond_float64_is_still_ordered():
    logits = torch.tensor([[0.0, -1000.0], [0.0, -2000.0], [0.0, -1e4]])
    assert log_margin(logits).tolist() == [
        math.log(2) - 1000,
        math.log(2) - 2000,
        math.log(2) - 1e4,
    ]
    terms = log_class_entropy(logits)
    assert torch.isfinite(terms).all()
    assert all(a > b for a, b in pairwise(terms[:, 1].tolist()))


def test_one_class_leaves_a_uniform_draw():
    assert log_margin(normal(5, 1)).tolist() == [0.0] * 5
    query = acquire("power-margin").select(array_view({"logits": normal(30, 1)}, classes=1), 9)
    assert len(set(query.ids.tolist())) == 9


@given(st.integers(0, 10_000), st.integers(2, 6))
def test_class_entropies_add_up_to_the_entropy(seed, classes):
    logits = 3 * normal(6, classes, seed=seed)
    p = torch.softmax(logits.double(), 1).numpy()
    terms = log_class_entropy(logits)
    assert_allclose(terms.exp(), -p * np.log(p))
    assert_allclose(terms.logsumexp(1), np.log(stats.entropy(p, axis=1)))


def test_a_large_power_is_the_most_uncertain_and_a_small_one_is_not():
    view = array_view({"logits": 3 * normal(400, 4)}, classes=4)
    best = set(acquire("margin").select(view, 40).ids.tolist())
    sharp = set(acquire("power-margin", beta=1e9).select(view, 40).ids.tolist())
    flat = set(acquire("power-margin", beta=1e-9).select(view, 40).ids.tolist())
    assert sharp == best
    assert len(flat & best) < 15  # uniform: 4 expected


@given(st.integers(0, 50), st.integers(1, 9))
def test_quotas_are_even_and_add_up(n, groups):
    quota = even(n, groups, np.random.default_rng(n).permutation(groups))
    assert quota.sum() == n
    assert quota.max() - quota.min() <= 1


def test_sharpness_rises_by_equal_factors_and_stays():
    values = [sharpness(1.0, 100.0, 5, r) for r in range(1, 8)]
    ratios = [b / a for a, b in pairwise(values[:5])]
    assert_allclose(ratios, [100**0.25] * 4)
    assert values[4:] == [100.0] * 3
    assert sharpness(1.0, 100.0, 1, 1) == 100


def test_every_class_gets_its_share_though_one_is_rare():
    """Of 600 items 6 lean to class 2: plain entropy takes none, two thirds of the batch do."""
    logits = torch.zeros(600, 3)
    logits[:300, 0] = logits[300:, 1] = 1.0
    logits[:, 2] = -9.0
    logits[::100, 2] = -3.0
    view = array_view({"logits": logits + 0.01 * normal(600, 3)}, round=9)
    query = acquire("clasp-pe").select(view, 18)
    assert np.bincount(query.parts["asked_for_class"].astype(int) + 1).tolist() == [6, 4, 4, 4]
    rare = set((1000 + np.arange(0, 600, 100)).tolist())
    of_class = query.ids[query.parts["asked_for_class"] == 2]
    assert set(of_class.tolist()) <= rare


def test_all_candidates_are_taken_once_where_all_are_asked_for():
    view = array_view({"logits": torch.zeros(11, 4)}, classes=4)
    for name in ("clasp-pe", "power-margin"):
        assert sorted(acquire(name).select(view, 11).ids.tolist()) == view.candidate_ids.tolist()


@pytest.mark.parametrize("beta", [1.0, 3.0])
def test_a_weight_draws_as_the_copies_written_out_do(beta):
    """First and second row that differ, by P = c_i w_i / Σ; with copies of their own draws too."""
    counts = np.array([40, 1, 7, 2])
    weight = counts * SCORES.numpy() ** beta
    weight = weight / weight.sum()
    at = np.repeat(np.arange(ITEMS), counts)
    draws, pairs, again = 4000, {}, {}
    for seed in range(draws):
        ties = Streams(seed).ties(np.arange(ITEMS, dtype=np.int64), "gumbel")
        i, j = perturbed(SCORES.log(), beta, ties, counts).topk(2).indices.tolist()
        pairs[i, j] = pairs.get((i, j), 0) + 1
        ties = Streams(seed).ties(np.arange(len(at), dtype=np.int64), "gumbel")
        order = at[perturbed(SCORES.log()[at], beta, ties).argsort(descending=True).numpy()]
        i, j = int(order[0]), int(order[order != order[0]][0])
        again[i, j] = again.get((i, j), 0) + 1
    keys = [(i, j) for i in range(ITEMS) for j in range(ITEMS) if i != j]
    chances = [weight[i] * weight[j] / (1 - weight[i]) for i, j in keys]
    for found in (pairs, again):
        assert tail_merged([found.get(key, 0) for key in keys], draws * np.array(chances)) > 1e-4


def tail_merged(found, expected):
    """p of a chi-squared test, with the cells below ten taken together."""
    small = expected < 10
    f, e = (np.append(x[~small], x[small].sum()) for x in (np.array(found), expected))
    return stats.chisquare(f[e > 0], e[e > 0]).pvalue


def test_copies_come_after_all_that_differ_and_for_no_class():
    z, rng = normal(15, 3), np.random.default_rng(0)
    at = torch.from_numpy(rng.permutation(np.repeat(np.arange(15), 4)))
    query = acquire("clasp-pe").select(array_view({"logits": z[at]}), 25)
    rows = at[torch.from_numpy(query.ids - 1000)].numpy()
    assert sorted(rows[:15]) == list(range(15))
    asked_for = query.parts["asked_for_class"]
    quota = np.bincount(asked_for[:15].astype(int) + 1)
    assert quota[0] == 5
    assert sorted(quota[1:]) == [3, 3, 4]
    assert (asked_for[15:] == -1).all()
    p = torch.softmax(z.double(), 1).numpy()
    assert_allclose(query.score, stats.entropy(p, axis=1)[rows])
