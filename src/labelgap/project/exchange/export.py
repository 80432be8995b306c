"""Labels out of a project: tables, COCO, CVAT, a folder per class."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from labelgap.core.errors import UnknownName
from labelgap.core.files import write_text
from labelgap.ledger.events import Event
from labelgap.project.exchange.class_folders import Placed, write_folders
from labelgap.project.exchange.cvat import write_cvat
from labelgap.project.exchange.exchange import COLUMNS, name_of
from labelgap.project.exchange.outputs import LABELS, refuse_overwriting
from labelgap.project.exchange.safe_names import safe_names
from labelgap.project.images.tables import Row, write_table
from labelgap.project.keep.settings import NONE_LABEL
from labelgap.project.keep.store import Project


def label_rows(project: Project) -> list[Row]:
    """One row for each label in force, by item: path, label, annotator, time (UTC), round,
    sha256, held_out (never trained on: it measures accuracy); and the item's own number, which no
    file gets.

    Without those of `labels_of_gone`, whose path is another image's.
    """
    # People label meanwhile: the labels are read first, since every one of them has its event
    # among those that are read later.
    labels, held_out = project.ledger.labels, project.ledger.held_out
    meaning = project.ledger.meaning()
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
                "held_out": item.id in held_out,
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
        names = safe_names((*project.classes, NONE_LABEL))
        placed = [Placed(row, names[row["label"]]) for row in rows]
        used = sorted({p.folder for p in placed})
        write_folders(project, placed, used, out, "symlink" if link else "copy")
    elif format == "coco":
        write_text(out, json.dumps(coco(project, rows), indent=1))
    elif format == "cvat":
        write_cvat(project, rows, out)
    else:
        write_table(out, rows, COLUMNS, format)
    return len(rows)


def coco(project: Project, rows: list[Row]) -> dict[str, Any]:
    """COCO's JSON: one annotation an image, whose box is the whole image.

    "None of these" has no category there, so such images have no annotation. An image's
    "held_out" is ours; readers of COCO leave it alone.
    """
    items = {item.id: item for item in project.items.all()}
    images: list[Row] = []
    annotations: list[Row] = []
    for row in rows:
        item = items[row["id"]]
        images.append(
            {
                "id": item.id,
                "file_name": item.path,
                "width": item.width,
                "height": item.height,
                "held_out": row["held_out"],
            }
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
