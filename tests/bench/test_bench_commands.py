"""`labelgap bench`, `report` and `tune` as a user meets them."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from bench_small import SMALL, made, queries, small_grid
from console import call

from labelgap.bench.evidence.collect import collect
from labelgap.bench.evidence.results import write_results
from labelgap.bench.grid.grid import Cell
from labelgap.bench.grid.store import Store
from labelgap.bench.running.cell import Job
from labelgap.bench.running.execute import Failure, execute
from labelgap.cli.bench import _comparable, _locked
from labelgap.core.errors import ConfigError
from labelgap.core.lock import WriterLock


def test_a_grid_runs_once_is_repaired_and_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid, out = tmp_path / "grid.toml", tmp_path / "bench"
    grid.write_text(SMALL)
    words = ["bench", str(grid), "--out", str(out), "--workers", "1", "--threads", "1"]
    words += ["--method", "random", "--method", "margin", "--seeds", "1", "--device", "cpu"]
    status, text = call(capsys, *words)
    assert status == 0, text
    assert "2 cells, 0 finished" in text
    assert "at a time" in text
    assert text.count("done") == 2
    status, text = call(capsys, *words)
    assert status == 0
    assert ", 2 finished" in text
    assert "at a time" not in text
    cell = Store(out).cells[0]
    (Store(out).folder(cell) / "result.json").write_text("{")
    status, text = call(capsys, *words)
    assert f"damaged: {cell.folder}" in text
    status, text = call(capsys, *words, "--repair")
    assert status == 0, text
    assert text.count("done") == 1
    assert len(collect(Store(out)).finished) == 2
    status, text = call(capsys, "report", str(out))
    assert status == 0, text
    assert (out / "report" / "index.html").exists()

    # The same computation under another name is taken over, not run again.
    other = tmp_path / "pairs"
    words[words.index(str(out))] = str(other)
    words = [w.replace("random", "cross-entropy+random") for w in words]
    at = words.index("margin")
    del words[at - 1 : at + 1]
    status, text = call(capsys, *words, "--reuse", str(out))
    assert status == 0, text
    assert "1 cell taken over" in text
    assert "1 cell, 1 finished" in text
    (taken,) = collect(Store(other)).finished
    assert taken.cell.arm == "cross-entropy+random"
    same = next(r for r in collect(Store(out)).finished if r.cell.arm == "random")
    assert taken.accuracy.tolist() == same.accuracy.tolist()


@pytest.mark.parametrize("command", ["bench", "tune"])
@pytest.mark.parametrize("begun", [True, False])
def test_a_command_refused_since_the_folder_is_in_use_leaves_no_trace_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, begun: bool
) -> None:
    store = Store(tmp_path / "bench")
    if begun:
        store.add(small_grid(seeds=1).cells, "labelgap bench")
    lock = store.lock()
    before = {file.name: file.read_bytes() for file in store.root.iterdir()}
    status, text = call(capsys, command, "--out", str(store.root))
    assert status == 2
    assert "in use" in text
    assert {file.name: file.read_bytes() for file in store.root.iterdir()} == before
    lock.release()


def test_a_command_reads_the_folder_as_the_lock_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program may have added cells and ended just before the lock was taken."""
    root, take = tmp_path / "bench", Store.lock

    def late(store: Store) -> WriterLock:
        Store(root).add(small_grid(seeds=1).cells, "the other's")
        return take(store)

    monkeypatch.setattr(Store, "lock", late)
    with _locked(root) as store:
        assert store.commands == ["the other's"]
        store.add(small_grid(seeds=2).cells, "this one's")
    assert Store(root).commands == ["the other's", "this one's"]


def test_an_arm_that_became_another_method_is_refused_and_a_renamed_one_is_not(
    tmp_path: Path,
) -> None:
    store = Store(tmp_path / "bench")
    finished = [made("mine", seed, method="margin") for seed in range(3)]
    store.add(tuple(r.cell for r in finished), "labelgap bench")
    write_results(store.results, finished)
    edited = [made("mine", seed, method="entropy").cell for seed in range(2)]
    with pytest.raises(ConfigError, match="arm 'mine' is margin in some and entropy in others"):
        _comparable(store, edited)
    renamed = [replace(r.cell, arm="margin") for r in finished]
    _comparable(store, [*renamed, *edited])


