"""The benchmark's figures: the run report's look, so that both read alike, colour-blind or grey."""

import math
from collections.abc import Sequence
from typing import Any

import matplotlib.patheffects as effects
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from labelgap.bench.evidence import statistics as st
from labelgap.bench.evidence.across import Penalties, Ranks
from labelgap.bench.evidence.compare import Comparison, Row
from labelgap.bench.report.forest import CONFIDENCE, KINDS, look_of, seeds_said
from labelgap.report import style
from labelgap.report.style import Theme

MOST_TOGETHER = 6
"""Lines that the eye still tells apart in one panel; more get a panel each."""
_COLUMNS = 4


def curves(
    c: Comparison,
    values: Float[np.ndarray, "m s r"],
    what: str,
    theme: Theme,
    heights: tuple[str, Sequence[float]] | None = None,
) -> Figure:
    """Mean over seeds against labels, with confidence bands: one panel, or one for each arm.

    heights: what is written into an arm's panel, and its value for every arm; None: the AUBC.
    """
    if heights is None:
        heights = "AUBC", c.areas(values)[:, :, 0].mean(axis=1).tolist()
    subtitle = f"{what} · {seeds_said(c)}" + (f" · {CONFIDENCE}" if len(c.seeds) > 1 else "")
    if len(c.arms) <= MOST_TOGETHER:
        figure = style.figure(6.8, 4.4)
        axes = figure.add_subplot()
        for m, arm in enumerate(c.arms):
            _band(axes, c, values[m], style.line(m, theme), arm)
        style.title(axes, c.name, subtitle)
        axes.legend(loc="lower right")
        _label_axes(axes, c)
        _window(axes, values.mean(axis=1))
        axes.set_xlabel("labels")
        return figure
    return _panels(c, values, subtitle, theme, *heights)


def _panels(
    c: Comparison,
    values: Float[np.ndarray, "m s r"],
    subtitle: str,
    theme: Theme,
    name: str,
    heights: Sequence[float],
) -> Figure:
    """An arm a panel over random's line, the highest first, so that dozens stay legible."""
    random = c.random
    order = [int(m) for m in np.argsort(-np.array(heights)) if m != random]
    names = _brief(c.arms)
    rows = math.ceil(len(order) / _COLUMNS)
    figure = style.figure(10.0, 0.9 + 1.9 * rows)
    grid = figure.subplots(rows, _COLUMNS, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, m in zip(grid, order, strict=False):
        if random is not None:
            look = {"color": theme.muted, "linestyle": "--", "linewidth": 1.4}
            _band(axes, c, values[random], look, "random")
        look = {"color": theme.series[0], "linewidth": 2.0, "marker": "o", "markersize": 3.0}
        _band(axes, c, values[m], look, c.arms[m])
        axes.set_title(style.short(names[m], 30), loc="left", fontsize=9.5, fontweight="bold")
        axes.annotate(
            f"{name} {100 * heights[m]:.1f} %", (1, 0), (-5, 5), xycoords="axes fraction",
            ha="right", textcoords="offset points", fontsize=8.5, color=theme.muted,
        )  # fmt: skip
        _label_axes(axes, c)
        axes.tick_params(labelsize=8.5)
    _window(grid[0], values.mean(axis=1))  # the axes are shared: once all curves are in
    for place in range(len(order), len(grid)):
        grid[place].set_visible(False)
        if place >= _COLUMNS:
            # The last panel of a short column carries the column's labels.
            grid[place - _COLUMNS].tick_params(labelbottom=True)
    dashed = " · dashed: random" if random is not None else ""
    figure.suptitle(c.name, x=0.012, ha="left", fontweight="bold", fontsize=13)
    figure.supxlabel(f"labels     ({subtitle}{dashed})", fontsize=9.5, color=theme.muted)
    return figure


def _brief(arms: Sequence[str]) -> list[str]:
    """Names of arms for small panels: "+ AS" is that query on plain training."""
    return [arm.removeprefix("cross-entropy ") for arm in arms]


def _band(
    axes: Axes, c: Comparison, runs: Float[np.ndarray, "s r"], look: dict[str, Any], name: str
) -> None:
    x, found = c.labels, [st.t_interval(runs[:, r]) for r in range(runs.shape[1])]
    axes.plot(x, [i.mean for i in found], label=name, zorder=3, **look)
    if len(runs) > 1:
        low, high = [i.low for i in found], [i.high for i in found]
        axes.fill_between(x, low, high, color=look["color"], alpha=0.1, linewidth=0, zorder=2)


def _window(axes: Axes, means: Float[np.ndarray, "..."]) -> None:
    """Show every mean; a band of two seeds may be wider than all accuracies there are."""
    low, high = axes.get_ylim()
    room = 0.5 * float(np.ptp(means)) + 0.01
    axes.set_ylim(
        max(low, 0.0, float(means.min()) - room), min(high, 1.005, float(means.max()) + room)
    )


def _label_axes(axes: Axes, c: Comparison) -> None:
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None, symbol="\u00a0%"))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.margins(x=0.04)


