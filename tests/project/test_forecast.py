"""Forecast and replay: the curve that data follow, refusals, and a method that is no better."""

import numpy as np
import pytest

from labelgap.project.quality.forecast import follow, forecast, measure
from labelgap.project.quality.linear import NEVER, logits_of
from labelgap.project.quality.replay import Data, replay

SIZES = np.array([50, 100, 150, 200])


def test_the_curve_that_made_the_points_is_followed():
    for c in (0.3, 0.5, 1.0):
        curve = 0.95 - 2.0 * SIZES.astype(float) ** -c
        (end,), (found,) = follow(SIZES, curve[None], 400)
        assert found == pytest.approx(c)
        assert end == pytest.approx(min(1.0, 0.95 - 2.0 * 400.0**-c), abs=2e-3)


def test_a_falling_curve_is_followed_flat():
    (end,), _ = follow(SIZES, np.array([[0.8, 0.79, 0.78, 0.77]]), 400)
    assert end == pytest.approx(0.785)


def test_a_curve_of_another_law_is_refused():
    rng = np.random.default_rng(0)
    straight = right_of([0.3, 0.4, 0.5, 0.6], 400, rng)  # has not bent
    assert "has not bent yet" in forecast(SIZES, straight, 100, rng).refused
    early = right_of([0.3, 0.69, 0.7, 0.7], 400, rng)
    assert "ends too soon" in forecast(SIZES, early, 100, rng).refused


def right_of(curve, held, rng, draws=5):
    """Each held-out image has a difficulty: right once the accuracy is above it."""
    hard = rng.random(held)
    return np.array([[hard < value for value in curve] for _ in range(draws)])


def test_a_forecast_holds_the_truth_of_a_power_law():
    rng, held = np.random.default_rng(0), 0
    spoke = 0
    for _ in range(40):
        curve = 0.96 - 1.5 * SIZES.astype(float) ** -0.6
        found = forecast(SIZES, right_of(curve, 400, rng), 200, rng)
        if not found.refused:
            spoke += 1
            held += found.low <= 0.96 - 1.5 * 400**-0.6 <= found.high
    assert spoke > 15
    assert held / spoke >= 0.8 - 2.5 * np.sqrt(0.8 * 0.2 / spoke)


@pytest.mark.parametrize(
    ("sizes", "held", "more", "why"),
    [
        (SIZES // 10, 100, 10, "the curve of 20 labels is too short"),
        (SIZES, 20, 100, "20 held-out labels are too few"),
        (SIZES, 100, 401, "200 labels tell of 400 more at most"),
    ],
)
def test_what_cannot_be_known_is_refused(sizes, held, more, why):
    rng = np.random.default_rng(0)
    found = forecast(sizes, right_of([0.5, 0.6, 0.65, 0.7], held, rng), more, rng)
    assert why in found.refused
    assert "cannot be told" in found.sentence
    assert np.isnan(found.median)


def test_no_gain_and_a_wide_band_are_refused():
    rng = np.random.default_rng(0)
    flat = right_of([0.7, 0.7, 0.7, 0.7], 100, rng)
    assert "no better than a quarter" in forecast(SIZES, flat, 100, rng).refused
    spread = (np.arange(40) + 0.5) / 40
    right = np.array([[spread < value for value in (0.3, 0.475, 0.55, 0.6)]] * 5)
    assert "fits; more held-out" in forecast(SIZES, right, 300, rng).refused


def test_parts_are_nested_and_drawn_anew():
    seen = []

    def judge(rows):
        seen.append(set(rows.tolist()))
        return np.ones(7, bool)

    sizes, right = measure(judge, 40, np.random.default_rng(0), draws=2)
    assert sizes.tolist() == [10, 20, 30, 40]
    assert right.shape == (2, 4, 7)
    assert seen[0] == set(range(40))
    assert seen[1] < seen[2] < seen[3]
    assert seen[4] < seen[5] < seen[6]
    assert seen[1] != seen[4]


def blobs(n, rng, classes=3, noise=1.0):
    y = rng.integers(0, classes, n)
    centres = 2 * np.eye(classes, 6)
    return centres[y] + noise * rng.standard_normal((n, 6)), y


def test_a_class_without_a_label_is_never_said():
    x, y = blobs(60, np.random.default_rng(0))
    logits = logits_of(x[y < 2], y[y < 2], x, 3)
    assert (logits[:, 2] == NEVER).all()
    np.testing.assert_allclose(np.exp(logits[:, :2]).sum(1), 1, rtol=1e-6)
    assert (logits_of(x[y == 1], y[y == 1], x, 3).argmax(1) == 1).all()


def data(seed=0, n=120):
    rng = np.random.default_rng(seed)
    x, y = blobs(n, rng)
    held_x, held_y = blobs(200, rng)
    return Data(x, y, held_x, held_y, 3)


def test_random_against_itself_cannot_be_told():
    def choose(labelled, free, logits, number, seed, round):
        return np.random.default_rng([7, seed, round]).permutation(free)[:number]

    found = replay(data(), choose, "same")
    assert found.low < 0 < found.high
    assert "it cannot be told" in found.sentence


def test_a_method_that_asks_for_one_class_does_worse():
    world = data(1)

    def choose(labelled, free, logits, number, seed, round):
        return free[np.argsort(world.y[free], kind="stable")][:number]

    found = replay(world, choose, "one class first")
    assert found.high < 0
    assert "random questions would have done better than one class first" in found.sentence


def test_too_few_labels_are_refused():
    with pytest.raises(ValueError, match="too few"):
        replay(data(n=60), lambda *a: a[1], "any")
