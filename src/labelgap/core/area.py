"""Numbers of a learning curve: the area under it, and the labels at which it reaches a height."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int64


def area(
    labels: Sequence[int] | Int64[np.ndarray, " r"],
    curve: Sequence[float] | Float[np.ndarray, " r"],
    low: float | int | None = None,
    high: float | int | None = None,
) -> float:
    """Mean height of a curve between two numbers of labels: trapezoids, their sum divided by the
    range of labels.

    Parameters
    ----------
    labels: after each round, ascending.
    curve: the height at each of them, such as the accuracy.
    low, high: the two ends, interpolated; by default the first and the last labels, which gives
        the area under the budget curve (AUBC). A curve of one round has that round's height.

    Raises `ValueError` where an end lies outside the curve.
    """
    known = np.asarray(labels, dtype=np.float64)
    first, last = float(known[0]), float(known[-1])
    low, high = first if low is None else low, last if high is None else high
    if len(known) == 1 and low == high == first:
        return float(curve[0])
    if not first <= low < high <= last:
        raise ValueError(f"{low:g}..{high:g} is not within {first:g}..{last:g} labels.")
    inner = (known > low) & (known < high)
    x = np.concatenate([[low], known[inner], [high]])
    y = np.interp(x, known, curve)
    return float(np.trapezoid(y, x) / (high - low))


def labels_to_reach(
    labels: Int64[np.ndarray, " r"], curve: Float[np.ndarray, " r"], target: float | int
) -> float:
    """Labels at which the curve first reaches `target`, interpolated; NaN if it never does."""
    reached = np.flatnonzero(curve >= target)
    if len(reached) == 0:
        return float("nan")
    k = int(reached[0])
    if k == 0:
        return float(labels[0])
    share = (target - curve[k - 1]) / (curve[k] - curve[k - 1])
    return float(labels[k - 1] + share * (labels[k] - labels[k - 1]))
