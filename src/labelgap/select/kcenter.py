"""Greedy k-center with the picks of the plain greedy, at the price of a few matrix products.

Plain greedy reads all features for every pick. But distances to the nearest centre only shrink,
so old ones are upper bounds: take the m items of largest bound, find their true distances, and
pick among them for as long as the farthest beats every bound outside the block. Only then do
the picks meet the whole pool, together, in one product (lazy greedy: Minoux 1978).
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from labelgap.core import scratch
from labelgap.core.errors import LabelgapError
from labelgap.select.arrays import ROWS, Factor, lowest, row_extents, row_norms, views, wide_mean
from labelgap.select.distinct import distinct
from labelgap.select.geometry import Euclidean, Geometry, accurate_nearest
from labelgap.select.top import check_budget, check_finite, top


def k_center(
    z: Float[Tensor, "n d"],
    centres: Float[Tensor, "m d"] | None,
    n: int,
    *,
    ties: Float[np.ndarray, " n"] | None = None,
    block: int = 128,
    first: int | None = None,
) -> Int64[Tensor, " b"]:
    """n distinct positions by greedy k-center (Sener and Savarese 2018), in the order picked.

    Each pick is the item farthest (Euclidean) from its nearest centre; centres are the labelled
    items and the picks so far. Copies of a pick come last, when nothing else is left.

    Parameters
    ----------
    centres: features of *all* labelled items; None or empty starts from `first`, or without it
        from the item nearest the mean.
    ties: one draw per item, the smaller first among equal distances; None means the position.
    block: items whose true distances are found at a time; changes speed, not the picks.

    The picks are those of the plain greedy on squared distances computed in float64 and rounded
    to float32 (so that duplicates and symmetric items tie). A plain greedy in float32 may part
    from it where two items' distances agree to about six digits.

    Raises
    ------
    BudgetError: n exceeds the items.   NumericalError: a feature is NaN or infinite.
    """
    check_budget(n, len(z))
    check_finite({"features": row_extents(z)})
    if n == 0:
        return torch.empty(0, dtype=torch.int64, device=z.device)
    ties = np.arange(len(z), dtype=np.float64) if ties is None else ties
    found = distinct(z, ties=ties)
    if not found.copies:
        return _k_center(z, wide_mean(z.detach()), centres, n, ties, block, first)
    start = None if first is None else int(found.inverse[first])
    rows, few = scratch.rows(z, found.rows.to(z.device)), min(n, len(found))
    draws = ties[found.first]
    picks = _k_center(rows, wide_mean(z.detach()), centres, few, draws, block, start, far=True)
    items = found.first[picks.cpu().numpy()]
    if first is not None:
        items[0] = first  # that very item, not the one that stands for its copies
    # What is left coincides with a centre or a pick: by the draw alone.
    rest = np.setdiff1d(np.arange(len(z)), items)
    items = np.concatenate([items, rest[np.argsort(ties[rest], kind="stable")]])[:n]
    return torch.from_numpy(items).to(z.device)


def _k_center(
    z: Float[Tensor, "n d"],
    mean: Float[Tensor, " d"],
    centres: Float[Tensor, "m d"] | None,
    n: int,
    ties: Float[np.ndarray, " n"],
    block: int,
    first: int | None,
    far: bool = False,
) -> Int64[Tensor, " _"]:
    """`k_center` of rows that differ; `mean` is that of all items.

    far: stop where every item left is at distance 0, so that fewer may be picked.
    """
    cover = _Euclidean(z, mean)
    if centres is not None and len(centres):
        known = centres.detach()[distinct(centres).rows.to(centres.device)]
        return _greedy(cover, cover.meet(known), n, block, ties, [], far)
    start = cover.middle(ties) if first is None else first
    return _greedy(cover, cover.meet(cover.z[start, None]), n, block, ties, [start], far)


def k_center_by(
    distance: Callable[[Int64[Tensor, " m"]], Float[Tensor, "n m"]],
    nearest: Float[Tensor, " n"] | None,
    n: int,
    *,
    ties: Float[np.ndarray, " n"] | None = None,
    block: int = 128,
    first: int | None = None,
) -> Int64[Tensor, " b"]:
    """`k_center` for any non-negative distance, given as columns.

    Parameters
    ----------
    distance: positions [m] -> distances of all n items to them [n, m]; asked for `block`
        columns at a time, so memory stays linear in the items.
    nearest: distance of every item to its nearest centre; None starts from `first`.

    The picks are those of the plain greedy on the values `distance` gives.

    Raises
    ------
    BudgetError: n exceeds the items.   NumericalError: a distance is NaN or infinite.
    LabelgapError: neither `nearest` nor `first`.
    """
    columns = _Columns(distance)
    return _from(columns, lambda at: distance(at)[:, 0], nearest, n, block, ties, first)


def k_center_in(
    space: Geometry,
    nearest: Float[Tensor, " n"] | None,
    n: int,
    *,
    ties: Float[np.ndarray, " n"] | None = None,
    block: int = 128,
    first: int | None = None,
) -> Int64[Tensor, " b"]:
    """`k_center_by` for distances whose nearest of a few is found without all of them.

    Items meet the picks alone, and nothing of n x `block` is held.

    Raises
    ------
    BudgetError, LabelgapError: as `k_center_by`.
    """
    there = space.device
    return _from(
        _Pairs(space), lambda at: space.nearest(at.to(there)), nearest, n, block, ties, first
    )


@runtime_checkable
class _Cover(Protocol):
    """The three questions of the lazy greedy."""

    def settle(self, members: Tensor, upper: Tensor) -> Tensor:
        """True distances of a block's members to their nearest centre."""

    def within(self, j: int) -> Tensor:
        """True distances of the members to the j-th of them."""

    def add(self, members: Tensor, picked: list[int]) -> Tensor:
        """The picked members become centres; upper bounds of all items' distance to them."""


