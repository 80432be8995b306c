"""`labelgap bench`, `report` and `tune`: many paired runs, judged together."""

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from labelgap.cli import app
from labelgap.cli.running import run_cells, show_table, tell_end, tell_failures
from labelgap.cli.values import FREEZE, IMAGE_SIZE, NETWORK, WEIGHTS
from labelgap.core.wording import counted

if TYPE_CHECKING:
    from labelgap.bench.grid.grid import Cell, Grid
    from labelgap.bench.grid.store import Store


DATA_ROOT = typer.Option(None, help="Folder of the data sets' files.")
SET = typer.Option([], "--set", help="key=value for every cell; repeatable.")
WORKERS = typer.Option(None, min=1, help="Cells at a time. [default: half the cores]")
THREADS = typer.Option(None, min=1, help="Threads of a cell. [default: cores / workers]")
DEVICE = typer.Option("auto", help="auto | cpu | cuda | mps.")


@app.command()
def bench(
    file: Path | None = typer.Argument(None, help="A grid's TOML file, instead of a preset."),
    preset: str | None = typer.Option(
        None,
        help="smoke | digits | cpu | cpu-imbalanced | frozen | ablation | paper | "
        "paper-imbalanced. [default: smoke]",
    ),
    dataset: list[str] = typer.Option([], help="Data sets; repeatable."),
    method: list[str] = typer.Option(
        [], help="Methods, OBJECTIVE+ACQUISITION, or .py files; repeatable."
    ),
    seeds: int | None = typer.Option(None, min=1, help="Seeds 0 … N − 1 for every cell."),
    cross: str | None = typer.Option(None, help="full | diagonal, of a grid of pairs."),
    network: str | None = NETWORK,
    freeze: bool = FREEZE,
    weights: Path | None = WEIGHTS,
    image_size: int | None = IMAGE_SIZE,
    set_: list[str] = SET,
    data_root: Path | None = DATA_ROOT,
    out: Path | None = typer.Option(None, help="Folder. [default: runs/bench-<grid>]"),
    workers: int | None = WORKERS,
    threads: int | None = THREADS,
    device: str = DEVICE,
    engine: str = typer.Option("process", help="process | ray."),
    ray_address: str | None = typer.Option(
        None, help="A Ray cluster. [default: one on this machine]"
    ),
    reuse: list[Path] = typer.Option(
        [], help="Folder of another benchmark: take its finished cells of this grid; repeatable."
    ),
    repair: bool = typer.Option(
        False, "--repair", help="Put damaged cells into quarantine and run them again."
    ),
) -> None:
    """Run a grid of data sets × methods × seeds; finished cells are never run again."""
    from labelgap.bench.evidence.collect import reuse as take
    from labelgap.bench.running.data import settled

    flags = {
        "network.name": network,
        "network.freeze": freeze or None,
        "network.weights": str(weights) if weights else None,
        "data.image_size": image_size,
    }
    overrides = _overrides(dataset, method, seeds, cross, set_, flags)
    grid = _grid(file, preset, overrides)
    others = [_store(folder) for folder in reuse]
    with _locked(out or Path("runs") / f"bench-{grid.name}") as store:
        known = settled(store, grid.cells)
        for name in known.unrecorded:
            typer.echo(f"{store.root} kept no record of the data {name}: recorded now")
        _comparable(store, known.cells)
        store.add(known.cells, _command())
        known.keep()
        if others:
            typer.echo(f"{counted(take(store, others), 'cell')} taken over")
        failures = run_cells(
            store,
            known.cells,
            device,
            workers,
            threads,
            data_root,
            engine,
            ray_address,
            repair,
            known.sources,
        )
    tell_failures(store, failures)
    tell_end(failures, f"labelgap report {store.root}")


@app.command()
def report(
    folder: Path = typer.Argument(..., help="A benchmark's folder."),
) -> None:
    """Audit a benchmark, then draw figures, tables and one page into FOLDER/report/."""
    store = _store(folder)
    from labelgap.bench.report.write import write_report  # draws: loaded once there is what to draw

    typer.echo(f"look at {write_report(store)}")


