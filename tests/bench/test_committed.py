"""The committed benchmarks are readable, and `labelgap report` still says the same of them."""

import csv
import json
import re
import shutil
from pathlib import Path

import pytest

from labelgap.bench.grid.store import GRID, Store
from labelgap.bench.report.write import write_report

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
FOLDERS = sorted(grid.parent.name for grid in RESULTS.glob(f"*/{GRID}"))
MANY = 80
"""Cells whose statistics take seconds."""


def parameters() -> list[object]:
    """Every committed benchmark, those of many cells marked as slow."""
    return [
        pytest.param(
            name,
            marks=[pytest.mark.slow]
            if len(json.loads((RESULTS / name / GRID).read_text())["cells"]) > MANY
            else [],
        )
        for name in FOLDERS
    ]


@pytest.mark.skipif(not FOLDERS, reason="benchmarks/results is not here")
@pytest.mark.parametrize("name", parameters())
def test_a_report_from_the_committed_files_alone_says_the_same(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labelgap.report.style.image", lambda *_: b"")  # drawing takes a minute
    folder, there = tmp_path / name, RESULTS / name
    shutil.copytree(
        there, folder, ignore=lambda _, names: [n for n in names if n not in kept(names)]
    )
    former = (there / "report" / "report.md").read_text("utf-8")
    write_report(Store(folder))
    written = (folder / "report" / "report.md").read_text("utf-8")
    assert written == former
    made = {file.name for file in (folder / "report").iterdir()}
    assert set(re.findall(r"`([\w-]+\.(?:png|csv|html))`", written)) <= made
    with (folder / "report" / "cells.csv").open(encoding="utf-8") as opened:
        assert {row["folder"] for row in csv.DictReader(opened)} <= {
            cell.folder for cell in Store(folder).cells
        }


def kept(names: list[str]) -> set[str]:
    """What is tracked of a benchmark's folder: .gitignore says the same of its report."""
    exact = {GRID, "results.parquet", "own", "report", "report.md"}
    return {n for n in names if n in exact or n.endswith(("-embedding.png", ".py"))}
