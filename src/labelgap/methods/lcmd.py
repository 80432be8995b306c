"""LCMD: the farthest member of the largest cluster, again and again (Holzmüller et al. 2023)."""

from typing import TYPE_CHECKING

import numpy as np

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition, method
from labelgap.core.linalg import one_pool
from labelgap.core.types import Query
from labelgap.select.distinct import distinct
from labelgap.select.lcmd import largest_clusters
from labelgap.select.top import check_budget

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView


@acquisition("lcmd")
class Lcmd(Acquisition):
    """Core-set with a sense of density: labelled items are centres, the cluster of largest summed
    squared distance gives its farthest member, which becomes a centre.
    """

    needs = frozenset({"features"})
    uses = frozenset({"logits"})
    kind = "cover"

    @one_pool()
    def select(self, view: "PoolView", n: int) -> Query:
        check_budget(n, len(view.candidate_ids))
        if n == 0:
            return Query(view.candidate_ids[:0])
        z, centres = view.candidates("features"), view.labelled("features")
        ties = view.ties()
        found = distinct(z, ties=ties)
        few = min(n, len(found))
        rows, away, mass = largest_clusters(
            z[found.rows] if found.copies else z, centres, few, ties[found.first],
            counts=found.counts,
        )  # fmt: skip
        rows = found.filled(rows, n, ties)
        away, mass = (np.append(x, np.zeros(n - few)) for x in (away, mass))
        known = bool(np.isfinite(away).all())  # without a label the first has no distance
        distance = np.sqrt(away)
        return Query(
            view.candidate_ids[rows],
            distance if known else None,
            {"distance": distance, "cluster_mass": mass} if known else {},
            view.pseudo_labels.numpy()[rows] if view.has("logits") else None,
        )


method(
    "lcmd",
    "cross-entropy",
    "lcmd",
    title="LCMD",
    citation="Holzmüller et al. 2023, A framework and benchmark for deep batch active learning "
    "for regression",
    query_cost="N·(L + B)·d",
)
