"""The embedding of labelled and unlabelled features, before and after alignment (paper, Fig. 1).

t-SNE shows the eye where the sets differ; it does not preserve distances. The figure under each
panel, measured in the full feature space, says by how much.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import matplotlib.patheffects as effects
import numpy as np
from jaxtyping import Bool, Float, Int64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from labelgap.core.disk import not_the_disk
from labelgap.core.errors import DataError, NumericalError
from labelgap.core.streams import Streams
from labelgap.mixtures.wasserstein import sliced_wasserstein
from labelgap.report import style
from labelgap.report.names import data_name, method_name
from labelgap.report.plane import Features, Layout, layout
from labelgap.report.style import LIGHT, Theme

_CHANCE_SPLITS = 5
MOST_LOOKS = len(LIGHT.series) * len(style.MARKERS)
"""With more classes a look would stand for several: points then show only their set."""

_MOST_NAMES = 20
_LINE_HEIGHT = 0.046  # of a class's name, in heights of a panel


@dataclass(frozen=True, eq=False)
class Cloud:
    """One file of features: which are labelled, and the class each is drawn in.

    kind: the label of a labelled item, the network's class of an unlabelled one.
    """

    features: Features
    is_labelled: Bool[np.ndarray, " n"]
    kind: Int64[np.ndarray, " n"]


@dataclass(frozen=True, eq=False)
class Panel:
    """A cloud laid out in the plane.

    gap: sliced Wasserstein distance between labelled and unlabelled features, in units of the
        features' standard deviation (so that shrinking all features closes no gap).
    chance: the same between random splits of the union: what no difference at all would give.
        Both are None where one of the sets is empty.
    """

    title: str
    cloud: Cloud
    layout: Layout
    gap: float | None
    chance: float | None


def embedding(
    before: Path | None, after: Path, path: Path, result: Mapping[str, Any], seed: int
) -> None:
    """Write the joint t-SNE, before and after alignment side by side, to `path` and as .svg.

    Parameters
    ----------
    before, after: .npz files with features [n, d], is_labelled [n], label [n] (−1 where
        unlabelled) and pseudo_label [n]; `before` is None for methods without alignment.
    seed: of the layout and of the directions of the distance.

    Raises
    ------
    DataError: a file is missing, damaged or lacks an array.
    NumericalError: features that are not finite.
    """
    shown = panels(before, after, seed)
    style.save(lambda theme: embedding_figure(shown, result, theme), path)


def panels(before: Path | None, after: Path, seed: int) -> list[Panel]:
    """Lay out both files; about 4 seconds of one core for each 2,000 points."""
    if before is None:
        named = {"After training": load(after)}
    else:
        named = {"Before alignment": load(before), "After alignment": load(after)}
    clouds = list(named.values())
    starts = common_plane([cloud.features for cloud in clouds])
    made = []
    for (name, cloud), start in zip(named.items(), starts, strict=True):
        # The same directions and splits for both panels: their difference is alignment's.
        gap, chance = gap_and_chance(cloud, Streams(seed).numpy("report/distance"))
        made.append(Panel(name, cloud, layout(cloud.features, start, seed), gap, chance))
    return made


def load(path: Path) -> Cloud:
    """Read one file of features."""
    try:
        with np.load(path) as arrays:
            features = arrays["features"].astype(np.float32)
            is_labelled = arrays["is_labelled"].astype(bool)
            kind = np.where(is_labelled, arrays["label"], arrays["pseudo_label"])
    except (OSError, BadZipFile, ValueError, KeyError) as error:
        not_the_disk(error, path)
        raise DataError(
            f"{path} cannot be read as features: {error}.", "Repeat the run's last round."
        ) from error
    if not np.isfinite(features).all():
        raise NumericalError(f"{path} has features that are not finite.")
    return Cloud(features, is_labelled, kind.astype(np.int64))


def common_plane(
    clouds: Sequence[Float[np.ndarray, "_ _"]],
) -> list[Float[np.ndarray, "_ 2"]]:
    """The first two principal components, of all clouds together where they have one width.

    A common plane turns and mirrors both t-SNEs alike, so that the panels can be compared.
    """
    if len({z.shape[1] for z in clouds}) > 1:
        return [common_plane([z])[0] for z in clouds]
    both = np.concatenate(clouds).astype(np.float64)
    centred = both - both.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, ::-1][:, :2]
    axes = axes * np.sign(axes.sum(axis=0) + 1e-300)  # eigenvectors have no sign of their own
    plane = np.zeros((len(both), 2))
    plane[:, : axes.shape[1]] = centred @ axes
    ends = np.cumsum([len(z) for z in clouds])[:-1]
    return np.split(plane, ends)


def gap_and_chance(
    cloud: Cloud, rng: np.random.Generator
) -> tuple[float, float] | tuple[None, None]:
    """Sliced Wasserstein distance of labelled to unlabelled features, and of random splits."""
    labelled = int(cloud.is_labelled.sum())
    if labelled in (0, len(cloud.features)):
        return None, None
    scale = float(np.sqrt(cloud.features.var(axis=0, dtype=np.float64).mean()))
    if scale == 0:
        return 0.0, 0.0
    z = cloud.features / np.float32(scale)
    gap = sliced_wasserstein(z[cloud.is_labelled], z[~cloud.is_labelled], rng)
    splits = []
    for _ in range(_CHANCE_SPLITS):
        order = rng.permutation(len(z))
        splits.append(sliced_wasserstein(z[order[:labelled]], z[order[labelled:]], rng))
    return gap, float(np.mean(splits))


def embedding_figure(
    shown: Sequence[Panel], result: Mapping[str, Any], theme: Theme, *, heading: bool = True
) -> Figure:
    """Panels side by side; `heading=False` leaves the title to the page around the figure."""
    figure = style.figure(5.0 * len(shown), 5.35 if heading else 4.9)
    for k, panel in enumerate(shown):
        _draw(figure.add_subplot(1, len(shown), k + 1), panel, result["classes"], theme)
    if heading:
        last = result["rounds"][-1]
        text = f"{method_name(result)} on {data_name(result)}, {last['labels']:,} labels"
        size = style.fitting(text, 0.96 * figure.get_figwidth(), 13)
        figure.suptitle(text, x=0.012, ha="left", fontweight="bold", fontsize=size)
    return figure


def _draw(axes: Axes, panel: Panel, classes: Sequence[str], theme: Theme) -> None:
    cloud = panel.cloud
    by_class = len(classes) <= MOST_LOOKS
    kind = cloud.kind if by_class else np.zeros_like(cloud.kind)
    for k in np.unique(kind):
        look: dict[str, Any] = {"marker": style.marker(int(k)), "rasterized": True}
        colour = style.colour(int(k), theme)
        for is_labelled in (False, True):
            x, y = panel.layout[(kind == k) & (cloud.is_labelled == is_labelled)].T
            if is_labelled:
                axes.scatter(
                    x, y, s=26, color=colour, edgecolors=theme.card, linewidths=0.6,
                    zorder=3, **look,
                )  # fmt: skip
            else:
                axes.scatter(
                    x, y, s=15, facecolors="none", edgecolors=colour if by_class else theme.muted,
                    linewidths=0.7, alpha=0.55, zorder=2, **look,
                )  # fmt: skip
    if len(classes) <= _MOST_NAMES:
        _name_classes(axes, panel, classes, theme)
    axes.set_title(panel.title, loc="left", fontsize=11, color=theme.ink)
    axes.set_xlabel(_caption(panel), loc="left", fontsize=9.5)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.margins(0.04)
    axes.set_box_aspect(0.86)
    for side in axes.spines.values():
        side.set_visible(True)
    axes.legend(
        handles=_keys(cloud, theme), loc="lower right", bbox_to_anchor=(1.01, 0.99),
        ncols=2, fontsize=9, handletextpad=0.1, columnspacing=0.9, borderpad=0,
    )  # fmt: skip


def _name_classes(axes: Axes, panel: Panel, classes: Sequence[str], theme: Theme) -> None:
    """Each class's name at its most central point, so that no legend of colours is needed."""
    halo = [effects.withStroke(linewidth=3, foreground=theme.card)]
    low, span = panel.layout.min(axis=0), np.ptp(panel.layout, axis=0) + 1e-12
    names, spots = [], []
    for k in np.unique(panel.cloud.kind):
        points = panel.layout[panel.cloud.kind == k]
        # The point of least distance to the median lies inside the cluster, as that need not.
        spot = points[np.abs(points - np.median(points, axis=0)).sum(axis=1).argmin()]
        names.append(style.short(classes[int(k)]))
        spots.append((spot - low) / span)
    for name, (x, y) in zip(names, spread_labels(np.array(spots), names), strict=True):
        axes.annotate(
            name, low + (x, y) * span, ha="center", va="center", fontsize=9.5,
            fontweight="bold", color=theme.ink, path_effects=halo, zorder=5,
        )  # fmt: skip


