"""Labelled images as a Hugging Face data set on disk, with the bytes of the images in it."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labelgap.core.disk import told
from labelgap.core.errors import ConfigError, FolderError
from labelgap.core.installing import extra
from labelgap.project.exchange.class_folders import image_bytes, need_empty
from labelgap.project.exchange.outputs import refuse_overwriting
from labelgap.project.exchange.splits import TRAIN, VAL, Written, absent, divided
from labelgap.project.images.tables import Row
from labelgap.project.keep.store import Project

PARTS = {TRAIN: "train", VAL: "validation"}
"""Their names there."""
_BATCH = 100  # rows in memory


def need_datasets() -> Any:
    """The package. Raises `ConfigError` where it is not installed."""
    try:
        import datasets
    except ImportError as error:
        raise ConfigError(
            "A Hugging Face data set needs the package datasets, which is not installed.",
            f"{extra('hf')} brings it.",
        ) from error
    return datasets


def write_data_set(project: Project, out: Path, *, share: float | None = None) -> Written:
    """Write a data set that `datasets.load_from_disk` opens: parts train and validation, columns
    image, label (a ClassLabel with the classes in the project's order), path, sha256, annotator.

    share: see `divided`.

    Raises
    ------
    ConfigError: the package datasets is not installed, and what `divided` raises.
    DataError: the file of an image is gone or has other contents.
    FolderError: `out` is not an empty folder, is a part of the project, or cannot be written.
    """
    need_empty(out)
    refuse_overwriting(project, out)
    parts = divided(project, share)
    datasets = need_datasets()
    place = out.resolve()
    if place == project.root:
        raise FolderError(f"{out} is the project's folder.", "Choose another --out.")
    converted = 0
    with told(out, "made"):
        place.parent.mkdir(parents=True, exist_ok=True)
        # Beside its place and moved there when whole.
        work = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
    try:
        made = {}
        for part, rows in ((TRAIN, parts.train), (VAL, parts.val)):
            made[PARTS[part]], number = _part(datasets, project, rows, work / f"{part}.arrow")
            converted += number
        _quietly(datasets, datasets.DatasetDict(made), work / "whole")
        if out.exists():
            out.rmdir()
        with told(out, "made"):
            (work / "whole").rename(place)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    without = {PARTS[TRAIN]: absent(project, parts.train), PARTS[VAL]: absent(project, parts.val)}
    return Written(
        len(parts.train), len(parts.val), parts.none_of_these, converted, {}, without
    )  # fmt: skip


def _part(datasets: Any, project: Project, rows: list[Row], file: Path) -> tuple[Any, int]:
    """One part, kept in a file: photographs do not fit into memory."""
    from datasets.arrow_writer import ArrowWriter

    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=list(project.classes)),
            "path": datasets.Value("string"),
            "sha256": datasets.Value("string"),
            "annotator": datasets.Value("string"),
        }
    )
    converted = 0

    def examples() -> Iterator[Row]:
        nonlocal converted
        items = {item.id: item for item in project.items.all()}
        for row in rows:
            data, _, changed = image_bytes(project, items[row["id"]])
            converted += changed
            yield {
                "image": {"bytes": data, "path": None},
                "label": project.classes.index(row["label"]),
                **{key: row[key] for key in ("path", "sha256", "annotator")},
            }

    with told(file):
        writer = ArrowWriter(path=str(file), features=features, writer_batch_size=_BATCH)
        for example in examples():
            writer.write(example)
        writer.finalize()
    return datasets.Dataset.from_file(str(file)), converted


def _quietly(datasets: Any, made: Any, place: Path) -> None:
    """Save without the package's own bars."""
    shown = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        with told(place):
            made.save_to_disk(str(place))
    finally:
        if not shown:
            datasets.enable_progress_bars()
