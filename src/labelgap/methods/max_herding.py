"""MaxHerding: again and again what raises kernel coverage most (Bae, Noh & Sutherland 2024)."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition, method
from labelgap.core import scratch
from labelgap.core.config import Settings, setting
from labelgap.core.types import Query
from labelgap.select.arrays import wide_mean
from labelgap.select.herding import cover
from labelgap.select.kernel import unit
from labelgap.select.top import check_budget

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView

SAMPLE = setting(
    10_000,
    "items that are covered and chosen among at a time, drawn uniformly from a larger pool; memory "
    "is its square",
    source="ours; the authors' code: 35,000",
    ge=2,
)


class MaxHerdingOptions(Settings):
    """The kernel, and how many items it sees."""

    width: float = setting(
        1.0, "σ of the kernel exp(−‖a − b‖² / σ²)", source="Bae, Noh & Sutherland 2024", gt=0
    )
    centred: bool = setting(
        False, "features seen from their mean before they are scaled to unit length", source="ours"
    )
    sample: int = SAMPLE


def directions(
    view: "PoolView", name: str, centred: bool = True
) -> tuple[Float[Tensor, "l d"], Float[Tensor, "n d"]]:
    """Unit vectors of the labelled items and of the candidates, of the named output.

    centred: seen from the mean of both together.
    """
    labelled, candidates = view.labelled(name), view.candidates(name)
    both = scratch.joined(labelled, candidates)
    mean = wide_mean(both) if centred else torch.zeros(both.shape[1], dtype=torch.float64)
    made = unit(both, mean)
    return made[: len(labelled)], made[len(labelled) :]


def covering(
    view: "PoolView",
    centres: Float[Tensor, "l d"],
    z: Float[Tensor, "n d"],
    weights: Float[Tensor, " n"],
    variance: float,
    n: int,
    sample: int,
    parts: dict[str, Float[Tensor, " n"]] | None = None,
    notes: dict[str, float] | None = None,
) -> Query:
    """The query of n items that raise the weighted coverage of the candidates most.

    variance: σ² of the kernel; 0, where items coincide, is taken for the least that tells apart
        what float32 does.
    parts: further values that explain the choice, of every candidate.
    """
    least = float(np.finfo(np.float32).eps)
    rows, gain = cover(z, centres, weights, max(variance, least), n, view.ties(), sample)
    explained = {
        name: v[torch.from_numpy(rows)].double().numpy() for name, v in (parts or {}).items()
    }
    pseudo = view.pseudo_labels[torch.from_numpy(rows)].numpy() if view.has("logits") else None
    return Query(
        view.candidate_ids[rows],
        gain,
        {"coverage": gain, **explained},
        pseudo,
        {"width": max(variance, least) ** 0.5, **(notes or {})},
    )


@acquisition("max-herding")
class MaxHerding(Acquisition):
    """Again and again the candidate that raises the mean similarity of all items to the labelled
    item nearest to them most. It needs no label.
    """

    Options = MaxHerdingOptions
    needs = frozenset({"embedding"})
    uses = frozenset({"logits"})
    kind = "cover"
    deterministic = False
    options: MaxHerdingOptions

    def select(self, view: "PoolView", n: int) -> Query:
        o = self.options
        check_budget(n, len(view.candidate_ids))
        if n == 0:
            return Query(view.candidate_ids[:0])
        centres, z = directions(view, "embedding", o.centred)
        return covering(view, centres, z, torch.ones(len(z)), o.width**2, n, o.sample)


method(
    "max-herding",
    "cross-entropy",
    "max-herding",
    title="MaxHerding",
    citation="Bae, Noh & Sutherland 2024, Generalized coverage for more robust low-budget active "
    "learning",
    training_cost="1 × cross-entropy, and the embedding once",
    query_cost="min(N, 10,000)²·d",
)
