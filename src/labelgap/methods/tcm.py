"""TCM: typical items while labels are few, uncertain ones after (Doucet et al. 2024).

The acquisition is general: any A for the first rounds, then any B.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition, method
from labelgap.core.config import Settings, setting
from labelgap.core.types import Query
from labelgap.methods.parts import part, take_over
from labelgap.select.top import check_budget

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView


class SwitchOptions(Settings):
    """Which two acquisitions, and when one follows the other."""

    first: str = setting("typiclust", "the acquisition of the first queries", source="Doucet 2024")
    then: str = setting("margin", "the acquisition of all later ones", source="Doucet 2024")
    rounds: int = setting(
        3,
        "queries of the first; the initial set is not counted",
        source="Huseljic et al.'s code; the paper ties it to the budget",
        ge=0,
    )
    labels: int | None = setting(
        None,
        "in place of `rounds`: the first asks while there are fewer labels than this, for people "
        "who ask a few at a time",
        source="ours",
        ge=1,
    )
    first_options: dict[str, Any] = setting({}, "keys of the first, as if it stood alone")
    then_options: dict[str, Any] = setting({}, "keys of the other, as if it stood alone")


@acquisition("switch")
class Switch(Acquisition):
    """One acquisition for the first rounds, another one after.

    It needs what both need from the start: a pair that fails in its fourth round is refused when
    it is made.
    """

    Options = SwitchOptions
    kind = "batch"
    options: SwitchOptions

    def __init__(self, options: SwitchOptions) -> None:
        super().__init__(options)
        take_over(self, [self._part(early, "") for early in (True, False)])

    def _part(self, early: bool, preset: str) -> Acquisition:
        o = self.options
        if early:
            return part(o.first, o.first_options, preset, "acquisition.first_options")
        return part(o.then, o.then_options, preset, "acquisition.then_options")

    def is_early(self, view: "PoolView") -> bool:
        """Whether the first acquisition still asks."""
        if self.options.labels is not None:
            return len(view.labels) < self.options.labels
        return view.round <= self.options.rounds

    def select(self, view: "PoolView", n: int) -> Query:
        check_budget(n, len(view.candidate_ids))
        chooses = self._part(self.is_early(view), view.preset)
        query = chooses.select(view, n)
        return replace(query, notes={**query.notes, "chosen_by": chooses.name})


method(
    "tcm",
    "cross-entropy",
    "switch",
    title="TCM",
    citation="Doucet et al. 2024, Bridging diversity and uncertainty in active learning with "
    "self-supervised pre-training",
    training_cost="1 × cross-entropy, and the embedding once",
    query_cost="that of TypiClust in the first 3 rounds, then N·K",
)
