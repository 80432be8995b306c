"""Scores against their definitions in float64, top-n, ranks and balanced candidates."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import entropy as scipy_entropy
from scipy.stats import zscore
from tolerance import assert_rounded

from labelgap.core.errors import BudgetError, LabelgapError, NumericalError
from labelgap.core.streams import Streams
from labelgap.select import (
    balanced_candidates,
    bald,
    check_finite,
    entropy,
    least_confidence,
    margin,
    predictive_entropy,
    ranks,
    standardise,
    top,
    variation_ratio,
)

INF = float("inf")


def logits(*shape, seed=0, scale=3.0):
    return torch.from_numpy(np.random.default_rng(seed).normal(0, scale, shape)).float()


def roundings(classes, passes=1):
    """Exponential, sum, quotient, logarithm and sum again, in either of two ways, and the mean over
    passes; an exponent errs by a logit's size."""
    return {"terms": 2 * (2 * classes + passes + 4), "spread": 10.0}


def test_scores_equal_their_definitions():
    x = logits(200, 7)
    p = softmax(x.double().numpy(), axis=1)
    ordered = np.sort(p, axis=1)
    assert_rounded(least_confidence(x), 1 - p.max(1), **roundings(7))
    assert_rounded(margin(x), ordered[:, -2] - ordered[:, -1], **roundings(7))
    assert_rounded(entropy(x), scipy_entropy(p, axis=1), **roundings(7))


def test_monte_carlo_scores_equal_their_definitions():
    x = logits(5000, 6, 4)  # more rows than are widened at once
    p = softmax(x.double().numpy(), axis=2)
    total = scipy_entropy(p.mean(1), axis=1)
    assert_rounded(predictive_entropy(x), total, **roundings(4, 6))
    assert_rounded(bald(x), total - scipy_entropy(p, axis=2).mean(1), **roundings(4, 6))
    assert_rounded(variation_ratio(x), 1 - p.mean(1).max(1), **roundings(4, 6))


def test_probabilities_zero_and_one():
    x = torch.tensor([[0.0, -INF, -INF], [1e4, 0.0, -1e4], [0.0, 0.0, -INF]])
    ln2 = float(np.log(2))
    assert least_confidence(x).tolist() == [0, 0, 0.5]
    assert margin(x).tolist() == [-1, -1, 0]
    np.testing.assert_allclose(entropy(x), [0, 0, ln2])
    # Two passes, each certain, of two classes: all of the entropy is disagreement.
    mc = torch.tensor([[[0.0, -INF], [-INF, 0.0]], [[0.0, -INF], [0.0, -INF]]])
    assert_rounded(bald(mc), [ln2, 0], 4, ln2)
    assert_rounded(predictive_entropy(mc), [ln2, 0], 4, ln2)
    assert variation_ratio(mc).tolist() == [0.5, 0]


def test_confident_items_are_still_ordered():
    x = torch.tensor([[gap, 0.0] for gap in (20.0, 30.0, 40.0)])
    for score in (least_confidence, entropy):
        values = score(x)
        assert values[0] > values[1] > values[2] > 0


def test_one_class_only():
    x = torch.zeros(3, 1)
    assert least_confidence(x).tolist() == [0, 0, 0]
    assert margin(x).tolist() == [-1, -1, -1]
    assert entropy(x).tolist() == [0, 0, 0]


def test_bald_is_never_negative_when_passes_agree():
    x = logits(500, 1, 10).expand(500, 8, 10)
    assert (bald(x) >= 0).all()
    assert_rounded(bald(x), np.zeros(500), **roundings(10, 8))


def test_check_finite_names_the_score_and_the_count():
    good, bad = torch.zeros(4), torch.tensor([0.0, INF, float("nan"), 1.0])
    check_finite({"critic": good})
    with pytest.raises(NumericalError, match=r"'likelihood' \(2 of 4 items\)"):
        check_finite({"critic": good, "likelihood": bad})
    with pytest.raises(NumericalError):
        top(bad, 1, np.zeros(4))


tied_scores = st.lists(st.integers(-3, 3), min_size=1, max_size=40)


