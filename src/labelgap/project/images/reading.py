"""Tables as people have them: CSV, TSV, JSON lines, Parquet, exports of Label Studio and CVAT."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq

from labelgap.core.disk import not_the_disk
from labelgap.core.errors import DataError
from labelgap.core.wording import counted
from labelgap.data.labels import SHOWN, listed
from labelgap.project.images.decoding import read_text
from labelgap.project.images.separated import read_separated

_JSON = (".json", ".jsonl", ".ndjson")


@dataclass(frozen=True)
class Table:
    """Columns by their name, each an Arrow array [n]; text is as it is in the file.

    places: what each row is called in errors. spreadsheet: whether a text may have the apostrophe
    that keeps a spreadsheet from executing it. notes: what a person must know of the reading.
    """

    file: Path
    columns: Mapping[str, Any]
    places: Sequence[str]
    spreadsheet: bool = False
    notes: tuple[str, ...] = ()

    def place(self, row: int) -> str:
        return self.places[row]

    def texts(self, column: str) -> list[str]:
        """A column's cells as text, "" for null.

        Raises `DataError` for lists, dictionaries and truth values, with all their rows.
        """
        cells = self.columns[column].to_pylist()
        simple = (str, int, float, type(None))
        bad = [
            f"{self.place(i)} ({str(cell)[:60]})"
            for i, cell in enumerate(cells)
            if not isinstance(cell, simple) or isinstance(cell, bool)
        ]
        if bad:
            raise DataError(
                f"{self.file}: {column} is no text: {listed(bad[:SHOWN], len(bad))}.",
                "Give text.",
            )
        return ["" if cell is None else str(cell) for cell in cells]


def read_table(file: Path) -> Table:
    """A table, by its suffix; other suffixes are read as separated columns.

    Raises `DataError` naming the file and all rows that are none.
    """
    suffix = file.suffix.casefold()
    if suffix == ".parquet":
        return _parquet(file)
    if suffix in (".xlsx", ".xls", ".ods"):
        raise DataError(f"{file}: a spreadsheet's own format.", "Save it as CSV.")
    text, guess = read_text(file)
    notes = (guess,) if guess else ()
    if suffix == ".xml":
        return _of_rows(file, *_cvat(file, text), notes)
    if suffix in _JSON:
        return _of_rows(file, *_json(file, text), notes)
    header, records = read_separated(file, text)
    cells = [[row[k] for _, row in records] for k in range(len(header))]
    columns = {
        name.casefold(): pa.array(column, pa.string())
        for name, column in zip(header, cells, strict=True)
        if name  # a column without a name is an index or the end of lines with a comma
    }
    return Table(file, columns, [f"line {line}" for line, _ in records], True, notes)


def _parquet(file: Path) -> Table:
    try:
        table = pq.read_table(file)
    except (pa.ArrowException, OSError) as error:
        not_the_disk(error, file)
        raise DataError(
            f"{file}: not a readable Parquet file ({error}).", "Get the file anew."
        ) from error
    columns = {name.casefold(): table.column(name) for name in table.column_names}
    return Table(file, columns, [f"row {row}" for row in range(table.num_rows)])


def _of_rows(
    file: Path, rows: list[dict[str, Any]], places: list[str], notes: tuple[str, ...]
) -> Table:
    names = dict.fromkeys(key.strip().casefold() for row in rows for key in row)
    plain = [{key.strip().casefold(): value for key, value in row.items()} for row in rows]
    columns = {name: _array([row.get(name) for row in plain]) for name in names}
    return Table(file, columns, places, notes=notes)


def _array(cells: list[Any]) -> Any:
    """Cells of JSON as one Arrow array; those of several types as text, numbers as written."""
    kinds = {type(cell) for cell in cells} - {type(None)}
    if len(kinds) <= 1 or kinds == {int, float}:
        with suppress(pa.ArrowException, OverflowError):  # of numbers that no column holds
            return pa.array(cells)
    texts = [c if c is None or isinstance(c, str) else json.dumps(c) for c in cells]
    return pa.array(texts, pa.string())


# ----------------------------------------------------------------------------------- JSON


def _json(file: Path, text: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Objects: one a line, a list of them, Label Studio's tasks, or COCO's tables."""
    if text.lstrip()[:1] == "[" or file.suffix.casefold() == ".json":
        try:
            whole = json.loads(text)
        except (ValueError, RecursionError):
            whole = None  # lines in a file called .json, or damaged: their line is named
        if isinstance(whole, dict) and {"images", "annotations"} <= whole.keys():
            return _coco(file, whole)
        if isinstance(whole, list) and all(isinstance(row, dict) for row in whole):
            return _objects(whole)
    rows, places, bad = [], [], []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            bad.append(f"line {number} (no JSON: {str(error)[:60]})")
            continue
        if not isinstance(row, dict):
            bad.append(f"line {number} (no JSON object)")
        rows.append(row)
        places.append(f"line {number}")
    if bad:
        raise DataError(
            f"{file}: {counted(len(bad), 'line')} that cannot be read: "
            f"{listed(bad[:SHOWN], len(bad))}.",
            "One JSON object a line, or a list of them.",
        )
    return rows, places


