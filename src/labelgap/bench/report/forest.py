"""Figures of differences with their intervals: one line per arm or per change."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from labelgap.bench.evidence.compare import Comparison, Row
from labelgap.bench.evidence.contrasts import Contrast
from labelgap.bench.evidence.statistics import Difference
from labelgap.report import style
from labelgap.report.style import Theme

KINDS = {
    "training": "training changed, random queries",
    "query": "plain training, queries changed",
    "both": "both changed",
    "reference": "plain training, random queries",
}
CONFIDENCE = "bands: 95 %, cut at the frame"


def differences(c: Comparison, rows: Sequence[Row], theme: Theme) -> Figure:
    """AUBC minus random's, paired by seed, with its interval, grouped by what an arm changes."""
    groups: dict[str, list[Line]] = {}
    for kind in ("both", "query", "training"):
        found = [
            Line(row.arm, row.versus_random, row.p_holm, look_of(kind, theme))
            for m, row in enumerate(rows)
            if row.versus_random and c.kind(m) == kind
        ]
        if found:
            groups[KINDS[kind]] = found
    return _forest(c, groups, "difference in AUBC to random, percentage points", theme)


_CHANGES = {"query": "queries changed", "training": "training changed"}


def one_change(c: Comparison, pairs: Sequence[Contrast], theme: Theme) -> Figure:
    """AUBC of an arm minus that of the arm it differs from in one thing."""
    groups: dict[str, list[Line]] = {}
    for pair in pairs:
        change = str(pair.change)
        title = _CHANGES.get(change, "one option changed")
        look = look_of(change if change in _CHANGES else "both", theme)
        name = f"{pair.arm} − {pair.against}"
        groups.setdefault(title, []).append(Line(name, pair.differences[0], pair.p_holm, look))
    return _forest(c, groups, "difference in AUBC, percentage points", theme)


@dataclass(frozen=True)
class Line:
    """A line of a forest plot; look: colour and marker."""

    name: str
    difference: Difference
    p_holm: float
    look: tuple[str, str]


def _forest(
    c: Comparison, groups: dict[str, list[Line]], what: str, theme: Theme, longest: int = 80
) -> Figure:
    """Differences with their intervals, best on top within each group."""
    count = sum(len(members) + 1 for members in groups.values())
    names = [style.short(line.name, longest) for members in groups.values() for line in members]
    figure = style.figure(5.0 + 0.065 * max(map(len, names)), 1.5 + 0.3 * count)
    axes = figure.add_subplot()
    y, ticks, names = 0.0, [], []
    for title, members in groups.items():
        for line in sorted(members, key=lambda line: line.difference.interval.mean):
            i, (colour, mark) = line.difference.interval, line.look
            if np.isfinite(i.low):
                axes.plot([100 * i.low, 100 * i.high], [y, y], color=colour, linewidth=2.2)
            axes.plot(
                100 * i.mean, y, mark, color=colour, markersize=7.5,
                markerfacecolor=colour if line.p_holm < 0.05 else theme.card, markeredgewidth=1.6,
            )  # fmt: skip
            ticks.append(y)
            names.append(style.short(line.name, longest))
            y += 1
        axes.annotate(
            title, (0, y), xycoords=("axes fraction", "data"), fontsize=9.5,
            fontweight="bold", color=theme.ink, va="center", annotation_clip=False,
            bbox={"facecolor": theme.card, "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip
        y += 1.15
    axes.axvline(0, color=theme.muted, linewidth=1.2, linestyle="--", zorder=1)
    axes.set_yticks(ticks, names)
    axes.set_ylim(-0.7, y - 0.4)
    axes.tick_params(axis="y", labelcolor=theme.ink)
    axes.grid(axis="x")
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(what)
    kinds = {line.difference.interval.kind for members in groups.values() for line in members}
    said = f"lines: 95 % ({', '.join(sorted(kinds))}) · filled: Holm p < 0.05"
    style.title(axes, c.name, f"{seeds_said(c)} · {said}" if len(c.seeds) > 1 else seeds_said(c))
    return figure


def look_of(kind: str, theme: Theme) -> tuple[str, str]:
    """Colour and marker of what an arm changes, the same in every figure."""
    k = list(KINDS).index(kind)
    return style.colour(k, theme), style.marker(k)


def seeds_said(c: Comparison) -> str:
    n = len(c.seeds)
    return f"{n} seeds" if n > 1 else "1 seed: no intervals, no tests"
