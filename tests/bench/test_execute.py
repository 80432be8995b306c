"""Cells through the engines: shared first rounds, failures, resumption, quarantine."""

import json
import os
import shutil
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bench_small import queries, small_grid

from labelgap.bench.evidence.audit import AuditError, audit
from labelgap.bench.evidence.collect import Record, collect, read_cell, repair
from labelgap.bench.evidence.results import read_results, write_results
from labelgap.bench.grid.grid import Cell
from labelgap.bench.grid.store import Store
from labelgap.bench.report.write import write_report
from labelgap.bench.running.cell import Job, attempt
from labelgap.bench.running.clock import Clock
from labelgap.bench.running.engines import Event, ProcessEngine
from labelgap.bench.running.execute import execute, first_round
from labelgap.cli.board import Board
from labelgap.core.errors import DataError, FolderError, LedgerError
from labelgap.loop.result import RESULT
from labelgap.session.pool import Pool

pytestmark = pytest.mark.xdist_group("execute")  # on one worker: what all look at is made once


class Log:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def started(self, cell: Cell) -> None:
        self.lines.append(("started", cell.folder))

    def happened(self, event: Event) -> None:
        self.lines.append((event.kind, event.cell.folder))

    def waiting(self, reason: str) -> None:
        self.lines.append(("waiting", reason))

    def count(self, kind: str) -> int:
        return sum(line[0] == kind for line in self.lines)


class Inline:
    """An engine without processes; `script` overrides what becomes of a cell."""

    capacity = 2

    def __init__(self, script: dict[str, list[str]] | None = None) -> None:
        self.script = script or {}
        self.jobs: list[Job] = []
        self.most = 0
        self.closed = False

    def start(self, job: Job) -> None:
        self.jobs.append(job)
        self.most = max(self.most, len(self.jobs))

    def events(self, timeout: float) -> Sequence[Event]:
        job = self.jobs.pop(0)
        planned = self.script.get(job.cell.folder)
        if planned:
            return [Event(job.cell, planned.pop(0), {"error": "as planned"})]
        return [Event(job.cell, "round", {"round": 0}), Event(job.cell, "done", {})]

    def close(self) -> None:
        self.closed = True


def job_in(store: Store, shared: bool = True) -> Callable[[Cell], Job]:
    def make(cell: Cell) -> Job:
        return Job(cell, store.folder(cell), store.round0 if shared else None, "cpu", 1)

    return make


def run_all(store: Store, shared: bool) -> None:
    for cell in store.cells:
        kind, facts = attempt(job_in(store, shared)(cell), lambda kind, facts: None)
        assert kind == "done", facts


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Store]:
    """The small grid run with shared first rounds, and without."""
    root = tmp_path_factory.mktemp("bench")
    made = []
    for name, shared in (("shared", True), ("apart", False)):
        store = Store(root / name)
        store.add(small_grid(seeds=1).cells, f"labelgap bench {name}")
        run_all(store, shared)
        made.append(store)
    return made[0], made[1]


def test_a_shared_first_round_changes_no_bit(stores: tuple[Store, Store]) -> None:
    shared, apart = stores
    assert len(list(shared.round0.iterdir())) == 2  # cross-entropy once for two arms, daal
    for cell in shared.cells:
        one, other = shared.folder(cell), apart.folder(cell)
        assert queries(one) == queries(other)
        a, b = (json.loads((folder / RESULT).read_text()) for folder in (one, other))
        assert a["audit"] == b["audit"]
        for key in ("labels", "accuracy", "per_class"):
            assert [r[key] for r in a["rounds"]] == [r[key] for r in b["rounds"]]


def test_the_seconds_of_a_shared_first_round_are_those_of_the_fit(
    stores: tuple[Store, Store],
) -> None:
    found = {r.cell.arm: r for r in collect(stores[0]).finished}
    seconds = found["random"].seconds["train"][0]
    assert found["margin"].seconds["train"][0] == seconds > 0


def test_what_the_cells_left_is_whole_and_counts_as_finished_by_its_rows_alone(
    stores: tuple[Store, Store], tmp_path: Path
) -> None:
    found = collect(stores[0])
    assert len(found.finished) == 3
    assert not found.damaged
    assert not found.missing
    assert all(r.peak_memory and r.peak_memory > 1 << 20 for r in found.finished)
    copy = Store(tmp_path / "clone")
    copy.add(stores[0].cells and small_grid(seeds=1).cells, "labelgap bench")
    write_results(copy.results, found.finished)
    again = collect(Store(tmp_path / "clone"))
    assert [r.cell.identity for r in again.finished] == [r.cell.identity for r in found.finished]
    assert not again.missing