def test_what_failed_is_told_where_a_tuning_cannot_be_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(store: Store, cells: Sequence[Cell], *rest: object) -> list[Failure]:
        defaults, *others = cells
        arm = made(others[0].arm, others[0].config.seed, method="daal")
        write_results(store.results, [replace(arm, cell=others[0])])
        return [Failure(defaults, "out of luck")]

    monkeypatch.setattr("labelgap.cli.bench.run_cells", run)
    words = ["tune", "--method", "daal", "--trials", "2", "--seeds", "1"]
    words += ["--set", "loop.initial=40", "--set", "loop.budget=20", "--set", "loop.rounds=4"]
    status, text = call(capsys, *words, "--out", str(tmp_path / "tune"))
    assert status == 2
    assert "out of luck" in text
    assert "daal #1 cannot be judged" in text


WRONG = [
    (["bench", "--preset", "smok"], "Did you mean 'smoke'"),
    (["bench", "--method", "dall"], "Did you mean 'daal'"),
    (["bench", "--dataset", "digitz"], "Did you mean 'digits'"),
    (["bench", "--set", "loop.budgt=1"], "Did you mean 'budget'"),
    (["bench", "none.toml"], "cannot be read"),
    (["bench", "none.toml", "--preset", "smoke"], "Choose one"),
    (["bench", "--reuse", "nowhere"], "is no benchmark"),
    (["report", "nowhere"], "is no benchmark"),
    (["tune", "--dataset", "cifar10"], "Nothing is tuned on 'cifar10'"),
]


@pytest.mark.parametrize(("words", "said"), WRONG, ids=lambda value: str(value))
def test_wrong_words_are_told_with_their_cure(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    status, text = call(capsys, *words)
    assert status == 2
    assert said in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_ray_on_the_loopback_gives_the_same_queries(tmp_path: Path) -> None:
    from labelgap.bench.running.engines import Event, ProcessEngine
    from labelgap.bench.running.ray_engine import RayEngine

    class Quiet:
        def started(self, cell: Cell) -> None: ...

        def happened(self, event: Event) -> None: ...

        def waiting(self, reason: str) -> None: ...

    stores = []
    for name in ("process", "ray"):
        store = Store(tmp_path / name)
        store.add(small_grid(seeds=1).cells, "labelgap bench")
        engine = ProcessEngine(1, store.logs) if name == "process" else RayEngine(1, None, 1)

        if isinstance(engine, RayEngine):
            assert engine._ray.util.get_node_ip_address() == "127.0.0.1"

        def job_of(cell: Cell, store: Store = store) -> Job:
            return Job(cell, store.folder(cell), store.round0, "cpu", 1)

        assert execute(store, store.cells, engine, job_of, Quiet()) == []
        stores.append(store)
    for cell in stores[0].cells:
        one, other = (store.folder(cell) for store in stores)
        assert queries(one) == queries(other)


@pytest.mark.slow
def test_cells_that_the_audit_would_refuse_are_refused_before_they_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid, out = tmp_path / "grid.toml", tmp_path / "bench"
    grid.write_text(SMALL)
    words = ["bench", str(grid), "--out", str(out), "--workers", "1", "--threads", "1"]
    words += ["--seeds", "1", "--device", "cpu"]
    status, text = call(capsys, *words, "--method", "random")
    assert status == 0, text
    status, text = call(capsys, *words, "--method", "margin", "--set", "training.steps=13")
    assert status == 2
    assert "training.steps is 12 in some and 13 in others" in text
    assert len(Store(out).cells) == 1  # nor do they stay in the folder's list
    status, text = call(capsys, *words, "--method", "margin")
    assert status == 0, text
