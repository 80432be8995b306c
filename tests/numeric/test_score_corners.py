"""Scores, ranks and standard scores where there are two of a kind, one, or none."""

import numpy as np
import pytest
import torch

from labelgap.core.errors import NumericalError
from labelgap.select import (
    bald,
    entropy,
    least_confidence,
    margin,
    predictive_entropy,
    ranks,
    standardise,
    top,
    variation_ratio,
)


def test_the_margin_of_two_classes_is_the_difference_of_both():
    logits = torch.log(torch.tensor([[0.75, 0.25], [0.5, 0.5]], dtype=torch.float64))
    torch.testing.assert_close(margin(logits), torch.tensor([-0.5, 0.0], dtype=torch.float64))


@pytest.mark.parametrize(
    "score", [least_confidence, margin, entropy, bald, predictive_entropy, variation_ratio]
)
def test_scores_of_float32_have_every_digit_of_float64(score):
    shape = (20, 3) if score in (least_confidence, margin, entropy) else (20, 4, 3)
    logits = torch.from_numpy(8 * np.random.default_rng(0).standard_normal(shape)).float()
    found = score(logits)
    assert found.dtype == torch.float64
    assert torch.equal(found, score(logits.double()))


def test_ranks_of_two_one_and_none_are_wide():
    assert ranks(torch.tensor([5.0, 3.0])).tolist() == [1, 0]
    assert ranks(torch.tensor([5.0, 3.0, 4.0])).tolist() == [1, 0, 0.5]
    for n in range(4):
        assert ranks(torch.arange(n).float()).dtype == torch.float64
    assert ranks(torch.empty(0)).tolist() == []


def test_a_standard_score_of_float32_has_every_digit_of_float64():
    x = torch.from_numpy(100 + np.random.default_rng(0).standard_normal(50)).float()
    found = standardise(x)
    assert found.dtype == torch.float64
    assert torch.equal(found, standardise(x.double()))


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e9])
def test_rounding_of_a_constant_is_no_spread_in_any_unit(size):
    for n in range(2, 60):
        constant = torch.full((n,), 0.1 * size, dtype=torch.float64)
        assert standardise(constant).abs().max() == 0
    steps = size * (1 + 1e-12 * torch.arange(5, dtype=torch.float64))
    assert float(standardise(steps).square().mean()) == pytest.approx(1)


def test_a_score_to_be_the_best_of_must_be_finite():
    with pytest.raises(NumericalError, match=r"'score' \(1 of 3 items\)"):
        top(torch.tensor([0.0, torch.nan, 1.0]), 1, np.zeros(3))
