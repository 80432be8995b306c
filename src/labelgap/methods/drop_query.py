"""DropQuery: which predictions change when features are dropped (Gupte et al. 2024).

Published for a linear head on frozen features. Here dropout falls on what the head reads, which
is the same there and needs no network that was trained with dropout.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition, method
from labelgap.core.config import Settings, setting
from labelgap.core.errors import LabelgapError
from labelgap.core.types import Query
from labelgap.select.distinct import distinct
from labelgap.select.kmeans import representatives
from labelgap.select.top import check_budget

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView

_CODE = "Gupte et al.'s code"
_ROWS = 4096
_EPSILON = 1e-5
"""Of batch-norm, torch's own: a constant feature stays 0."""


class DropQueryOptions(Settings):
    """How features are dropped, and how many items k-means chooses from."""

    passes: int = setting(3, "M, passes with other features dropped", source=_CODE, ge=1)
    drop: float = setting(0.75, "share of the features that a pass drops", source=_CODE, gt=0, lt=1)
    wanted: int = setting(
        25,
        "while fewer candidates than this times the budget changed their class, fewer changes "
        "are enough",
        source=_CODE,
        ge=1,
    )


def mismatches(
    view: "PoolView",
    z: Float[Tensor, "n d"],
    predicted: Int64[Tensor, " n"],
    passes: int,
    drop: float,
) -> Int64[Tensor, " n"]:
    """In how many passes the head's class of the thinned features is not the predicted one.

    What is kept is scaled by 1 / (1 − drop), as dropout does. Masks are drawn on the CPU, so
    that devices agree.
    """
    generator, found = view.torch_rng("dropout"), []
    for rows, whole in zip(torch.split(z, _ROWS), torch.split(predicted, _ROWS), strict=True):
        changed = torch.zeros(len(rows), dtype=torch.int64)
        for _ in range(passes):
            kept = torch.rand(rows.shape, generator=generator) >= drop
            changed += view.head(rows * kept / (1.0 - drop)).argmax(1) != whole
        found.append(changed)
    return torch.cat(found) if found else torch.zeros(0, dtype=torch.int64)


def unsure(changed: Int64[Tensor, " n"], passes: int, wanted: int) -> Bool[Tensor, " n"]:
    """Items that changed in more than half of the passes; where fewer than `wanted` did, in
    fewer, down to one."""
    level = passes // 2
    while level > 0 and int((changed > level).sum()) < wanted:
        level -= 1
    return changed > level


def directions(z: Float[Tensor, "n d"], rows: Int64[Tensor, " m"]) -> Float[Tensor, "m d"]:
    """Some rows, each feature standardised over all of them, scaled to unit length.

    Standardised as batch-norm without weights does, which stands before the published head.
    """
    variance, mean = torch.var_mean(z, dim=0, correction=0)
    part = z[rows].sub_(mean).div_((variance + _EPSILON).sqrt())
    return F.normalize(part, dim=1, out=part)


@acquisition("drop-query")
class DropQuery(Acquisition):
    """Items whose predicted class does not survive dropped features, spread by k-means."""

    Options = DropQueryOptions
    needs = frozenset({"features", "logits"})
    needs_network = True
    needs_head = True
    kind = "batch"
    deterministic = False
    options: DropQueryOptions

    def select(self, view: "PoolView", n: int) -> Query:
        o = self.options
        check_budget(n, len(view.candidate_ids))
        if n == 0:
            return Query(view.candidate_ids[:0])
        if view.network is None:
            raise LabelgapError(
                "DropQuery needs the network's head; this view has arrays alone.",
                "Choose a method that needs arrays only, such as badge.",
            )
        z, predicted, ties = view.candidates("features").float(), view.pseudo_labels, view.ties()
        # Copies are thinned alike and chosen once; they count in k-means.
        found = distinct(view.candidates("features"), view.candidates("logits"), ties=ties)
        few, at = min(n, len(found)), found.rows
        thinned = z[at] if found.copies else z
        changed = mismatches(view, thinned, predicted[at], o.passes, o.drop)
        chosen_from = unsure(changed, o.passes, o.wanted * n)
        rows = torch.nonzero(chosen_from).squeeze(1)
        counts = found.counts[rows.numpy()]
        if len(rows) > few:
            weights = counts.astype(np.float64) if found.copies else None
            rng = view.rng("k-means")
            picks = rows[representatives(directions(z, at[rows]), few, rng, weights)]
        else:
            order = torch.from_numpy(ties[found.first].argsort(kind="stable"))
            picks = torch.cat([rows, order[~chosen_from[order]][: few - len(rows)]])
        chosen = found.filled(picks.numpy(), n, ties)
        value = changed.double().numpy()[found.inverse[chosen]] / o.passes
        return Query(
            view.candidate_ids[chosen],
            value,
            {"changed": value},
            predicted.numpy()[chosen],
            {
                "candidate_set": int(counts.sum()),
                "candidate_share": int(counts.sum()) / len(z),
                "random": n - min(few, len(rows)),
            },
        )


method(
    "drop-query",
    "cross-entropy",
    "drop-query",
    title="DropQuery",
    citation="Gupte et al. 2024, Revisiting active learning in the era of vision foundation models",
    query_cost="3·N·d·K + k-means of the candidates",
)
