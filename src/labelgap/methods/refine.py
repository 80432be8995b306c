"""Refine: the pool thinned by what many acquisitions propose (Huseljic et al. 2026).

An acquisition made of acquisitions. Each proposes batches out of random parts of the pool; what
nobody proposes is gone, and so on, level by level; another acquisition chooses from what is left.
"""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from jaxtyping import Int64

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition, method
from labelgap.core.config import Settings, setting
from labelgap.core.errors import ConfigError, LabelgapError
from labelgap.core.types import Query
from labelgap.methods.parts import asked, part, take_over
from labelgap.select.top import check_budget

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView

_CODE = "Huseljic et al.'s code"
MEMBERS = (
    "random",
    "margin",
    "badge",
    "bait",
    "typiclust",
    "alfa-mix",
    "drop-query",
    "max-herding",
    "u-herding",
)
FINAL = "u-herding"


class RefineOptions(Settings):
    """Who proposes, how often, and who chooses in the end."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        # 540 queries a round are for frozen features on a machine with time.
        "smoke": {"depth": 2, "batches": 12},
        "cpu": {"depth": 3, "batches": 30},
    }
    members: tuple[str, ...] = setting(MEMBERS, "the acquisitions that propose", source=_CODE)
    final: str = setting(FINAL, "the acquisition that chooses from what is left", source=_CODE)
    member_options: dict[str, dict[str, Any]] = setting(
        {}, "keys of single members (and of the final one), by name, as if each stood alone"
    )
    depth: int = setting(5, "levels of thinning", source=_CODE, ge=1)
    batches: int = setting(
        100, "batches proposed at a level, the same number by each member", source=_CODE, ge=1
    )
    share: float = setting(
        0.4, "α: a proposal sees this share of what is left", source=_CODE, gt=0, le=1
    )
    sample: int = setting(5000, "a proposal of the first level sees so many", source=_CODE, ge=1)
    most: int = setting(10_000, "at most so many are left after a level", source=_CODE, ge=1)
    failing: Literal["refuse", "leave-out"] = setting(
        "refuse",
        "a member that fails: the query fails and names it, or goes on without it with a warning "
        "and a note",
        source="ours",
    )


@acquisition("refine")
class Refine(Acquisition):
    """What many acquisitions propose from random parts of the pool survives; one of them chooses.

    An item that is of value by many notions of value is proposed again and again.
    """

    Options = RefineOptions
    kind = "batch"
    deterministic = False
    options: RefineOptions

    def __init__(self, options: RefineOptions) -> None:
        super().__init__(options)
        members = options.members
        if not members or len(set(members)) < len(members):
            raise ConfigError(
                f"acquisition.members = {list(members)}: at least one name, and none twice.",
                "Name the acquisitions that are to propose.",
            )
        take_over(self, [self._part(name, "") for name in (*members, options.final)])
        self.deterministic = False

    def _part(self, name: str, preset: str) -> Acquisition:
        given = self.options.member_options
        names = (*self.options.members, self.options.final)
        for key in given:
            if key not in names:
                raise ConfigError(
                    f"acquisition.member_options has keys of {key!r}, which takes no part.",
                    f"Its parts: {', '.join(dict.fromkeys(names))}.",
                )
        return part(name, given.get(name, {}), preset, f"acquisition.member_options.{name}")

    def select(self, view: "PoolView", n: int) -> Query:
        o, size = self.options, len(view.candidate_ids)
        check_budget(n, size)
        if n == 0:
            return Query(view.candidate_ids[:0])
        for name in sorted(self.needs):
            if view.has(name):
                view.candidates(name)  # refused here, where it is nobody's failure
        left = np.arange(size, dtype=np.int64)
        members = {name: self._part(name, view.preset) for name in o.members}
        failed: dict[str, str] = {}
        seen = min(size, o.sample)
        for level in range(o.depth):
            if len(left) == n or not members:
                break
            left = self._thinned(view, left, n, max(n, seen), level, members, failed)
            seen = int(o.share * len(left))
        if not members:
            raise LabelgapError(
                "Every member of `refine` failed: "
                + "; ".join(f"{name}: {why}" for name, why in failed.items()),
                "Choose others: `--set acquisition.members=...`.",
            )
        chooses = self._part(o.final, view.preset)
        query = asked(chooses, view.subset(left, "refine/final"), n, "refine")
        notes: dict[str, float | int | str] = {"left": len(left), **query.notes}
        if failed:
            notes["left_out"] = "; ".join(f"{name}: {why}" for name, why in failed.items())
        return replace(query, notes=notes)

    def _thinned(
        self,
        view: "PoolView",
        left: Int64[np.ndarray, " m"],
        n: int,
        seen: int,
        level: int,
        members: dict[str, Acquisition],
        failed: dict[str, str],
    ) -> Int64[np.ndarray, " r"]:
        """The rows that some member proposed, at most `most` (never fewer than n).

        A member that fails and may be left out moves from `members` to `failed`.
        """
        o = self.options
        each, seen = max(1, o.batches // len(members)), min(seen, len(left))
        rng = view.rng(f"refine/{level}")
        proposed = np.zeros(len(view.candidate_ids), dtype=np.bool_)
        for name, member in list(members.items()):
            for i in range(each):
                rows = np.sort(rng.permutation(left)[:seen])
                some = view.subset(rows, f"refine/{level}/{name}", i)
                try:
                    ids = asked(member, some, n, "refine").ids
                except LabelgapError as error:
                    if o.failing == "refuse":
                        raise
                    warnings.warn(f"{error} It is left out of this query.", stacklevel=4)
                    failed[name] = str(error.__cause__)
                    del members[name]
                    break
                proposed[rows[np.isin(some.candidate_ids, ids)]] = True
        kept = np.flatnonzero(proposed)
        if len(kept) > max(n, o.most):
            kept = np.sort(rng.permutation(kept)[: max(n, o.most)])
        return kept if len(kept) else left


method(
    "refine",
    "cross-entropy",
    "refine",
    title="Refine",
    citation="Huseljic et al. 2026, Cleaning the pool: progressive filtering of unlabeled pools "
    "in deep active learning",
    training_cost="1 × cross-entropy, and the embedding once",
    query_cost="depth × batches queries of the members on at most 5,000 items",
)
