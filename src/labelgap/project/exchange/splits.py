"""Labelled images for training elsewhere: a part to train on, a part that measures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from labelgap.core.errors import ConfigError
from labelgap.project.exchange.class_folders import How, Placed, write_folders
from labelgap.project.exchange.export import label_rows
from labelgap.project.exchange.outputs import refuse_overwriting
from labelgap.project.exchange.safe_names import safe_names
from labelgap.project.images.tables import Row
from labelgap.project.keep.settings import NONE_LABEL
from labelgap.project.keep.store import Project

TRAIN, VAL = "train", "val"


@dataclass(frozen=True)
class Divided:
    """Rows of labels by their part. Images that are none of the classes are in neither."""

    train: list[Row]
    val: list[Row]
    none_of_these: int


@dataclass(frozen=True)
class Written:
    """What became of an export for training."""

    train: int
    val: int
    none_of_these: int
    converted: int
    renamed: dict[str, str]
    """Classes whose folder has another name, since file systems do not take theirs."""
    without: dict[str, list[str]]
    """The part -> classes that have no image there."""


def divided(project: Project, share: float | None = None) -> Divided:
    """Labels to train on and labels that measure.

    share: None: the held-out labels measure, as in the project: they are a uniform sample, and
        the project's accuracy is of them. A number: about that share of all labels, drawn by the
        images' contents, so that an image stays on its side in every later export.

    Raises `ConfigError` where nothing is labelled, where None is given and no label is held out,
    or where one part stays empty.
    """
    if share is not None and not 0 < share < 1:
        raise ConfigError(f"--val {share} is no share.", "Give one between 0 and 1, such as 0.2.")
    labelled = label_rows(project)
    rows = [row for row in labelled if row["label"] != NONE_LABEL]
    if not rows:
        raise ConfigError(
            "No image has a label yet.", "Label images: `labelgap ask 50`, then `labelgap label`."
        )
    measures = [row["held_out"] if share is None else _draw(row["sha256"]) < share for row in rows]
    parts: tuple[list[Row], list[Row]] = ([], [])
    for row, held in zip(rows, measures, strict=True):
        parts[held].append(row)
    made = Divided(*parts, len(labelled) - len(rows))
    if share is None and not made.val:
        raise ConfigError(
            "No label is held out, so there is nothing for `val`.",
            "Say which share it gets: --val 0.2.",
        )
    if not made.train or not made.val:
        part = TRAIN if not made.train else VAL
        raise ConfigError(
            f"All {len(rows)} labels fall on one side: `{part}` would be empty.",
            "Label more images, or give another share: --val 0.2.",
        )
    return made


def _draw(sha256: str) -> float:
    """A number in [0, 1) that an image's contents alone decide."""
    return int(sha256[:13], 16) / 16**13


def write_split(
    project: Project, out: Path, *, share: float | None = None, link: bool = False
) -> Written:
    """Write `out`/train/CLASS/* and `out`/val/CLASS/*, which torchvision's ImageFolder, Hugging
    Face's imagefolder and Ultralytics' classification read.

    Both parts have a folder for every class, be it empty: those programs number the folders in
    order, and one that is missing would shift the numbers of the others.

    share: see `divided`.
    link: hard links to the project's files instead of copies.

    Raises what `divided` and `write_folders` raise.
    """
    refuse_overwriting(project, out)
    parts = divided(project, share)
    names = safe_names(project.classes)
    placed = [
        Placed(row, f"{part}/{names[row['label']]}")
        for part, rows in ((TRAIN, parts.train), (VAL, parts.val))
        for row in rows
    ]
    folders = [f"{part}/{name}" for part in (TRAIN, VAL) for name in names.values()]
    how: How = "hardlink" if link else "copy"
    converted = write_folders(project, placed, folders, out, how, for_training=True)
    return Written(
        len(parts.train),
        len(parts.val),
        parts.none_of_these,
        converted,
        {name: folder for name, folder in names.items() if name != folder},
        {TRAIN: absent(project, parts.train), VAL: absent(project, parts.val)},
    )


def absent(project: Project, rows: Sequence[Row]) -> list[str]:
    """Classes without a label among some rows."""
    there = {row["label"] for row in rows}
    return [name for name in project.classes if name not in there]
