"""Gap: what is unsure, rare and not yet covered; the project's own method (docs/methods/gap.md)."""

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition, method
from labelgap.core.config import Settings, setting
from labelgap.core.types import Query
from labelgap.methods.max_herding import SAMPLE, covering, directions
from labelgap.select.kernel import reach
from labelgap.select.scores import margin
from labelgap.select.top import check_budget

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView

_OURS = "ours"


class GapOptions(Settings):
    """The terms of the weight, each of which can be left out, and the kernel."""

    uncertainty: bool = setting(
        True, "an item counts as much as the network is unsure of it", source=_OURS
    )
    rarity: float = setting(
        0.5,
        "an item counts more, the fewer labels n its likely classes have: by (1 + n) to minus this "
        "power; 0: rarity does not count",
        source=_OURS,
        evidence="benchmarks/gap/development.md",
        ge=0,
    )
    calibrate: bool = setting(
        False,
        "probabilities by a temperature fitted on held-out labels, which costs a second training",
        source=_OURS,
        evidence="grocery and plankton, frozen Lite0, one to eight labels a class: level "
        "(benchmarks/gap/development.md)",
    )
    space: Literal["auto", "embedding", "features", "both"] = setting(
        "auto",
        "what similarity is of: a frozen backbone's features, which no label has changed, and "
        "without one those of the trained network; or the embedding, the network's features, both",
        source=_OURS,
    )
    scale: float = setting(
        1.0,
        "σ as a multiple of the distance within which an item has its share",
        source=_OURS,
        gt=0,
    )
    sample: int = SAMPLE


def rarity(
    p: Float[Tensor, "n k"], labels: Int64[Tensor, " l"], power: float
) -> Float[Tensor, " n"]:
    """Σ_k p_k · (1 + labels of class k)^−power: 1 where the likely classes have no label yet."""
    counts = torch.bincount(labels, minlength=p.shape[1]).to(p)
    return p @ (1.0 + counts).pow(-power)


@acquisition("gap")
class Gap(Acquisition):
    """Again and again the candidate that closes most of the gap between labelled and unlabelled:
    the similarity of every item to its nearest label, weighted by how unsure the network is of the
    item and how rare its likely classes are among the labels.

    It needs no label: without any, all items count alike.
    """

    Options = GapOptions
    kind = "cover"
    deterministic = False
    options: GapOptions

    def __init__(self, options: GapOptions) -> None:
        super().__init__(options)
        spaces = {"auto": {"features"}, "both": {"embedding", "features"}}
        self.needs = frozenset({"logits"} | spaces.get(options.space, {options.space}))
        self.uses = frozenset({"inputs"} if options.space == "auto" else ())

    def select(self, view: "PoolView", n: int) -> Query:
        o = self.options
        check_budget(n, len(view.candidate_ids))
        if n == 0:
            return Query(view.candidate_ids[:0])
        centres, z = self._space(view)
        labels = len(view.labelled_ids)
        # Each label's reach is its share of the pool.
        share = 1.0 / (labels + n)
        width = o.scale**2 * reach(z, share, view.rng("reach"), before=centres)
        weights = torch.ones(len(z), dtype=torch.float64)
        parts: dict[str, Tensor] = {}
        notes: dict[str, float] = {}
        if labels:
            notes["temperature"] = view.temperature() if o.calibrate else 1.0
            logits = view.candidates("logits").double() / notes["temperature"]
            if o.uncertainty:
                parts["uncertainty"] = 1.0 + margin(logits)
            if o.rarity:
                parts["rarity"] = rarity(logits.softmax(dim=1), view.class_labels, o.rarity)
            for part in parts.values():
                weights = weights * part
        return covering(view, centres, z, weights, width, n, o.sample, parts, notes)

    def _space(self, view: "PoolView") -> tuple[Tensor, Tensor]:
        space: str = self.options.space
        if space == "auto":
            space = "inputs" if view.has("inputs") else "features"
        if space != "both":
            return directions(view, space)
        pairs = [directions(view, name) for name in ("embedding", "features")]
        one, two = (torch.cat(parts, dim=1) / np.sqrt(2.0) for parts in zip(*pairs, strict=True))
        return one, two


method(
    "gap",
    "cross-entropy",
    "gap",
    title="Gap",
    citation="this project; nearest relative: Bae, Oliveira & Sutherland 2025, Uncertainty herding",
    training_cost="1 × cross-entropy",
    query_cost="min(N, 10,000)²·d",
)