def spread_labels(spots: Layout, names: Sequence[str]) -> Layout:
    """Move labels apart, up and down, until none covers another; panel coordinates in 0..1.

    Bold type of 9.5 points in a panel 5 inches wide is 0.023 of its width a letter.
    """
    spots = spots.copy()
    half = np.array([0.0115 * max(2, len(name)) for name in names])
    for _ in range(200):
        wide = np.abs(spots[:, None, 0] - spots[None, :, 0]) < half[:, None] + half[None, :]
        rise = spots[:, None, 1] - spots[None, :, 1]
        # Two labels at one height part in the order of their indices.
        order = np.subtract.outer(np.arange(len(names)), np.arange(len(names)))
        away = np.where(rise == 0, np.sign(order), np.sign(rise))
        lack = np.where(wide & (away != 0), np.maximum(_LINE_HEIGHT - np.abs(rise), 0), 0)
        if lack.max() < 1e-6:
            break
        spots[:, 1] += (0.5 * away * lack).sum(axis=1)
    return spots


def _keys(cloud: Cloud, theme: Theme) -> list[Line2D]:
    labelled = int(cloud.is_labelled.sum())
    look: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 6, "color": theme.muted}
    return [
        Line2D([], [], label=f"labelled ({labelled:,})", **look),
        Line2D(
            [], [], label=f"unlabelled ({len(cloud.kind) - labelled:,})", fillstyle="none", **look
        ),
    ]


def _caption(panel: Panel) -> str:
    if panel.gap is None or panel.chance is None:
        return "one set only: no distance between sets"
    splits = f"(random splits of the same points: {panel.chance:.3f})"
    return f"sliced Wasserstein distance {panel.gap:.3f}\n{splits}"


def describe(panel: Panel) -> str:
    """The panel in words, for those who cannot see it."""
    labelled = int(panel.cloud.is_labelled.sum())
    text = (
        f"{panel.title}: t-SNE of the features of {labelled:,} labelled and "
        f"{len(panel.cloud.kind) - labelled:,} unlabelled items."
    )
    if panel.gap is not None and panel.chance is not None:
        text += (
            f" Sliced Wasserstein distance between the two sets {panel.gap:.3f}; "
            f"{panel.chance:.3f} between random splits."
        )
    return text
