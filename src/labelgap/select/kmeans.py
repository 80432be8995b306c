"""Lloyd's k-means on the CPU or a device, started by greedy k-means++ in blocks.

At the sizes of a query (10,000 candidates, 1,000 clusters) the usual start costs more than all
of Lloyd's steps, and it is the start that is made fast here. Many clusters of wide items are first
sought in the items' leading directions, and go on from there with all of them: less time, and on
networks' features a smaller sum of squares (benchmarks/speed/clusters.md). One path serves every
device, and it is deterministic on the CPU whatever the number of threads.
"""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from labelgap.core import scratch
from labelgap.core.linalg import matmul, one_pool
from labelgap.select.arrays import row_norms, views, wide, wide_mean, wide_pieces
from labelgap.select.distinct import distinct
from labelgap.select.narrow import narrowed
from labelgap.select.seeds import greedy_seeds
from labelgap.select.top import check_budget

_ROWS = 2048
_WAITING = 64
"""Centres without an item whose distances to all items are computed at once."""
_DIRECTIONS = 64
_WIDE, _MANY = 256, 64
"""Fewer features, or fewer clusters, leave little to save."""
_FIRST = 10
"""Steps among the leading directions; more of them move hardly anything."""
_MOST_MOVED = 0.8
"""Of the centres; beyond, so many rows lose theirs that all is computed again."""


@one_pool()
def kmeans(
    z: Float[Tensor, "n d"],
    k: int,
    rng: np.random.Generator,
    *,
    steps: int = 300,
    tolerance: float = 1e-4,
    trials: int | None = None,
) -> tuple[Float[Tensor, "k d"], Int64[Tensor, " n"], float]:
    """Centres [k, d], each item's cluster [n] and the inertia Σ ‖z_i - centre‖².

    Parameters
    ----------
    steps, tolerance: stop after so many steps, when no item changes its cluster, or when the
        centres' squared movement falls under tolerance x the mean variance of a feature
        (scikit-learn's rules and defaults, so the two compare).
    trials: D² draws per starting centre, of which the best is kept; None is 2 + log k.

    A cluster that empties is restarted at the item farthest from its centre; with fewer distinct
    items than k some clusters stay empty.

    Raises
    ------
    BudgetError: k exceeds the items, or is 0.
    """
    z = z.detach()
    found = distinct(z)
    if not found.copies:
        return _lloyd(z, k, rng, None, steps, tolerance, trials)
    check_budget(k, len(z), "items to cluster")
    rows, weights = scratch.rows(z, found.rows.to(z.device)), found.counts.astype(np.float64)
    inverse = torch.from_numpy(found.inverse).to(z.device)
    if k >= len(rows):
        return torch.cat([rows, rows[:1].expand(k - len(rows), -1)]), inverse, 0.0
    centres, cluster, inertia = _lloyd(rows, k, rng, weights, steps, tolerance, trials)
    return centres, cluster[inverse], inertia


@one_pool()
def kmeans_of_sample(
    z: Float[Tensor, "n d"], k: int, rng: np.random.Generator, sample: int, *, steps: int = 300
) -> Int64[Tensor, " n"]:
    """Each item's cluster [n]; of more items than `sample` the centres are those of a uniform
    sample, since hundreds of clusters of a million items take minutes otherwise.

    Raises
    ------
    BudgetError: k exceeds the items or the sample, or is 0.
    """
    if len(z) <= sample:
        return kmeans(z, k, rng, steps=steps)[1]
    rows = torch.from_numpy(np.sort(rng.choice(len(z), sample, replace=False))).to(z.device)
    some = z[rows]
    centres, _, _ = kmeans(some, k, rng, steps=steps)
    mean = wide_mean(some).to(z.dtype)
    found = []
    for part in torch.split(z.detach(), _ROWS):
        x = part - mean
        found.append(_assign(x, row_norms(x), centres - mean)[0])
    return torch.cat(found)


