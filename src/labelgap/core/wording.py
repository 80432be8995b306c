"""Words for people."""

import re
from collections.abc import Sequence


def counted(n: int, one: str, many: str | None = None) -> str:
    """A number and its noun: "1 file", "2 files"; `many` where an s does not make the plural."""
    return f"{n} {one if n == 1 else many or one + 's'}"


def shortened(names: Sequence[str], most: int) -> str:
    """Some names: "a, b, c and 4 more"."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def plain(text: object) -> str:
    """Text that rich shows as it is, in a markup of ours: every bracket escaped, since one that
    opens in a file's name may close in the next."""
    return re.sub(r"(\\*)\[", r"\1\1\\[", str(text))


def duration(seconds: float) -> str:
    """ "40 s", "6 min", "3.5 h", "54 h"."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < 10 else f"{round(hours)} h"


def how_fast(rate: float, of: str = "") -> str:
    """ "150 a second", "2.4 images a second", "30 a minute", "2 an hour".

    rate: so many a second.  of: what is counted, in the plural.
    """
    unit, number = "a second", rate
    if rate < 1:
        unit, number = ("a minute", 60 * rate) if 60 * rate >= 1 else ("an hour", 3600 * rate)
    figure = f"{number:.1f}" if number < 9.95 and round(number, 1) % 1 else f"{number:,.0f}"
    return " ".join(part for part in (figure, of, unit) if part)


STAGES = {
    "features": "looking at the images",
    "supervised": "learning from the labels",
    "align": "comparing with the unlabelled images",
    "predict": "judging the images",
}
"""What is going on, for people; other stages are called as they are."""
OF_IMAGES = frozenset({"features", "predict"})
"""Stages that count images; others count steps."""
