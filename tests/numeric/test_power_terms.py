"""Scores as chances at their ends: draws of 0, certain classes, and every digit of the rest."""

import numpy as np
import pytest
import torch

from labelgap.select.power import log_class_entropy, log_margin, perturbed


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_perturbed_scores_are_the_formula_in_float64(dtype):
    rng, score = np.random.default_rng(0), torch.tensor([0.5, -1.0, 2.0, 0.25], dtype=dtype)
    draws, counts = rng.random(4), np.array([1, 7, 3, 1000])
    gumbel = -np.log(-np.log(draws))
    for beta in (0.5, 3.0):
        for given in (None, counts):
            expected = score.double().numpy() + gumbel / beta
            if given is not None:
                expected = expected + np.log(counts) / beta
            found = perturbed(score, beta, draws, given)
            assert found.dtype == torch.float64
            np.testing.assert_allclose(found, expected, rtol=1e-13)


def test_draws_at_both_ends_give_finite_scores():
    """Uniform draws are multiples of 2⁻⁵³ in [0, 1): 0 counts as half of the smallest other."""
    ends = np.array([0.0, 2.0**-53, 1 - 2.0**-53])
    expected = [-np.log(54 * np.log(2)), -np.log(53 * np.log(2)), 53 * np.log(2)]
    np.testing.assert_allclose(perturbed(torch.zeros(3), 1.0, ends), expected, rtol=1e-12)


@pytest.mark.parametrize("gap", [1.0, 50.0, 200.0, 600.0])
def test_the_entropy_of_nearly_certain_classes_keeps_its_digits(gap):
    """p = (1 − ε, ε) with ε = e^−gap: −p log p is ε to first order, and ε · gap."""
    eps = np.exp(-gap)
    p = np.array([1 / (1 + eps), eps / (1 + eps)])
    first = np.log(p[0]) + np.log(np.log1p(eps))
    second = np.log(p[0]) - gap + np.log(gap + np.log1p(eps))
    found = log_class_entropy(torch.tensor([[0.0, -gap], [-gap, 0.0], [gap, 0.0]]).double())
    expected = [[first, second], [second, first], [first, second]]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    # The margin: 1 − p₁ + p₂ = 2 ε / (1 + ε).
    margin = np.log(2) - gap - np.log1p(eps)
    found = log_margin(torch.tensor([[0.0, -gap]]).double())
    np.testing.assert_allclose(found[0], margin, rtol=1e-12)


def test_the_entropy_of_many_equal_classes_and_of_one():
    for k in (2, 3, 1000):
        found = log_class_entropy(torch.zeros(1, k))
        np.testing.assert_allclose(found, np.log(np.log(k) / k), rtol=1e-12)
    assert log_margin(torch.tensor([[3.0], [-1.0]])).tolist() == [0.0, 0.0]
    # One class is certain: as little as a float64 can say.
    assert log_class_entropy(torch.tensor([[3.0]])).tolist() == [[np.log(np.finfo(float).tiny)]]
