"""Greedy maximum coverage by balls of a fixed radius (ProbCover: Yehuda et al. 2022).

Which item covers which is one bit each, against at most `sample` items that are to be covered: so
memory is N · sample / 8 bytes, and a pick that is worth looking at costs one count of bits.
"""

import heapq

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from labelgap.core.errors import LabelgapError
from labelgap.select.arrays import ROWS, wide_mean
from labelgap.select.distinct import distinct
from labelgap.select.geometry import accurate, closer
from labelgap.select.kmeans import kmeans
from labelgap.select.top import check_budget

# Items and points of a block, a multiple of 8: its float32 products are 4 MB.
_BLOCK = 1024

Planes = list[tuple[int, UInt8[np.ndarray, " bytes"]]]
"""Counts of points by their binary digits: 2ᵇ, and packed which counts have the digit b."""


def planes(counts: Int64[np.ndarray, " m"]) -> Planes:
    """Counts as `counted` takes them, so that weighted bits are counted as fast as plain ones."""
    digits = range(int(counts.max(initial=0)).bit_length())
    found = [(1 << b, np.packbits((counts >> b & 1).astype(np.bool_))) for b in digits]
    return [(value, bits) for value, bits in found if bits.any()]


def purity_radius(
    z: Float[Tensor, "n d"],
    classes: int,
    purity: float,
    rng: np.random.Generator,
    sample: int = 1000,
) -> float:
    """The largest radius at which a share `purity` of balls holds one k-means cluster only.

    A ball around x is pure while its radius is below the distance from x to the nearest item of
    another cluster; so the radius sought is a quantile of these distances (Yehuda et al. 2022
    search a grid). Balls are drawn around `sample` items.

    Raises
    ------
    LabelgapError: k-means found one cluster only, as when all items coincide.
    """
    _, cluster, _ = kmeans(z, min(classes, len(z)), rng)
    rows = np.sort(rng.permutation(len(z))[:sample])
    mean = wide_mean(z)
    # Copies have one distance: it is found once.
    found = distinct(z)
    one, again = np.unique(found.inverse[rows], return_inverse=True)
    centres = torch.from_numpy(one)
    if found.copies:
        z, cluster = z[found.rows], cluster[found.rows]
    nearest = torch.full((len(centres),), torch.inf, dtype=mean.dtype, device=z.device)
    for start in range(0, len(z), ROWS):
        part = slice(start, start + ROWS)
        d2 = accurate(z[centres], z[part], mean)
        d2.masked_fill_(cluster[centres][:, None] == cluster[part], torch.inf)
        nearest = torch.minimum(nearest, d2.amin(1))
    if not bool(torch.isfinite(nearest).all()):
        raise LabelgapError(
            "The radius of the balls cannot be found: the embedding is a single cluster.",
            "Give it: `--set acquisition.delta=0.5`.",
        )
    radii = nearest.sqrt().cpu().numpy()[again]
    return float(np.quantile(radii, 1.0 - purity, method="lower"))


def balls(
    z: Float[Tensor, "n d"], points: Float[Tensor, "m d"], radius: float
) -> UInt8[np.ndarray, "n bytes"]:
    """Bit j of row i: is point j closer to item i than the radius? Packed, eight to a byte.

    Where the points are the items themselves (the same object) each pair is looked at once.
    """
    mean, same = wide_mean(z), points is z
    packed = np.empty((len(z), -(-len(points) // 8)), dtype=np.uint8)

    def fill(start: int, column: int, inside: Bool[np.ndarray, "r c"]) -> None:
        bits = np.packbits(inside, axis=1)
        packed[start : start + len(bits), column // 8 : column // 8 + bits.shape[1]] = bits

    for i in range(0, len(z), _BLOCK):
        for j in range(i if same else 0, len(points), _BLOCK):
            inside = closer(z[i : i + _BLOCK], points[j : j + _BLOCK], mean, radius)
            fill(i, j, inside)
            if same and j > i:
                fill(j, i, inside.T)
    return packed


def greedy_cover(
    covers: UInt8[np.ndarray, "n bytes"],
    covered: UInt8[np.ndarray, " bytes"],
    n: int,
    ties: Float[np.ndarray, " n"],
    weights: Planes | None = None,
) -> tuple[Int64[np.ndarray, " b"], Int64[np.ndarray, " b"]]:
    """n rows, each covering the most points that are not covered yet, and how many it covered.

    Counts only fall, so old ones are upper bounds: the row of the largest bound is counted anew,
    and it is the pick if its bound still holds (Minoux 1978). Equal counts go by the smaller draw,
    so that once everything is covered what follows is a uniform draw without replacement.

    weights: how many items each point stands for, by `planes`; None means one.
    """
    check_budget(n, len(covers))
    left = ~covered
    heap = []
    for start in range(0, len(covers), ROWS):
        counts = counted(covers[start : start + ROWS] & left, weights)
        draws = ties[start : start + ROWS].tolist()
        rows = range(start, start + len(draws))
        heap += list(zip((-counts).tolist(), draws, rows, strict=True))
    heapq.heapify(heap)
    picks: list[int] = []
    gains: list[int] = []
    while len(picks) < n:
        bound, tie, row = heapq.heappop(heap)
        gain = int(counted(covers[row, None] & left, weights)[0])
        if gain < -bound:
            heapq.heappush(heap, (-gain, tie, row))
            continue
        picks.append(row)
        gains.append(gain)
        left &= ~covers[row]
    return np.array(picks, dtype=np.int64), np.array(gains, dtype=np.int64)


def counted(
    bits: UInt8[np.ndarray, "n bytes"], weights: Planes | None = None
) -> Int64[np.ndarray, " n"]:
    """How many points the bits of each row stand for."""
    if weights is None:
        ones: Int64[np.ndarray, " n"] = np.bitwise_count(bits).sum(axis=1, dtype=np.int64)
        return ones
    total = np.zeros(len(bits), dtype=np.int64)
    for value, plane in weights:
        total += value * np.bitwise_count(bits & plane).sum(axis=1, dtype=np.int64)
    return total
