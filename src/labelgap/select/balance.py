"""A candidate set with the same number per class (paper, section 2.4)."""

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from labelgap.core.errors import LabelgapError
from labelgap.select.top import best_first, check_budget, check_finite


def balanced_candidates(
    scores: Float[Tensor, " n"],
    pseudo_labels: Int[Tensor, " n"],
    num_classes: int,
    size: int,
    ties: Float[np.ndarray, " n"],
) -> Int64[Tensor, " size"]:
    """The `size` items of largest score with the same number per pseudo-label, best first.

    Paper, section 2.4: "to keep S balanced, we select the same number of samples per each
    category based on pseudo-labels". A class with fewer items than its share gives all it has
    and shares the remainder equally among the others; what does not divide goes, one each, to
    the classes whose next item scores best. Equal scores are ordered by the draw.

    Raises
    ------
    NumericalError: a score is NaN or infinite.   BudgetError: size exceeds the items.
    LabelgapError: a pseudo-label outside 0..num_classes-1.
    """
    check_finite({"score": scores})
    check_budget(size, len(scores))
    labels = pseudo_labels.detach().cpu().numpy().astype(np.int64)
    if len(labels) and not (labels.min() >= 0 and labels.max() < num_classes):
        raise LabelgapError(
            f"Pseudo-labels run from {labels.min()} to {labels.max()}, outside 0 to "
            f"{num_classes - 1}.",
            "Give the task's number of classes.",
        )
    order = best_first(scores.detach().cpu().numpy(), ties)
    place = _place_in_class(labels[order], num_classes)
    # Water-filling is reading the pool by place within the class (every class's best, then
    # every class's second, ...), and by score within a place.
    rounds = np.argsort(place, kind="stable")[:size]
    return torch.from_numpy(order[np.sort(rounds)]).to(scores.device)


def _place_in_class(labels: Int64[np.ndarray, " n"], num_classes: int) -> Int64[np.ndarray, " n"]:
    """For each row, how many earlier rows have its label."""
    by_class = np.argsort(labels, kind="stable")
    counts = np.bincount(labels, minlength=num_classes)
    starts = np.cumsum(counts) - counts
    place = np.empty(len(labels), dtype=np.int64)
    place[by_class] = np.arange(len(labels)) - np.repeat(starts, counts)
    return place
