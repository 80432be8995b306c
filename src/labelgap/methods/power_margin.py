"""Power-margin: items drawn by their margin's uncertainty instead of ranked by it.

The top n of a score are alike and share its mistakes; a draw is spread at no cost
(Kirsch et al. 2023).
"""

from typing import TYPE_CHECKING

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition, method
from labelgap.core.config import Settings, setting
from labelgap.core.types import Query
from labelgap.methods.uncertainty import top_query
from labelgap.select.power import log_margin, perturbed
from labelgap.select.top import check_budget

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView


class PowerMarginOptions(Settings):
    """How sharp the draw is."""

    beta: float = setting(
        1.0,
        "an item's chance is its uncertainty to this power; large: the most uncertain",
        source="Kirsch et al. 2023: 1",
        gt=0,
        search=(0.25, 16.0, "log"),
    )


@acquisition("power-margin")
class PowerMargin(Acquisition):
    """n candidates drawn without replacement, each ∝ (1 − (p₁ − p₂))^β."""

    Options = PowerMarginOptions
    needs = frozenset({"logits"})
    options: PowerMarginOptions

    def select(self, view: "PoolView", n: int) -> Query:
        check_budget(n, len(view.candidate_ids))
        if n == 0:
            return Query(view.candidate_ids[:0])
        score = log_margin(view.candidates("logits"))
        drawn = perturbed(score, self.options.beta, view.ties("gumbel"))
        return top_query(view, n, drawn, "drawn", {"uncertainty": score.exp()})


method(
    "power-margin",
    "cross-entropy",
    "power-margin",
    title="Power-margin",
    citation="Kirsch et al. 2023, Stochastic batch acquisition: a simple baseline for deep "
    "active learning; on the margin of Scheffer et al. 2001",
    query_cost="N·K",
)
