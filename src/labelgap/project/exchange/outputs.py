"""Where exports and predictions may be written, and as what; no torch, so a refusal is quick."""

import csv
from collections.abc import Iterable
from pathlib import Path

from labelgap.core.errors import ConfigError, FolderError, UnknownName
from labelgap.project.images.readers import Tables
from labelgap.project.keep.store import Project, find_root

TABLES = ("csv", "jsonl", "parquet")
LABELS = (*TABLES, "folders", "coco", "cvat")
TRAINING = ("imagefolder", "yolo-cls", "huggingface")
"""Images and labels in two parts, for training elsewhere."""
MODELS = ("model", "onnx")
FORMATS = (*LABELS, *TRAINING, *MODELS)
_BESIDE = {
    "folders": "labels",
    "imagefolder": "imagefolder",
    "yolo-cls": "yolo",
    "huggingface": "dataset",
}
_BY_SUFFIX = {f".{name}": name for name in (*TABLES, "onnx")} | {".json": "coco", ".xml": "cvat"}
_DATA_SET = frozenset({"state.json", "dataset_dict.json", "dataset_info.json"})


def format_of(out: Path | None, given: str | None = None) -> str:
    """The format of an export: the one given, else that of the file's suffix, else csv.

    Raises
    ------
    UnknownName: no such format, or a suffix that names none where none is given.
    ConfigError: the suffix is another format's.
    """
    if given is not None and given not in FORMATS:
        raise UnknownName("format", given, FORMATS)
    if out is None:
        return given or "csv"
    by_suffix = _BY_SUFFIX.get(out.suffix.lower())
    if given is None and by_suffix is None:
        raise UnknownName("format", out.suffix.lstrip("."), FORMATS, f"{out}, without --format")
    if given is not None and by_suffix not in (None, given):
        raise ConfigError(
            f"--format {given} and --out {out} contradict each other: {out.suffix} is the suffix "
            f"of {by_suffix}.",
            f"Leave out --format {given}, or give --out another suffix.",
        )
    return given or str(by_suffix)


def refuse_flags(format: str, link: bool, val: float | None) -> None:
    """Raises `ConfigError` for a flag that means nothing for a format: it must not be ignored."""
    if link and format not in ("folders", "imagefolder", "yolo-cls"):
        raise ConfigError(
            f"--link is for folders of images, and --format {format} makes none.",
            "Leave it out, or give --format folders, imagefolder or yolo-cls.",
        )
    if val is not None and format not in TRAINING:
        raise ConfigError(
            f"--val divides labels for training, and --format {format} does not.",
            f"Leave it out, or give --format {', '.join(TRAINING[:-1])} or {TRAINING[-1]}.",
        )


def table_format(out: Path) -> str:
    """Of a table, by its suffix. Raises `UnknownName` for another than .csv, .jsonl, .parquet."""
    format = out.suffix.lower().lstrip(".")
    if format not in TABLES:
        raise UnknownName("format", format, TABLES, str(out))
    return format


def default_out(project: Project, format: str) -> Path:
    """Where an export goes that says nothing: in the current folder, but for folders of images,
    whose copies `add` would take for new ones, beside the project's folder."""
    if format in _BESIDE:
        return project.root.parent / f"{project.root.name}-{_BESIDE[format]}"
    named = {"coco": "labels.json", "cvat": "labels.xml", "model": "model", "onnx": "model.onnx"}
    return Path(named.get(format, f"labels.{format}"))


def exported(columns: Iterable[str]) -> bool:
    """Whether a table of labels is an export of labelgap, which says when each label was given."""
    return {"path", "label", "annotator", "time"} <= set(columns)


def refuse_foreign(out: Path) -> None:
    """Refuse to replace a table of somebody's own, at a place that nobody named.

    People call the file that they import `labels.csv`, which is the export's own name too.
    Raises `FolderError`.
    """
    if out.suffix.lower() != ".csv" or not out.is_file():
        return
    with out.open(encoding="utf-8", errors="replace", newline="") as file:
        columns = next(csv.reader(file), [])
    if columns and not exported(columns):
        raise FolderError(
            f"{out} is there already, and no export of labelgap.",
            f"Give a name: `--out exported.csv`. `--out {out}` replaces it.",
        )


def refuse_any(out: Path) -> None:
    """What `refuse_overwriting` refuses, of whatever project the place is in."""
    root = find_root(out.parent.resolve())
    if root is not None:
        with Project.open(root, "read") as project:
            refuse_overwriting(project, out)


def refuse_overwriting(project: Project, out: Path) -> None:
    """Refuse a place that holds a part of the project, or would be read as one.

    Raises `FolderError` for the manifest, the file of a known image, a table of the project (in a
    project of tables every Parquet file in its folder), and the folder .labelgap.
    """
    # A link at that place would be replaced, not followed; links on the way to it are followed.
    place = out.parent.resolve() / out.name
    if not place.is_relative_to(project.root):
        return
    if (part := _part_of(project, place)) is not None:
        raise FolderError(f"{out} is {part}.", "Give --out another name, or a place outside.")


def _part_of(project: Project, place: Path) -> str | None:
    """What of the project is at a place in its folder. Letters' case is nothing: some disks
    do not tell it apart."""
    if place.is_relative_to(project.home):
        return "in the project's own folder"
    path = place.relative_to(project.root).as_posix()
    settings = project.settings
    if settings.manifest is not None and _same(path, settings.manifest):
        return "the manifest, from which `add` takes the images"
    if settings.source == "tables":
        if path.lower().endswith(".parquet"):
            return "where `add` would take it for a table of images"
        if path in _DATA_SET or any(_same(path, name) for name in Tables(project.root).names()):
            return "a file of the data set that holds the images"
    if any(_same(path, file.path) for file in project.items.files()):
        return "an image of the project"
    return None


def _same(one: str, other: str) -> bool:
    return one.casefold() == other.casefold()