def _lloyd(
    z: Float[Tensor, "n d"],
    k: int,
    rng: np.random.Generator,
    weights: Float[np.ndarray, " n"] | None,
    steps: int = 300,
    tolerance: float = 1e-4,
    trials: int | None = None,
) -> tuple[Float[Tensor, "k d"], Int64[Tensor, " n"], float]:
    """`kmeans` of rows, each of which stands for as many items as its weight says."""
    mass = None if weights is None else torch.from_numpy(weights).to(z.device, wide(z.device))
    mean = _mean(z, mass).to(z.dtype)
    x = scratch.empty(*z.shape, dtype=z.dtype, device=z.device)
    torch.sub(z, mean, out=x)
    sums = _Sums(x, k, mass)
    if k >= _MANY and x.shape[1] >= _WIDE:
        few = narrowed(x, _DIRECTIONS, rng)
        seeds = greedy_seeds(few, k, rng, trials, weights=weights)
        first = min(steps, _FIRST)
        _, cluster, distance = _steps(_Sums(few, k, mass), few[seeds], first, tolerance)
        sums.update(cluster)
        start = _centres(x, sums, distance, x[seeds])
    else:
        start = x[greedy_seeds(x, k, rng, trials, weights=weights)]
    centres, cluster, _ = _steps(sums, start, steps, tolerance)
    parts = []
    for i in range(0, len(x), _ROWS):
        gap = (x[i : i + _ROWS] - centres[cluster[i : i + _ROWS]]).to(wide(z.device)).square()
        parts.append(gap.sum() if mass is None else gap.sum(1) @ mass[i : i + _ROWS])
    return centres + mean, cluster, math.fsum(torch.stack(parts).tolist())


def _steps(
    sums: "_Sums", centres: Float[Tensor, "k d"], steps: int, tolerance: float
) -> tuple[Float[Tensor, "k d"], Int64[Tensor, " n"], Float[Tensor, " n"]]:
    """Lloyd's steps from a start: centres, each row's cluster and its squared distance."""
    x, mass = sums.x, sums.mass
    norms = row_norms(x)
    spread = norms.to(wide(x.device))
    spread = spread.mean() if mass is None else (spread * mass).sum() / mass.sum()
    enough = tolerance * float(spread) / x.shape[1]
    cluster, distance = _assign(x, norms, centres)
    for _ in range(steps):
        sums.update(cluster)
        moved = _centres(x, sums, distance, centres)
        shift = float((moved - centres).to(wide(x.device)).square().sum())
        still, centres, before = (moved == centres).all(1), moved, cluster
        cluster, distance = _reassign(x, norms, centres, still, cluster, distance)
        if shift <= enough or torch.equal(cluster, before):
            break
    return centres, cluster, distance


def _mean(z: Float[Tensor, "n d"], mass: Float[Tensor, " n"] | None) -> Float[Tensor, " d"]:
    if mass is None:
        return wide_mean(z)
    total = torch.zeros(z.shape[1], dtype=mass.dtype, device=z.device)
    for start, part in wide_pieces(z):
        total += mass[start : start + len(part)] @ part
    return total / mass.sum()


@one_pool()
def representatives(
    z: Float[Tensor, "n d"],
    k: int,
    rng: np.random.Generator,
    weights: Float[np.ndarray, " n"] | None = None,
) -> Int64[Tensor, " k"]:
    """k distinct positions: the item nearest to each of k centres (paper, section 2.4).

    Where two centres share a nearest item the closer centre keeps it, and the other takes the
    nearest item that is still free. So ties and k = n give exactly k items. Copies count in the
    centres, and none of them is taken twice while items that differ are left; then the rest is
    drawn uniformly.

    Parameters
    ----------
    weights: how many items each row stands for; None means one.

    Raises
    ------
    BudgetError: k exceeds the items.
    """
    check_budget(k, len(z))
    if k == 0 or k == len(z):
        return torch.arange(k, device=z.device)
    found = distinct(z)
    if not found.copies:
        return _nearest(z, k, rng, weights)
    mass = found.counts if weights is None else np.bincount(found.inverse, weights)
    rows = z[found.rows.to(z.device)]
    few = _nearest(rows, min(k, len(rows)), rng, mass.astype(np.float64)).cpu().numpy()
    more = rng.choice(found.others(), k - len(few), replace=False)
    return torch.from_numpy(np.concatenate([found.first[few], more])).to(z.device)


def _nearest(
    z: Float[Tensor, "n d"],
    k: int,
    rng: np.random.Generator,
    weights: Float[np.ndarray, " n"] | None,
) -> Int64[Tensor, " k"]:
    """`representatives` of rows that differ."""
    if k == len(z):
        return torch.arange(k, device=z.device)
    found = kmeans(z, k, rng) if weights is None else _lloyd(z.detach(), k, rng, weights)
    centres = found[0]
    mean = wide_mean(z).to(z.dtype)
    x, c = z.detach() - mean, centres - mean
    item, distance = _assign(c, row_norms(c), x)
    # Read at once: a device would make the host wait for each centre's.
    nearest, waiting = item.tolist(), []
    taken: dict[int, int] = {}  # which centre an item stands for
    for j in torch.argsort(distance, stable=True).tolist():
        if nearest[j] in taken:
            waiting.append(j)
        else:
            taken[nearest[j]] = j
    chosen = item.clone()
    if waiting:
        free = torch.ones(len(z), dtype=torch.bool, device=z.device)
        free[torch.tensor(list(taken), device=z.device)] = False
        norms = row_norms(x)
        for start in range(0, len(waiting), _WAITING):
            some = waiting[start : start + _WAITING]
            # Without the centre's own square, which moves all of its distances alike.
            for j, away in zip(some, norms - 2.0 * matmul(c[some], x.T), strict=True):
                chosen[j] = away.masked_fill_(~free, torch.inf).argmin()
                free.index_fill_(0, chosen[j : j + 1], False)
    return chosen


