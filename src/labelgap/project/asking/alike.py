"""Near-duplicates, regions and the map of a project's photographs, each kept by content."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64

from labelgap.core.types import Ids
from labelgap.project.asking.kept_files import Arrays, kept_file
from labelgap.project.asking.seen import Seen
from labelgap.project.keep.store import Project
from labelgap.project.quality.label_errors import principal
from labelgap.project.quality.map import plane, regions
from labelgap.project.quality.near import LEAST, near_duplicates

Told = Callable[[int, int], None]


LEAST_OF_THUMBNAILS = 0.998
"""Cosine of two thumbnails' principal components from which they are near-duplicates: these tell
far less than a backbone's features, so that only images that are all but equal are meant."""


def duplicates(project: Project, seen: Seen, progress: Told | None = None) -> list[list[int]]:
    """Groups of near-duplicates by their items' ids (`near_duplicates`): by the features of a
    backbone, else by thumbnails."""
    features, least = seen.features, LEAST
    if seen.plain is not None:
        features, least = seen.plain, LEAST_OF_THUMBNAILS

    def make() -> Arrays:
        groups = near_duplicates(features, least, progress)
        rows = np.array([row for group in groups for row in group], dtype=np.int64)
        return {"ids": seen.ids[rows], "sizes": np.array([len(g) for g in groups], dtype=np.int64)}

    made = kept_file(_file(project, "near"), f"{seen.key} {least}", make)
    ends = np.cumsum(made["sizes"])
    return [part.tolist() for part in np.split(made["ids"], ends[:-1])] if len(ends) else []


def regions_of(project: Project, seen: Seen) -> Int64[np.ndarray, " n"]:
    """Each item's region, in the order of `seen.ids`, the largest is 0."""
    seed = project.settings.seed

    def make() -> Arrays:
        return {"region": regions(principal(seen.features), seed)}

    return kept_file(_file(project, "regions"), f"{seen.key} {seed}", make)["region"]


def map_of(
    project: Project, seen: Seen, progress: Told | None = None, threads: int = 1
) -> tuple[Ids, Float32[np.ndarray, "m 2"]]:
    """The items that are drawn, and where: x and y in [0, 1]."""
    seed = project.settings.seed

    def make() -> Arrays:
        rows, places = plane(principal(seen.features), seed, progress, threads)
        return {"ids": seen.ids[rows], "places": places}

    made = kept_file(_file(project, "map"), f"{seen.key} {seed}", make)
    return made["ids"], made["places"]


def _file(project: Project, name: str) -> Path:
    return project.home / "cache" / "review" / f"{name}.npz"
