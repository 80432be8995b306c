"""`DIR/report/`: figures, tables and one self-contained page of an audited benchmark."""

from collections.abc import Sequence
from pathlib import Path

from labelgap.bench.evidence import audit, compare
from labelgap.bench.evidence.collect import collect
from labelgap.bench.evidence.results import Result, write_results
from labelgap.bench.grid.store import Store
from labelgap.bench.report import tables
from labelgap.bench.report.page import page_of
from labelgap.bench.report.part import (
    ACROSS,
    OF_A_SETTING,
    PAGE,
    TEXT,
    part_of,
    shown_across,
    tables_of,
)
from labelgap.bench.report.text import markdown
from labelgap.core.errors import FolderError, InUse
from labelgap.core.files import write_text
from labelgap.data.progress import late_progress
from labelgap.report import style as looks


def write_report(store: Store) -> Path:
    """Audit, then write everything; returns the page.

    Raises
    ------
    AuditError: results that must not be compared, their cells named; nothing is written then.
    FolderError: there is nothing finished, or nothing that pairs.
    """
    collection = collect(store)
    if not collection.finished:
        raise FolderError(
            f"{store.root} has no finished cell.", "Run `labelgap bench` into it first."
        )
    audit.require(collection.finished)
    _record(store, collection.finished)
    compared = compare.comparisons(collection.finished)
    with late_progress("Comparing", len(compared)) as advance:
        parts = []
        for one in compared:
            parts.append(part_of(store, one))
            advance(1)
    across = shown_across(compared)
    folder = store.root / "report"
    drawn = [*(s for part in parts for s in part.figures), *across]
    made = tables_of(collection, compared, parts)
    with late_progress("Drawing", len(drawn)) as advance:
        for shown in drawn:
            if not isinstance(shown.draw, Path):
                looks.save(shown.draw, folder / f"{shown.name}.png")
            advance(1)
    for table in made:
        write_text(folder / f"{table.name}.csv", table.csv())
    _remove_former(folder, {shown.name for shown in drawn} | {table.name for table in made})
    write_text(folder / TEXT, markdown(store, collection, parts, across))
    write_text(folder / PAGE, page_of(store, collection, compared, parts, across))
    return folder / PAGE


def _record(store: Store, finished: Sequence[Result]) -> None:
    """Write the compact results, unless a running benchmark does: it may know of newer cells."""
    try:
        lock = store.lock()
    except InUse:
        return
    try:
        write_results(store.results, finished)
    finally:
        lock.release()


def _remove_former(folder: Path, names: set[str]) -> None:
    """Figures and tables of an earlier report that this one does not have would contradict it.

    Other files in the folder are somebody's own.
    """
    for file in folder.iterdir():
        if _is_made(file) and file.stem not in names:
            file.unlink()


def _is_made(file: Path) -> bool:
    """Whether a report makes files of this name."""
    if file.suffix == ".csv":
        return file.stem in tables.NAMES
    drawn = file.stem in ACROSS or file.stem.endswith(OF_A_SETTING)
    return drawn and file.suffix in (".png", ".svg")
