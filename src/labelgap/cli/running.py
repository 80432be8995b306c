"""How a benchmark runs at the terminal."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import typer

from labelgap.core.terminal import console
from labelgap.core.wording import counted

if TYPE_CHECKING:
    from rich.console import Console

    from labelgap.bench.evidence.results import Result
    from labelgap.bench.grid.grid import Cell
    from labelgap.bench.grid.store import Store
    from labelgap.bench.running.engines import Engine
    from labelgap.bench.running.execute import Failure


def run_cells(
    store: "Store",
    wanted: Sequence["Cell"],
    device: str,
    workers: int | None,
    threads: int | None,
    data_root: Path | None,
    engine: str,
    address: str | None,
    repair: bool,
    sources: Mapping[str, str] = MappingProxyType({}),
) -> list["Failure"]:
    from labelgap.bench.evidence.collect import Record, collect
    from labelgap.bench.evidence.collect import repair as put_away
    from labelgap.bench.running.cell import Job
    from labelgap.bench.running.clock import Clock
    from labelgap.bench.running.costs import costs
    from labelgap.bench.running.execute import Failure, execute, order
    from labelgap.cli.board import Board
    from labelgap.core.device import set_threads
    from labelgap.core.wording import duration

    board, before = Board(), collect(store)
    cores = os.cpu_count() or 1
    workers = workers or max(1, cores // 2)
    threads = _threads(threads, before.finished, max(1, cores // workers))
    set_threads(threads)
    _same_versions(before.finished)
    names = {cell.identity for cell in wanted}
    for damage in before.damaged:
        board.say(f"[yellow]damaged:[/] {damage.cell.folder}: {damage.reason}")
    mended = [damage for damage in before.damaged if damage.cell.identity in names]
    if mended and repair:
        for place in put_away(store, mended):
            board.say(f"moved to {place}")
        before = collect(store)
    elif before.damaged:
        board.say("damaged cells are left alone; `--repair` runs those of its command again")
    done = {r.cell.identity for r in before.finished}
    left = [
        Failure(damage.cell, f"damaged: {damage.reason}")
        for damage in before.damaged
        if damage.cell.identity in names - done
    ]
    todo = [cell for cell in before.missing if cell.identity in names]
    record = Record(store, before.finished)
    board.say(f"{counted(len(wanted), 'cell')}, {len(wanted) - len(todo)} finished → {store.root}")
    if not todo:
        record.write()
        return left
    seconds = costs(todo, device, data_root, sources)
    chosen, capacity = _engine(engine, store, workers, threads, address)
    clock = Clock(order(todo), seconds, capacity)
    board.say(
        f"about {duration(sum(seconds.values()))} of cells, {duration(clock.left())} with "
        f"{capacity} at a time, {counted(threads, 'thread')} each; a shared first round makes it "
        "less"
    )

    def job_of(cell: "Cell") -> Job:
        root = None if data_root is None else data_root.resolve()
        folder, shared = store.folder(cell).resolve(), store.round0.resolve()
        file = store.own(cell)
        own, source = file.resolve() if file else None, sources.get(cell.config.data.name)
        return Job(cell, folder, shared, device, threads, root, own, source)

    board.begin(todo, clock)
    with board.live():
        try:
            most = max((r.peak_memory or 0 for r in before.finished), default=0)
            failures = execute(store, todo, chosen, job_of, board, record=record, need=most)
        finally:
            record.write()
    return [*left, *failures]


def _same_versions(finished: "Sequence[Result]") -> None:
    """Refuse to compute what the audit could not compare with the finished cells."""
    from labelgap.core.errors import ConfigError
    from labelgap.session.claim import differing, versions

    for name, (before, now) in (
        differing(finished[0].machine["versions"], versions()).items() if finished else ()
    ):
        raise ConfigError(
            f"The finished cells were computed with {name} {before}, here is {now}; the audit "
            "refuses a mixture.",
            f"Install {name} {before}, or choose another `--out`.",
        )


def _threads(given: int | None, finished: "Sequence[Result]", usual: int) -> int:
    """Threads of a cell: those of the finished ones, since others would compute other bits."""
    from labelgap.core.errors import ConfigError

    if not finished:
        return given or usual
    before = int(finished[0].machine["threads"])
    if given is not None and given != before:
        raise ConfigError(
            f"--threads {given}: the finished cells ran with {before}, and the audit refuses a "
            "mixture.",
            f"Leave it out or give {before}; change `--workers` instead.",
        )
    return before


def _engine(
    name: str, store: "Store", workers: int, threads: int, address: str | None
) -> tuple["Engine", int]:
    from labelgap.core.errors import UnknownName

    if name == "process":
        from labelgap.bench.running.engines import ProcessEngine

        return ProcessEngine(workers, store.logs), workers
    if name == "ray":
        from labelgap.bench.running.ray_engine import RayEngine

        made = RayEngine(threads, address, None if address else workers * threads)
        return made, made.capacity
    raise UnknownName("engine", name, ("process", "ray"))


def _plain() -> "Console":
    return console(markup=False)


def tell_failures(store: "Store", failures: Sequence["Failure"]) -> None:
    """What failed, and where its trace is."""
    told = _plain()
    for failure in failures:
        told.print(f"failed: {failure.cell.folder}: {failure.error}")
        if store.failure(failure.cell).exists():
            told.print(f"        {store.failure(failure.cell)}")


def tell_end(failures: Sequence["Failure"], next_: str) -> None:
    told = _plain()
    if failures:
        told.print(f"{counted(len(failures), 'cell')} failed; {next_}")
        raise typer.Exit(1)
    told.print(f"next: {next_}")


def show_table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    from rich.table import Table

    table = Table(*headers)
    for row in rows:
        table.add_row(*(f"{v:.4f}" if isinstance(v, float) else str(v) for v in row))
    console(soft_wrap=False).print(table)
