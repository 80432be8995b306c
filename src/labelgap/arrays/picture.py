"""The gap between two sets as a picture: where they lie, and how unlike each item is."""

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labelgap.report import style
from labelgap.report.style import LIGHT, Theme

_POINTS = 3000
"""Unlabelled points drawn at most, evenly spaced in their order."""


def draw(
    labelled: Float[np.ndarray, "l q"],
    unlabelled: Float[np.ndarray, "m q"],
    gap: Float[np.ndarray, " m"],
    usual: Float[np.ndarray, " l"],
    distances: tuple[float, float],
    path: str | Path | None = None,
    theme: Theme = LIGHT,
) -> Figure:
    """Both sets on their two largest principal components, and the distributions of the gap.

    Parameters
    ----------
    labelled, unlabelled: principal components, the largest last.
    gap, usual: the likelihood gaps of the unlabelled and of the labelled items.
    distances: of the two sets, and of random splits.
    """
    with style.context(theme):
        figure = style.figure(10.0, 4.6)
        plane, lines = figure.subplots(1, 2)
        covered = float(np.quantile(usual, 0.95))
        _plane(plane, labelled, unlabelled, gap > covered, theme)
        _lines(lines, gap, usual, covered, theme)
        style.title(lines, "Distance {:.3f}; by chance {:.3f}".format(*distances))
        if path is not None:
            figure.savefig(path, dpi=style.PIXELS_PER_INCH)
    return figure


def _plane(
    axes: Axes,
    labelled: Float[np.ndarray, "l q"],
    unlabelled: Float[np.ndarray, "m q"],
    unlike: Bool[np.ndarray, " m"],
    theme: Theme,
) -> None:
    step = -(-len(unlike) // _POINTS)
    some, far = unlabelled[::step], unlike[::step]
    sets = (
        ("unlabelled, like the labelled", some[~far], theme.muted, 10, 0.45),
        ("unlabelled, unlike them", some[far], theme.series[1], 12, 0.7),
        ("labelled", labelled, theme.series[0], 26, 1.0),
    )
    for name, z, colour, size, alpha in sets:
        second = z[:, -2] if z.shape[1] > 1 else np.zeros(len(z))
        axes.scatter(z[:, -1], second, s=size, color=colour, alpha=alpha, linewidths=0, label=name)
    axes.grid(False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel("the two largest principal components", loc="left", fontsize=9.5)
    axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.08), fontsize=9, borderpad=0)
    style.title(axes, f"{100 * unlike.mean():.0f} % of the unlabelled items are not covered")


def _lines(
    axes: Axes,
    gap: Float[np.ndarray, " m"],
    usual: Float[np.ndarray, " l"],
    covered: float,
    theme: Theme,
) -> None:
    low, high = np.quantile(np.concatenate([gap, usual]), [0.0, 0.99])
    edges = np.linspace(low, max(high, low + 1e-9), 41)
    sets = (("unlabelled", gap, theme.series[1]), ("labelled, left out", usual, theme.series[0]))
    for name, values, colour in sets:
        share = np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0] / len(values)
        axes.stairs(100 * share, edges, color=colour, linewidth=1.8, label=name)
    axes.axvline(covered, color=theme.muted, linewidth=1, linestyle="--")
    axes.annotate(
        "95 % of the labelled", (covered, 1), (4, -4), xycoords=("data", "axes fraction"),
        textcoords="offset points", va="top", fontsize=9, color=theme.muted,
    )  # fmt: skip
    axes.set_xlabel("likelihood gap in nats: unlike the labelled set →", loc="left", fontsize=9.5)
    axes.set_ylabel("% of the set")
    axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.16), ncols=2, fontsize=9, borderpad=0)