@app.command()
def tune(
    method: list[str] = typer.Option(["random", "daal"], help="Methods, or .py files; repeatable."),
    dataset: str = typer.Option("digits", help="digits | fashion-mnist."),
    trials: int = typer.Option(10, min=1, help="Trials of each method, its defaults included."),
    seeds: int = typer.Option(3, min=1, help="Seeds of each trial."),
    preset: str = typer.Option("smoke", help="The preset of `labelgap run` to tune at."),
    earlier: Path | None = typer.Option(
        None, "--from", help="Folder of a finished tuning: judge only its best trials, here."
    ),
    keep: int = typer.Option(3, min=1, help="So many of them, besides the defaults."),
    set_: list[str] = SET,
    data_root: Path | None = DATA_ROOT,
    out: Path | None = typer.Option(None, help="Folder. [default: runs/tune-<dataset>]"),
    workers: int | None = WORKERS,
    threads: int | None = THREADS,
    device: str = DEVICE,
) -> None:
    """Random search over the declared ranges, judged on training images outside the pool."""
    from labelgap.bench import tune as tuning
    from labelgap.bench.evidence.collect import collect

    settings = _overrides([], [], None, None, set_).get("settings", {})
    before = tuning.Earlier.read(earlier, keep) if earlier else None
    if before:
        trials = before.trials
    cells = tuple(tuning.cells(method, dataset, trials, seeds, settings, preset, before))
    with _locked(out or Path("runs") / f"tune-{dataset}") as store:
        tuning.check_equal(store, cells, trials)
        store.add(cells, _command())
        failures = run_cells(
            store, cells, device, workers, threads, data_root, "process", None, False
        )
        tell_failures(store, failures)  # first: without the defaults no trial can be judged
        table = tuning.write_tuned(store, collect(store).finished, trials, before)
    show_table(table.headers, table.rows)
    tell_end(failures, str(store.root / tuning.TUNED))


# ---------------------------------------------------------------------- flags


def _overrides(
    datasets: Sequence[str],
    methods: Sequence[str],
    seeds: int | None,
    cross: str | None,
    sets: Sequence[str],
    flags: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """What flags put in the place of a grid's own keys. flags: settings of every cell, by key."""
    from labelgap.cli.values import tree_of

    found: dict[str, Any] = {}
    if datasets:
        found["datasets"] = list(datasets)
    if methods:
        found["methods"] = list(methods)
    if seeds is not None:
        found["seeds"] = seeds
    if cross is not None:
        found["cross"] = cross
    settings = tree_of(None, flags or {}, sets)[0]
    if settings:
        found["settings"] = settings
    return found


def _grid(file: Path | None, preset: str | None, overrides: Mapping[str, Any]) -> "Grid":
    from labelgap.bench.grid.grid import file_grid, preset_grid
    from labelgap.core.errors import ConfigError

    if file is not None and preset is not None:
        raise ConfigError(f"{file} and --preset {preset} are both given.", "Choose one.")
    if file is not None:
        return file_grid(file, overrides)
    return preset_grid(preset or "smoke", overrides)


def _comparable(store: "Store", cells: Sequence["Cell"]) -> None:
    """Refuse at once what the audit would refuse when all is computed."""
    from labelgap.bench.evidence.collect import with_results
    from labelgap.bench.evidence.comparable import unequal
    from labelgap.core.errors import ConfigError

    # A finished cell takes the name that its arm has now.
    known = {cell.identity: cell for cell in [*with_results(store), *cells]}
    difference = unequal(known.values())
    if difference:
        raise ConfigError(
            f"These cells and the finished ones of {store.root} cannot be compared: {difference}.",
            "Choose another `--out`, give all arms one setting, or a changed arm another name.",
        )


def _command() -> str:
    """The command as it was given, for the record; how many work at it changes no result."""
    return shlex.join(["labelgap", *sys.argv[1:]])


# ---------------------------------------------------------------------- running


def _store(folder: Path) -> "Store":
    """A benchmark that is there."""
    from labelgap.bench.grid.store import GRID as LIST
    from labelgap.bench.grid.store import Store
    from labelgap.core.errors import FolderError

    if not (folder / LIST).exists():
        raise FolderError(f"{folder} is no benchmark: {LIST} is missing.", "Check the path.")
    return Store(folder)


@contextmanager
def _locked(root: Path) -> Iterator["Store"]:
    """A benchmark as no other program changes it meanwhile: locked first, then read."""
    from labelgap.bench.grid.store import Store

    lock = Store(root).lock()
    try:
        yield Store(root)
    finally:
        lock.release()
