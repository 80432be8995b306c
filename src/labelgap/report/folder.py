"""The pictures and the page of one run's folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labelgap.core.disk import not_the_disk
from labelgap.core.errors import FolderError
from labelgap.core.files import write_text
from labelgap.data.types import Task
from labelgap.report import page, sections, style
from labelgap.report.curve import curve
from labelgap.report.names import REPORT
from labelgap.report.query import latest_query
from labelgap.report.scatter import Panel, embedding_figure, panels

CURVE, EMBEDDING = "curve.png", "embedding.png"


def write_report(folder: Path, task: Task | None, random: Mapping[str, Any] | None = None) -> None:
    """Make curve.png, embedding.png (each with an .svg beside it) and report.html of a run.

    Everything is read from `result.json`, `queries.jsonl` and the features in `cache/`; the
    pictures can be made anew at any time. Without features the page says so.

    Parameters
    ----------
    task: for thumbnails and classes of the latest query's items; None leaves them out.
    random: result of the same run by Random, whose curve is drawn beside; None: no such run.

    Raises
    ------
    FolderError: a file is missing or damaged (named), or the folder cannot be written.
    DataError: queries.jsonl names an item that the task does not have.
    """
    result = read_result(folder)
    queries = read_queries(folder)
    curve(result, folder / CURVE, random)
    shown = _panels(folder, result)
    if shown:
        style.save(lambda theme: embedding_figure(shown, result, theme), folder / EMBEDDING)
    write_text(folder / REPORT, report_page(result, queries, shown, task, random))


def report_page(
    result: Mapping[str, Any],
    queries: list[dict[str, Any]],
    shown: list[Panel],
    task: Task | None,
    random: Mapping[str, Any] | None = None,
) -> str:
    """The whole page as text."""
    return page.render(
        "run.html",
        title=sections.title(result),
        head=sections.headline(result, task, random),
        warnings=sections.warnings(result),
        progress=sections.progress(result, random),
        features=sections.features(result, shown),
        rounds=sections.rounds_table(result),
        query=latest_query(result, queries, task),
        repeat=sections.repeat(result),
        version=result["versions"].get("labelgap", ""),
    )


def read_result(folder: Path) -> dict[str, Any]:
    """The content of result.json."""
    content = _parse(_read(folder / "result.json"), folder / "result.json")
    if not content.get("rounds"):
        raise FolderError(f"{folder / 'result.json'} has no rounds.", "Continue or repeat the run.")
    return content


def read_queries(folder: Path) -> list[dict[str, Any]]:
    """The lines of queries.jsonl, in the order in which items were asked for."""
    file = folder / "queries.jsonl"
    return [
        _parse(line, file, number)
        for number, line in enumerate(_read(file).splitlines(), start=1)
        if line.strip()
    ]


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        not_the_disk(error, file)
        raise FolderError(
            f"{file} cannot be read: {error}.", "Repeat the run's command to finish the folder."
        ) from error


def _parse(text: str, file: Path, line: int | None = None) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        content = error
    if not isinstance(content, dict):
        where = f", line {line}" if line else ""
        raise FolderError(
            f"{file}{where} is damaged: {content if line is None else 'not a JSON object'}.",
            "Delete it and repeat the run's command, which derives it from the ledger.",
        )
    return content


def _panels(folder: Path, result: Mapping[str, Any]) -> list[Panel]:
    before, after = (folder / "cache" / f"embedding-{when}.npz" for when in ("before", "after"))
    if not after.exists():
        # A single stage of training leaves one file, whichever side of "alignment" it is on.
        before, after = after, before
    if not after.exists():
        return []
    return panels(before if before.exists() else None, after, int(result["seed"]))
