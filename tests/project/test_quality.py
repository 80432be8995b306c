"""Intervals, gains and verdicts against closed forms and independent implementations."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from labelgap.project.quality import Gain, Point, Share, exact_interval, gain, kappa
from labelgap.project.stopping import verdict


@pytest.mark.parametrize(("right", "total"), [(0, 1), (0, 12), (5, 12), (12, 12), (93, 100)])
def test_interval_equals_scipys_exact_one(right, total):
    expected = stats.binomtest(right, total).proportion_ci(0.95, "exact")
    np.testing.assert_allclose(exact_interval(right, total), expected, atol=1e-9)


def test_interval_covers_at_least_as_often_as_it_says():
    for p in (0.5, 0.8, 0.97):
        n = 25
        weights = stats.binom.pmf(np.arange(n + 1), n, p)
        covered = [low <= p <= high for low, high in (exact_interval(k, n) for k in range(n + 1))]
        assert weights @ np.array(covered) >= 0.95


def test_kappa_equals_sklearns():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, (2, 200))
    b[:120] = a[:120]
    assert kappa(a, b) == pytest.approx(cohen_kappa_score(a, b))
    assert kappa(a, a) == 1.0
    assert kappa(np.zeros(5, np.int64), np.zeros(5, np.int64)) == 1.0


def point(labels, predicted):
    predicted = dict(enumerate(predicted))
    return Point(0, labels, Share(0, 0), predicted)


def test_gain_is_paired():
    truth = dict(enumerate([0, 0, 0, 0]))
    g = gain(point(1, [1, 1, 0, 0]), point(2, [0, 0, 1, 0]), truth)
    assert (g.better, g.worse, g.total) == (2, 1, 4)
    assert g.value == 0.25
    low, high = g.interval
    assert low < 0 < high
    assert gain(point(1, [0]), point(2, [0]), {7: 0}).total == 0


def test_gain_interval_widens_with_fewer_labels():
    few, many = Gain(5, 1, 20).interval, Gain(50, 10, 200).interval
    assert few[1] - few[0] > many[1] - many[0]
    assert Gain(0, 0, 300).interval == pytest.approx((-0.01, 0.01))


def test_verdicts():
    n = 400
    truth = dict(enumerate(np.zeros(n, int).tolist()))
    rng = np.random.default_rng(1)

    def network(labels, accuracy):
        return point(labels, (rng.random(n) > accuracy).astype(int).tolist())

    rising = [network(10, 0.4), network(20, 0.6), network(30, 0.8)]
    assert verdict(rising[:1], truth).kind == "too early"
    assert verdict(rising, truth).kind == "helping"
    same = (rng.random(n) > 0.8).astype(int).tolist()
    flat = [point(k, same) for k in (10, 20, 30, 40)]
    assert verdict(flat, truth).kind == "not helping"
    few = dict(list(truth.items())[:12])
    noisy = [network(10, 0.7), network(20, 0.72)]
    assert verdict(noisy, few).kind == "cannot tell"
    falling = [network(10, 0.9), network(20, 0.8), network(30, 0.6)]
    assert verdict(falling, truth).kind == "not helping"
