"""Largest cluster, farthest member: k-center that respects density (Holzmüller et al. 2023).

Every item belongs to its nearest centre. The next centre is the farthest member of the cluster
whose squared distances sum to most: a far item among few is passed over for a crowd.
"""

import heapq

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from labelgap.select.arrays import Factor, products
from labelgap.select.geometry import GATHER, NEAR, Euclidean
from labelgap.select.top import best_first, check_budget

# Columns of distances held at a time, 64 MB in float64.
_HELD = 1 << 23


def largest_clusters(
    z: Float[Tensor, "n d"],
    centres: Float[Tensor, "m d"],
    n: int,
    ties: Float[np.ndarray, " n"],
    block: int = 32,
    counts: Int64[np.ndarray, " n"] | None = None,
) -> tuple[Int64[np.ndarray, " b"], Float[np.ndarray, " b"], Float[np.ndarray, " b"]]:
    """n positions in the order they are picked; of each its squared distance to the centres and
    earlier picks, and the sum of squared distances of the cluster it was in.

    Parameters
    ----------
    centres: there from the start. Without any the first pick is the longest item, whose distance
        and sum are infinite.
    ties: among equally far members the smaller draw comes first. When every item coincides with
        a centre the rest follows in the order of the draws.
    block: columns of distances computed together, of the pick and of what is likely to be picked
        soon; changes speed only.
    counts: how many items each row stands for, in the sums of its cluster; None means one.

    Exact but for the rounding of distances, which is that of `geometry`'s ladder.

    Raises
    ------
    BudgetError: n exceeds the items.
    """
    check_budget(n, len(z))
    items, state = Euclidean(z), _Clusters(len(z), counts)
    block = max(1, min(block, _HELD // max(1, len(z))))
    for some in torch.split(centres, block) if len(centres) else ():
        for column in distances(items, some):
            state.add(column)
    picks: list[int] = []
    gaps: list[float] = []
    sums: list[float] = []
    if n and not len(centres):
        lengths = z.double().square().sum(1).cpu().numpy()
        picks, gaps, sums = [int(best_first(lengths, ties)[0])], [np.inf], [np.inf]
        state.add(distances(items, items.z[picks])[0], picks[0])
    columns: dict[int, Float[np.ndarray, " n"]] = {}
    while len(picks) < n and state.away.any():
        masses = state.masses()
        pick = state.farthest(int(masses.argmax()), ties)
        if pick not in columns:
            at = state.likely(masses, block, ties)
            found = distances(items, items.z[torch.tensor(at, device=z.device)])
            columns = dict(zip(at, found, strict=True))
        picks.append(pick)
        gaps.append(float(state.away[pick]))
        sums.append(float(masses.max()))
        state.add(columns[pick], pick)
    rest = np.setdiff1d(np.arange(len(z)), picks)
    rest = rest[np.argsort(ties[rest], kind="stable")][: n - len(picks)]
    nothing = np.zeros(len(rest))
    return (
        np.concatenate([picks, rest]).astype(np.int64),
        np.concatenate([gaps, nothing]),
        np.concatenate([sums, nothing]),
    )


def distances(items: Euclidean, few: Float[Tensor, "c d"]) -> Float[np.ndarray, "c n"]:
    """Squared distances of a few points to all items, float64; 0 where they coincide."""
    c = few - items.mean.to(few.dtype)
    norms = c.double().square().sum(1)
    found = products(Factor(items.x, -2.0 * c)).double()
    found += norms.to(items.x.dtype).double()
    found += items.norms.double()[:, None]
    near = torch.nonzero(found.amin(1) < 2 * NEAR * items.norms.double()).squeeze(1)
    for rows in torch.split(near, max(1, GATHER // max(len(few), items.z.shape[1]))):
        found[rows] = items.to(rows, few).double()
    return np.ascontiguousarray(found.clamp_min_(0.0).T.cpu().numpy())


class _Clusters:
    """Each item's nearest centre and the squared distance to it."""

    def __init__(self, size: int, counts: Int64[np.ndarray, " n"] | None = None) -> None:
        self.weights = np.ones(size) if counts is None else counts.astype(np.float64)
        self.away: Float[np.ndarray, " n"] = np.full(size, np.inf)
        self.cluster: Int64[np.ndarray, " n"] = np.full(size, -1, dtype=np.int64)
        self.number = 0

    def add(self, column: Float[np.ndarray, " n"], pick: int | None = None) -> None:
        """One more centre, which may be an item itself."""
        nearer = column < self.away
        self.away[nearer] = column[nearer]
        self.cluster[nearer] = self.number
        if pick is not None:
            self.away[pick], self.cluster[pick] = 0.0, self.number
        self.number += 1

    def masses(self) -> Float[np.ndarray, " k"]:
        """Sum of squared distances of every cluster."""
        return np.bincount(self.cluster, weights=self.away * self.weights, minlength=self.number)

    def farthest(self, cluster: int, ties: Float[np.ndarray, " n"]) -> int:
        """The member farthest from its centre; among equals the smaller draw."""
        members = np.flatnonzero(self.cluster == cluster)
        away = self.away[members]
        equals = members[away == away.max()]
        return int(equals[ties[equals].argmin()])

    def likely(
        self, masses: Float[np.ndarray, " k"], number: int, ties: Float[np.ndarray, " n"]
    ) -> list[int]:
        """The next picks, if each new centre attracted nobody but itself; the first is the next."""
        heap = [(-mass, j) for j, mass in enumerate(masses.tolist()) if mass > 0]
        heapq.heapify(heap)
        queues: dict[int, list[int]] = {}
        found: list[int] = []
        while heap and len(found) < number:
            mass, j = heapq.heappop(heap)
            if j not in queues:
                members = np.flatnonzero(self.cluster == j)
                far = np.lexsort((ties[members], -self.away[members]))[:number]
                queues[j] = members[far[::-1]].tolist()
            if queues[j]:
                found.append(queues[j].pop())
                share = float(self.away[found[-1]] * self.weights[found[-1]])
                heapq.heappush(heap, (mass + share, j))
        return found
