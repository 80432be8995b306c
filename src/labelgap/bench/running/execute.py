"""The scheduler: what runs when, what is retried, what is left.

Finished cells are never run again and interrupted ones go on where they were. Nothing is ever
stopped for doing badly: dropping poor runs would bias every curve.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from labelgap.bench.grid.grid import Cell
from labelgap.bench.grid.store import Store
from labelgap.bench.running import memory
from labelgap.bench.running.cell import Job
from labelgap.bench.running.engines import Engine, Event
from labelgap.core.config import config_hash
from labelgap.core.files import write_text
from labelgap.loop import round0

ATTEMPTS = 3
"""A cell whose worker died is tried so often; one that fails by itself is not tried again."""
LEAST_MEMORY = 512 << 20
"""Bytes that must be free before a further cell starts, until a cell's real need is known."""

Available = Callable[[], int | None]


@dataclass(frozen=True)
class Failure:
    """A cell that did not finish, and why."""

    cell: Cell
    error: str


@runtime_checkable
class Observer(Protocol):
    """Watches: the terminal, or a test."""

    def started(self, cell: Cell) -> None: ...

    def happened(self, event: Event) -> None: ...

    def waiting(self, reason: str) -> None: ...


def execute(
    store: Store,
    cells: Iterable[Cell],
    engine: Engine,
    job_of: Callable[[Cell], Job],
    observer: Observer,
    *,
    available: Available = memory.available,
    record: Callable[[Cell], None] = lambda cell: None,
    need: int = LEAST_MEMORY,
) -> list[Failure]:
    """Run the cells; returns those that failed. The engine is closed whatever happens.

    Whole seeds first, since comparisons are paired by seed: what an interrupted benchmark leaves
    can be compared.

    Parameters
    ----------
    available: free bytes of memory; while there are fewer than the largest cell so far took,
        for the further cell and for each that has just started and may not have taken its own,
        none starts beside a running one.
    need: bytes of the largest cell known.
    record: called with each cell that is done.
    """
    schedule = _Schedule(order(cells), need)
    try:
        while schedule.pending or schedule.running:
            while len(schedule.running) < engine.capacity:
                free = available()
                if schedule.running and free is not None and free < schedule.wanted():
                    observer.waiting(
                        f"{free >> 20} MB of memory free, a cell takes {schedule.need >> 20}, "
                        f"{len(schedule.fresh)} just started"
                    )
                    break
                cell = schedule.next()
                if cell is None:
                    break
                store.failure(cell).unlink(missing_ok=True)
                engine.start(job_of(cell))
                observer.started(cell)
            for told in engine.events(1.0):
                event = schedule.note(told)
                if event.kind == "failed":
                    _write_failure(store, event.cell, event.facts)
                elif event.kind == "done":
                    record(event.cell)
                observer.happened(event)
    finally:
        engine.close()
    return schedule.failures


def order(cells: Iterable[Cell]) -> list[Cell]:
    """Cells in the order in which they start, but for those that share a first round."""
    return sorted(cells, key=lambda cell: cell.config.seed)


def _write_failure(store: Store, cell: Cell, facts: Mapping[str, Any]) -> None:
    write_text(store.failure(cell), f"{facts['error']}\n\n{facts.get('details', '')}")


def first_round(cell: Cell) -> str:
    """Equal for cells that share their first round of training (see `labelgap.loop.round0`)."""
    return config_hash({"config": round0.deciding(cell.config), "development": cell.development})


class _Schedule:
    """Which cell is next. Cells that share a first round wait while one of them trains it."""

    def __init__(self, cells: list[Cell], need: int = LEAST_MEMORY) -> None:
        self.pending = cells
        self.running: dict[str, Cell] = {}
        self.fresh: set[str] = set()  # running, and not heard of
        self.training: dict[str, str] = {}  # first round → identity of the cell at it
        self._trained: set[str] = set()
        self.attempts: dict[str, int] = {}
        self.failures: list[Failure] = []
        self.need = max(need, LEAST_MEMORY)

    def wanted(self) -> int:
        """Bytes that must be free for one more cell."""
        return self.need * (1 + len(self.fresh))

    def next(self) -> Cell | None:
        for index, cell in enumerate(self.pending):
            group = first_round(cell)
            if group in self.training:
                continue
            del self.pending[index]
            self.running[cell.identity] = cell
            self.fresh.add(cell.identity)
            if group not in self._trained:
                self.training[group] = cell.identity
            self.attempts[cell.identity] = self.attempts.get(cell.identity, 0) + 1
            return cell
        return None

    def note(self, event: Event) -> Event:
        """What the event is to those who watch: the last loss of a worker fails the cell."""
        cell, group = event.cell, first_round(event.cell)
        if event.kind != "warning":
            self.fresh.discard(cell.identity)
        if event.kind == "round" or event.kind == "done":
            self._trained.add(group)
        if event.kind in ("round", "done", "failed", "lost") and (
            self.training.get(group) == cell.identity
        ):
            del self.training[group]
        if event.kind in ("done", "failed", "lost"):
            del self.running[cell.identity]
        if event.kind == "done":
            self.need = max(self.need, event.facts.get("peak_memory") or 0)
        elif event.kind == "lost":
            tries = self.attempts[cell.identity]
            if tries < ATTEMPTS:
                self.pending.insert(0, cell)
            else:
                error = f"{event.facts['error']} So it went {tries} times."
                event = Event(cell, "failed", {"error": error})
        if event.kind == "failed":
            self.failures.append(Failure(cell, event.facts["error"]))
        return event
