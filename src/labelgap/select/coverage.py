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
from labelgap.select.geometry import accurate, closer
from labelgap.select.kmeans import kmeans
from labelgap.select.top import check_budget

# Items and points of a block, a multiple of 8: its float32 products are 4 MB.
_BLOCK = 1024


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
    rows = rng.permutation(len(z))[:sample]
    centres = torch.from_numpy(np.sort(rows))
    mean = wide_mean(z)
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
    return float(np.quantile(nearest.sqrt().cpu().numpy(), 1.0 - purity, method="lower"))


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
) -> tuple[Int64[np.ndarray, " b"], Int64[np.ndarray, " b"]]:
    """n rows, each covering the most points that are not covered yet, and how many it covered.

    Counts only fall, so old ones are upper bounds: the row of the largest bound is counted anew,
    and it is the pick if its bound still holds (Minoux 1978). Equal counts go by the smaller draw,
    so that once everything is covered what follows is a uniform draw without replacement.
    """
    check_budget(n, len(covers))
    left = ~covered
    heap = []
    for start in range(0, len(covers), ROWS):
        counts = np.bitwise_count(covers[start : start + ROWS] & left).sum(axis=1, dtype=np.int64)
        draws = ties[start : start + ROWS].tolist()
        rows = range(start, start + len(draws))
        heap += list(zip((-counts).tolist(), draws, rows, strict=True))
    heapq.heapify(heap)
    picks: list[int] = []
    gains: list[int] = []
    while len(picks) < n:
        bound, tie, row = heapq.heappop(heap)
        gain = int(np.bitwise_count(covers[row] & left).sum(dtype=np.int64))
        if gain < -bound:
            heapq.heappush(heap, (-gain, tie, row))
            continue
        picks.append(row)
        gains.append(gain)
        left &= ~covers[row]
    return np.array(picks, dtype=np.int64), np.array(gains, dtype=np.int64)
