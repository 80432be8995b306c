"""CVAT's XML, "CVAT for images 1.1", with one tag an image. `images/reading.py` reads it."""

import re
from pathlib import Path
from xml.etree import ElementTree

from labelgap.core.errors import DataError
from labelgap.core.files import write_atomically
from labelgap.project.images.tables import Row
from labelgap.project.keep.settings import NONE_LABEL
from labelgap.project.keep.store import Project

_NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_cvat(project: Project, rows: list[Row], out: Path) -> None:
    """Write labels for a CVAT task of the same images: Actions → Upload annotations.

    CVAT knows images by their names in the task and labels by their names, so the task must have
    these. "None of these" is a label of its own.

    Raises
    ------
    DataError: a name has a character that XML cannot hold.
    """
    names = [*project.classes, *([NONE_LABEL] if _has_none(rows) else [])]
    for text in (*names, *(row["path"] for row in rows)):
        if _NO_XML.search(text):
            raise DataError(
                f"XML cannot hold the name {text!r}.", "Rename it, or export as csv or coco."
            )
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    labels = ElementTree.SubElement(task, "labels")
    for name in names:
        label = ElementTree.SubElement(labels, "label")
        ElementTree.SubElement(label, "name").text = name
        ElementTree.SubElement(label, "type").text = "tag"
    items = {item.id: item for item in project.items.all()}
    for number, row in enumerate(rows):
        item = items[row["id"]]
        facts = {"id": str(number), "name": row["path"]}
        facts |= {"width": str(item.width), "height": str(item.height)}
        image = ElementTree.SubElement(root, "image", facts)
        ElementTree.SubElement(image, "tag", {"label": row["label"], "source": "manual"})
    ElementTree.indent(root)
    data = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    write_atomically(out, lambda file: file.write(data))


def _has_none(rows: list[Row]) -> bool:
    return any(row["label"] == NONE_LABEL for row in rows)