def _objects(rows: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    made, places = [], []
    for number, row in enumerate(rows, 1):
        tasks = _label_studio(row) if "data" in row and "annotations" in row else [row]
        made += tasks
        places += [f"object {number}"] * len(tasks)
    return made, places


def _label_studio(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row for each annotation of a task that was not skipped; one without a label else."""
    data = task["data"] if isinstance(task["data"], dict) else {}
    kept = [a for a in task["annotations"] or () if not a.get("was_cancelled")]
    return [data | {"label": _choice(a.get("result") or ())} for a in kept] or [data]


def _choice(results: Sequence[Mapping[str, Any]]) -> Any:
    said = [c for r in results for c in (r.get("value") or {}).get("choices") or ()]
    return said[0] if len(said) == 1 else (said or None)


def _coco(file: Path, whole: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """An image's label is the category of its annotations; several of them are a list."""
    try:
        names = {c["id"]: c["name"] for c in whole.get("categories", ())}
        said: dict[Any, list[str]] = {image["id"]: [] for image in whole["images"]}
        for annotation in whole["annotations"]:
            name = names[annotation["category_id"]]
            if name not in said[annotation["image_id"]]:
                said[annotation["image_id"]].append(name)
        rows = [
            {
                "path": image["file_name"],
                "label": _choice([{"value": {"choices": of}}]),
                "held_out": image.get("held_out"),
            }
            for image in whole["images"]
            for of in (said[image["id"]],)
        ]
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{file}: no COCO file: {error!r} is missing.", "Export it anew."
        ) from error
    return rows, [f"image {number}" for number in range(1, len(rows) + 1)]


# ------------------------------------------------------------------------------------ XML


def _cvat(file: Path, text: str) -> tuple[list[dict[str, Any]], list[str]]:
    """ "CVAT for images": the tags of each image."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise DataError(f"{file}: has a document type, which is not read.", "Export it anew.")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise DataError(f"{file}: no XML ({error}).", "Export it anew.") from error
    images = list(root.iter("image"))
    if root.tag != "annotations" or not images:
        raise DataError(
            f"{file}: <{root.tag}> with {counted(len(images), 'image')}; expected CVAT's "
            "<annotations> of images.",
            "Export as “CVAT for images”, or a CSV with path and label.",
        )
    rows = [
        {"path": image.get("name"), "label": tags[0] if len(tags) == 1 else (tags or None)}
        for image in images
        for tags in ([tag.get("label") for tag in image.iter("tag")],)
    ]
    return rows, [f"image {number}" for number in range(1, len(rows) + 1)]
