"""Workers as processes of this machine: they stay from stage to stage, and one may die."""

import multiprocessing
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from labelgap.core.errors import DataError, DiskError, LabelgapError
from labelgap.core.interrupts import start_unheard
from labelgap.core.wording import shortened
from labelgap.score.parts import Task, is_done
from labelgap.score.shards import Shard
from labelgap.score.work import Failed, work

_TRIES = 3
"""How often all workers may die in a row, no shard further, until that is no accident."""

Done = Callable[[], object]


@runtime_checkable
class Engine(Protocol):
    """What computes a task for all shards."""

    def run(
        self, task: Task, shards: Sequence[Shard], out: Path, done: Done
    ) -> Sequence[Failed]: ...
    def close(self) -> None: ...


class Local:
    """`workers` processes, started at the first task; one alone works in this process.

    threads: of each.
    """

    def __init__(self, workers: int, threads: int = 1) -> None:
        self.workers, self.threads = workers, threads
        self._running: list[tuple[BaseProcess, Connection]] = []

    @property
    def pids(self) -> list[int]:
        """Of the processes that live now."""
        return [p.pid for p, _ in self._running if p.pid is not None and p.is_alive()]

    def run(self, task: Task, shards: Sequence[Shard], out: Path, done: Done) -> list[Failed]:
        """Compute a task for all shards; gives those that could not be read.

        Raises
        ------
        DiskError: the disk refuses.  DataError: shards that workers died of again and again.
        """
        if self.workers == 1:
            from labelgap.core.device import set_threads

            set_threads(self.threads)
            return work(task, shards, out, done)
        failed: dict[str, Failed] = {}
        tries, before = 0, -1
        while left := self._left(task, shards, out, failed):
            tries = tries + 1 if len(left) == before else 1
            before = len(left)
            if tries > _TRIES:
                names = shortened([shard.name for shard in left], 5)
                raise DataError(
                    f"Workers die again and again; without a result are {names}.",
                    "Look for lack of memory (`dmesg`); fewer workers or smaller shards need less.",
                )
            failed |= {f.shard: f for f in self._once(task, left, out, done)}
        return list(failed.values())

    def _left(
        self, task: Task, shards: Sequence[Shard], out: Path, failed: dict[str, Failed]
    ) -> list[Shard]:
        return [s for s in shards if s.name not in failed and not is_done(out, task, s)]

    def _once(self, task: Task, shards: Sequence[Shard], out: Path, done: Done) -> list[Failed]:
        """Until each worker said that nothing is left, or died."""
        self._start()
        waiting, ended = set(), set()
        for _, pipe in self._running:
            try:
                pipe.send((task, shards, out))
                waiting.add(pipe)
            except (BrokenPipeError, ConnectionResetError):  # it was killed between two stages
                ended.add(pipe)
        failed: list[Failed] = []
        refused: LabelgapError | None = None
        while waiting:
            for pipe in waiting & set(wait(list(waiting))):
                try:
                    kind, what = pipe.recv()
                except (EOFError, ConnectionResetError):  # it was killed
                    waiting.discard(pipe)
                    ended.add(pipe)
                    continue
                if kind == "shard":
                    done()
                    continue
                waiting.discard(pipe)
                if kind == "end":
                    failed += what
                else:
                    refused = what
        # By its pipe, not `is_alive`: a process that ends still lives for a moment.
        for process, pipe in self._running:
            if pipe in ended:
                process.join()
        self._running = [(p, pipe) for p, pipe in self._running if pipe not in ended]
        if refused is not None:
            raise refused
        return failed

    def _start(self) -> None:
        context: Any = multiprocessing.get_context("spawn")  # forks of torch's threads hang
        while len(self._running) < self.workers:
            ours, theirs = context.Pipe()
            process = context.Process(target=_worker, args=(theirs, self.threads), daemon=False)
            start_unheard(process)
            theirs.close()  # else its death would not close the pipe
            self._running.append((process, ours))

    def close(self) -> None:
        """End the workers; one that computes loses its shard and nothing else."""
        for process, pipe in self._running:
            pipe.close()
            process.terminate()
            process.join()
        self._running = []


def _worker(pipe: Connection, threads: int) -> None:
    from labelgap.core.device import set_threads

    set_threads(threads)
    while True:
        try:
            task, shards, out = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            failed = work(task, shards, out, lambda: pipe.send(("shard", None)))
        except DiskError as error:
            pipe.send(("refused", DiskError(error.cause, error.cure)))
            continue
        pipe.send(("end", failed))
