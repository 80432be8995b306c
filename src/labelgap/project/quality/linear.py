"""One linear layer trained to the end, for questions that need many small trainings."""

import warnings

import numpy as np
from jaxtyping import Float, Int64

DECAY = 1e-3
"""L2 penalty on weights of standardised features, per label: as in `benchmarks/gap`, where it was
near the best on two sets; it matters little beside the number of labels."""
NEVER = -20.0
"""The logit of a class without a label."""


def logits_of(
    x: Float[np.ndarray, "n d"],
    y: Int64[np.ndarray, " n"],
    other: Float[np.ndarray, "m d"],
    classes: int,
) -> Float[np.ndarray, "m k"]:
    """Log probabilities of other rows by multinomial logistic regression on labelled ones.

    x, other: standardised features. y: classes, 0 to classes − 1; a class that is not among them
    gets a logit of −20. Of one class alone that class is certain.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    found = np.full((len(other), classes), NEVER, dtype=np.float64)
    seen = np.unique(y)
    if len(seen) == 1:
        found[:, seen[0]] = 0.0
        return found
    if len(x) < x.shape[1]:
        # The penalty keeps the weights among the rows' combinations, so their coordinates there
        # are enough: the same layer, several times as fast.
        axes, _ = np.linalg.qr(x.T)
        x, other = x @ axes, other @ axes
    layer = LogisticRegression(C=1 / (DECAY * len(y)), max_iter=100)
    with warnings.catch_warnings():
        # A hundred steps are past any change of the predictions.
        warnings.simplefilter("ignore", ConvergenceWarning)
        layer.fit(x, y)
    found[:, seen] = np.maximum(layer.predict_log_proba(other), NEVER)
    return found
