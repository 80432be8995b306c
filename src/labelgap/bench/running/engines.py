"""Who runs cells: processes on this machine. (`ray_engine` has the cluster.)

An engine starts jobs and tells events; what runs when is the scheduler's business (`execute`).
"""

import multiprocessing
import os
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from labelgap.bench.grid.grid import Cell
from labelgap.bench.running.cell import Job, attempt
from labelgap.core import interrupts
from labelgap.core.disk import told


@dataclass(frozen=True)
class Event:
    """What happened to a cell.

    kind: "round" (facts: the round's entry), "warning", "done", "failed" (error, details), or
        "lost" (its worker died; `error` says how).
    """

    cell: Cell
    kind: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class Engine(Protocol):
    """Runs at most `capacity` jobs at a time."""

    capacity: int

    def start(self, job: Job) -> None: ...

    def events(self, timeout: float) -> Sequence[Event]: ...

    def close(self) -> None: ...


class ProcessEngine:
    """`workers` processes, each with its share of the cores, each for many cells.

    Parameters
    ----------
    logs: folder for what the workers print.
    """

    def __init__(self, workers: int, logs: Path) -> None:
        self.capacity, self.logs = workers, logs
        self._workers: list[_Worker] = []
        self._started = 0

    def start(self, job: Job) -> None:
        free = [worker for worker in self._workers if worker.job is None]
        if not free:
            self._started += 1
            free = [_Worker(self.logs / f"worker-{self._started}.log")]
            self._workers += free
        free[0].start(job)

    def events(self, timeout: float) -> Sequence[Event]:
        busy = [worker for worker in self._workers if worker.job]
        ends: list[Any] = [end for w in busy for end in (w.connection, w.process.sentinel)]
        wait(ends, timeout)
        found = [event for worker in busy for event in worker.events()]
        self._workers = [worker for worker in self._workers if worker.alive]
        return found

    def close(self) -> None:
        """End the workers; a cell at work is continued by the next command."""
        for worker in self._workers:
            worker.stop()


class _Worker:
    def __init__(self, log: Path) -> None:
        # "spawn": a forked copy of a process with torch's threads may hang.
        context = multiprocessing.get_context("spawn")
        self.connection, other = context.Pipe()
        with told(log.parent, "made"):
            log.parent.mkdir(parents=True, exist_ok=True)
        self.process: BaseProcess = context.Process(
            target=_serve, args=(other, str(log), os.getpid()), daemon=True
        )
        interrupts.start_unheard(self.process)
        other.close()
        self.job: Job | None = None
        self.alive = True

    def start(self, job: Job) -> None:
        self.job = job
        try:
            self.connection.send(job)
        except OSError:
            return  # it died while idle: its end is noticed as that of a worker at work

    def events(self) -> list[Event]:
        found: list[Event] = []
        assert self.job
        try:
            while self.job and self.connection.poll():
                kind, facts = self.connection.recv()
                found.append(Event(self.job.cell, kind, facts))
                if kind in ("done", "failed"):
                    self.job = None
        except (EOFError, OSError):
            self.process.join()
            found.append(self._lost())
            return found
        if self.job and not self.process.is_alive() and not self.connection.poll():
            found.append(self._lost())
        return found

    def _lost(self) -> Event:
        assert self.job
        code = self.process.exitcode
        how = f"ended with status {code}"
        if code is not None and code < 0:
            how = f"was killed by signal {-code}"
            if code == -9:
                how += " (the system does so when memory runs out)"
        self.alive, cell = False, self.job.cell
        self.job = None
        return Event(cell, "lost", {"error": f"The worker {how}."})

    def stop(self) -> None:
        self.connection.close()
        if self.job is not None:
            self.process.terminate()
        self.process.join(5)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()


def _serve(connection: Connection, log: str, parent: int) -> None:
    """A worker: jobs come in, events go out, until the other end closes."""
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(output, 1)
    os.dup2(output, 2)
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        connection.send(attempt(job, lambda kind, facts: connection.send((kind, dict(facts)))))


def _follow(parent: int) -> None:
    # A worker whose parent was killed would hold its cell's ledger against the next command.
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
