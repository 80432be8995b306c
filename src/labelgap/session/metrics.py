"""Test-set quality of one round's network."""

from functools import partial

import numpy as np
from jaxtyping import Int64

from labelgap.core.types import Metrics


def metrics(
    predicted: Int64[np.ndarray, " n"], truth: Int64[np.ndarray, " n"], num_classes: int
) -> Metrics:
    """Accuracy, balanced accuracy and recall per class, all in 0..1.

    Recall of a class that does not occur in `truth` is NaN, and the balanced accuracy is the mean
    over the others. A label below 0 is none of the classes: its item counts as wrong.
    """
    from sklearn.metrics import recall_score  # seconds on a busy machine, so only where needed

    recall = partial(
        recall_score, truth, predicted, labels=np.arange(num_classes), zero_division=np.nan
    )
    return Metrics(
        accuracy=float((predicted == truth).mean()),
        # `balanced_accuracy_score` warns of predicted classes that do not occur in `truth`.
        balanced_accuracy=float(recall(average="macro")),
        per_class=tuple(recall(average=None).tolist()),
    )
