"""Forecast and replay: the curve that data follow, refusals, and a method that is no better."""

import numpy as np
import pytest

from labelgap.project.quality.forecast import expected, forecast, measure, spread
from labelgap.project.quality.linear import NEVER, logits_of
from labelgap.project.quality.replay import Data, replay

SIZES = np.array([50, 100, 150, 200])
QUIET = (1e-6 * np.eye(4), 0.0)


@pytest.mark.parametrize("c", [0.05, 0.3, 0.5, 1.0])
def test_the_curve_that_made_the_points_is_followed(c):
    curve = 0.95 - 2.0 * SIZES.astype(float) ** -c
    ends = expected(SIZES, curve, QUIET, 400, np.random.default_rng(0))
    truth = np.clip(0.95 - 2.0 * 400.0**-c, 0, 1)
    # Noise of a tenth of a point in each, followed to twice the labels.
    assert np.median(ends) == pytest.approx(truth, abs=5e-3)


def test_a_falling_curve_is_followed_flat():
    falling = np.array([0.8, 0.79, 0.78, 0.77])
    ends = expected(SIZES, falling, (1e-4 * np.eye(4), 0.0), 400, np.random.default_rng(0))
    assert 0.78 < np.median(ends) < 0.81


def test_noise_moves_no_forecast_to_one_side():
    """Of a curve that rises as the logarithm: one best exponent of 0.1 to 1 would fall short."""
    rng, off = np.random.default_rng(0), []
    curve = 0.2 * np.log(SIZES / 10.0)
    for _ in range(60):
        noisy = curve + 0.01 * rng.standard_normal(4)
        ends = expected(SIZES, noisy, (1e-4 * np.eye(4), 0.0), 300, rng)
        off.append(np.median(ends) - 0.2 * np.log(30.0))
    assert abs(np.mean(off)) < 0.005 + 3 * np.std(off) / np.sqrt(len(off))


def test_the_spread_has_what_all_sizes_share():
    """Against many worlds: images of one difficulty each, trainings that differ as a whole."""
    rng, held, draws = np.random.default_rng(0), 300, 5
    levels, said = [], []
    for _ in range(200):
        hard = rng.random(held)
        right = np.array([[hard < 0.5 + 0.05 * s for s in range(4)]] * draws)
        levels.append(right.mean(axis=(0, 2)))
        covariance, whole = spread(SIZES, right)
        said.append(covariance)
        assert whole < 1e-12  # the draws do not differ
    np.testing.assert_allclose(np.mean(said, axis=0), np.cov(np.array(levels).T), rtol=0.35)


def test_trainings_that_differ_beyond_their_images_widen_it():
    rng, held = np.random.default_rng(0), 2000
    found = []
    for _ in range(100):
        hard, parts = rng.random(held), SIZES[:-1] / SIZES[-1]
        moved = rng.standard_normal((5, 1)) * 0.03 * np.sqrt((1 - parts) / parts)
        levels = np.column_stack([0.5 + moved, np.full(5, 0.5)])
        found.append(spread(SIZES, hard < levels[:, :, None])[1])
    assert np.mean(found) == pytest.approx(0.03**2, rel=0.2)


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
