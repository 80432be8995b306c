"""TypiClust: the most typical item of each cluster that has no label (Hacohen et al. 2022)."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition, method
from labelgap.core import scratch
from labelgap.core.config import Settings, setting
from labelgap.core.types import Ids, Query
from labelgap.select.arrays import wide_mean
from labelgap.select.distinct import Distinct, distinct
from labelgap.select.geometry import accurate
from labelgap.select.kmeans import kmeans_of_sample
from labelgap.select.top import check_budget

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView

_CODE = "Hacohen et al.'s code"
_ROWS = 1024
_CLUSTERED = 65_536
"""Items of a larger pool that the centres are found by."""


class TypiClustOptions(Settings):
    """Clusters and neighbours."""

    max_clusters: int = setting(500, "at most this many clusters", source=_CODE, ge=1)
    neighbours: int = setting(
        20, "nearest neighbours of typicality; at most half a cluster", source=_CODE, ge=1
    )
    smallest: int = setting(
        6, "clusters with fewer items come last", source=f"{_CODE}: more than 5", ge=1
    )
    normalise: bool = setting(True, "embedding scaled to unit length", source=_CODE)
    sample: int = setting(
        4000,
        "in larger clusters neighbours are sought among this many, drawn uniformly, so that the "
        "cost is linear in the pool",
        source="ours",
        ge=2,
    )
    steps: int = setting(100, "at most this many steps of k-means", source="ours", ge=1)


def typicality(
    z: Float[Tensor, "c d"], neighbours: int, sample: int, rng: np.random.Generator
) -> Float[Tensor, " c"]:
    """1 / mean Euclidean distance to the nearest neighbours within one cluster; 0 for a lone item.

    Copies are neighbours at distance 0, as many as there are. In clusters larger than `sample`
    neighbours are sought in a uniform sample, and their number shrinks with it: the same quantile
    of the distances.
    """
    size = len(z)
    if size < 2:
        return torch.zeros(size, dtype=torch.float64)
    wanted = max(1, min(neighbours, size // 2))
    among = np.arange(size)
    if size > sample:
        among = np.sort(rng.choice(size, sample, replace=False))
        wanted = max(1, round(wanted * sample / size))
    copies = distinct(z)
    if copies.copies:
        return _with_copies(z, copies, among, min(wanted, len(among) - 1))
    others, mean = z[torch.from_numpy(among)], wide_mean(z)
    own = np.full(size, -1)
    own[among] = np.arange(len(among))
    found = []
    for start in range(0, size, _ROWS):
        d2 = accurate(z[start : start + _ROWS], others, mean)
        column = torch.from_numpy(own[start : start + _ROWS])
        inside = torch.nonzero(column >= 0).squeeze(1)
        d2[inside, column[inside]] = torch.inf  # nobody is his own neighbour
        near = d2.topk(min(wanted, len(among) - 1), dim=1, largest=False).values
        found.append(near.clamp_min(0.0).sqrt().mean(1))
    return 1.0 / (torch.cat(found) + 1e-5)


def _with_copies(
    z: Float[Tensor, "c d"], copies: Distinct, among: Int64[np.ndarray, " s"], wanted: int
) -> Float[Tensor, " c"]:
    """`typicality` of rows that are there several times: each is looked at once.

    An item that is itself among those that neighbours are sought in is not its own neighbour, so
    a row may have two values: of its items in the sample and of those outside.
    """
    found, counts = np.unique(copies.inverse[among], return_counts=True)
    weight = torch.from_numpy(counts).double()
    rows, others, mean = z[copies.rows], z[copies.rows[torch.from_numpy(found)]], wide_mean(z)
    own = np.full(len(rows), -1)
    own[found] = np.arange(len(found))
    inside = np.zeros(len(z), dtype=bool)
    inside[among] = True
    most = min(wanted + 1, len(found))
    values = np.zeros((len(rows), 2))
    for start in range(0, len(rows), _ROWS):
        d2 = accurate(rows[start : start + _ROWS], others, mean)
        near, at = d2.topk(most, dim=1, largest=False)
        column = torch.from_numpy(own[start : start + _ROWS])[:, None]
        for itself in (0, 1):
            number = weight[at] - itself * (at == column).double()
            before = number.cumsum(1) - number
            taken = torch.minimum((wanted - before).clamp_min(0.0), number)
            value = (near.clamp_min(0.0).sqrt() * taken).sum(1) / taken.sum(1)
            values[start : start + len(d2), itself] = value.numpy()
    return torch.from_numpy(1.0 / (values[copies.inverse, inside.astype(np.int64)] + 1e-5))


def cluster_order(
    sizes: Int64[np.ndarray, " k"], labelled: Int64[np.ndarray, " k"], smallest: int
) -> tuple[Int64[np.ndarray, " a"], Int64[np.ndarray, " b"]]:
    """Clusters by fewest labelled items, then largest; and those too small, ordered likewise."""
    order = np.lexsort((-sizes, labelled))
    order = order[sizes[order] > 0]
    large = sizes[order] >= smallest
    return order[large].astype(np.int64), order[~large].astype(np.int64)


@acquisition("typiclust")
class TypiClust(Acquisition):
    """Clusters the embedding into as many groups as there will be labels, and asks for the densest
    item of each group that has none, the largest group first.
    """

    Options = TypiClustOptions
    needs = frozenset({"embedding"})
    uses = frozenset({"logits"})
    kind = "cover"
    deterministic = False
    options: TypiClustOptions

    def select(self, view: "PoolView", n: int) -> Query:
        o, size = self.options, len(view.candidate_ids)
        check_budget(n, size)
        if n == 0:
            return Query(view.candidate_ids[:0])
        z = scratch.joined(view.labelled("embedding"), view.candidates("embedding"))
        if o.normalise:
            for part in torch.split(z, _ROWS):
                part.copy_(F.normalize(part, dim=1))
        known = len(z) - size
        k = min(known + n, o.max_clusters)
        found = kmeans_of_sample(z, k, view.rng("k-means"), max(_CLUSTERED, 20 * k), steps=o.steps)
        cluster = found.numpy()
        sizes, labelled = (np.bincount(c, minlength=k) for c in (cluster, cluster[:known]))
        large, small = cluster_order(sizes, labelled, o.smallest)
        value, ties, rng = np.zeros(size), view.ties(), view.rng("neighbours")
        copies = distinct(view.candidates("embedding"), ties=ties)
        stands = np.zeros(size, dtype=bool)
        stands[copies.first] = True

        def queue(c: int) -> Ids:
            """Unlabelled members that differ, the most typical first."""
            members = np.flatnonzero(cluster == c)
            all_ = typicality(z[torch.from_numpy(members)], o.neighbours, o.sample, rng).numpy()
            free = members >= known
            rows = members[free] - known
            value[rows] = all_[free]
            rows = rows[stands[rows]]
            return rows[np.lexsort((ties[rows], -value[rows]))].astype(np.int64)

        few = min(n, len(copies))
        picks = np.concatenate([round_robin(queue, group, few) for group in (large, small)])[:few]
        # With copies alone left, they come by chance.
        chosen = np.concatenate([picks, copies.filled(np.arange(len(copies)), size, ties)[few:n]])
        pseudo = view.pseudo_labels.numpy()[chosen] if view.has("logits") else None
        groups = cluster[known:][chosen]
        parts = {"typicality": value[chosen], "cluster_size": sizes[groups].astype(np.float64)}
        notes = {"clusters": k, "clusters_without_label": int((labelled[large] == 0).sum())}
        return Query(view.candidate_ids[chosen], value[chosen], parts, pseudo, notes)


def round_robin(
    queue: Callable[[int], Ids], groups: Int64[np.ndarray, " g"], n: int
) -> Int64[np.ndarray, "_"]:
    """Up to n items: the first of every group, then the second of every group, and so on.

    Only the groups that are reached are queued.
    """
    taken = [queue(int(c)) for c in groups[:n]]
    if sum(min(1, len(q)) for q in taken) < n:
        taken += [queue(int(c)) for c in groups[n:]]
    longest = max((len(q) for q in taken), default=0)
    picks = [q[i] for i in range(longest) for q in taken if i < len(q)]
    return np.array(picks[:n], dtype=np.int64)


method(
    "typiclust",
    "cross-entropy",
    "typiclust",
    title="TypiClust",
    citation="Hacohen, Dekel & Weinshall 2022, Active learning on a budget",
    training_cost="1 × cross-entropy, and the embedding once",
    query_cost="N·min(L + B, 500)·d a step of k-means",
)