def minority(c: Comparison, rows: Sequence[Row], theme: Theme) -> Figure:
    """Share of the minority classes in each round's query."""
    shares = [row.minority_share.mean if row.minority_share else math.nan for row in rows]
    heights = "of all queries", shares
    figure = curves(c, c.minority_share, "minority (dotted: pool)", theme, heights)
    pool = c.minority_of_pool
    for axes in figure.axes:
        axes.set_ylim(-0.22, 1.02)  # room for the words below random's line
        axes.axhline(pool, color=theme.muted, linewidth=1.1, linestyle=":", zorder=1)
    return figure


def penalty_matrix(p: Penalties, theme: Theme) -> Figure:
    """Row beats column in so many settings' worth of rounds; the foot is the column's mean."""
    m = len(p.arms)
    size = max(4.2, 1.9 + 0.46 * m)
    figure = style.figure(size + 0.6, size)
    axes = figure.add_subplot()
    foot = p.matrix.sum(axis=0) / max(1, m - 1)
    whole = np.vstack([p.matrix, foot])
    ramp = LinearSegmentedColormap.from_list("penalty", [theme.card, theme.series[0]])
    most = len(p.settings)
    axes.imshow(whole, cmap=ramp, vmin=0, vmax=max(1e-9, most), aspect="auto")
    for (i, j), value in np.ndenumerate(whole):
        if i == j:
            continue
        deep = value > 0.8 * most
        axes.text(
            j, i, f"{value:.2f}", ha="center", va="center", fontsize=8.5,
            color=theme.card if deep else theme.ink,
        )  # fmt: skip
    axes.axhline(m - 0.5, color=theme.ink, linewidth=1.2)
    names = [style.short(arm, 22) for arm in p.arms]
    axes.set_xticks(range(m), names, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(m + 1), [*names, "is beaten"])
    axes.grid(visible=False)
    over = f", summed over {most} settings" if most > 1 else f", {p.settings[0]}"
    style.title(axes, "Who beats whom", f"share of rounds at which row beats column{over}")
    return figure


def time_figure(c: Comparison, theme: Theme) -> Figure:
    """Seconds of a whole run (median) against final accuracy."""
    figure = style.figure(6.8, 5.0)
    axes = figure.add_subplot()
    seconds = np.median(c.seconds(("train", "align", "score", "select")), axis=1)
    final = c.main[:, :, -1]
    spots = []
    for m in range(len(c.arms)):
        i = st.t_interval(final[m])
        colour, mark = look_of(c.kind(m), theme)
        error = None if math.isnan(i.low) else [[i.mean - i.low], [i.high - i.mean]]
        axes.errorbar(
            seconds[m], i.mean, yerr=error, markersize=6.5, linewidth=1.3, color=colour,
            marker=mark, linestyle="", label=KINDS[c.kind(m)],
        )  # fmt: skip
        spots.append((float(seconds[m]), i.mean))
    axes.margins(x=0.18, y=0.12)
    _window(axes, final.mean(axis=1))
    axes.set_xscale("log")
    figure.canvas.draw()
    named = _named(c, spots)
    for m, (dx, dy) in zip(named, _beside(axes, [spots[m] for m in named]), strict=True):
        axes.annotate(
            style.short(c.arms[m], 24), spots[m], (dx, dy), textcoords="offset points",
            fontsize=8.5, color=theme.ink, va="center", zorder=5,
            path_effects=[effects.withStroke(linewidth=2.5, foreground=theme.card)],
        )  # fmt: skip
    handles, names = axes.get_legend_handles_labels()
    unique = dict(zip(names, handles, strict=True))
    figure.legend(
        unique.values(), unique, loc="outside lower center", ncols=2, fontsize=8.5,
        columnspacing=1.2, handletextpad=0.3,
    )  # fmt: skip
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axes.xaxis.set_minor_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axes.tick_params(axis="x", which="both", labelsize=9, labelcolor=theme.muted)
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None, symbol="\u00a0%"))
    axes.set_xlabel("seconds of training and queries in a run (median)")
    what = "balanced accuracy" if c.imbalanced else "accuracy"
    bars = " · bars: 95 %, cut at the frame" if len(c.seeds) > 1 else ""
    style.title(axes, c.name, f"{what} at {c.labels[-1]:,} labels · {seeds_said(c)}{bars}")
    return figure


