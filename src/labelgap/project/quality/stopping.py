"""An honest "labelling more is not helping", or that it cannot be told yet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from labelgap.project.quality.quality import Gain, Point, gain, kappa

STABLE = 0.99
WINDOWS = 3
"""Bloodgood and Vijay-Shanker 2009: stop when the networks of three successive comparisons agree
with kappa above 0.99 on images set aside (theirs: 2,000; ours: the reserve, a random sample)."""
WORTH = 0.01
"""A gain below one point over two batches is called no help."""


@dataclass(frozen=True)
class Verdict:
    """What is known about labelling on, and the numbers behind it."""

    kind: Literal["too early", "helping", "not helping", "cannot tell"]
    sentence: str
    gain: Gain | None
    agreement: tuple[float, ...]


def verdict(points: Sequence[Point], truth: Mapping[int, int]) -> Verdict:
    """Judge from the learning curve and the networks' agreement.

    points: one a number of labels, in the order of training.
    """
    if len(points) < 2:
        text = "whether more labels help shows once a second batch is labelled and trained on"
        return Verdict("too early", text, None, ())
    agreement = tuple(_agreement(a, b) for a, b in pairwise(points))
    last = gain(points[-2], points[-1], truth)
    wide = gain(points[max(0, len(points) - 3)], points[-1], truth)
    recent = agreement[-WINDOWS:]
    if len(recent) == WINDOWS and min(recent) > STABLE:
        text = (
            f"labelling more is not helping: the last {WINDOWS} trainings hardly changed a "
            f"prediction (agreement {min(recent):.3f})"
        )
        return Verdict("not helping", text, last, agreement)
    if len(points) > 2 and wide.total and wide.interval[1] < WORTH:
        text = (
            "labelling more is not helping: the last two batches gained less than "
            f"{100 * WORTH:.0f} point ({_points(wide)})"
        )
        return Verdict("not helping", text, last, agreement)
    if last.certain:
        # The sign is certain before the size is: an interval that may hold 0 would confuse here.
        text = (
            f"labelling helps: with the last batch {last.better} of {last.total} held-out "
            f"predictions became right and {last.worse} wrong ({100 * last.value:+.1f} points)"
        )
        return Verdict("helping", text, last, agreement)
    text = (
        f"whether the last batch helped cannot be told from {last.total} held-out labels "
        f"({_points(last)})"
    )
    return Verdict("cannot tell", text, last, agreement)


def _points(g: Gain) -> str:
    if not g.total:
        return "none of them is new to both networks"
    low, high = g.interval
    text = f"{100 * g.value:+.1f} points, 95 %: {100 * low:+.1f} to {100 * high:+.1f}"
    return text.replace("-", "−")


def _agreement(a: Point, b: Point) -> float:
    common = sorted(a.predicted.keys() & b.predicted.keys())
    first, second = (np.array([p.predicted[i] for i in common], dtype=np.int64) for p in (a, b))
    return kappa(first, second)
