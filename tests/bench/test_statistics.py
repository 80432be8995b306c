"""Statistics against scipy and against hand calculation."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jaxtyping import TypeCheckError
from scipy import stats

from labelgap.bench.evidence import imbalance
from labelgap.bench.evidence import statistics as s
from labelgap.core.area import area

LABELS = np.array([10, 20, 40], dtype=np.int64)


def test_the_t_interval_is_the_textbooks() -> None:
    x = np.array([0.1, 0.2, 0.4, 0.3])
    found = s.t_interval(x)
    low, high = stats.t.interval(0.95, 3, loc=x.mean(), scale=stats.sem(x))
    assert (found.low, found.high) == pytest.approx((low, high))
    assert found.sd == pytest.approx(math.sqrt(0.05 / 3))  # squares .0225+.0025+.0225+.0025
    one = s.t_interval(x[:1])
    assert one.mean == 0.1
    assert math.isnan(one.low)
    assert one.kind == "none"


def test_the_halves_by_hand_and_their_mean_is_the_area() -> None:
    curve = np.array([0.2, 0.4, 0.6])
    # Middle at 25 labels, height 0.45: (3 + 2.125)/15 before, 0.525 after.
    early, late = s.halves(LABELS, curve)
    assert early == pytest.approx((10 * 0.3 + 5 * 0.425) / 15)
    assert late == pytest.approx(0.525)
    assert (early + late) / 2 == pytest.approx(area(LABELS, curve))


def test_the_area_is_that_of_the_trapezoids_and_ends_within_the_curve() -> None:
    labels, curve = [10, 20, 40], [0.2, 0.4, 0.6]
    assert area(labels, curve) == float(np.trapezoid(curve, labels)) / 30
    assert area([10], [0.3]) == 0.3
    for low, high in ((5, 20), (20, 50), (20, 20)):
        with pytest.raises(ValueError, match=r"not within 10..40 labels"):
            area(labels, curve, low, high)


def test_labels_to_reach_are_interpolated_and_saved_ones_counted_from_the_end() -> None:
    curve = np.array([0.2, 0.4, 0.6])
    assert s.labels_to_reach(LABELS, curve, 0.5) == pytest.approx(30)
    assert s.labels_to_reach(LABELS, curve, 0.1) == 10
    assert math.isnan(s.labels_to_reach(LABELS, curve, 0.7))
    rng, reference = np.random.default_rng(0), np.array([0.1, 0.2, 0.5])
    assert s.labels_saved(LABELS, curve[None], reference[None], rng).value == pytest.approx(10)
    assert s.labels_saved(LABELS, curve[None], curve[None], rng).value == 0


def test_labels_saved_have_an_interval_and_are_none_where_many_resamples_never_reach() -> None:
    rng = np.random.default_rng(0)
    curves = np.array([0.2, 0.4, 0.6]) + 0.01 * rng.standard_normal((8, 1))
    found = s.labels_saved(LABELS, curves, curves - [0, 0, 0.1], rng)
    # Seed by seed the same shift: nothing varies.
    assert [found.value, found.low, found.high] == pytest.approx([10] * 3)
    reference = np.tile([0.1, 0.2, 0.5], (8, 1)) + 0.05 * rng.standard_normal((8, 1))
    found = s.labels_saved(LABELS, curves, reference, rng)
    assert found.low < found.value < found.high
    nearly = reference.copy()
    noise = 0.05 * rng.standard_normal(8)
    nearly[:, -1] = curves[:, -1].mean() - 0.001 + noise - noise.mean()
    assert math.isnan(s.labels_saved(LABELS, curves, nearly, rng).value)
    assert math.isnan(s.labels_saved(LABELS, curves[:4], reference[:4], rng).low)


def test_few_seeds_get_the_t_interval_and_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.6, 0.1, 5), rng.normal(0.5, 0.1, 5)
    found = s.paired(a, b, rng)
    assert found.p == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert found.interval.kind == "t"
    assert found.interval == s.t_interval(a - b)


def test_ten_seeds_get_the_bootstrap_of_the_differences() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(0.6, 0.1, 12), rng.normal(0.54, 0.1, 12)
    found = s.paired(a, b, np.random.default_rng(2))
    assert found.interval.kind == "bootstrap"
    # One resample at a time, t by scipy: the interval turns its quantiles round.
    d, draws = a - b, np.random.default_rng(3)
    assert (found.interval.mean, found.interval.sd) == (d.mean(), d.std(ddof=1))
    t = [stats.ttest_1samp(draws.choice(d, len(d)), d.mean()).statistic for _ in range(9_999)]
    low, high = np.quantile(t, [0.025, 0.975])
    sem = stats.sem(d)
    assert found.interval.low == pytest.approx(d.mean() - high * sem, abs=0.3 * sem)
    assert found.interval.high == pytest.approx(d.mean() - low * sem, abs=0.3 * sem)
    beyond = np.mean(np.array(t) >= stats.ttest_1samp(d, 0).statistic)
    assert found.p == pytest.approx(2 * min(beyond, 1 - beyond), abs=0.02)
    assert abs(found.p - stats.ttest_rel(a, b).pvalue) > 0.005  # another method's


def test_intervals_of_ten_skewed_differences_hold_the_mean_as_often_as_they_say() -> None:
    """BCa intervals of these hold it 86 times of 100; by the t test 10 of 100 p are below 0.05."""
    rng = np.random.default_rng(0)
    held, small = 0, 0
    for _ in range(400):
        d = rng.exponential(size=10)
        interval = s.studentised(d, rng, resamples=999).interval
        held += interval.low <= 1.0 <= interval.high
        small += s.studentised(d - 1.0, rng, resamples=999).p < 0.05
    assert 0.92 <= held / 400 <= 0.98
    assert 0.02 <= small / 400 <= 0.08


@given(
    st.lists(st.floats(-1, 1), min_size=2, max_size=14),
    st.floats(-1, 1),
    st.sampled_from([0.001, 0.01, 0.05, 0.2, 0.6]),
    st.integers(0, 5),
)
def test_p_is_below_alpha_exactly_where_the_interval_leaves_out_0(
    values: list[float], shift: float, alpha: float, seed: int
) -> None:
    d = np.round(np.array(values) + shift, 6)  # what rounding decides is no contradiction
    found = s.paired(d, np.zeros_like(d), np.random.default_rng(seed), level=1 - alpha)
    i = found.interval
    assume(min(abs(i.low), abs(i.high)) > 1e-9 * i.sd or i.sd == 0)
    assert (found.p < alpha) == (i.low > 0 or i.high < 0)


@pytest.mark.parametrize("n", [5, 10])
def test_p_and_interval_agree_near_the_threshold(n: int) -> None:
    """Differences moved until 0 lies within and without: p crosses alpha at the interval's end."""
    d = np.random.default_rng(n).exponential(size=n)
    for alpha in (0.01, 0.05):
        for end in ("low", "high"):
            i = s.paired(d, np.zeros(n), np.random.default_rng(1), level=1 - alpha).interval
            inward = (i.high - i.low) / 1000 * (1 if end == "low" else -1)
            for step, is_within in ((inward, True), (-inward, False)):
                shift = np.full(n, getattr(i, end) + step)
                found = s.paired(d, shift, np.random.default_rng(1), level=1 - alpha)
                assert (found.p >= alpha) == is_within