def _assign(
    x: Float[Tensor, "n d"], norms: Float[Tensor, " n"], centres: Float[Tensor, "k d"]
) -> tuple[Int64[Tensor, " n"], Float[Tensor, " n"]]:
    """The nearest centre of each row (the first of equals) and the squared distance to it."""
    xp, (rows, left, shift) = views(x, -2.0 * centres, row_norms(centres))
    cluster, distance = [], []
    for i in range(0, len(x), _ROWS):
        product = rows[i : i + _ROWS] @ left.T
        product += shift
        cluster.append(xp.argmin(product, 1))
        distance.append(xp.amin(product, 1))
    found = torch.as_tensor(xp.concatenate(distance)) + norms
    return torch.as_tensor(xp.concatenate(cluster)), found.clamp_min_(0.0)


def _reassign(
    x: Float[Tensor, "n d"],
    norms: Float[Tensor, " n"],
    centres: Float[Tensor, "k d"],
    still: Bool[Tensor, " k"],
    cluster: Int64[Tensor, " n"],
    distance: Float[Tensor, " n"],
) -> tuple[Int64[Tensor, " n"], Float[Tensor, " n"]]:
    """`_assign` after some centres moved, from the answer before: exact, and cheaper at the end.

    A centre that stands still was no nearer than the nearest, so it is looked at again only by
    rows whose own centre went away from them.
    """
    moved = torch.nonzero(~still).squeeze(1)
    if len(moved) > _MOST_MOVED * len(centres):
        return _assign(x, norms, centres)
    if not len(moved):
        return cluster, distance
    near, away = _assign(x, norms, centres[moved])
    near = moved[near]
    own = ~still[cluster]
    # Of equals the first, as everywhere: a still centre behind the own one may be as near.
    behind = (away == distance) & (near > cluster)
    lost = torch.nonzero(own & ((away > distance) | behind)).squeeze(1)
    nearer = own | (away < distance) | ((away == distance) & (near < cluster))
    found, least = torch.where(nearer, near, cluster), torch.where(nearer, away, distance)
    if len(lost):
        found[lost], least[lost] = _assign(x[lost], norms[lost], centres)
    return found, least


class _Sums:
    """Sums of the clusters' rows, in float64, and their counts.

    After the first steps few rows change their cluster, and only these are moved.
    """

    def __init__(
        self, x: Float[Tensor, "n d"], k: int, mass: Float[Tensor, " n"] | None = None
    ) -> None:
        self.x, self.mass = x, mass
        self.sums = torch.zeros(k, x.shape[1], dtype=wide(x.device), device=x.device)
        kind = torch.int64 if mass is None else mass.dtype
        self.counts = torch.zeros(k, dtype=kind, device=x.device)
        self.cluster = torch.full((len(x),), -1, dtype=torch.int64, device=x.device)
        self.filled = False

    def update(self, cluster: Int64[Tensor, " n"]) -> None:
        moved = torch.nonzero(cluster != self.cluster).squeeze(1)
        for rows in torch.split(moved, _ROWS):
            part = self.x[rows].to(self.sums.dtype)
            number = torch.ones_like(rows) if self.mass is None else self.mass[rows]
            part = part if self.mass is None else part * number[:, None]
            self._add(part, number, cluster[rows], 1)
            if self.filled:
                self._add(part, number, self.cluster[rows], -1)
        self.cluster, self.filled = cluster, True

    def _add(self, part: Tensor, number: Tensor, cluster: Tensor, sign: int) -> None:
        self.sums.index_add_(0, cluster, part, alpha=sign)
        self.counts.index_add_(0, cluster, number, alpha=sign)


def _centres(x: Tensor, sums: _Sums, distance: Tensor, old: Tensor) -> Tensor:
    """Means of the clusters; empty ones restart at the farthest items."""
    centres = (sums.sums / sums.counts.clamp_min(1)[:, None]).to(x.dtype)
    empty = torch.nonzero(sums.counts == 0).squeeze(1)
    if len(empty):
        far = torch.topk(distance, len(empty))
        # With no item off its centre there is nowhere to restart: the cluster stays where it is.
        use = far.values > 0
        centres[empty] = torch.where(use[:, None], x[far.indices], old[empty])
    return centres