def damage_result(folder: Path) -> None:
    (folder / "result.json").write_text("{")


def damage_queries(folder: Path) -> None:
    lines = (folder / "queries.jsonl").read_text().splitlines(keepends=True)
    (folder / "queries.jsonl").write_text("".join(lines[:-3]))


def another_seed(folder: Path) -> None:
    content = json.loads((folder / "result.json").read_text())
    content["config"]["seed"] = 9
    (folder / "result.json").write_text(json.dumps(content))


@pytest.mark.parametrize("damage", [damage_result, damage_queries, another_seed])
def test_a_damaged_cell_is_named_and_repair_puts_it_into_quarantine(
    stores: tuple[Store, Store], tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    store = Store(tmp_path / "bench")
    store.add(small_grid(seeds=1, methods=["random"]).cells, "labelgap bench")
    (cell,) = store.cells
    whole = stores[0].folder(cell)
    target = store.folder(cell)
    target.mkdir(parents=True)
    for name in ("result.json", "queries.jsonl", "config.json", "ledger.sqlite"):
        (target / name).write_bytes((whole / name).read_bytes())
    assert len(collect(store).finished) == 1
    damage(target)
    (damaged,) = collect(store).damaged
    assert damaged.cell.identity == cell.identity
    assert target.name in damaged.reason
    (moved,) = repair(store, [damaged])
    assert moved.parent.name == "quarantine"
    assert not target.exists()
    assert collect(store).missing == (cell,)


@pytest.mark.parametrize("file", ["config.json", "ledger.sqlite"])
def test_a_damaged_folder_of_an_unfinished_cell_is_put_away_too(
    stores: tuple[Store, Store], tmp_path: Path, file: str
) -> None:
    """A run could not go on in it, time after time."""
    store = Store(tmp_path / "bench")
    store.add(small_grid(seeds=1, methods=["random"]).cells, "labelgap bench")
    (cell,) = store.cells
    folder = store.folder(cell)
    folder.mkdir(parents=True)
    for name in ("config.json", "ledger.sqlite"):
        (folder / name).write_bytes((stores[0].folder(cell) / name).read_bytes())
    assert collect(store).missing == (cell,)
    cut = (folder / file).read_bytes()
    (folder / file).write_bytes(cut[: len(cut) // 2])
    (damaged,) = collect(store).damaged
    assert file in damaged.reason
    repair(store, [damaged])
    assert collect(store).missing == (cell,)
    assert not folder.exists()


def twice_one_id(lines: list[dict[str, Any]]) -> None:
    lines[-1]["id"] = lines[-2]["id"]


def another_initial_item(lines: list[dict[str, Any]]) -> None:
    asked = {line["id"] for line in lines}
    lines[0]["id"] = next(i for i in range(len(asked) + 1) if i not in asked)


@pytest.mark.parametrize(
    ("plant", "check"),
    [(twice_one_id, "distinct labels"), (another_initial_item, "same initial set")],
)
def test_a_defect_planted_in_a_folder_stops_the_report(
    stores: tuple[Store, Store], tmp_path: Path, plant: Any, check: str
) -> None:
    root = tmp_path / "bench"
    shutil.copytree(stores[0].root, root, ignore=shutil.ignore_patterns("*.parquet", "report"))
    store = Store(root)
    folder = store.folder(store.cells[1])
    lines = [json.loads(line) for line in (folder / "queries.jsonl").read_text().splitlines()]
    plant(lines)
    (folder / "queries.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(AuditError, match=check) as caught:
        write_report(store)
    assert folder.name in str(caught.value)
    assert not (root / "report").exists()


def test_a_run_that_is_offered_other_candidates_is_found(
    stores: tuple[Store, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "bench")
    store.add(small_grid(seeds=1, methods=["margin"]).cells, "labelgap bench")
    (cell,) = store.cells
    fair = Pool.candidates
    monkeypatch.setattr(Pool, "candidates", lambda self, round: fair(self, round)[1:])
    assert attempt(job_in(store)(cell), lambda kind, facts: None)[0] == "done"
    monkeypatch.undo()
    rest = [r for r in collect(stores[0]).finished if r.cell.arm != "margin"]
    assert not audit(rest)
    found = audit([*rest, *collect(store).finished])
    assert "same pool permutation" in {f.check for f in found}


def test_what_a_run_noted_and_what_its_result_says_must_agree(
    stores: tuple[Store, Store], tmp_path: Path
) -> None:
    cell = stores[0].cells[0]
    folder = tmp_path / "cell"
    shutil.copytree(stores[0].folder(cell), folder)
    result = json.loads((folder / "result.json").read_text())
    result["aubc"] += 0.01
    (folder / "result.json").write_text(json.dumps(result))
    with pytest.raises(DataError, match="is not that of the rounds"):
        read_cell(cell, folder)
    for entry in result["rounds"]:
        entry["accuracy"] += 0.01
    (folder / "result.json").write_text(json.dumps(result))
    with pytest.raises(DataError, match="its ledger"):
        read_cell(cell, folder)


@pytest.mark.parametrize("damage", ["{", "[1]", None])
def test_a_damaged_first_round_is_trained_anew(tmp_path: Path, damage: str | None) -> None:
    store = Store(tmp_path / "bench")
    store.add(small_grid(seeds=1, methods=["random", "margin"]).cells, "labelgap bench")
    first, second = store.cells
    assert attempt(job_in(store)(first), lambda kind, facts: None)[0] == "done"
    (kept,) = store.round0.iterdir()
    if damage is None:
        (kept / "weights.safetensors").unlink()
    else:
        (kept / "fitted.json").write_text(damage)
    with pytest.warns(UserWarning, match="shared first round.*is damaged.*training it anew"):
        assert attempt(job_in(store)(second), lambda kind, facts: None)[0] == "done"
    assert not audit(collect(store).finished)


def test_cells_that_share_a_first_round_wait_for_it() -> None:
    cells = small_grid(seeds=1).cells
    assert first_round(cells[0]) == first_round(cells[1]) != first_round(cells[2])
    assert len({first_round(c) for c in small_grid().cells}) == 4


def test_a_failed_cell_stops_no_other_and_a_lost_one_is_tried_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "bench")
    store.add(small_grid().cells, "labelgap bench")
    names = [cell.folder for cell in store.cells]
    engine = Inline({names[0]: ["failed"], names[1]: ["lost"], names[2]: ["lost"] * 3})
    log = Log()
    failures = execute(store, store.cells, engine, job_in(store), log)
    assert {f.cell.folder for f in failures} == {names[0], names[2]}
    assert "3 times" in next(f.error for f in failures if f.cell.folder == names[2])
    assert store.failure(store.cells[0]).read_text().startswith("as planned")
    assert "3 times" in store.failure(store.cells[2]).read_text()
    assert log.count("done") == 4
    assert log.count("lost") == 3  # the third loss of a cell is told as its failure
    assert log.count("failed") == 2
    assert engine.most == 2
    assert engine.closed


def test_the_last_loss_of_a_worker_counts_as_a_failure_on_the_board(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, board = Store(tmp_path / "bench"), Board()
    store.add(small_grid(seeds=1, methods=["random", "margin"]).cells, "labelgap bench")
    clock = Clock(store.cells, {cell.identity: 10.0 for cell in store.cells}, workers=1)
    board.begin(store.cells, clock)
    engine = Inline({store.cells[0].folder: ["lost"] * 3})
    # The round of the engine has no accuracy, which the board would show.
    engine.events = lambda timeout: [e for e in Inline.events(engine, 0) if e.kind != "round"]
    assert len(execute(store, store.cells, engine, job_in(store), board)) == 1
    said = capsys.readouterr().out
    assert said.count("it is tried again") == 2
    assert f"failed    1/2 {store.cells[0].folder}" in said
    assert clock.left() == 0


def test_no_cell_starts_beside_another_while_memory_is_short(tmp_path: Path) -> None:
    store = Store(tmp_path / "bench")
    store.add(small_grid().cells, "labelgap bench")
    engine, log = Inline(), Log()
    assert not execute(store, store.cells, engine, job_in(store), log, available=lambda: 1 << 20)
    assert engine.most == 1
    assert log.count("done") == len(store.cells)
    assert log.count("waiting") > 0


def test_cells_that_just_started_have_not_taken_their_memory_yet(tmp_path: Path) -> None:
    store = Store(tmp_path / "bench")
    store.add(small_grid(seeds=3).cells, "labelgap bench")
    engine, log = Inline(), Log()
    engine.capacity = 8
    free, need = lambda: 1500 << 20, 700 << 20
    assert not execute(store, store.cells, engine, job_in(store), log, available=free, need=need)
    assert engine.most == 2  # room for two, while neither has been heard of
    assert log.count("waiting") > 0


def test_processes_report_rounds_failures_and_deaths(tmp_path: Path) -> None:
    store = Store(tmp_path / "bench")
    grid = small_grid(seeds=1, methods=["random", "margin"])
    broken = small_grid(seeds=1, methods=["random"], settings={"loop": {"budget": 5000}})
    store.add(grid.cells + broken.cells, "labelgap bench")
    engine = ProcessEngine(1, store.logs)
    log = Killer(engine, store.cells[1])
    failures = execute(store, store.cells, engine, job_in(store), log)
    assert [f.cell.folder for f in failures] == [store.cells[2].folder]
    assert "items asked for in round 1" in failures[0].error
    assert log.count("lost") == 1
    assert log.count("done") == 2
    assert log.count("round") >= 6
    assert len(collect(store).finished) == 2
    assert not any(worker.process.is_alive() for worker in engine._workers)


class Killer(Log):
    """Kills the worker once, after the first round of a cell."""

    def __init__(self, engine: ProcessEngine, victim: Cell) -> None:
        super().__init__()
        self.engine, self.victim, self.done = engine, victim, False

    def happened(self, event: Event) -> None:
        super().happened(event)
        if event.kind == "round" and event.cell == self.victim and not self.done:
            self.done = True
            os.kill(self.engine._workers[0].process.pid or 0, signal.SIGKILL)


def test_the_store_keeps_commands_and_refuses_other_folders(tmp_path: Path) -> None:
    root = tmp_path / "bench"
    store = Store(root)
    store.add(small_grid(seeds=1).cells, "one")
    store.add(small_grid(seeds=2).cells, "two")
    again = Store(root)
    assert again.commands == ["one", "two"]
    assert [c.identity for c in again.cells] == [c.identity for c in store.cells]
    assert len(again.cells) == 6
    renamed = tuple(replace(c, arm="uniform") for c in small_grid(seeds=1).cells[:1])
    before = again.folder(again.cells[0])
    again.add(renamed, "three")
    assert Store(root).cells[0].arm == "uniform"
    assert Store(root).folder(Store(root).cells[0]) == before
    lock = again.lock()
    with pytest.raises(LedgerError, match="in use"):
        Store(root).lock()
    lock.release()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("")
    with pytest.raises(FolderError, match="not empty"):
        Store(tmp_path / "other").add(small_grid().cells, "one")
    with pytest.raises(FolderError, match="not empty"):
        Store(tmp_path / "other").lock()
    assert len(list((tmp_path / "other").iterdir())) == 1  # no lock is left there either
    (root / "grid.json").write_text('{"schema": 1, "commands": []}')
    with pytest.raises(FolderError, match="damaged"):
        Store(root)


def test_whole_seeds_come_first(tmp_path: Path) -> None:
    store = Store(tmp_path / "bench")
    store.add(small_grid(methods=["random", "margin", "entropy"], seeds=2).cells, "command")
    log, engine = Log(), Inline()
    engine.capacity = 1  # with more a cell of the next seed fills in while a first round trains
    execute(store, store.cells, engine, job_in(store), log, available=lambda: None)
    started = [name for kind, name in log.lines if kind == "started"]
    seeds = [name.split("-")[-2] for name in started]
    assert seeds == ["s0"] * 3 + ["s1"] * 3
    assert sorted(started) == sorted(cell.folder for cell in store.cells)


def test_finished_cells_are_recorded_while_others_run(tmp_path: Path) -> None:
    store = Store(tmp_path / "bench")
    store.add(small_grid(seeds=1).cells, "command")
    first, second, *_ = store.cells
    record = Record(store, ())
    for cell in (first, second):
        attempt(job_in(store, shared=False)(cell), lambda kind, facts: None)
    record(first)
    assert set(read_results(store.results)) == {first.identity}
    record(second)  # within the minute: kept for the next writing
    assert set(read_results(store.results)) == {first.identity}
    record.EVERY = 0.0
    (store.folder(second) / RESULT).write_text("{")
    record(second)  # damaged: `collect` tells of it
    assert set(read_results(store.results)) == {first.identity}
