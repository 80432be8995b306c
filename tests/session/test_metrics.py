"""A round's metrics against counting by hand and scikit-learn's balanced accuracy."""

import math
import warnings

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from labelgap.session.metrics import metrics


def by_hand(predicted: np.ndarray, truth: np.ndarray, classes: int) -> list[float]:
    """Recall of each class, as it was counted before scikit-learn counted it."""
    recall = []
    for k in range(classes):
        of_class = truth == k
        right = (predicted == truth)[of_class]
        recall.append(float(right.mean()) if of_class.any() else float("nan"))
    return recall


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_the_numbers_are_those_counted_by_hand_to_the_last_bit(classes: int) -> None:
    rng = np.random.default_rng(classes)
    truth = rng.integers(0, classes, 997)
    predicted = np.where(rng.random(997) < 0.7, truth, rng.integers(0, classes, 997))
    found = metrics(predicted, truth, classes)
    recall = by_hand(predicted, truth, classes)
    assert found.per_class == tuple(recall)
    assert found.accuracy == float((predicted == truth).mean())
    assert found.balanced_accuracy == float(np.mean(recall))
    assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(truth, predicted))


def test_classes_without_an_item_are_no_warning_and_in_no_mean() -> None:
    truth = np.array([0, 0, 2, -1])  # −1: none of the classes
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = metrics(np.array([0, 3, 2, 1]), truth, 5)
        nothing = metrics(np.array([0, 1]), np.array([-1, -1]), 3)
    assert found.accuracy == 0.5
    assert found.per_class[:3:2] == (0.5, 1.0)
    assert [math.isnan(found.per_class[k]) for k in (1, 3, 4)] == [True] * 3
    assert found.balanced_accuracy == 0.75
    assert nothing.accuracy == 0
    assert math.isnan(nothing.balanced_accuracy)
