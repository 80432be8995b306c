"""A run's curve beside Random's: how many labels it saved, in numbers and in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np

from labelgap.core.area import labels_to_reach
from labelgap.report.names import method_name


@dataclass(frozen=True)
class Saved:
    """Labels at which each curve first reaches `accuracy`, Random's last one, between rounds by a
    straight line; `needed` is None where the run's curve never does."""

    accuracy: float
    needed: int | None
    random: int

    @property
    def labels(self) -> int:
        """Labels that were saved; negative where Random was there first, 0 for "never"."""
        return 0 if self.needed is None else self.random - self.needed


def saved(result: Mapping[str, Any], random: Mapping[str, Any]) -> Saved:
    """Both runs at one accuracy: the one that Random ends with.

    Random's labels are those at which it first had that accuracy, not its last ones: a curve that
    had it, lost it and found it again did not need them all.
    """
    target = float(random["rounds"][-1]["accuracy"])
    needed, other = (_reached(run, target) for run in (result, random))
    assert other is not None  # it ends there
    return Saved(target, needed, other)


def _reached(result: Mapping[str, Any], target: float) -> int | None:
    rounds = result["rounds"]
    labels = np.array([r["labels"] for r in rounds], dtype=np.int64)
    curve = np.array([r["accuracy"] for r in rounds], dtype=np.float64)
    found = labels_to_reach(labels, curve, target)
    return None if isnan(found) else round(found)


def in_words(result: Mapping[str, Any], random: Mapping[str, Any]) -> str:
    """One or two sentences for people who never saw either curve."""
    found, name = saved(result, random), method_name(result)
    reached = f"{100 * found.accuracy:.1f}\u00a0%"
    if found.needed is None:
        return (
            f"No labels saved: Random reached {reached} with {found.random:,} labels, "
            f"{name} never did."
        )
    both = f"{name} reached {reached} with {found.needed:,} labels, Random with {found.random:,}"
    if found.labels > 0:
        return f"{_labels(found.labels)} saved: {both}."
    if found.labels < 0:
        return f"{_labels(-found.labels)} more than Random: {both}."
    return f"No labels saved: {both}."


def _labels(number: int) -> str:
    return f"{number:,} label" + ("" if number == 1 else "s")