def test_too_few_resamples_for_a_level_are_refused() -> None:
    d = 100 + np.arange(10.0)  # beyond every resample
    with pytest.raises(ValueError, match="99 resamples do not reach"):
        s.studentised(d, np.random.default_rng(0), 0.99, resamples=99)
    assert s.studentised(d, np.random.default_rng(0), 0.98, resamples=99).p == pytest.approx(0.02)


def test_equal_differences_and_single_seeds_are_no_accident() -> None:
    rng = np.random.default_rng(0)
    a = np.array([0.5, 0.7])
    assert s.paired(a, a, rng).p == 1
    assert s.paired(a + 0.25, a, rng).p == 0
    shifted = s.paired(a + 1e-14, a, rng)
    assert (shifted.p, shifted.interval.low, shifted.interval.high) == (1, 0, 0)
    assert math.isnan(s.paired(a[:1], a[:1], rng).p)
    # Without the shape checks of the test run it is the function's own ValueError.
    with pytest.raises((ValueError, TypeCheckError)):
        s.paired(a, a[:1], rng)


def test_holm_by_hand() -> None:
    p = np.array([0.04, 0.01, np.nan, 0.03])
    # Sorted .01·3, .03·2, .04·1 → .03, .06, max(.06, .04).
    found = s.holm(p)
    assert found[[0, 1, 3]] == pytest.approx([0.06, 0.03, 0.06])
    assert math.isnan(found[2])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_no_correction_and_bonferronis(p: list[float]) -> None:
    values = np.array(p)
    found = s.holm(values)
    assert (found >= values).all()
    assert (found <= np.minimum(1, values * len(values)) + 1e-12).all()
    order = np.argsort(values, kind="stable")
    assert (np.diff(found[order]) >= 0).all()


