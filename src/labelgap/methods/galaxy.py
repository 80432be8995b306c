"""GALAXY: bisection between unlike labels, class by class (Zhang et al. 2022).

Each answer is read before the next item is chosen, so that a benchmark asks in portions.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition, method
from labelgap.core.config import Settings, setting
from labelgap.core.types import Query
from labelgap.select.distinct import differing
from labelgap.select.line import lead, runs
from labelgap.select.top import check_budget

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView


class GalaxyOptions(Settings):
    """How often answers are read."""

    portion: int = setting(
        5,
        "items asked for before the answers are read; the published method reads every one, at a "
        "pass of the network each",
        source="ours; Zhang et al. 2022: 1",
        ge=1,
    )


@acquisition("galaxy")
class Galaxy(Acquisition):
    """A random class at a time: the middle of the shortest stretch between two unlike labels on
    the line of that class; without one the item just outside such a pair; else any.
    """

    Options = GalaxyOptions
    needs = frozenset({"logits"})
    kind = "batch"
    deterministic = False
    options: GalaxyOptions

    def __init__(self, options: GalaxyOptions) -> None:
        super().__init__(options)
        self.portion = options.portion

    def select(self, view: "PoolView", n: int) -> Query:
        size, known = len(view.candidate_ids), len(view.labels)
        check_budget(n, size)
        if n == 0:
            return Query(view.candidate_ids[:0])
        ties = view.ties()
        # Copies, also those of a label, would be one place of the line taken again and again.
        new, spare = differing(view.labelled("logits"), view.candidates("logits"), ties)
        size, few = len(new), min(n, len(new))
        free = view.candidates("logits")[torch.from_numpy(new)]
        logits = torch.cat([view.labelled("logits"), free])
        # A later portion of a round has more labels than the one before.
        rng = view.rng(f"galaxy/{known}")
        draws = np.concatenate([np.zeros(known), ties[new]])
        lines: dict[int, Float[np.ndarray, " m"]] = {}
        taken: Bool[np.ndarray, " m"] = np.zeros(known + size, dtype=np.bool_)
        chosen: list[int] = []
        reasons: list[int] = []
        for _ in range(few):
            k = int(rng.integers(view.num_classes))
            if k not in lines:
                lines[k] = np.lexsort((draws, -lead(logits, k)))
            order = lines[k]
            signs = np.zeros(known + size, dtype=np.int64)
            signs[:known] = np.where(view.labels == k, 1, -1)
            where, reason = probe(signs[order], taken[order], rng)
            row = int(order[where])
            taken[row] = True
            chosen.append(row - known)
            reasons.append(reason)
        rows = np.append(new[np.array(chosen, dtype=np.int64)], spare[: n - few])
        told = np.bincount(np.array(reasons, dtype=np.int64), minlength=3)
        return Query(
            view.candidate_ids[rows],
            None,
            {},
            view.pseudo_labels.numpy()[rows],
            {"bisections": int(told[0]), "beside": int(told[1]), "random": int(told[2]) + n - few},
        )


def probe(signs: np.ndarray, taken: np.ndarray, rng: np.random.Generator) -> tuple[int, int]:
    """The position to ask for on one line, and why: 0 a bisection, 1 beside a pair, 2 by lot.

    What was taken in this portion has no answer yet. It ends a stretch as a label does, and
    stretches with the fewest of them come first, so that a portion is not spent on one.
    """
    stretches = []
    for left, right in runs(signs):
        inner = np.flatnonzero(taken[left + 1 : right]) + left + 1
        if right - left - 1 > len(inner):
            stretches.append((len(inner), right - left - 1, left, right, inner))
    if stretches:
        fewest = min(s[:2] for s in stretches)
        equals = [s for s in stretches if s[:2] == fewest]
        _, _, left, right, inner = equals[int(rng.integers(len(equals)))]
        ends = np.concatenate([[left], inner, [right]])
        widest = int(np.diff(ends).argmax())
        return int(ends[widest] + ends[widest + 1]) // 2, 0
    free = (signs == 0) & ~taken
    places = np.flatnonzero(free)
    pairs = runs(signs)
    if pairs:
        labels = np.array(pairs).ravel()
        away = np.abs(places[:, None] - labels[None]).min(1)
        nearest = places[away == away.min()]
        return int(nearest[int(rng.integers(len(nearest)))]), 1
    return int(places[int(rng.integers(len(places)))]), 2


method(
    "galaxy",
    "cross-entropy",
    "galaxy",
    title="GALAXY",
    citation="Zhang, Katz-Samuels & Nowak 2022, GALAXY: graph-based active learning at the extreme",
    query_cost="a pass of the network and N·K for every 5 items",
)
