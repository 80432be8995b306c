"""Items judged by mixtures that were fitted without them, against densities written out."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from labelgap.mixtures.judged import left_out, moments, principal
from labelgap.mixtures.mixture import Mixture

FLOOR = 0.05


def items(n: int, d: int, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.standard_normal((n, d)) * np.linspace(0.5, 2, d) + 3)


def one_hot(labels: list[int], k: int) -> Tensor:
    return torch.eye(k, dtype=torch.float64)[torch.tensor(labels)]


def by_hand(z: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, means and floored variances of classes that all have labels."""
    weights = targets.mean(0)
    means = targets.T @ z / targets.sum(0)[:, None]
    around = (targets.T @ z**2) / targets.sum(0)[:, None] - means**2
    return weights, means, np.maximum(around, FLOOR * z.var(0).mean())


def log_density(z: np.ndarray, mixture: tuple[np.ndarray, ...]) -> np.ndarray:
    weights, means, variances = mixture
    off = z[:, None, :] - means
    each = -0.5 * (off**2 / variances + np.log(2 * math.pi * variances)).sum(2) + np.log(weights)
    found: np.ndarray = np.logaddexp.reduce(each, axis=1)
    return found


def test_moments_are_those_of_each_class_with_some_extent_for_one_label() -> None:
    """A hundred items would be cut into batches: these 130 are one set all the same."""
    z, labels = items(130, 3), [0] * 80 + [1] * 49 + [2]
    found = moments(z, one_hot(labels, 3))
    weights, means, variances = by_hand(z.numpy(), one_hot(labels, 3).numpy())
    np.testing.assert_allclose(found.weights.numpy(), weights, rtol=1e-9)
    np.testing.assert_allclose(found.means.numpy(), means, rtol=1e-9)
    np.testing.assert_allclose(found.variances.numpy(), variances, rtol=1e-9)
    assert variances[2] == pytest.approx(FLOOR * z.numpy().var(0).mean())


def test_each_item_is_judged_by_the_four_fifths_without_it() -> None:
    z, targets = items(23, 2).float(), one_hot([i % 2 for i in range(23)], 2)
    other = (np.array([1.0]), np.array([[1.0, -2.0]]), np.array([[3.0, 0.5]]))
    mixture = Mixture(*map(torch.from_numpy, other), torch.zeros(1, dtype=torch.bool))
    found = left_out(z, targets, mixture, np.random.default_rng(4))
    x = z.double().numpy()
    expected = log_density(x, other)
    for fold in np.array_split(np.random.default_rng(4).permutation(23), 5):
        kept = [i for i in range(23) if i not in fold]
        expected[fold] -= log_density(x[fold], by_hand(x[kept], targets.numpy()[kept]))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-4)  # float32


def test_principal_components_are_those_of_the_unlabelled_set() -> None:
    free, labelled = items(40, 5), items(6, 5, seed=1)
    a, b = principal(labelled, free, 2)
    centre = free.mean(0)
    axes = torch.linalg.svd(free - centre, full_matrices=False)[2][:2]
    # An axis may point either way: squares, largest last.
    for found, x in ((a, labelled), (b, free)):
        expected = ((x - centre) @ axes.T).flip(1)
        torch.testing.assert_close(found.double().abs(), expected.abs(), rtol=1e-5, atol=1e-5)
        assert found.dtype == torch.float32
