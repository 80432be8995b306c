"""Imbalanced pools: which they are, which classes are the small ones, how these fare."""

import numpy as np
from jaxtyping import Float, Int64

from labelgap.bench.evidence.statistics import Curve


def minority(num_classes: int) -> Int64[np.ndarray, " k"]:
    """The classes that `simulate.imbalance` thins: 0, 2, 4, …"""
    return np.arange(0, num_classes, 2, dtype=np.int64)


UNEVEN = 3.0
"""Largest class to smallest from which a pool is imbalanced. Test and training sets of balanced
data differ from even by chance and by bookkeeping, 1.1 to 1.5 times (SVHN: 3); from 3 on the
plain accuracy can rise by a point while a small class is lost altogether."""


def uneven(counts: Int64[np.ndarray, " k"] | None) -> bool:
    """Whether the largest class has three times the items of the smallest or more.

    Classes without an item count as none: a data set may list more classes than a pool has.
    """
    there = np.zeros(0) if counts is None else counts[counts > 0]
    return len(there) > 1 and bool(there.max() >= UNEVEN * there.min())


def below_median(counts: Int64[np.ndarray, " k"]) -> Int64[np.ndarray, " m"]:
    """The classes with fewer items than the median class."""
    return np.flatnonzero(counts < np.median(counts)).astype(np.int64)


def minority_share(counts: Int64[np.ndarray, "r k"], classes: Int64[np.ndarray, " m"]) -> Curve:
    """Share of each round's labels that are of the given classes; NaN where none was answered."""
    total = counts.sum(axis=1)
    share = np.full(len(counts), np.nan)
    np.divide(counts[:, classes].sum(axis=1), total, out=share, where=total > 0)
    return share


def minority_recall(per_class: Float[np.ndarray, "r k"], classes: Int64[np.ndarray, " m"]) -> Curve:
    """Mean recall of the given classes at each round."""
    recall: Curve = per_class[:, classes].mean(axis=1)
    return recall
