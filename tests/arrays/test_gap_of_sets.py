"""`labelgap.gap`: what lies between two sets of features."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import labelgap
from labelgap.arrays.difference import Gap
from labelgap.core.streams import Streams
from labelgap.mixtures.wasserstein import sliced_wasserstein


def two_sets(shift: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """150 labelled items of one group; 400 unlabelled ones, half of them `shift` away."""
    rng = np.random.default_rng(seed)
    few, many = rng.standard_normal((150, 5)), rng.standard_normal((400, 5))
    many[:200, 0] += shift
    return few, many


def test_equal_sets_have_no_gap() -> None:
    shares = [labelgap.gap(*two_sets(0.0, seed)).uncovered for seed in range(5)]
    assert np.mean(shares) < 0.12
    found = labelgap.gap(*two_sets(0.0))
    assert found.distance < 1.5 * found.chance


def test_what_is_not_covered_is_found() -> None:
    """The half that was moved away, and only it."""
    found = labelgap.gap(*two_sets(8.0))
    unlike = found.gap > np.quantile(found.usual, 0.95)
    assert unlike[:200].mean() > 0.99
    assert unlike[200:].mean() < 0.2
    assert found.uncovered == pytest.approx(unlike.mean())
    assert found.distance > 3 * found.chance
    assert f"{100 * found.uncovered:.0f} % of 400" in str(found)


def test_the_distance_is_the_sliced_distance_in_standard_deviations() -> None:
    few, many = (z.astype(np.float32) for z in two_sets(3.0))
    both = np.concatenate([few, many])
    scale = np.float32(math.sqrt(both.var(axis=0, dtype=np.float64).mean()))
    rng = Streams(4).numpy("gap/distance")
    expected = sliced_wasserstein(few / scale, many / scale, rng)
    assert labelgap.gap(few, many, seed=4).distance == pytest.approx(expected)


def test_turning_and_moving_both_changes_no_gap() -> None:
    """Principal components do not depend on the axes."""
    few, many = two_sets(4.0)
    turn, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((5, 5)))
    labels, p = np.zeros(150, dtype=int), np.ones((400, 1))
    plain = labelgap.gap(few, many, labels=labels, probabilities=p)
    moved = labelgap.gap(few @ turn + 7, many @ turn + 7, labels=labels, probabilities=p)
    # A component's sign is its own, and a diagonal mixture does not see it.
    np.testing.assert_allclose(moved.gap, plain.gap, rtol=1e-3, atol=1e-3)


def test_components_are_classes_where_they_are_known() -> None:
    few, many = two_sets(8.0)
    few[75:, 1] += 6
    labels = np.repeat(["a", "b"], 75)
    p = np.stack([many[:, 1] < 3, many[:, 1] >= 3], axis=1).astype(float)
    found = labelgap.gap(few, many, labels=labels, probabilities=p, classes=["a", "b"])
    assert found.labelled.num_components == found.unlabelled.num_components == 2
    torch.testing.assert_close(found.labelled.weights, torch.tensor([0.5, 0.5]))
    z = torch.from_numpy(found.z_labelled)
    torch.testing.assert_close(found.labelled.means[0], z[:75].mean(0), rtol=1e-4, atol=1e-4)


def test_it_judges_no_item_by_itself() -> None:
    """With one class the mixture of the others is a Gaussian that numpy can write down."""
    few, many = two_sets(2.0)
    found = labelgap.gap(
        few, many, labels=np.zeros(150, dtype=int), probabilities=np.ones((400, 1)), seed=3
    )
    z = found.z_unlabelled.astype(np.float64)
    z_l = found.z_labelled.astype(np.float64)

    def log_density(x: np.ndarray, of: np.ndarray) -> np.ndarray:
        v = of.var(axis=0)
        return (-0.5 * ((x - of.mean(axis=0)) ** 2 / v + np.log(2 * np.pi * v))).sum(axis=1)

    expected = np.empty(400)
    order = Streams(3).numpy("gap/unlabelled").permutation(400)
    for fold in np.array_split(order, 5):
        rest = np.setdiff1d(np.arange(400), fold)
        expected[fold] = log_density(z[fold], z[rest]) - log_density(z[fold], z_l)
    np.testing.assert_allclose(found.gap, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("width", [1, 5])
def test_the_picture_shows_both_sets(width: int, tmp_path: Path) -> None:
    few, many = two_sets(6.0)
    found: Gap = labelgap.gap(few[:, :width], many[:, :width])
    figure = found.plot(tmp_path / "gap.png")
    assert (tmp_path / "gap.png").read_bytes().startswith(b"\x89PNG")
    plane, lines = figure.axes
    drawn = sum(len(points.get_offsets()) for points in plane.collections)
    assert drawn == 550
    assert f"{100 * found.uncovered:.0f} %" in plane.get_title(loc="left")
    assert f"{found.distance:.3f}" in lines.get_title(loc="left")


def test_equal_seeds_give_equal_gaps() -> None:
    sets = two_sets(1.0)
    np.testing.assert_array_equal(labelgap.gap(*sets).gap, labelgap.gap(*sets).gap)
