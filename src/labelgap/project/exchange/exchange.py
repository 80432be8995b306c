"""Labels from and for other tools: CSV, JSONL, Parquet, folders by class, COCO."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from labelgap.core.errors import DataError
from labelgap.core.types import NONE_OF_THESE
from labelgap.core.wording import counted
from labelgap.data.labels import known_labels
from labelgap.ledger.ledger import Ledger
from labelgap.project.exchange.outputs import exported
from labelgap.project.images.columns import (
    annotator_column,
    hash_column,
    image_column,
    need_labels,
)
from labelgap.project.images.held import held_out_rows
from labelgap.project.images.naming import Finder
from labelgap.project.images.reading import Table, read_table
from labelgap.project.images.tables import fused
from labelgap.project.keep.settings import NONE_LABEL
from labelgap.project.keep.store import Project

COLUMNS = ("path", "label", "annotator", "time", "round", "sha256", "held_out")
"""Of exported labels. sha256 is an image's public id: of its file's bytes, so that an import can
check it. held_out: true for labels that measure accuracy and are never trained on."""


@dataclass
class Imported:
    """What became of a file's rows."""

    stored: int = 0
    same: int = 0
    taken_back: int = 0
    """Labels that their annotator gave and took back: repeating them stores nothing."""
    without_label: int = 0
    unmatched: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)
    """Names that several images have."""
    ambiguous: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What a person must know of how the file was read."""
    differing: list[tuple[str, str, str]] = field(default_factory=list)
    """(path, label in force before, imported label)"""
    measures: set[int] = field(default_factory=set)
    """Items of which the file says that they are held out."""
    held_out: int = 0
    """Items that were not held out before, and are since the file says so."""
    items: set[int] = field(default_factory=set)
    """What the labels are of, whether stored now or before."""


# -------------------------------------------------------------------------------- import


def import_file(project: Project, file: Path, person: str = "import") -> Imported:
    """Store the labels of a table (`read_table`), all of them or none.

    A row's image is what its path names (`Finder`), and its contents' SHA-256 where the table has
    it: what a path names and has other contents is left out. An `id` is a name like a path, and
    never a number of this project. Repeating an import stores nothing new: a label that its
    annotator has given already is left alone. Rows that name no image of the project, or several,
    are counted and left out, and so are images that one annotator labels twice.

    Where the table has a column held_out, images with a row that says so are held out, before
    their labels are stored: they measure accuracy and are not trained on. That is for ever: a row
    that says false puts nothing back.

    Raises
    ------
    DataError: no such file, no such columns, values that are no labels or no truth values, or no
        row that matches.
    UnknownName: labels that are no class, with all their rows.
    """
    table = read_table(file)
    report = Imported(notes=list(table.notes))
    if not table.places:
        return report
    image_column(file, table.columns)  # the columns first, then what is in them
    classes = (*project.classes, NONE_LABEL)
    labels = known_labels(
        table.columns[need_labels(file, table.columns)],
        classes,
        str(file),
        table.place,
        fused if table.spreadsheet else str,
    )
    held_out = held_out_rows(table)
    report.without_label = int((labels < 0).sum())
    rows = np.flatnonzero(labels >= 0).tolist()
    found = _matched(project, table, rows, report)
    if rows and not found:
        raise _no_match(project, table, len(rows), report)
    people = _annotators(table, person)
    given: dict[str, dict[int, tuple[int, str]]] = {}
    twice: set[tuple[str, int]] = set()
    for row, (item, name) in found.items():
        label = int(labels[row]) if labels[row] < len(project.classes) else NONE_OF_THESE
        known = given.setdefault(people[row], {})
        if item in known and known[item][0] != label:
            twice.add((people[row], item))
            report.ambiguous.append(name)
        known[item] = (label, name)
    kept = {
        who: {i: a for i, a in answers.items() if (who, i) not in twice}
        for who, answers in given.items()
    }
    stored = {item for answers in kept.values() for item in answers}
    report.measures = {item for row, (item, _) in found.items() if held_out[row]}
    report.held_out = hold_out(project.ledger, report.measures & stored)
    for who, answers in kept.items():
        store_labels(project.ledger, answers, who, project.classes, report)
    return report


def hold_out(ledger: Ledger, items: set[int]) -> int:
    """Hold out what a table says; returns how many were not before. To be called before their
    labels are stored: one that is stored and not held out yet would be trained on after a crash.
    """
    new = items - ledger.held_out
    if new:
        ledger.hold_out(sorted(new))
    return len(new)


def _annotators(table: Table, person: str) -> list[str]:
    column = annotator_column(table.columns)
    if column is None:
        return [person] * len(table.places)
    plain = fused if table.spreadsheet else str
    return [plain(name).strip() or person for name in table.texts(column)]


def _matched(
    project: Project, table: Table, rows: list[int], report: Imported
) -> dict[int, tuple[int, str]]:
    """Row -> item and name, of those that name one image."""
    column, digests = image_column(table.file, table.columns), hash_column(table.columns)
    blank = [""] * len(table.places)
    names = blank if column is None else table.texts(column)
    either = table.spreadsheet  # somebody else's table: its names may be defused, or as they are
    if either and exported(table.columns):
        names, either = [fused(name) for name in names], False
    sums = blank if digests is None else table.texts(digests)
    hashes = project.items.known_hashes()
    finder = Finder(project.root, project.items.paths(), either)
    if word := finder.learn(names[row] for row in rows):
        report.notes.append(word)
    refused = {file.path: file.reason for file in project.items.files("quarantined")}
    found: dict[int, tuple[int, str]] = {}
    for row in rows:
        name, digest = names[row], sums[row].strip().casefold()
        items = _items(finder, hashes, name, digest)
        shown = (fused(name) if either else name) or digest
        if len(items) == 1:
            found[row] = (items.pop(), shown)
        elif items:
            report.unclear.append(shown)
        elif digest and finder.find(name):
            report.unmatched.append(f"{shown} (has other contents)")
        else:
            why = refused.get(shown)
            report.unmatched.append(f"{shown} (quarantined: {why})" if why else shown)
    return found


def _items(finder: Finder[int], hashes: Mapping[str, int], name: str, digest: str) -> set[int]:
    """What a row names: by its contents where it says them, else by its path."""
    if digest:
        return {hashes[digest]} if digest in hashes else set()
    return finder.find(name)


def _no_match(project: Project, table: Table, rows: int, report: Imported) -> DataError:
    first = (report.unmatched or report.unclear)[0]
    several = f", {len(report.unclear)} name several" if report.unclear else ""
    column = image_column(table.file, table.columns) or hash_column(table.columns)
    return DataError(
        f"{table.file}: none of {counted(rows, 'row')} with a label names an image of this project"
        f"{several} (column {column!r}, the first: {first!r}; all columns: "
        f"{', '.join(table.columns)}).",
        f"Give in a column 'path' the paths relative to {project.root}, or names or stems that "
        "one file has.",
    )


def store_labels(
    ledger: Ledger,
    answers: Mapping[int, tuple[int, str]],
    person: str,
    classes: tuple[str, ...],
    report: Imported,
) -> None:
    """Store one person's labels, item -> (label, path), in one transaction; those that this
    person has given already, or given and taken back, are counted and left alone."""
    in_force, taken_back = ledger.labels, _taken_back(ledger, person)
    report.items.update(answers)
    new: dict[int, int] = {}
    for item, (label, path) in answers.items():
        if ledger.opinions(item).get(person) == label:
            report.same += 1
            continue
        if taken_back.get(item) == label:
            report.taken_back += 1
            continue
        if item in in_force and in_force[item] != label:
            before, now = (name_of(y, classes) for y in (in_force[item], label))
            report.differing.append((path, before, now))
        new[item] = label
    if new:
        ledger.answers(new, person=person)
    report.stored += len(new)


def _taken_back(ledger: Ledger, person: str) -> dict[int, int]:
    """Item -> the label that this person's last event there took back."""
    given: dict[int, int] = {}
    last: dict[int, int] = {}
    for event in ledger.history(limit=-1, person=person)[::-1]:
        if event.id is None:
            continue
        last.pop(event.id, None)
        if event.label is not None:
            given[event.seq] = event.label
        elif event.kind == "undone" and event.data["undoes"] in given:
            last[event.id] = given[event.data["undoes"]]
    return last


def name_of(label: int, classes: tuple[str, ...]) -> str:
    """A label as it is written in files."""
    return NONE_LABEL if label == NONE_OF_THESE else classes[label]
