"""Core-set: greedy k-center on the features (Sener and Savarese 2018)."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition, method
from labelgap.core.linalg import one_pool
from labelgap.core.types import Query
from labelgap.select.arrays import wide_mean
from labelgap.select.geometry import accurate
from labelgap.select.kcenter import k_center
from labelgap.select.top import check_budget

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView

_ROWS = 256
"""Picks whose distances to centres are held at a time."""


def gaps(
    picks: Float[Tensor, "b d"],
    centres: Float[Tensor, "m d"],
    distance: Callable[[Tensor, Tensor], Tensor],
) -> Float[Tensor, " b"]:
    """Distance of each pick to the nearest centre or earlier pick: why it was picked.

    Infinite for the first pick where there are no centres. Never increases along a greedy
    k-center sequence.
    """
    found = []
    for start in range(0, len(picks), _ROWS):
        rows = picks[start : start + _ROWS]
        among = distance(rows, picks[: start + len(rows)])
        place = torch.arange(start, start + len(rows), device=picks.device)[:, None]
        later = torch.arange(among.shape[1], device=picks.device) >= place
        near = among.masked_fill(later, torch.inf).amin(1)
        for some in torch.split(centres, 4096) if len(centres) else ():
            near = torch.minimum(near, distance(rows, some).amin(1))
        found.append(near)
    return torch.cat(found)


@acquisition("coreset")
class Coreset(Acquisition):
    """Again and again the candidate farthest from all labelled items and earlier picks.

    Distances are Euclidean on the features as they are; the centres are *all* labelled items.
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
        chosen = k_center(z, centres, n, ties=view.ties())
        mean = wide_mean(z)
        gap = gaps(z[chosen], centres, lambda a, b: accurate(a, b, mean)).sqrt()
        return cover_query(view, chosen, gap, "distance")


def cover_query(view: "PoolView", chosen: Tensor, gap: Float[Tensor, " b"], name: str) -> Query:
    """A query explained by the distance that each pick closed; without centres the first has none,
    so then nothing is told."""
    rows = chosen.cpu().numpy()
    value = gap.cpu().double().numpy() if bool(torch.isfinite(gap).all()) else None
    pseudo = view.pseudo_labels[chosen].numpy() if view.has("logits") else None
    parts = {} if value is None else {name: value}
    return Query(view.candidate_ids[rows], value, parts, pseudo)


method(
    "coreset",
    "cross-entropy",
    "coreset",
    title="Core-set",
    citation="Sener & Savarese 2018, Active learning for convolutional neural networks: a "
    "core-set approach",
    query_cost="N·(L + B)·d",
)
