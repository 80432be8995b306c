"""What the page tells at the end of a batch: the curve so far, and what the next images cost."""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Any

from labelgap.project.keep.store import Project
from labelgap.project.quality.quality import Point, last_training
from labelgap.project.server.asking import Asking

LONGEST_PAUSE = 60.0
"""Seconds between two answers of one person above which nobody sat at the page."""
FEWEST = 5
"""Pauses from which a person's own pace is told."""
LOOKED_AT = 60
"""Answers that the pace is of."""


def drawn(curve: Sequence[Point]) -> list[dict[str, Any]]:
    """The points of the learning curve: labels, accuracy, its 95 % interval, held-out labels."""
    return [
        {
            "labels": point.labels,
            "value": point.accuracy.value,
            "low": point.accuracy.interval[0],
            "high": point.accuracy.interval[1],
            "total": point.accuracy.total,
        }
        for point in curve
        if point.accuracy.total
    ]


def cost(project: Project, asking: Asking, person: str) -> dict[str, Any]:
    """What the next images would take: `images`, `learning` and `answer` in seconds.

    learning: as the last question took, or as the last training; None before any.
    answer: the median pause between this person's last answers; None for a few only.
    """
    seconds = asking.seconds
    if seconds is None and (last := last_training(project.ledger)):
        seconds = sum(last.get("seconds", {}).values())
    times = [
        datetime.fromisoformat(event.time)
        for event in project.ledger.history(limit=LOOKED_AT, person=person)
    ]
    pauses = [(after - before).total_seconds() for after, before in pairwise(times)]
    own = [pause for pause in pauses if pause < LONGEST_PAUSE]
    return {
        "images": min(asking.size(), asking.untouched()),
        "learning": seconds,
        "answer": median(own) if len(own) >= FEWEST else None,
    }
