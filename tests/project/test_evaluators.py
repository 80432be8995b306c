"""The evaluators' mathematics: unbiased by enumeration, equal to naive forms, covering."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from labelgap.project.quality.active_test import chances, draw, estimate, ranking, weights
from labelgap.project.quality.plan import plan
from labelgap.project.quality.ppi import (
    Terms,
    accuracy_terms,
    better,
    improve,
    recall_terms,
    wilson,
)
from labelgap.project.quality.quality import Share


def test_lure_is_unbiased_in_every_order_of_drawing():
    """By enumeration: all ordered draws of 3 of 6, each by its probability."""
    loss = np.array([1.0, 0.0, 0.0, 1.0, 1.0, 0.0])
    first = np.array([0.35, 0.05, 0.1, 0.2, 0.05, 0.25])
    mean = total = 0.0
    for order in permutations(range(6), 3):
        left, probability, found = first.copy(), 1.0, []
        for place in order:
            found.append(left[place] / left.sum())
            probability *= found[-1]
            left[place] = 0
        mean += probability * (weights(np.array(found), 6) * loss[list(order)]).mean()
        total += probability
    assert total == pytest.approx(1)
    assert mean == pytest.approx(loss.mean())


def test_a_poisoned_network_does_not_move_the_mean():
    """Chances that go the wrong way cost exactness alone."""
    right = np.arange(6) % 3 > 0
    first = chances(np.where(right, 0.0, 0.999))  # sure where it is wrong
    mean = 0.0
    for order in permutations(range(6), 2):
        a = first[order[0]]
        b = first[order[1]] / (1 - a)
        mean += a * b * (weights(np.array([a, b]), 6) * ~right[list(order)]).mean()
    assert mean == pytest.approx((~right).mean())


@given(st.integers(2, 40), st.data())
def test_uniform_chances_weigh_all_labels_alike(n, data):
    m = data.draw(st.integers(1, n))
    even = 1 / np.arange(n, n - m, -1)
    np.testing.assert_allclose(weights(even, n), 1, rtol=1e-9)


def test_all_images_labelled_give_their_mean():
    right = np.array([True, False, True, True])
    _, q = draw(np.array([0.7, 0.1, 0.1, 0.1]), 4, np.random.default_rng(0))
    assert (weights(q, 4) * right).mean() == right.mean()


def test_draws_have_the_chances_that_they_say():
    chance = chances(np.array([0.99, 0.5, 0.75, 1.0]))
    assert chance.sum() == pytest.approx(1)
    assert chance.min() == pytest.approx(0.3 / 4)  # a sure image is asked too
    rng = np.random.default_rng(0)
    first = np.bincount([draw(chance, 1, rng)[0][0] for _ in range(4000)], minlength=4)
    assert stats.chisquare(first, 4000 * chance).pvalue > 1e-4
    places, q = draw(chance, 4, rng)
    left = chance[places][::-1].cumsum()[::-1]
    np.testing.assert_allclose(q, chance[places] / left)
    with pytest.raises(ValueError, match="5 of 4"):
        draw(chance, 5, rng)


def test_an_estimate_without_an_error_is_none():
    assert estimate(np.ones(9, bool), np.ones(9), 20) is None
    found = estimate(np.arange(10) > 2, np.ones(10), 10**6)
    assert found is not None
    assert found.value == pytest.approx(0.7)
    wrong = (np.arange(10) <= 2).astype(float)
    assert found.variance == pytest.approx(wrong.var(ddof=1) / 10, rel=1e-4)


def test_an_incomplete_batch_is_divided_by_its_weights():
    right, weight = np.array([True, False, False]), np.array([4.0, 1.0, 1.0])
    found = estimate(right, weight, 100, whole=False)
    assert found is not None
    assert found.value == pytest.approx(4 / 6)


def test_ranking_is_of_right_against_wrong():
    right = np.repeat([True, False], 5)
    assert ranking(np.linspace(1, 0, 10), right) == 1.0
    assert ranking(np.linspace(0, 1, 10), right) == 0.0
    assert ranking(np.linspace(1, 0, 10), np.arange(10) < 6) is None  # four wrong


def test_wilson_is_the_score_tests_inversion():
    low, high = wilson(0.8, 50)
    for end in (low, high):
        assert abs(0.8 - end) / np.sqrt(end * (1 - end) / 50) == pytest.approx(
            stats.norm.ppf(0.975)
        )
    assert wilson(1.0, 10)[1] == pytest.approx(1)
    assert wilson(0.0, 10)[0] == pytest.approx(0)


def world(n, rng, sharp=8.0):
    logits = sharp * rng.standard_normal((n, 3))
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    return (p.cumsum(1) < rng.random((n, 1))).sum(1).clip(max=2), p


def test_useless_confidences_leave_the_labels_alone():
    """A constant tells nothing: the weight is 0, and the value that of the labels."""
    rng = np.random.default_rng(0)
    right = (rng.random(60) < 0.7).astype(float)
    ones = np.ones(60)
    terms = Terms(right, ones, 0.9 * ones, ones, np.full(200, 0.9), np.ones(200))
    found = improve(terms, rng)
    assert found is not None
    assert found.weight == 0
    assert found.value == pytest.approx(right.mean())
    assert found.noise == pytest.approx(right.var(ddof=1))
    assert not better(found, int(right.sum()), 60)


def test_a_perfect_confidence_leaves_the_pools_noise_only():
    rng = np.random.default_rng(1)
    right = (rng.random(100) < 0.7).astype(float)
    pool = (rng.random(5000) < 0.7).astype(float)
    terms = Terms(right, np.ones(100), right, np.ones(100), pool, np.ones(5000))
    found = improve(terms, rng)
    assert found is not None
    assert found.value == pytest.approx(pool.mean(), abs=0.01)
    assert found.labels > 1500
    assert better(found, int(right.sum()), 100)


def test_recall_is_that_of_a_naive_count():
    rng = np.random.default_rng(2)
    y, p = world(120, rng, 2.0)
    terms = recall_terms(y, p, p, 1)
    called = p.argmax(1) == 1
    assert terms.top.sum() / terms.bottom.sum() == pytest.approx(called[y == 1].mean())
    np.testing.assert_array_equal(terms.expected_bottom, p[:, 1])
    np.testing.assert_array_equal(terms.pool_top, np.where(called, p[:, 1], 0))


def test_too_few_errors_are_no_ground():
    y, p = np.zeros(50, np.int64), np.full((50, 2), (0.9, 0.1))
    assert improve(accuracy_terms(y, p, p), np.random.default_rng(0)) is None


@pytest.mark.parametrize("m", [50, 200])
def test_what_is_printed_covers(m):
    """300 draws: at least 93 % hold the truth but for luck (2.5 standard errors)."""
    rng = np.random.default_rng(m)
    truth = np.mean([np.mean(p.argmax(1) == y) for y, p in [world(100_000, rng)]])
    held = 0
    for _ in range(300):
        y, p = world(400, rng)
        right = int((p[:m].argmax(1) == y[:m]).sum())
        share = Share(right, m)
        low, high = share.interval
        found = improve(accuracy_terms(y[:m], p[:m], p[m:]), rng)
        if found is not None and better(found, right, m):
            low, high = found.low, found.high
        held += low <= truth <= high
    assert held / 300 >= 0.93 - 2.5 * np.sqrt(0.93 * 0.07 / 300)


def test_a_plan_tells_the_width_that_comes():
    share = Share(160, 200)
    found = plan(share, None, 100, 1000, within=0.03)
    low, high = wilson(160.5 / 201, 300)
    assert found.then == pytest.approx((high - low) / 2)
    assert found.needed is not None

    def half(n):
        low, high = wilson(160.5 / 201, n)
        return (high - low) / 2

    assert half(200 + found.needed) <= 0.03 < half(200 + found.needed - 1)
    assert "with 100 more; for ± 3 ask" in found.sentence
    assert plan(share, None, 100, 150, within=0.03).needed is None
    assert "needs more images than the 150" in plan(share, None, 100, 150, within=0.03).sentence
    assert plan(share, None, 10, 50, within=0.2).needed == 0
    with pytest.raises(ValueError, match="no test label"):
        plan(Share(0, 0), None, 10, 50)


def test_a_plan_with_confidences_falls_with_labels():
    rng = np.random.default_rng(5)
    y, p = world(2000, rng, 4.0)
    found = improve(accuracy_terms(y[:100], p[:100], p[100:]), rng)
    assert found is not None
    share = Share(int((p[:100].argmax(1) == y[:100]).sum()), 100)
    now = plan(share, found, 1, 1900).now
    assert now == pytest.approx((found.high - found.low) / 2, rel=1e-9)
    widths = [plan(share, found, more, 1900).then for more in (1, 50, 200, 800)]
    assert widths == sorted(widths, reverse=True)
