"""A user's own method beside the others in a benchmark."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from bench_small import SMALL
from console import call

from labelgap.axes.registry import METHODS, OBJECTIVES
from labelgap.bench.evidence.collect import collect
from labelgap.bench.evidence.comparable import unequal
from labelgap.bench.grid.grid import file_grid
from labelgap.bench.grid.store import Store
from labelgap.bench.running.cell import Job, attempt
from labelgap.bench.running.execute import first_round
from labelgap.core.errors import ConfigError
from labelgap.loop import own

PAGE = Path(__file__).parents[2] / "docs" / "own-method.md"


def another_program() -> None:
    for loaded in own._LOADED.values():
        for kind, name in loaded.entries:
            own.TABLES[kind].pop(name, None)
    own._LOADED.clear()


@pytest.fixture
def mine(tmp_path: Path, forget: None) -> Path:
    file = tmp_path / "mine.py"
    file.write_text(re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)[0])
    return file


def grid_with(mine: Path, folder: Path, arms: str = "") -> Path:
    file = folder / "grid.toml"
    file.write_text(
        SMALL.replace('"random", "margin", "daal"', f'"random", "{mine}"{arms}').replace(
            "seeds = 2", "seeds = 1"
        )
    )
    return file


@pytest.mark.slow
def test_it_runs_in_workers_and_is_reported_without_running_its_file(
    mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arms = f', {{name = "with Reg", method = "{mine}", objective_name = "daal"}}'
    out = tmp_path / "bench"
    words = ["bench", str(grid_with(mine, tmp_path, arms)), "--out", str(out)]
    words += ["--workers", "1", "--threads", "1", "--device", "cpu"]
    status, text = call(capsys, *words)
    assert status == 0, text
    assert text.count("done") == 3

    another_program()
    mine.unlink()
    (kept,) = (out / "own").iterdir()
    kept.write_text("raise SystemExit('a report runs no file')")
    status, text = call(capsys, "report", str(out))
    assert status == 0, text
    rows = {r["arm"]: r for r in csv.DictReader((out / "report" / "cells.csv").open())}
    assert set(rows) == {"random", "logit-norm", "with Reg"}
    assert f"--method own/{kept.name}" in rows["logit-norm"]["command"]
    assert f"--method own/{kept.name} --objective daal" in rows["with Reg"]["command"]
    results = {r.cell.arm: r for r in collect(Store(out)).finished}
    # On plain training it shares the first round with random, which the audit then compares.
    assert first_round(results["logit-norm"].cell) == first_round(results["random"].cell)
    assert results["logit-norm"].accuracy[0] == results["random"].accuracy[0]
    assert first_round(results["with Reg"].cell) != first_round(results["random"].cell)


def test_an_edited_file_is_another_cell_and_one_arm_cannot_be_both(
    mine: Path, tmp_path: Path
) -> None:
    grid = grid_with(mine, tmp_path)
    before = file_grid(grid).cells[1]
    assert file_grid(grid).cells[1].identity == before.identity
    mine.write_text(mine.read_text() + "# another rule\n")
    after = file_grid(grid).cells[1]
    assert after.identity != before.identity
    assert "method_sha256" in str(unequal([before, replace(after, arm=before.arm)]))


def test_workers_run_the_file_as_it_was_when_the_cells_were_named(
    mine: Path, tmp_path: Path
) -> None:
    store, grid = Store(tmp_path / "bench"), file_grid(grid_with(mine, tmp_path))
    text = mine.read_text()
    mine.write_text(text + "# edited before the cells were stored\n")
    store.add(grid.cells, "command")
    cell = grid.cells[1]
    file = store.own(cell)
    assert file is not None
    assert file.read_text() == text
    assert store.own(grid.cells[0]) is None
    file.write_text(text + "# by another hand\n")
    another_program()
    kind, facts = attempt(Job(cell, store.folder(cell), own=file), lambda kind, facts: None)
    assert kind == "failed"
    assert f"{file.name} is not what it was" in facts["error"]


def test_what_a_file_does_wrong_is_told_before_anything_runs(mine: Path, tmp_path: Path) -> None:
    grid = grid_with(mine, tmp_path)
    file_grid(grid)
    # Its acquisition is known to this program now, and to no worker.
    with pytest.raises(ConfigError, match="without the file"):
        file_grid(grid, {"methods": ["daal+logit-norm"]})
    missing = tmp_path / "other.py"
    with pytest.raises(ConfigError, match=r"grid.toml, line 4: .*other.py' .* does not exist"):
        file_grid(grid_with(missing, tmp_path))
    missing.write_text(mine.read_text())
    assert file_grid(grid_with(missing, tmp_path)).cells[1].arm == "logit-norm"  # the same text
    missing.write_text(mine.read_text() + "\n")
    with pytest.raises(ConfigError, match=r"'logit-norm', which is that of .*mine.py"):
        file_grid(grid_with(missing, tmp_path))
    missing.write_text("def f(:\n")
    with pytest.raises(ConfigError, match=r"SyntaxError: .*\(other.py, line 1\)"):
        file_grid(grid_with(missing, tmp_path))


def test_a_file_cannot_replace_a_built_in_part(tmp_path: Path, forget: None) -> None:
    file, plain = tmp_path / "bold.py", OBJECTIVES["cross-entropy"]
    file.write_text(
        "from labelgap.axes.registry import OBJECTIVES, method, objective\n"
        "@objective('cross-entropy')\n"
        "class Mine(OBJECTIVES['cross-entropy']):\n"
        "    '''Another.'''\n"
        "method('bold', 'cross-entropy', 'random', title='Bold', citation='mine')\n"
    )
    with pytest.raises(ConfigError, match="'cross-entropy', which is built-in"):
        own.load_methods(file)
    assert OBJECTIVES["cross-entropy"] is plain
    assert "bold" not in METHODS


@pytest.mark.slow
def test_tuning_takes_a_file_too(
    mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tune"
    words = ["tune", "--method", str(mine), "--trials", "1", "--seeds", "1", "--out", str(out)]
    words += ["--set", "training.steps=4", "--set", "loop.rounds=1", "--set", "network.width=4"]
    status, text = call(capsys, *words, "--workers", "1", "--threads", "1", "--device", "cpu")
    assert status == 0, text
    assert list(json.loads((out / "tuned.json").read_text())["gains"]) == ["logit-norm"]
