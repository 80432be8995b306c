"""What DCoM chooses by: balls of a radius of their own, and a sum of doubt and coverage whose
weights follow what is covered (Mishal and Weinshall 2024).
"""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from labelgap.select.arrays import ROWS, wide_mean
from labelgap.select.coverage import Planes, balls
from labelgap.select.geometry import accurate
from labelgap.select.top import check_budget

_ROWS = 256
_BYTES = 64
"""Columns of eight points counted at a time."""


def pure_radii(
    z: Float[Tensor, "l d"],
    labels: Int64[Tensor, " l"],
    points: Float[Tensor, "m d"],
    predicted: Int64[Tensor, " m"],
    purity: float,
    largest: float,
    step: float,
    counts: Int64[np.ndarray, " m"] | None = None,
) -> Float[np.ndarray, " l"]:
    """The radius of each labelled item's ball: as large as the points in it agree with its label.

    Halving [0, largest] until the interval is at most `step` wide, upwards where the share of
    points in the ball whose predicted class is the item's label is at least `purity`. An empty
    ball is pure. The lower end is the radius: 0 where no ball is pure.

    counts: how many items each point stands for; None means one.
    """
    mean, found = wide_mean(points), []
    weights = None if counts is None else torch.from_numpy(counts).double()

    def number(chosen: Bool[Tensor, "r m"]) -> Int64[Tensor, " r"]:
        return chosen.sum(1) if weights is None else (chosen.double() @ weights).long()

    for start in range(0, len(z), _ROWS):
        some, own = z[start : start + _ROWS], labels[start : start + _ROWS]
        d2 = torch.cat([accurate(some, p, mean) for p in torch.split(points, ROWS)], dim=1)
        agrees = own[:, None] == predicted
        low, high = torch.zeros(len(some)).double(), torch.full((len(some),), largest).double()
        while float(high[0] - low[0]) > step:
            middle = (low + high) / 2
            inside = d2 < middle[:, None].square()
            pure = number(inside & agrees) >= purity * number(inside)
            low, high = torch.where(pure, middle, low), torch.where(pure, high, middle)
        found.append(low.numpy())
    return np.concatenate(found) if found else np.empty(0)


def covered_by(
    z: Float[Tensor, "l d"], radii: Float[np.ndarray, " l"], points: Float[Tensor, "m d"]
) -> UInt8[np.ndarray, " bytes"]:
    """Which points lie in some item's ball; packed as in `coverage.balls`."""
    covered = np.zeros(-(-len(points) // 8), dtype=np.uint8)
    for radius in np.unique(radii):  # few values: they come from halving
        some = z[torch.from_numpy(radii == radius)]
        covered |= np.bitwise_or.reduce(balls(some, points, float(radius)))
    return covered


def competence(covered: float, steepness: float, middle: float) -> float:
    """How far doubt is to be trusted: near 0 while little is covered, 1 when everything is.

    (1 + e^(−k(1−a))) / (1 + e^(−k(c−a))), in log space.
    """

    def softplus(x: float) -> float:
        return max(x, 0.0) + math.log1p(math.exp(-abs(x)))

    return math.exp(
        softplus(-steepness * (1.0 - middle)) - softplus(-steepness * (covered - middle))
    )


def unit_range(x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The smallest value 0, the largest 1; all 0 where they are equal."""
    low, high = x.min(), x.max()
    return (x - low) / (high - low) if high > low else np.zeros(len(x))


def greedy_competence(
    covers: UInt8[np.ndarray, "n bytes"],
    covered: UInt8[np.ndarray, " bytes"],
    doubt: Float[np.ndarray, " n"],
    weight: float,
    n: int,
    ties: Float[np.ndarray, " n"],
    weights: Planes | None = None,
) -> tuple[Int64[np.ndarray, " b"], Float[np.ndarray, " b"], Int64[np.ndarray, " b"]]:
    """n rows, each the largest of weight·doubt + (1 − weight)·newly covered; its score, its count.

    What an item would newly cover is scaled to [0, 1] over the rows that are left, anew at each
    pick. Every count is kept up to date: a point is newly covered once, and only the columns in
    which something changed are counted, so the whole batch costs one pass over the bits.

    weights: how many items each point stands for, by `coverage.planes`; None means one.
    """
    check_budget(n, len(covers))
    size = len(covers)
    by_column, left = np.ascontiguousarray(covers.T), ~covered
    del covers  # as large, and its rows are columns of the other
    counts = np.zeros(size, dtype=np.int64)
    _count(by_column, left, counts, 1, weights)
    free = np.ones(size, dtype=np.bool_)
    picks: list[int] = []
    scores: list[float] = []
    gains: list[int] = []
    while len(picks) < n:
        rows = np.flatnonzero(free)
        value = weight * doubt[rows] + (1.0 - weight) * unit_range(counts[rows].astype(np.float64))
        equals = np.flatnonzero(value == value.max())
        best = equals[ties[rows[equals]].argmin()]
        row = int(rows[best])
        picks.append(row)
        scores.append(float(value[best]))
        gains.append(int(counts[row]))
        free[row] = False
        new = by_column[:, row] & left
        left &= ~new
        _count(by_column, new, counts, -1, weights)
    return np.array(picks, np.int64), np.array(scores), np.array(gains, np.int64)


def _count(
    by_column: UInt8[np.ndarray, "bytes n"],
    bits: UInt8[np.ndarray, " bytes"],
    counts: Int64[np.ndarray, " n"],
    sign: int,
    weights: Planes | None,
) -> None:
    """Add to every row's count how many of these points it covers, or take them away."""
    if weights is not None:
        for value, plane in weights:
            _count(by_column, bits & plane, counts, sign * value, None)
        return
    columns = np.flatnonzero(bits)
    for start in range(0, len(columns), _BYTES):
        some = columns[start : start + _BYTES]
        found = np.bitwise_count(by_column[some] & bits[some][:, None])
        counts += sign * found.sum(axis=0, dtype=np.int64)