def _from(
    cover: _Cover,
    away: Callable[[Int64[Tensor, " 1"]], Float[Tensor, " n"]],
    nearest: Float[Tensor, " n"] | None,
    n: int,
    block: int,
    ties: Float[np.ndarray, " n"] | None,
    first: int | None,
) -> Int64[Tensor, " b"]:
    """The greedy from `nearest`, or from the item `first`, from which every item is `away`."""
    picks = []
    if nearest is None:
        if first is None:
            raise LabelgapError(
                "No centre to start from.", "Give `nearest`, or the position of `first`."
            )
        picks = [first]
        nearest = away(torch.tensor(picks))
    check_budget(n, len(nearest))
    if n == 0:
        return torch.empty(0, dtype=torch.int64, device=nearest.device)
    ties = np.arange(len(nearest), dtype=np.float64) if ties is None else ties
    return _greedy(cover, nearest.detach().clone(), n, block, ties, picks)


def _greedy(
    cover: _Cover,
    upper: Float[Tensor, " n"],
    n: int,
    block: int,
    ties: Float[np.ndarray, " n"],
    picks: list[int],
    far: bool = False,
) -> Int64[Tensor, " _"]:
    upper[picks] = -1.0  # below every distance
    size = block
    while len(picks) < n:
        size = min(size, len(upper) - len(picks))
        best = top(upper, min(size + 1, len(upper)), ties)
        members, names = best[:size], best[:size].tolist()
        rival = int(best[-1])
        bar = (float(upper[rival]), -ties[rival]) if len(best) > size else (-1.0, -np.inf)
        draw = ties[np.asarray(names)]
        true = cover.settle(members, upper).cpu().numpy()
        picked: list[int] = []
        while len(picks) < n:
            farthest = np.flatnonzero(true == true.max())
            j = int(farthest[np.argmin(draw[farthest])])
            if true[j] < 0 or (float(true[j]), -draw[j]) < bar:
                break
            if far and true[j] == 0:
                return torch.tensor(picks, dtype=torch.int64, device=upper.device)
            picked.append(j)
            picks.append(names[j])
            true = np.minimum(true, cover.within(j).cpu().numpy())
            true[picked] = -1.0
        upper[members] = torch.from_numpy(true).to(upper)
        if not picked:
            size *= 2  # ties or rounding at the border: look at more items at once
        elif len(picks) < n:
            # Near copies are all about equally far: few of a block are picked, and more of them are
            # looked at in vain.
            size = block if 8 * len(picked) >= size else max(8, size // 2)
            upper = torch.minimum(upper, cover.add(members, picked).to(upper.dtype))
    return torch.tensor(picks, dtype=torch.int64, device=upper.device)


class _Euclidean:
    """Bounds by float32 products with their rounding added; truth in float64."""

    def __init__(self, z: Float[Tensor, "n d"], mean: Float[Tensor, " d"] | None = None) -> None:
        items = Euclidean(z, mean)
        self.z, self.x, self.norms, self.mean = items.z, items.x, items.norms, items.mean
        self.centres: list[Tensor] = []
        self.block = self.z[:0]
        # |fl(‖x‖² + ‖c‖² - 2 x·c) - ‖x - c‖²| <= gamma (‖x‖² + ‖c‖²), with ‖c‖ <= ‖x‖ + ‖x - c‖.
        self.gamma = (z.shape[1] + 16) * torch.finfo(z.dtype).eps / 2

    def middle(self, ties: Float[np.ndarray, " n"]) -> int:
        """The item nearest the mean."""
        away = accurate_nearest(self.z, self.mean[None], self.mean)
        return int(top(-away.to(torch.float32), 1, ties)[0])

    def meet(self, centres: Float[Tensor, "m d"]) -> Float[Tensor, " n"]:
        self.centres.append(centres)
        shift = self.mean.to(self.z.dtype)
        out = torch.full_like(self.norms, torch.inf)
        for some in torch.split(centres, 256):
            c = some - shift
            out = torch.minimum(out, lowest([Factor(self.x, -2.0 * c)], row_norms(c)))
        out = (out + self.norms).clamp_min_(0.0)
        return out * (1 + 4 * self.gamma) + 4 * self.gamma * self.norms

    def settle(self, members: Tensor, upper: Tensor) -> Tensor:
        self.block = self.z[members]
        parts = [accurate_nearest(self.block, c, self.mean) for c in self.centres]
        return torch.stack(parts).amin(0).to(torch.float32)

    def within(self, j: int) -> Tensor:
        xp, (block, mean) = views(self.block, self.mean)
        row = block[j] + 0 * mean  # widened
        away = [xp.square(block[i : i + ROWS] - row).sum(1) for i in range(0, len(block), ROWS)]
        return torch.as_tensor(xp.concatenate(away)).to(torch.float32)

    def add(self, members: Tensor, picked: list[int]) -> Tensor:
        return self.meet(self.block[picked])


class _Columns:
    """A distance that comes in columns and is taken at its word."""

    def __init__(self, distance: Callable[[Tensor], Tensor]) -> None:
        self.distance = distance
        self.columns = torch.empty(0, 0)
        self.rows = torch.empty(0, 0)

    def settle(self, members: Tensor, upper: Tensor) -> Tensor:
        self.columns = self.distance(members)
        check_finite({"distance": self.columns.amax(1)})
        self.rows = self.columns[members].to(upper.dtype)
        return upper[members]

    def within(self, j: int) -> Tensor:
        return self.rows[:, j]

    def add(self, members: Tensor, picked: list[int]) -> Tensor:
        return self.columns[:, picked].amin(1)


class _Pairs:
    """Distances of a space whose upper bounds are true at any time."""

    def __init__(self, space: Geometry) -> None:
        self.space = space
        self.rows = torch.empty(0, 0)

    def settle(self, members: Tensor, upper: Tensor) -> Tensor:
        self.rows = self.space.pairs(members, members)
        return upper[members]

    def within(self, j: int) -> Tensor:
        return self.rows[:, j]

    def add(self, members: Tensor, picked: list[int]) -> Tensor:
        return self.space.nearest(members[picked])