@given(tied_scores, st.data())
def test_top_is_the_head_of_the_full_order(values, data):
    n = data.draw(st.integers(0, len(values)))
    ties = np.random.default_rng(len(values)).random(len(values))
    full = sorted(range(len(values)), key=lambda i: (-values[i], ties[i]))
    assert top(torch.tensor(values).float(), n, ties).tolist() == full[:n]


@given(tied_scores, st.data())
def test_top_and_balance_name_the_same_ids_under_shuffled_storage(values, data):
    n = data.draw(st.integers(0, len(values)))
    order = np.array(data.draw(st.permutations(range(len(values)))))
    ids = np.arange(len(values)) * 7 + 3
    labels = torch.from_numpy(ids % 3)
    scores = torch.tensor(values).float()
    streams = Streams(5)
    ties, shuffled = streams.ties(ids, "query"), streams.ties(ids[order], "query")
    assert (
        ids[top(scores, n, ties)].tolist() == ids[order][top(scores[order], n, shuffled)].tolist()
    )
    one = balanced_candidates(scores, labels, 3, n, ties)
    two = balanced_candidates(scores[order], labels[order], 3, n, shuffled)
    assert ids[one].tolist() == ids[order][two].tolist()


@pytest.mark.parametrize("n", [-1, 5])
def test_a_budget_beyond_the_pool_is_refused(n):
    with pytest.raises(BudgetError, match="4 candidates"):
        top(torch.zeros(4), n, np.zeros(4))
    with pytest.raises(BudgetError):
        balanced_candidates(torch.zeros(4), torch.zeros(4).long(), 1, n, np.zeros(4))


def test_standardise():
    x = logits(300, seed=1)
    assert_rounded(standardise(x), zscore(x.double().numpy()), 2 * 300, 1.0)
    # Small spread on a large offset survives; a constant with no exact float32 form is zeros.
    y = 1e4 + torch.arange(5).float()
    np.testing.assert_allclose(standardise(y), zscore(np.arange(5.0)), atol=1e-9)
    assert standardise(torch.full((1001,), 0.1)).abs().max() == 0
    assert standardise(torch.full((7,), -3e30)).abs().max() == 0
    assert len(standardise(torch.empty(0))) == 0


def test_ranks():
    assert ranks(torch.tensor([5.0, 1.0, 5.0, 9.0, -2.0])).tolist() == [0.625, 0.25, 0.625, 1, 0]
    assert ranks(torch.tensor([3.0])).tolist() == [0.5]
    assert ranks(torch.full((4,), 2.0)).tolist() == [0.5] * 4


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-3, 3)), max_size=50), st.data())
def test_balanced_candidates(items, data):
    labels = np.array([label for label, _ in items], dtype=np.int64)
    scores = np.array([score for _, score in items], dtype=np.float32)
    size = data.draw(st.integers(0, len(items)))
    ties = np.random.default_rng(0).random(len(items))
    got = balanced_candidates(
        torch.from_numpy(scores), torch.from_numpy(labels), 6, size, ties
    ).numpy()
    assert len(got) == size == len(set(got.tolist()))
    key = [(-scores[i], ties[i]) for i in range(len(items))]
    assert [key[i] for i in got] == sorted(key[i] for i in got)
    taken = np.bincount(labels[got], minlength=6)
    supply = np.bincount(labels, minlength=6)
    # Balanced up to supply: whoever still has items is at most one short of anybody.
    for c in np.flatnonzero(taken < supply):
        assert taken[c] >= taken.max() - 1
    for c in range(6):
        mine = sorted(np.flatnonzero(labels == c), key=lambda i: key[i])
        assert sorted(mine[: taken[c]]) == sorted(i for i in got if labels[i] == c)
    # The odd ones out: of two classes with items left, the extra one went to the better item.
    for c in np.flatnonzero((taken < supply) & (taken == taken.max() - 1)):
        left = min(key[i] for i in np.flatnonzero(labels == c) if i not in got)
        for o in np.flatnonzero(taken == taken.max()):
            last = max(key[i] for i in got if labels[i] == o)
            assert last < left


def test_balanced_candidates_refuses_a_label_outside_the_task():
    with pytest.raises(LabelgapError, match="outside 0 to 1"):
        balanced_candidates(torch.zeros(2), torch.tensor([0, 2]), 2, 1, np.zeros(2))
