"""The upper line of a benchmark: the best of several strategies' batches, judged by the truth.

No method: it trains once for every proposal and looks at true labels and at the test images, so
what it says is how far the best of these strategies could go if one knew which to follow, round by
round (Huseljic et al. 2026, BoSS, who try 100 batches of 10 strategies).
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition
from labelgap.core.config import Settings, setting
from labelgap.core.errors import LabelgapError
from labelgap.core.types import Query
from labelgap.methods.parts import asked, part, take_over
from labelgap.methods.refine import MEMBERS
from labelgap.select.top import check_budget

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView

NAME = "oracle"


class UpperOptions(Settings):
    """Whose batches are tried, and how many."""

    members: tuple[str, ...] = setting(
        MEMBERS,
        "the acquisitions whose batches are tried",
    )
    member_options: dict[str, dict[str, Any]] = setting({}, "keys of single members, by name")
    batches: int = setting(
        1,
        "batches of each member: the first out of all candidates, the others out of random parts",
        source="ours; 10 in Huseljic et al.'s code, a training each",
        ge=1,
    )
    sample: int = setting(
        5000, "candidates in such a part, at most half of them", source="Huseljic et al.", ge=1
    )


@acquisition("oracle")
class UpperLine(Acquisition):
    """No method: of several strategies' batches the one after which a training tests best."""

    Options = UpperOptions
    upper_line: ClassVar[bool] = True
    kind = "batch"
    deterministic = False
    options: UpperOptions

    def __init__(self, options: UpperOptions) -> None:
        super().__init__(options)
        take_over(self, [self._member(name, "") for name in options.members])
        self.deterministic = False

    def _member(self, name: str, preset: str) -> Acquisition:
        given = self.options.member_options.get(name, {})
        return part(name, given, preset, f"acquisition.member_options.{name}")

    def select(self, view: "PoolView", n: int) -> Query:
        o, size = self.options, len(view.candidate_ids)
        check_budget(n, size)
        if n == 0:
            return Query(view.candidate_ids[:0])
        if view.judge is None:
            raise LabelgapError(
                f"{NAME!r} is the upper line of a benchmark and no method: it reads true labels, "
                "and nobody has them here.",
                "Choose a method: `labelgap methods`.",
            )
        best, reached, tried = Query(view.candidate_ids[:0]), -np.inf, 0
        for name in o.members:
            member = self._member(name, view.preset)
            for i in range(o.batches):
                rows = np.arange(size, dtype=np.int64)
                if i:
                    seen = max(n, min(o.sample, size // 2))
                    rows = np.sort(view.rng(f"oracle/{name}/{i}").permutation(size)[:seen])
                query = asked(member, view.subset(rows, f"oracle/{name}", i), n, NAME)
                accuracy = view.judge(query.ids)
                tried += 1
                if accuracy > reached:  # of equals the first
                    notes = {**query.notes, "chosen_by": name, "judged": accuracy}
                    best, reached = replace(query, notes=notes), accuracy
        return replace(best, notes={**best.notes, "tried": tried})
