"""Intervals, gains and verdicts against closed forms and independent implementations."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score
from typer.testing import CliRunner

from labelgap.cli import with_commands
from labelgap.core.types import NONE_OF_THESE
from labelgap.project.quality.nonresponse import NonResponse, nonresponse
from labelgap.project.quality.quality import (
    TRAINED,
    Gain,
    Point,
    Share,
    curve,
    exact_interval,
    gain,
    held_out_labels,
    kappa,
    recall,
)
from labelgap.project.quality.status import status
from labelgap.project.quality.stopping import verdict


@pytest.mark.parametrize(("right", "total"), [(0, 1), (0, 12), (5, 12), (12, 12), (93, 100)])
def test_interval_is_clopper_and_pearsons(right, total):
    """Its ends are quantiles of beta distributions."""
    low = stats.beta.ppf(0.025, right, total - right + 1) if right else 0
    high = stats.beta.ppf(0.975, right + 1, total - right) if right < total else 1
    np.testing.assert_allclose(exact_interval(right, total), (low, high), atol=1e-9)


def test_interval_of_nothing_is_everything():
    assert exact_interval(0, 0) == (0.0, 1.0)


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
    assert kappa(np.zeros(5, np.int64), np.ones(5, np.int64)) == 0.0
    assert np.isnan(kappa(a[:0], b[:0]))


def test_kappa_by_hand():
    # Observed agreement 3/4; by chance (2·3 + 2·1)/16 = 1/2.
    assert kappa(np.array([0, 0, 7, 7]), np.array([0, 0, 7, 0])) == pytest.approx(0.5)


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
    assert np.isnan(Gain(0, 0, 0).interval).all()


def test_gain_interval_is_that_of_two_shares_at_half_the_error():
    better, worse = (stats.binomtest(k, 90).proportion_ci(0.975, "exact") for k in (7, 3))
    expected = better.low - worse.high, better.high - worse.low
    np.testing.assert_allclose(Gain(7, 3, 90).interval, expected, atol=1e-9)
    limit = 1 - 0.0125 ** (1 / 300)  # nothing changed among 300
    assert Gain(0, 0, 300).interval == pytest.approx((-limit, limit))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("better", "worse"),
    [(0.03, 0.01), (0.03, 0.0), (0.0, 0.02), (0.2, 0.1)],
)
def test_gain_interval_covers_at_least_as_often_as_it_says(better, worse):
    n, shares = 60, (better, worse, 1 - better - worse)
    counts = [(b, w, n - b - w) for b in range(n + 1) for w in range(n + 1 - b)]
    weights = stats.multinomial.pmf(counts, n, shares)
    intervals = np.array([Gain(b, w, n).interval for b, w, _ in counts])
    covered = (intervals[:, 0] <= better - worse) & (better - worse <= intervals[:, 1])
    assert weights @ covered >= 0.95


def test_one_change_among_few_tells_no_more_than_none():
    low, high = Gain(0, 0, 100).interval
    assert Gain(0, 1, 100).interval[1] > 0.03
    changed = Gain(0, 1, 100).interval
    assert changed[1] - changed[0] >= high - low


def test_the_sign_of_a_gain_is_the_exact_sign_test():
    for b in range(12):
        for w in range(12):
            p = stats.binomtest(b, b + w, alternative="greater").pvalue if b + w else 1.0
            assert Gain(b, w, 200).certain == (p < 0.025), (b, w)


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


def changes(n, better, worse):
    """Three networks on n images of class 0: the last one is right on `better` images more and
    wrong on `worse` others."""
    before = [1] * better + [0] * (n - better)
    after = [0] * (n - worse) + [1] * worse
    return [point(10, before), point(20, before), point(30, after)], dict.fromkeys(range(n), 0)


def test_one_image_that_became_wrong_does_not_stop_the_labelling():
    assert verdict(*changes(100, 0, 1)).kind == "cannot tell"
    assert verdict(*changes(1000, 0, 30)).kind == "not helping"


def test_a_gain_whose_sign_alone_is_certain_is_told_without_an_interval():
    told = verdict(*changes(200, 8, 0))
    assert told.gain.interval[0] < 0
    assert told.kind == "helping"
    assert "8 of 200 held-out predictions became right and 0 wrong" in told.sentence
    assert "95 %" not in told.sentence


def test_labels_that_come_while_the_held_out_ones_are_read_wait(project, monkeypatch):
    ledger = project.ledger
    ledger.hold_out([1, 2, 3])
    ledger.answer(1, 2, person="anna")
    ledger.answer(3, -1, person="anna")
    real = ledger.labelled_ids

    def meanwhile(which="train"):
        ledger.answer(2, 0, person="bert")
        ledger.answer(3, 1, person="bert")
        return real(which)

    monkeypatch.setattr(ledger, "labelled_ids", meanwhile)
    assert held_out_labels(ledger) == {1: 2}
    monkeypatch.undo()
    assert held_out_labels(ledger) == {1: 2, 2: 0, 3: 1}


def test_bounds_without_any_assumption_about_who_did_not_answer():
    missing, known = NonResponse(skipped=3, none_of_these=2), Share(12, 15)
    # Any outcome of the five lies between them, and both ends are reached.
    possible = [(12 + k) / 20 for k in range(4)]
    assert missing.bounds(known) == (possible[0], possible[-1])
    assert missing.sentence(known) == (
        "5 held-out images without a class (3 skipped, 2 none of these), left out of the "
        "accuracy: with them it is 60.0–75.0 % of 20, whatever they show"
    )
    assert "is 75.0 % of 16" in NonResponse(0, 1).sentence(Share(12, 15))
    assert NonResponse(0, 0).sentence(known) == ""
    assert NonResponse(0, 0).bounds(known) == (known.value, known.value)
    assert NonResponse(1, 0).sentence(Share(0, 0)).endswith("left out of the accuracy")
    assert all(np.isnan(NonResponse(0, 0).bounds(Share(0, 0))))


def test_held_out_images_without_a_class_are_counted_until_they_get_one(project):
    ledger = project.ledger
    ledger.hold_out([1, 2, 3, 4, 5])
    ledger.answer(1, 0)
    ledger.answer(2, NONE_OF_THESE)
    ledger.answer(7, NONE_OF_THESE)  # not held out
    ledger.skip(3, "unsure")
    ledger.skip(4, "bad image")
    ledger.skip(8, "unsure")
    assert nonresponse(ledger) == NonResponse(skipped=2, none_of_these=1)
    facts = {"labels": 9, "watched": [1, 2, 3], "predicted": [0, 0, 0], "regions": []}
    ledger.note(TRAINED, facts, round=0)
    found = status(project)
    assert (found.accuracy.right, found.accuracy.total) == (1, 1)
    assert found.nonresponse.bounds(found.accuracy) == (1 / 4, 3 / 4)
    ledger.answer(3, 1)
    assert nonresponse(ledger) == NonResponse(skipped=1, none_of_these=1)
    said = CliRunner().invoke(with_commands(), ["status", "--project", str(project.root)]).output
    assert "2 held-out images without a class (1 skipped, 1 none of these)" in said
    assert "it is 25.0–50.0 % of 4" in said


def test_a_network_is_not_judged_by_what_it_has_learned(project):
    """Labelled, trained, held out: learned. Held out first, or labelled later: not. A label that
    was undone in between is taken for learned."""
    ledger = project.ledger
    trained = {"labels": 9, "watched": [1, 2, 3, 4], "predicted": [0, 0, 0, 0]}
    ledger.hold_out([1])
    for item in (1, 2, 4):
        ledger.answer(item, 0, person="anna")
    ledger.undo(4, person="anna")
    ledger.note(TRAINED, trained, round=0)
    ledger.answer(3, 0, person="anna")
    ledger.answer(4, 0, person="anna")
    ledger.hold_out([2, 3, 4])
    ledger.note(TRAINED, trained | {"labels": 12}, round=1)
    first, second = curve(ledger)
    assert first.accuracy.total == 2
    assert first.predicted.keys() == {1, 3}
    assert second.accuracy.total == 4
    truth = held_out_labels(ledger)
    assert gain(first, second, truth).total == 2
    assert recall(first, truth, 3)[0].total == 2
