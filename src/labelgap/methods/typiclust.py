"""TypiClust: the most typical item of each cluster that has no label (Hacohen et al. 2022)."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int64

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition, method
from labelgap.core import scratch
from labelgap.core.config import Settings, setting
from labelgap.core.linalg import one_pool
from labelgap.core.types import Ids, Query
from labelgap.select.distinct import distinct
from labelgap.select.kmeans import kmeans_of_sample
from labelgap.select.top import check_budget
from labelgap.select.typical import typicality

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

    @one_pool()
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

        order = np.argsort(cluster, kind="stable")
        begin = np.concatenate([[0], np.cumsum(sizes)])
        asked = np.concatenate([np.zeros(known, dtype=bool), stands])

        def picked(groups: Int64[np.ndarray, " g"]) -> Ids:
            lengths = np.bincount(cluster[asked], minlength=k)[groups]
            depth = rounds(lengths, few)

            def queue(c: int) -> Ids:
                """Unlabelled members that differ, the most typical first."""
                members = order[begin[c] : begin[c + 1]]
                z_c, may = z[torch.from_numpy(members)], asked[members]
                found = typicality(z_c, o.neighbours, o.sample, rng, depth, may).numpy()
                free = members >= known
                value[members[free] - known] = found[free]
                rows: Ids = members[may] - known
                return rows[np.lexsort((ties[rows], -value[rows]))]

            return round_robin(queue, groups, few)

        few = min(n, len(copies))
        picks = np.concatenate([picked(group) for group in (large, small)])[:few]
        # With copies alone left, they come by chance.
        chosen = np.concatenate([picks, copies.filled(np.arange(len(copies)), size, ties)[few:n]])
        pseudo = view.pseudo_labels.numpy()[chosen] if view.has("logits") else None
        groups = cluster[known:][chosen]
        parts = {"typicality": value[chosen], "cluster_size": sizes[groups].astype(np.float64)}
        notes = {"clusters": k, "clusters_without_label": int((labelled[large] == 0).sum())}
        return Query(view.candidate_ids[chosen], value[chosen], parts, pseudo, notes)


def rounds(lengths: Int64[np.ndarray, " g"], n: int) -> int:
    """How far n items reach into queues of these lengths, an item of each in turn; at least 1."""
    ordered = np.sort(lengths)
    # With every queue up to r: those that are shorter whole, and r of each other.
    reach = np.cumsum(ordered) + ordered * np.arange(len(ordered) - 1, -1, -1)
    enough = np.searchsorted(reach, n)
    if enough == len(ordered):
        return max(1, int(ordered.max(initial=0)))
    before = int(ordered[:enough].sum())
    return max(1, -(-(n - before) // (len(ordered) - int(enough))))


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