NAMED = "Named, where arms are many: random, daal, and those that no other beats in both."
_MOST_NAMED = 10


def _named(c: Comparison, spots: Sequence[tuple[float, float]]) -> list[int]:
    """Arms whose names are written: all of a few; of many those that answer a question."""
    arms = list(range(len(spots)))
    if len(arms) <= _MOST_NAMED:
        return arms
    asked = {c.random, c.find("daal", "daal")}
    return [
        m
        for m in arms
        if m in asked
        or not any(spots[n][0] < spots[m][0] and spots[n][1] > spots[m][1] for n in arms)
    ]


def _beside(axes: Axes, spots: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Offsets of labels right of their points, moved up and down until none covers another."""
    place = axes.transData.transform(np.array(spots)) * 72 / axes.figure.dpi
    height = 10.5
    y = place[:, 1].copy()
    for _ in range(200):
        near = np.abs(place[:, None, 0] - place[None, :, 0]) < 110
        rise = y[:, None] - y[None, :]
        order = np.subtract.outer(np.arange(len(y)), np.arange(len(y)))
        away = np.where(rise == 0, np.sign(order), np.sign(rise))
        lack = np.where(near & (order != 0), np.maximum(height - np.abs(rise), 0), 0)
        if lack.max() < 0.1:
            break
        y += 0.25 * (away * lack).sum(axis=1)
    return [(8.0, float(dy)) for dy in y - place[:, 1]]


def critical_difference(r: Ranks, theme: Theme) -> Figure:
    """Mean ranks on a line; a bar joins those that the data sets do not tell apart."""
    assert r.difference is not None
    order = np.argsort(r.ranks)
    m = len(order)
    rows = math.ceil(m / 2)
    bars = st.cliques(r.ranks, r.difference)
    figure = style.figure(7.2, 1.7 + 0.28 * rows + 0.12 * len(bars))
    axes = figure.add_subplot()
    axes.set_xlim(m + 0.6, 0.4)
    bottom = -1.0 - 0.35 * len(bars) - 0.9 * (rows - 1)
    axes.set_ylim(bottom - 0.4, 1.1)
    axes.plot([1, m], [0, 0], color=theme.ink, linewidth=1.4)
    for tick in range(1, m + 1):
        axes.plot([tick, tick], [0, 0.2], color=theme.ink, linewidth=1.0)
        axes.text(tick, 0.3, str(tick), ha="center", fontsize=9, color=theme.muted)
    for number, (first, last) in enumerate(bars):
        low, high = r.ranks[order[first]] - 0.06, r.ranks[order[last]] + 0.06
        height = -0.4 - 0.35 * number
        axes.plot([low, high], [height] * 2, color=theme.series[1], linewidth=4)
    for place, k in enumerate(order):
        best = place < rows
        level = place if best else m - 1 - place
        height = -1.0 - 0.35 * len(bars) - 0.9 * level
        edge = 0.9 if best else m + 0.1
        axes.plot(
            [r.ranks[k], r.ranks[k], edge], [0, height, height], color=theme.muted, linewidth=1.0
        )
        axes.text(
            edge, height, f" {r.arms[k]} ({r.ranks[k]:.2f}) ", va="center", fontsize=9.5,
            ha="left" if best else "right",
        )  # fmt: skip
    axes.set_axis_off()
    over = f"{r.settings} settings of {r.data_sets}" if r.settings else f"{r.data_sets}"
    sets = "data set" if r.data_sets == 1 else "data sets"
    said = f"{over} {sets} · critical difference {r.difference:.2f} (Nemenyi, 0.05)"
    style.title(axes, "Mean ranks", said)
    return figure