def test_penalties_are_paired_t_tests_round_by_round() -> None:
    rng = np.random.default_rng(3)
    curves = rng.normal(0, 1, (3, 5, 4)) + np.array([0.0, 1.0, 3.0])[:, None, None]
    found = s.penalties(curves)
    for i, j in itertools.product(range(3), repeat=2):
        beats = 0
        for r in range(4):
            test = stats.ttest_rel(curves[i, :, r], curves[j, :, r]) if i != j else None
            beats += bool(test and test.statistic > 0 and test.pvalue < 0.05)
        assert found[i, j] == beats / 4
    assert found[2, 0] == 1
    wins = s.win_tie_loss(curves, 0)
    assert wins.sum(axis=1).tolist() == [4, 4, 4]
    assert wins[2].tolist() == [4, 0, 0]
    assert wins[0].tolist() == [0, 4, 0]
    with pytest.raises(ValueError, match="two seeds"):
        s.penalties(curves[:, :1])


@pytest.mark.parametrize(("ratio", "n"), [(1.0, 10), (0.5, 34), (2.0, 5)])
def test_seeds_needed_are_those_of_the_tables_of_power(ratio: float, n: int) -> None:
    # G*Power, paired t test, two-sided, α = 0.05, power 0.8: d = 1 → 10, 0.5 → 34, 2 → 5.
    assert s.seeds_needed(0.01 / ratio, 0.01) == n


def test_seeds_needed_for_large_spread_follow_the_normal_law() -> None:
    z = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)
    assert s.seeds_needed(1.0, 0.02) == pytest.approx((z / 0.02) ** 2, rel=1e-3)
    assert s.seeds_needed(0.0) == 2


def test_power_by_simulation() -> None:
    rng = np.random.default_rng(4)
    draws = rng.normal(0.01, 0.01, (4000, 10))
    assert (stats.ttest_1samp(draws, 0, axis=1).pvalue < 0.05).mean() == pytest.approx(
        0.8, abs=0.02
    )


def test_ranks_share_ties_and_are_over_data_sets() -> None:
    scores = np.array([[0.9, 0.8, 0.8], [0.5, 0.7, 0.6]])
    assert s.average_ranks(scores) == pytest.approx([2, 1.75, 2.25])


def test_the_critical_difference_is_demsars() -> None:
    # Demšar 2006, table 5: q(0.05) = 2.569 for four methods; §3.2.2: CD = 1.25 on 14 data sets.
    assert s.critical_difference(4, 14) == pytest.approx(2.569 * math.sqrt(20 / 84), abs=1e-3)
    with pytest.raises(ValueError, match="needs 6"):
        s.critical_difference(4, 5)


def test_cliques_are_maximal() -> None:
    assert s.cliques(np.array([1.0, 1.5, 2.2, 4.0]), 1.0) == [(0, 1), (1, 2)]
    assert s.cliques(np.array([1.0, 3.0]), 1.0) == []
    assert s.cliques(np.array([3.0, 1.0, 2.0]), 5.0) == [(0, 2)]


def test_friedman_is_scipys() -> None:
    rng = np.random.default_rng(5)
    scores = rng.random((6, 4))
    assert s.friedman(scores) == stats.friedmanchisquare(*scores.T).pvalue


def test_the_minority_is_what_the_simulation_thins() -> None:
    classes = imbalance.minority(5)
    assert classes.tolist() == [0, 2, 4]
    counts = np.array([[1, 1, 1, 1, 0], [0, 0, 0, 0, 0]], dtype=np.int64)
    share = imbalance.minority_share(counts, classes)
    assert share[0] == 0.5
    assert math.isnan(share[1])
    recall = imbalance.minority_recall(np.array([[0.2, 1.0, 0.4, 1.0, 0.6]]), classes)
    assert recall == pytest.approx([0.4])


def test_common_seeds() -> None:
    assert s.common_seeds([[2, 0, 1], [1, 2, 5]]) == [1, 2]
    assert s.common_seeds([]) == []


def test_three_times_the_smallest_class_is_uneven() -> None:
    assert imbalance.uneven(np.array([30, 10, 20]))
    assert not imbalance.uneven(np.array([29, 10, 20]))
    assert not imbalance.uneven(np.array([30, 0, 30]))  # a class that the pool does not have
    assert not imbalance.uneven(None)
    assert not imbalance.uneven(np.array([5]))
    assert imbalance.below_median(np.array([30, 10, 20, 20])).tolist() == [1]
    assert imbalance.below_median(np.array([7, 7, 7])).tolist() == []
