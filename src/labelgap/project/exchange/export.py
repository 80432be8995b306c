"""Labels out of a project: tables, COCO, a folder per class."""

import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from labelgap.core.disk import refused
from labelgap.core.errors import DataError, FolderError, UnknownName
from labelgap.core.files import write_text
from labelgap.ledger.events import Event
from labelgap.project.exchange.exchange import COLUMNS, name_of
from labelgap.project.exchange.outputs import LABELS, refuse_overwriting
from labelgap.project.images.found import Unreadable
from labelgap.project.images.tables import Row, write_table
from labelgap.project.keep.settings import NONE_LABEL
from labelgap.project.keep.store import Project

# -------------------------------------------------------------------------------- export


def label_rows(project: Project) -> list[Row]:
    """One row for each label in force, by item: path, label, annotator, time (UTC), round,
    sha256; and the item's own number, which no file gets.

    Without those of `labels_of_gone`, whose path is another image's.
    """
    # People label meanwhile: the labels are read first, since every one of them has its event
    # among those that are read later.
    labels, meaning = project.ledger.labels, project.ledger.meaning()
    said: dict[int, list[Event]] = {}
    for event in project.ledger.events():
        if event.kind in ("labelled", "corrected") and event.id is not None:
            label = None if event.label is None else meaning.of(event.label)
            said.setdefault(event.id, []).append(replace(event, label=label))
    rows = []
    replaced = project.items.replaced()
    for item in project.items.all():
        if item.id not in labels or item.id in replaced:
            continue
        opinions = project.ledger.opinions(item.id)
        source = _source(said.get(item.id, []), labels[item.id], opinions)
        if source is None:
            continue
        rows.append(
            {
                "path": item.path,
                "label": name_of(labels[item.id], project.classes),
                "annotator": source.person,
                "time": source.time,
                "round": source.round,
                "sha256": item.sha256,
                "id": item.id,
            }
        )
    return rows


def labels_of_gone(project: Project) -> int:
    """How many labels in force are of contents that no file has and whose path has others now.

    The ledger keeps them. A table by paths would put them on the new contents.
    """
    return len(project.items.replaced() & project.ledger.labels.keys())


def _source(events: Sequence[Event], label: int, opinions: Mapping[str, int | str]) -> Event | None:
    """The latest event of a label by somebody who still stands by it.

    Where nobody does, since all changed their minds after the label was read, the latest.
    """
    of_label = [e for e in reversed(events) if e.label == label]
    standing = (e for e in of_label if opinions.get(e.person) == label)
    return next(standing, next(iter(of_label), None))


def export(project: Project, out: Path, format: str, *, link: bool = False) -> int:
    """Write the labels; returns how many.

    link: in format folders, make symbolic links instead of copies.

    Raises
    ------
    UnknownName: another format.
    DataError: in format folders, the file of a labelled image is gone or has other contents.
    FolderError: `out` cannot be written, is a part of the project, or a folder that is not empty.
    """
    if format not in LABELS:
        raise UnknownName("format", format, LABELS)
    refuse_overwriting(project, out)
    rows = label_rows(project)
    if format == "folders":
        _folders(project, rows, out, link)
    elif format == "coco":
        write_text(out, json.dumps(coco(project, rows), indent=1))
    else:
        write_table(out, rows, COLUMNS, format)
    return len(rows)


def coco(project: Project, rows: list[Row]) -> dict[str, Any]:
    """COCO's JSON: one annotation an image, whose box is the whole image.

    "None of these" has no category there, so such images have no annotation.
    """
    items = {item.id: item for item in project.items.all()}
    images: list[Row] = []
    annotations: list[Row] = []
    for row in rows:
        item = items[row["id"]]
        images.append(
            {"id": item.id, "file_name": item.path, "width": item.width, "height": item.height}
        )
        if row["label"] == NONE_LABEL:
            continue
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": item.id,
                "category_id": project.classes.index(row["label"]) + 1,
                "bbox": [0, 0, item.width, item.height],
                "area": item.width * item.height,
                "iscrowd": 0,
            }
        )
    categories = [{"id": k + 1, "name": name} for k, name in enumerate(project.classes)]
    return {"images": images, "annotations": annotations, "categories": categories}


def folder_names(classes: tuple[str, ...]) -> dict[str, str]:
    """A folder's name for each class: no separators, no leading dot, no two alike."""
    names: dict[str, str] = {}
    for name in (*classes, NONE_LABEL):
        plain = "".join("_" if c in '/\\:*?"<>|' else c for c in name).strip(" .") or "_"
        taken = {n.casefold() for n in names.values()}
        chosen, number = plain, 2
        while chosen.casefold() in taken:
            chosen, number = f"{plain}-{number}", number + 1
        names[name] = chosen
    return names


def _folders(project: Project, rows: list[Row], out: Path, link: bool) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FolderError(f"{out} is not an empty folder.", "Choose another --out.")
    if out.resolve().is_relative_to(project.root):
        raise FolderError(
            f"{out} is inside the project's folder, where `add` would take the copies for images.",
            "Choose a place outside for --out.",
        )
    _refuse_missing(project, rows)
    names = folder_names(project.classes)
    fresh = not out.exists()
    try:
        for row in rows:
            _put(project, row, out / names[row["label"]], link)
    except BaseException as error:
        _clear(out, names.values(), fresh)
        if isinstance(error, Unreadable):
            raise DataError(f"{row['path']}: {error.reason}.", "Run `labelgap add`.") from error
        if isinstance(error, OSError):
            raise refused(error, out, cure="Free space, or give another --out.") from error
        raise


def _refuse_missing(project: Project, rows: list[Row]) -> None:
    """Before anything is copied: every labelled image must have its file."""
    items = {item.id: item for item in project.items.all()}
    lost = [r for r in rows if not (items[r["id"]].present and _file(project, r).is_file())]
    if lost:
        more = f", and so are {len(lost) - 1} more" if len(lost) > 1 else ""
        raise DataError(
            f"{lost[0]['path'] or 'The file'} of the labelled item {lost[0]['id']} is gone or has "
            f"other contents now{more}.",
            "Run `labelgap add`, which finds moved files; put back what is still missing, or "
            "export --format csv, which needs no files.",
        )


def _is_row(project: Project, row: Row) -> bool:
    """Whether an image is in the row of a table, "name#row", and no file of its own."""
    return "#" in row["path"] and not (project.root / row["path"]).exists()


def _file(project: Project, row: Row) -> Path:
    """The file that holds an image: its own, or the table."""
    path: str = row["path"]
    return project.root / (path.rpartition("#")[0] if _is_row(project, row) else path)


def _put(project: Project, row: Row, folder: Path, link: bool) -> None:
    """One image into its class's folder. Raises `Unreadable`, `OSError`."""
    folder.mkdir(parents=True, exist_ok=True)
    table = _is_row(project, row)
    name = row["path"].replace("#", "-") if table else row["path"]
    target = folder / f"{row['id']:06d}-{Path(name).name}"
    if table:
        target.write_bytes(project.reader.read(row["path"]))
    elif link:
        os.symlink((project.root / row["path"]).resolve(), target)
    else:
        shutil.copy2(project.root / row["path"], target)


def _clear(out: Path, names: Iterable[str], fresh: bool) -> None:
    """Remove a half-filled folder, which the next export would refuse as not empty.

    It was empty, so that everything under the classes' names is ours. fresh: so is the folder.
    """
    for name in names:
        shutil.rmtree(out / name, ignore_errors=True)
    if fresh:
        with suppress(OSError):
            out.rmdir()
