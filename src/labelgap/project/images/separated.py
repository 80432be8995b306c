"""Tables of separated columns (CSV, TSV): which separator, whether there is a header."""

import csv
import io
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from labelgap.core.errors import DataError
from labelgap.core.wording import counted
from labelgap.data.labels import SHOWN, listed
from labelgap.project.images.columns import EXPECTED, is_known, names_images
from labelgap.project.images.found import SUFFIXES

MARKS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_PEEKED = 50  # records that must agree where no header tells the separator

Records = list[tuple[int, list[str]]]
"""Line number and cells."""


def read_separated(file: Path, text: str) -> tuple[list[str], Records]:
    """The columns' names, and the records below them; cells are as they are, not trimmed.

    The separator is what a line "sep=" names; else the one of , ; tab | under which the first
    line has the most names of columns that are known; else the only one that gives the first
    records one number of columns. A first line that names no columns but an image is a record:
    its other column, if there is one, is the label.

    Raises `DataError`: no such separator, an unclosed quote, records of another length (all of
    them), a column twice.
    """
    mark, skipped = _declared(text)
    if mark is None:
        mark = _found(file, text)
    records = list(_records(file, text, mark, skipped))
    if not records:
        raise DataError(f"{file}: is empty.", "The first line names the columns.")
    header = [cell.strip() for cell in records[0][1]]
    if names_images(header) or not _has_images(header):
        rows = records[1:]
    else:
        header, rows = _without_header(file, header), records
    named = [name.casefold() for name in header if name]
    if len(set(named)) < len(named):
        raise DataError(f"{file}: a column occurs twice ({', '.join(header)}).", "Rename it.")
    return header, _of_one_length(file, header, rows, mark)


def _declared(text: str) -> tuple[str | None, int]:
    """What Excel writes into a first line for itself, and how many lines that takes."""
    first = text[:16].splitlines()[0].strip().strip('"') if text.strip() else ""
    if len(first) == 5 and first.casefold().startswith("sep="):
        return first[4], 1
    return ("\t", 1) if text[:5].casefold() == "sep=\t" else (None, 0)


def _found(file: Path, text: str) -> str:
    heads = {mark: _head(text, mark) for mark in MARKS}
    known = {mark: is_known(head[0]) if head else 0 for mark, head in heads.items()}
    best = max(known.values())
    if best:
        # One column alone looks the same under each.
        return next(mark for mark in MARKS if known[mark] == best)
    even = [
        mark
        for mark, head in heads.items()
        if head and len(head[0]) > 1 and len({len(record) for record in head}) == 1
    ]
    if len(even) > 1:
        names = " or ".join(MARKS[mark] for mark in even)
        raise DataError(
            f"{file}: its columns can be separated by {names}, and its first line names none "
            f"that is known ({EXPECTED}).",
            "Name the columns in the first line: path, label.",
        )
    return even[0] if even else ","


def _head(text: str, mark: str) -> list[list[str]]:
    # Without `strict`: this only looks.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    try:
        return list(islice((record for record in reader if any(record)), _PEEKED))
    except csv.Error:
        return []


def _records(file: Path, text: str, mark: str, skipped: int) -> Iterator[tuple[int, list[str]]]:
    # As a stream: lines end at \n and \r alone, and a name may hold what else ends lines.
    stream = io.StringIO(text, newline="")
    for _ in range(skipped):
        stream.readline()
    reader = csv.reader(stream, delimiter=mark, strict=True)
    try:
        for record in reader:
            if any(cell.strip() for cell in record):
                yield reader.line_num + skipped, record
    except csv.Error as error:
        line = reader.line_num + skipped
        raise DataError(f"{file}, line {line}: {error}.", "Correct the line.") from error


def _has_images(cells: list[str]) -> bool:
    return any(Path(cell).suffix.casefold() in SUFFIXES for cell in cells)


def _without_header(file: Path, first: list[str]) -> list[str]:
    image = [Path(cell).suffix.casefold() in SUFFIXES for cell in first]
    if sum(image) != 1 or len(first) > 2:
        raise DataError(
            f"{file}: its first line names no columns ({', '.join(first[:8])}).",
            "Name them in the first line: path, label.",
        )
    return ["path" if is_image else "label" for is_image in image]


def _of_one_length(file: Path, header: list[str], rows: Records, mark: str) -> Records:
    kept, bad = [], []
    for line, cells in rows:
        extra = cells[len(header) :]
        if len(cells) < len(header) or any(cell.strip() for cell in extra):
            bad.append(f"line {line} ({len(cells)})")
        kept.append((line, cells[: len(header)]))
    if bad:
        raise DataError(
            f"{file}: {counted(len(bad), 'line')} with another number of columns than the "
            f"header's {len(header)}: {listed(bad[:SHOWN], len(bad))}.",
            f"Quote fields that contain {MARKS.get(mark, repr(mark))}.",
        )
    return kept
