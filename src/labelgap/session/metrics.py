"""Test-set quality of one round's network."""

import numpy as np
from jaxtyping import Int64

from labelgap.core.types import Metrics


def metrics(
    predicted: Int64[np.ndarray, " n"], truth: Int64[np.ndarray, " n"], num_classes: int
) -> Metrics:
    """Accuracy, mean recall over the classes that occur in `truth`, and recall per class."""
    right = predicted == truth
    recall = []
    for k in range(num_classes):
        of_class = truth == k
        recall.append(float(right[of_class].mean()) if of_class.any() else float("nan"))
    present = [r for r in recall if r == r]
    return Metrics(float(right.mean()), float(np.mean(present)), tuple(recall))
