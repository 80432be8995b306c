"""Tables of paths and labels as people write them."""

import csv
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from labelgap.core.errors import DataError
from labelgap.project.images.found import MANIFEST_BYTES, Found, Unreadable, stat_file
from labelgap.project.images.readers import Tables

# ------------------------------------------------------------------------------ manifests


def read_table(file: Path) -> list[dict[str, str]]:
    """Rows of a CSV or JSONL file as text by column name; columns are case-insensitive.

    Raises `DataError` naming file and line.
    """
    try:
        if file.stat().st_size > MANIFEST_BYTES:
            raise DataError(f"{file}: larger than 1 GiB.", "Split it.")
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: not UTF-8 text ({error}).", "Save it as UTF-8.") from error
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}).", "Check the path.") from error
    if file.suffix.lower() in (".jsonl", ".ndjson", ".json"):
        return [_line(file, number, line) for number, line in _lines(text)]
    return _comma_separated(file, text)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield number, line


def _line(file: Path, number: int, line: str) -> dict[str, str]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{file}, line {number}: not JSON ({error}).", "One JSON object a line."
        ) from error
    if not isinstance(row, dict):
        raise DataError(f"{file}, line {number}: not a JSON object.", "One JSON object a line.")
    return {str(k).strip().lower(): _text(file, number, k, v) for k, v in row.items()}


def _text(file: Path, number: int, key: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        if key.strip().lower() in ("path", "id", "label", "annotator"):
            raise DataError(
                f"{file}, line {number}: {key} is {json.dumps(value)[:60]}.", "Give text."
            )
        return json.dumps(value)
    return str(value).strip()


def _comma_separated(file: Path, text: str) -> list[dict[str, str]]:
    if "\0" in text:
        raise DataError(f"{file}: contains zero bytes; it is no text file.", "Save it as CSV.")
    reader = csv.reader(text.splitlines(keepends=True), strict=True)
    rows: list[dict[str, str]] = []
    header: list[str] = []
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if not header:
                header = [cell.strip().lower() for cell in row]
                if len(header) == 1 and (mark := next((c for c in ";\t" if c in header[0]), "")):
                    named = "tabs" if mark == "\t" else "semicolons"
                    raise DataError(
                        f"{file}: its columns are separated by {named}.", "Separate them by commas."
                    )
                if len(set(header)) < len(header):
                    raise DataError(f"{file}: a column occurs twice ({', '.join(header)}).")
                continue
            if len(row) != len(header):
                raise DataError(
                    f"{file}, line {reader.line_num}: {len(row)} columns where the header has "
                    f"{len(header)}.",
                    "Quote fields that contain commas.",
                )
            rows.append(dict(zip(header, (cell.strip() for cell in row), strict=True)))
    except csv.Error as error:
        raise DataError(f"{file}, line {reader.line_num}: {error}.", "Correct the line.") from error
    if not header:
        raise DataError(f"{file}: is empty.", "The first line names the columns.")
    return rows


def relative(root: Path, path: str) -> str:
    """A path of a manifest, relative to the folder; absolute ones inside it are accepted.

    Raises `Unreadable` for one that leads out of the folder.
    """
    given = Path(path)
    if given.is_absolute():
        for base in (root, root.resolve()):
            if given.is_relative_to(base):
                return given.relative_to(base).as_posix()
        raise Unreadable("outside the folder")
    plain = os.path.normpath(path).replace(os.sep, "/")
    if plain == ".." or plain.startswith("../"):
        raise Unreadable("outside the folder")
    return plain


def from_manifest(root: Path, manifest: Path) -> list[Found]:
    rows = read_table(manifest)
    found: dict[str, Found] = {}
    for number, row in enumerate(rows, 1):
        path, label = row.get("path", ""), row.get("label") or None
        if not path:
            raise DataError(f"{manifest}, row {number}: no path.", "The columns are path, label.")
        try:
            entry = stat_file(root, relative(root, path), label)
        except Unreadable as error:
            entry = Found(path, -1, -1, label, error.reason)
        before = found.get(entry.path)
        if before is not None and before.label and label and before.label != label:
            raise DataError(
                f"{manifest}: {entry.path} is labelled {before.label!r} and {label!r}.",
                "Keep one of the two rows.",
            )
        found[entry.path] = before if before is not None and before.label else entry
    return sorted(found.values(), key=lambda f: f.path)


# --------------------------------------------------------------------------------- tables


def from_tables(root: Path) -> Iterator[Found]:
    tables = Tables(root)
    for name in tables.names():
        state = (root / name).stat()
        for row, label in enumerate(tables.labels(name)):
            yield Found(f"{name}#{row}", state.st_size, state.st_mtime_ns, label)
