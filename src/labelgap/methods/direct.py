"""DIRECT: where a class ends on its line, found by asking; then around it (Nuggehalli et al. 2025).

For imbalanced pools: a rare class is a short begin of a long line, and its end is where labels are
worth most. Half of a round looks for the ends of the rarest classes, the other half asks around
the ends of all. Answers are read while a round is asked, so that a benchmark asks in portions.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int64

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition, method
from labelgap.core.config import Settings, setting
from labelgap.core.types import Ids, Query
from labelgap.select.distinct import differing
from labelgap.select.line import balance, border, lead, shrink
from labelgap.select.top import check_budget

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView

_PAPER = "Nuggehalli et al. 2025"
SEARCH, AROUND = 0, 1
_KEPT = ("part", "class", "high", "low")


class DirectOptions(Settings):
    """How a round is divided."""

    portion: int = setting(20, "B₁, items whose answers come together", source=_PAPER, ge=1)
    least: int = setting(
        60, "B₂, items that the search for one class's end has at least", source=_PAPER, ge=1
    )


def plan(
    budget: int, counts: Int64[np.ndarray, " k"], least: int, rng: np.random.Generator
) -> list[tuple[int, int, int]]:
    """(part, class, items) in the order in which a round is asked; the items sum to the budget.

    Half of the budget searches: for every class where that gives each `least`, else for as many of
    the rarest (of equals by lot) as get it, at least one. The rest is spread evenly over all
    classes in random order.
    """
    classes, half = len(counts), budget // 2
    searched = min(classes, max(1, half // least))
    rarest = np.lexsort((rng.random(classes), counts))[:searched]
    steps = [(SEARCH, int(k), half // searched) for k in rarest]
    rest = budget - searched * (half // searched)
    for place, k in enumerate(rng.permutation(classes)):
        steps.append((AROUND, int(k), rest // classes + (place < rest % classes)))
    return [step for step in steps if step[2] > 0]


@acquisition("direct")
class Direct(Acquisition):
    """Labels drawn from a shrinking stretch in which a class must end, then around where labels
    say that it does; the rarest classes first.
    """

    Options = DirectOptions
    needs = frozenset({"logits"})
    kind = "batch"
    deterministic = False
    options: DirectOptions

    def __init__(self, options: DirectOptions) -> None:
        super().__init__(options)
        self.portion = options.portion

    def select(self, view: "PoolView", n: int) -> Query:
        o = self.options
        check_budget(n, len(view.candidate_ids))
        if n == 0:
            return Query(view.candidate_ids[:0])
        done = _answered(view)
        steps = plan(
            len(done["ids"]) + n + view.later,
            np.bincount(
                view.labels[~np.isin(view.labelled_ids, done["ids"])], minlength=view.num_classes
            ).astype(np.int64),
            o.least,
            view.rng("direct/plan"),
        )
        pool = _Lines(view)
        few = min(n, len(pool.new))
        rng, passed = view.rng(f"direct/{len(done['ids'])}"), len(done["ids"])
        chosen: list[int] = []
        kept: list[tuple[float, ...]] = []
        for part, k, items in steps:
            spent, passed = min(items, passed), passed - min(items, passed)
            while spent < items and len(chosen) < few:
                number = min(items - spent, few - len(chosen))
                if part == AROUND:
                    rows, high, low = pool.around(k, number, rng), math.inf, -math.inf
                else:
                    number = min(number, o.portion)
                    mine = (done["part"] == SEARCH) & (done["class"] == k)
                    before = (done["high"][mine], done["low"][mine])
                    rows, high, low = pool.search(k, number, before, items, o.portion, rng)
                chosen += rows
                kept += [(float(part), float(k), high, low)] * len(rows)
                spent += len(rows)
        # Where nothing new is left, copies by chance: no class asks for them.
        chosen += pool.spare[: n - few].tolist()
        kept += [(float(AROUND), -1.0, math.inf, -math.inf)] * (n - few)
        rows_, memory = np.array(chosen, dtype=np.int64), np.array(kept, dtype=np.float64)
        finite = np.clip(memory, -2.0, 2.0)  # lines lie within, and JSON has no infinity
        finite[:, :2] = memory[:, :2]
        searching = int((memory[:, 0] == SEARCH).sum())
        return Query(
            view.candidate_ids[rows_],
            None,
            {"asked_for_class": memory[:, 1]},
            view.pseudo_labels.numpy()[rows_],
            {"searching": searching, "around": few - searching},
            memory=dict(zip(_KEPT, finite.T, strict=True)),
        )


def _answered(view: "PoolView") -> dict[str, np.ndarray]:
    """What this round has asked for so far and has answers to, in the order asked."""
    empty = {"ids": np.empty(0, np.int64), **{name: np.empty(0) for name in _KEPT}}
    rows = view.memory.get(view.round, empty)
    known: Ids = np.concatenate([view.labelled_ids, view.rejected_ids])
    here = np.isin(rows["ids"], known)
    return {name: np.asarray(rows[name])[here] for name in ("ids", *_KEPT)}


class _Lines:
    """Labelled items and new candidates on the lines of the classes; taken ones are free no more.

    Copies, also those of a label, are `spare`: they would be one place taken again and again.
    """

    def __init__(self, view: "PoolView") -> None:
        self.labels, self.known = view.labels, len(view.labels)
        given, free, ties = view.labelled("logits"), view.candidates("logits"), view.ties()
        self.new, self.spare = differing(given, free, ties)
        self.logits = torch.cat([given, free[torch.from_numpy(self.new)]])
        self.draws = np.concatenate([np.zeros(self.known), ties[self.new]])
        self.free = np.arange(len(self.logits)) >= self.known
        self.orders: dict[int, tuple[Int64[np.ndarray, " m"], Float[np.ndarray, " m"]]] = {}

    def line(
        self, k: int
    ) -> tuple[Int64[np.ndarray, " m"], Float[np.ndarray, " m"], Int64[np.ndarray, " m"]]:
        """Rows by descending lead of the class, their leads, and their labels as signs."""
        if k not in self.orders:
            value = lead(self.logits, k)
            order = np.lexsort((self.draws, -value)).astype(np.int64)
            self.orders[k] = order, value[order]
        order, value = self.orders[k]
        signs = np.zeros(len(order), dtype=np.int64)
        signs[: self.known] = np.where(self.labels == k, 1, -1)
        return order, value, signs[order]

    def _take(self, rows: Int64[np.ndarray, " r"]) -> list[int]:
        self.free[rows] = False
        return self.new[rows - self.known].tolist()  # type: ignore[no-any-return]

    def search(
        self,
        k: int,
        number: int,
        before: tuple[Float[np.ndarray, " r"], Float[np.ndarray, " r"]],
        items: int,
        portion: int,
        rng: np.random.Generator,
    ) -> tuple[list[int], float, float]:
        """Free rows drawn uniformly from the stretch in which class k must end, and that stretch.

        Parameters
        ----------
        before: the stretch of each item that this search has had answered; the last one shrinks
            by the answers to it. Without any it lies between the labels at hand.
        items: what the search has in all; the stretch shrinks by the w-th root of its width, with
            w the portions still to come, so that it would end at one item.
        """
        order, value, signs = self.line(k)
        free = self.free[order]
        if not len(before[0]):
            low, high = border(signs)
        else:
            low = int(np.searchsorted(-value, -before[0][-1], "left"))
            high = int(np.searchsorted(-value, -before[1][-1], "right")) - 1
            low, high = min(low, len(order) - 1), max(high, 0)
            # Portions still to come, and the one that has just been answered.
            left = (items - len(before[0])) // portion + 1
            width = int(free[low : high + 1].sum())
            if left > 1 and width:
                wanted = math.ceil(width / width ** (1.0 / left))
                low, high = shrink(low, high, free, balance(signs), wanted, rng)
        places = np.flatnonzero(free)
        # Those inside, then those nearest to it; each alike by lot.
        outside = np.maximum(0, np.maximum(low - places, places - high))
        best = places[np.lexsort((rng.random(len(places)), outside))[:number]]
        return self._take(order[best]), float(value[low]), float(value[high])

    def around(self, k: int, number: int, rng: np.random.Generator) -> list[int]:
        """Free rows on both sides of the threshold that the labels of class k fit best, nearest
        first, alternating."""
        order, _, signs = self.line(k)
        value = balance(signs)
        best = np.flatnonzero(value == value.max())
        threshold = int(best[int(rng.integers(len(best)))])
        places = np.flatnonzero(self.free[order])
        left, right = places[places < threshold][::-1], places[places >= threshold]
        by_turns = np.concatenate([2 * np.arange(len(left)), 2 * np.arange(len(right)) + 1])
        both = np.concatenate([left, right])[np.argsort(by_turns, kind="stable")]
        return self._take(order[both[:number]])


method(
    "direct",
    "cross-entropy",
    "direct",
    title="DIRECT",
    citation="Nuggehalli et al. 2025, DIRECT: deep active learning under imbalance and label noise",
    query_cost="a pass of the network and N·K for every 20 items",
)
