"""Accuracy against labels: the one picture of a run."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from labelgap.report import style
from labelgap.report.names import data_name, method_name
from labelgap.report.style import Theme

# Below this the two accuracies are one line; above it the test set is uneven enough to show both.
_DIFFERENT = 0.005


def curve(result: Mapping[str, Any], path: Path, random: Mapping[str, Any] | None = None) -> None:
    """Write the accuracy curve of a run's result to `path` (.png) and beside it as .svg.

    Balanced accuracy (the mean of the classes' own accuracies) joins where it differs.

    random: result of the same run by Random, for a curve beside; None draws none.
    """
    style.save(lambda theme: curve_figure(result, theme, random=random), path)


def has_balanced(result: Mapping[str, Any]) -> bool:
    """Whether balanced accuracy says anything that accuracy does not."""
    return any(abs(r["accuracy"] - r["balanced_accuracy"]) > _DIFFERENT for r in result["rounds"])


def curve_figure(
    result: Mapping[str, Any],
    theme: Theme,
    *,
    heading: bool = True,
    width: float | int = 6.4,
    random: Mapping[str, Any] | None = None,
) -> Figure:
    """The figure, `width` inches wide; `heading=False` leaves the title to the page around it."""
    figure = style.figure(width, 4.0 if heading else 3.6)
    axes = figure.add_subplot()
    rounds = result["rounds"]
    labels = [r["labels"] for r in rounds]
    own = "accuracy" if random is None else method_name(result)
    lines = {own: _accuracies(result)}
    if random is not None:
        lines[method_name(random)] = _accuracies(random)
    told = dict(lines)  # three ends would be written over one another
    if has_balanced(result):
        lines["balanced accuracy"] = [r["balanced_accuracy"] for r in rounds]
    for k, (name, values) in enumerate(lines.items()):
        axes.plot(labels, values, label=name, clip_on=False, zorder=3, **style.line(k, theme))
    annotate_ends(axes, labels[-1], told if random is not None else lines, theme)
    if len(lines) > 1:
        axes.legend(loc="lower right")
    if heading:
        subtitle = "test accuracy"
        if len(rounds) > 1:
            subtitle += f" · area under the curve (AUBC) {result['aubc']:.3f}"
        name = f"{method_name(result)} on {data_name(result)}"
        style.title(axes, name, f"{subtitle} · seed {result['seed']}")
    axes.set_xlabel("labels")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=None, symbol="\u00a0%"))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    if len(labels) <= 2 * width:
        axes.set_xticks(labels, [f"{n:,}" for n in labels])
    axes.margins(x=0.03, y=0.12)
    return figure


def _accuracies(result: Mapping[str, Any]) -> list[float]:
    return [r["accuracy"] for r in result["rounds"]]


def annotate_ends(
    axes: Axes, x: float | int, lines: Mapping[str, list[float]], theme: Theme
) -> None:
    """Write each line's last value beside its end, the higher above and the lower below."""
    order = sorted(lines, key=lambda name: -lines[name][-1])
    for name in lines:
        above = name == order[0]
        axes.annotate(
            style.percent(lines[name][-1]), (x, lines[name][-1]), (0, 9 if above else -9),
            textcoords="offset points", ha="right", va="bottom" if above else "top",
            fontweight="bold", color=theme.ink, zorder=4,
        )  # fmt: skip
