"""UHerding: coverage weighted by calibrated uncertainty (Bae, Oliveira & Sutherland 2025)."""

from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition, method
from labelgap.core.config import Settings, setting
from labelgap.core.types import Query
from labelgap.methods.max_herding import SAMPLE, covering, directions
from labelgap.select.kernel import nearest_other
from labelgap.select.scores import entropy, least_confidence, margin
from labelgap.select.top import check_budget

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView

_PAPER = "Bae, Oliveira & Sutherland 2025"
UNCERTAINTIES = {
    "margin": lambda logits: 1.0 + margin(logits),
    "entropy": entropy,
    "least-confidence": least_confidence,
}
"""How unsure, from 0, of logits [n, k]."""


class UHerdingOptions(Settings):
    """Which uncertainty, how it is calibrated, and how wide the kernel is."""

    uncertainty: Literal["margin", "entropy", "least-confidence"] = setting(
        "margin", "what weighs each item", source=_PAPER
    )
    calibrate: bool = setting(
        True, "logits divided by a temperature fitted on held-out labels", source=_PAPER
    )
    adaptive: bool = setting(
        True,
        "σ is the least distance between two labelled items; else it is `width`",
        source=_PAPER,
    )
    quantile: float = setting(
        0.0,
        "in place of the least distance, this quantile of the distances to the nearest labelled "
        "neighbour, so that near-duplicates among the labels do not narrow the kernel",
        source="ours; 0 is the paper",
        ge=0,
        le=1,
    )
    width: float = setting(1.0, "σ where there are fewer than two labels", source=_PAPER, gt=0)
    sample: int = SAMPLE


def radius(labelled: Float[Tensor, "l d"], quantile: float, otherwise: float) -> float:
    """σ² by the labelled items' distances; `otherwise` where no two of them differ."""
    if len(labelled) < 2:
        return otherwise
    nearest = nearest_other(labelled)
    nearest = nearest[torch.isfinite(nearest)]
    return float(torch.quantile(nearest, quantile)) if len(nearest) else otherwise


@acquisition("u-herding")
class UHerding(Acquisition):
    """MaxHerding in which each item counts as much as the network is unsure of it."""

    Options = UHerdingOptions
    needs = frozenset({"embedding", "logits"})
    kind = "cover"
    deterministic = False
    options: UHerdingOptions

    def select(self, view: "PoolView", n: int) -> Query:
        o = self.options
        check_budget(n, len(view.candidate_ids))
        if n == 0:
            return Query(view.candidate_ids[:0])
        centres, z = directions(view, "embedding", centred=False)
        temperature = view.temperature() if o.calibrate else 1.0
        unsure = UNCERTAINTIES[o.uncertainty](view.candidates("logits").double() / temperature)
        variance = radius(centres, o.quantile, o.width**2) if o.adaptive else o.width**2
        return covering(
            view, centres, z, unsure, variance, n, o.sample,
            {"uncertainty": unsure}, {"temperature": temperature},
        )  # fmt: skip


method(
    "u-herding",
    "cross-entropy",
    "u-herding",
    title="UHerding",
    citation="Bae, Oliveira & Sutherland 2025, Uncertainty herding: one active learning method for "
    "all label budgets",
    training_cost="2 × cross-entropy, the second for its temperature; and the embedding once",
    query_cost="min(N, 10,000)²·d",
)
