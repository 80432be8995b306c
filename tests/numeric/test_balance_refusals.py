"""What a balanced choice refuses: scores that are no numbers, labels below and above the task's."""

import numpy as np
import pytest
import torch

from labelgap.core.errors import LabelgapError, NumericalError
from labelgap.select import balanced_candidates


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf])
def test_a_score_that_is_not_finite(wrong):
    scores = torch.tensor([0.0, wrong, 1.0])
    with pytest.raises(NumericalError, match=r"'score' \(1 of 3 items\)"):
        balanced_candidates(scores, torch.zeros(3).long(), 1, 2, np.zeros(3))


@pytest.mark.parametrize(("labels", "span"), [([-1, 1, 0], "-1 to 1"), ([0, 2, 1], "0 to 2")])
def test_a_label_outside_the_task(labels, span):
    with pytest.raises(LabelgapError, match=f"run from {span}, outside 0 to 1"):
        balanced_candidates(torch.zeros(3), torch.tensor(labels), 2, 1, np.zeros(3))
