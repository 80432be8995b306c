"""Tables for other programs: CSV that no spreadsheet executes, JSONL, Parquet; whole or absent."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from labelgap.core.errors import UnknownName
from labelgap.core.files import write_atomically

Row = dict[str, Any]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def defused(text: str) -> str:
    """Text that a spreadsheet does not take for a formula: an apostrophe before = + - @, and
    before apostrophes that stand there, so that `fused` gives every text back."""
    return f"'{text}" if text.lstrip("'").startswith(_FORMULA) else text


def fused(text: str) -> str:
    """What `defused` made harmless, as it was."""
    return text[1:] if text.startswith("'") and defused(text) != text else text


def write_table(path: Path, rows: Sequence[Row], columns: Sequence[str], format: str) -> None:
    """Write rows as csv, jsonl or parquet; `path` is replaced at once.

    Raises `UnknownName` for another format, `FolderError` where the disk refuses.
    """
    if format == "csv":
        data = _csv(rows, columns)
    elif format == "jsonl":
        lines = (json.dumps({c: row.get(c) for c in columns}, ensure_ascii=False) for row in rows)
        data = "".join(f"{line}\n" for line in lines).encode()
    elif format == "parquet":
        data = _parquet(rows, columns)
    else:
        raise UnknownName("format", format, ("csv", "jsonl", "parquet"))
    write_atomically(path, lambda file: file.write(data))


def _csv(rows: Sequence[Row], columns: Sequence[str]) -> bytes:
    text = io.StringIO()
    # Older Pythons quote what ends lines only if it is their own end of a line.
    plain, quoting = (
        csv.writer(text, lineterminator="\n", quoting=how)
        for how in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
    )
    plain.writerow([defused(c) for c in columns])
    for row in rows:
        cells = [_cell(row.get(c)) for c in columns]
        has_return = any(isinstance(cell, str) and "\r" in cell for cell in cells)
        (quoting if has_return else plain).writerow(cells)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return defused(value) if isinstance(value, str) else value


def _parquet(rows: Sequence[Row], columns: Sequence[str]) -> bytes:
    sink = io.BytesIO()
    table = pa.table({c: [row.get(c) for row in rows] for c in columns})
    pq.write_table(table, sink)
    return sink.getvalue()
