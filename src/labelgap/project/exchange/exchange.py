"""Labels from and for other tools: CSV, JSONL, Parquet, folders by class, COCO."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from labelgap.core.errors import DataError, UnknownName
from labelgap.core.types import NONE_OF_THESE
from labelgap.ledger.ledger import Ledger
from labelgap.project.images.found import Unreadable
from labelgap.project.images.manifest import read_table, relative
from labelgap.project.images.tables import fused
from labelgap.project.keep.settings import NONE_LABEL
from labelgap.project.keep.store import Project

COLUMNS = ("path", "label", "annotator", "time", "round")


@dataclass
class Imported:
    """What became of a file's rows."""

    stored: int = 0
    same: int = 0
    taken_back: int = 0
    """Labels that their annotator gave and took back: repeating them stores nothing."""
    without_label: int = 0
    unmatched: list[str] = field(default_factory=list)
    ambiguous: list[str] = field(default_factory=list)
    differing: list[tuple[str, str, str]] = field(default_factory=list)
    """(path, label in force before, imported label)"""
    items: set[int] = field(default_factory=set)
    """What the labels are of, whether stored now or before."""


# -------------------------------------------------------------------------------- import


def import_file(project: Project, file: Path, person: str = "import") -> Imported:
    """Store the labels of a CSV or JSONL file, all of them or none.

    Columns: path or id, label, and optionally annotator. Repeating an import stores nothing new:
    a label that its annotator has given already is left alone. Rows that name no image of the
    project are counted and left out, and so are images that one annotator labels twice.

    Raises
    ------
    DataError: no such file, no such columns, or no row that matches.
    UnknownName: a label that is no class, with its row.
    """
    rows = read_table(file)
    if rows and not {"path", "id"} & rows[0].keys():
        raise DataError(
            f"{file}: no column path or id ({', '.join(rows[0])}).", "Name the columns so."
        )
    if rows and not any("label" in row for row in rows):
        raise DataError(f"{file}: no column label.", "Name the columns path, label.")
    paths = project.items.paths()
    count = project.items.count()
    refused = {file.path: file.reason for file in project.items.files("quarantined")}
    report = Imported()
    given: dict[str, dict[int, tuple[int, str]]] = {}
    twice: set[tuple[str, int]] = set()
    for number, row in enumerate(rows, 1):
        text = fused(row.get("label", ""))
        name = fused(row.get("path", "")) or row.get("id", "")
        if not text:
            report.without_label += 1
            continue
        label = _label(project, text, f"{file}, row {number}")
        item = _item(project.root, row, paths, count)
        if item is None:
            why = refused.get(name)
            report.unmatched.append(f"{name} (quarantined: {why})" if why else name)
            continue
        who = fused(row.get("annotator", "")) or person
        known = given.setdefault(who, {})
        if item in known and known[item][0] != label:
            twice.add((who, item))
            report.ambiguous.append(name)
        known[item] = (label, name)
    if rows and not given and report.unmatched:
        raise DataError(
            f"{file}: none of {len(report.unmatched)} rows names an image of this project "
            f"(the first: {report.unmatched[0]!r}).",
            f"Paths are relative to {project.root}.",
        )
    for who, answers in given.items():
        kept = {i: a for i, a in answers.items() if (who, i) not in twice}
        store_labels(project.ledger, kept, who, project.classes, report)
    return report


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


def _label(project: Project, text: str, where: str) -> int:
    if text == NONE_LABEL:
        return NONE_OF_THESE
    if text not in project.classes:
        raise UnknownName("class", text, (*project.classes, NONE_LABEL), where)
    return project.classes.index(text)


def _item(root: Path, row: Mapping[str, str], paths: Mapping[str, int], count: int) -> int | None:
    path = fused(row.get("path", ""))
    if path:
        if path in paths:
            return paths[path]
        try:
            return paths.get(relative(root, path))
        except (Unreadable, ValueError):
            return None
    text = row.get("id", "")
    return int(text) if text.isascii() and text.isdigit() and int(text) < count else None


def name_of(label: int, classes: tuple[str, ...]) -> str:
    """A label as it is written in files."""
    return NONE_LABEL if label == NONE_OF_THESE else classes[label]
