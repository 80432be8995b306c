"""Places that a manifest or tables of images list, with the labels there."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from labelgap.core.errors import DataError
from labelgap.core.wording import counted
from labelgap.data.labels import SHOWN, Labels, listed, read_labels
from labelgap.project.images.columns import image_column, label_column
from labelgap.project.images.found import Found, Unreadable, stat_file, walk_folder
from labelgap.project.images.held import held_out_rows
from labelgap.project.images.naming import Finder, relative
from labelgap.project.images.readers import Tables
from labelgap.project.images.reading import Table, read_table
from labelgap.project.images.tables import fused


def from_manifest(root: Path, manifest: Path) -> tuple[list[Found], list[str]]:
    """The places that a table lists, by path, and what a person must know of the reading.

    A name that is no path of the folder is looked for among its files as `Finder` does.

    A column held_out says which labels measure accuracy (`held_out_rows`).

    Raises `DataError` with all bad rows: without a name, with labels that are none, or with two
    labels of one image; and where no row names a file.
    """
    table = read_table(manifest)
    column = image_column(manifest, table.columns)
    if column is None:
        raise DataError(f"{manifest}: no column of paths.", "Name it 'path'.")
    names = table.texts(column)
    if not names:
        raise DataError(f"{manifest}: has no rows.", "List one image a line: path, label.")
    empty = [table.place(i) for i, name in enumerate(names) if not name.strip()]
    if empty:
        raise DataError(
            f"{manifest}: no path in {listed(empty[:SHOWN], len(empty))}.",
            "Each row names an image in the column path.",
        )
    notes = list(table.notes)
    entries = _located(root, names, table.spreadsheet, notes)
    if all(entry.refused for entry in entries):
        raise DataError(
            f"{manifest}: none of {counted(len(entries), 'row')} names a file of {root} (column "
            f"{column!r}, the first: {names[0]!r}, {entries[0].refused}).",
            "Write paths relative to that folder.",
        )
    return _labelled(table, entries), notes


def _located(root: Path, names: list[str], spreadsheet: bool, notes: list[str]) -> list[Found]:
    entries = [_stat(root, name, spreadsheet) for name in names]
    lost = [i for i, entry in enumerate(entries) if entry.refused]
    if lost:
        finder = Finder(root, {f.path: f for f in walk_folder(root)}, spreadsheet)
        if word := finder.learn(names[i] for i in lost):
            notes.append(word)
        for i in lost:
            found = list(finder.find(names[i]))
            if len(found) == 1:
                entries[i] = found[0]
            elif found:
                entries[i] = Found(names[i], -1, -1, None, "name of several files")
    return entries


def _stat(root: Path, name: str, spreadsheet: bool) -> Found:
    readings = dict.fromkeys((fused(name), name)) if spreadsheet else {name: None}
    entry = None
    for reading in readings:
        try:
            entry = stat_file(root, relative(root, reading), None)
        except (Unreadable, ValueError) as error:
            reason = error.reason if isinstance(error, Unreadable) else "unreadable"
            entry = Found(reading, -1, -1, None, reason)
        if not entry.refused:
            break
    assert entry is not None
    return entry


def _labelled(table: Table, entries: list[Found]) -> list[Found]:
    column = label_column(table.file, table.columns)
    labels: list[str | None] = [None] * len(entries)
    if column is not None:
        cells = table.columns[column]
        labels = read_labels(cells, str(table.file), place=table.place).texts()
        if table.spreadsheet:
            labels = [label if label is None else fused(label) for label in labels]
    held_out = held_out_rows(table)
    found: dict[str, Found] = {}
    bad = []
    for i, (entry, label) in enumerate(zip(entries, labels, strict=True)):
        before = found.get(entry.path)
        known = before.label if before is not None else None
        if known and label and known != label:
            bad.append(f"{table.place(i)} ({entry.path}: {known!r} and {label!r})")
        held = held_out[i] or (before is not None and before.held_out)
        found[entry.path] = replace(entry, label=known or label, held_out=held)
    if bad:
        raise DataError(
            f"{table.file}: {counted(len(bad), 'row')} with a second label of an image: "
            f"{listed(bad[:SHOWN], len(bad))}.",
            "Keep one row of each image.",
        )
    return sorted(found.values(), key=lambda f: f.path)


# --------------------------------------------------------------------------------- tables


def from_tables(root: Path) -> tuple[list[Found], list[str]]:
    """The rows of a folder's tables, and what a person must know of them.

    Raises `DataError` for tables without rows and what `Tables.labels` refuses.
    """
    tables = Tables(root)
    read = {name: tables.labels(name) for name in tables.names()}
    _same_kind(root, read)
    if read and not any(len(labels.values) for labels in read.values()):
        raise DataError(f"{root / next(iter(read))}: has no rows.", "Give tables of images.")
    return list(_rows(root, read)), tables.notes


def _rows(root: Path, read: dict[str, Labels]) -> Iterator[Found]:
    for name, labels in read.items():
        state = (root / name).stat()
        for row, label in enumerate(labels.texts()):
            yield Found(f"{name}#{row}", state.st_size, state.st_mtime_ns, label)


def _same_kind(root: Path, read: dict[str, Labels]) -> None:
    """Numbers mean nothing beside names: not of which class they are."""
    some = {name: labels for name, labels in read.items() if (labels.values >= 0).any()}
    named = [name for name, labels in some.items() if labels.names is not None]
    numbered = [name for name, labels in some.items() if labels.names is None]
    if named and numbered:
        raise DataError(
            f"{root / numbered[0]}: has numbers for labels, and {root / named[0]} names its "
            "classes; what the numbers mean is not known.",
            "Write the names into all files, or into none.",
        )
