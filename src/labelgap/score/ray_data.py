"""Workers as a pool of Ray Data's actors: they load the network once and take shard after shard."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labelgap.core.errors import DataError, DiskError, LabelgapError
from labelgap.core.rays import start_ray
from labelgap.score.local import Done
from labelgap.score.parts import Task, is_done
from labelgap.score.shards import Shard
from labelgap.score.work import Failed, work


class RayData:
    """Shards streamed through an actor pool; the output folder must be one that all nodes share.

    An actor that died is replaced by Ray, and what it had is computed again. Ray Data holds back
    what the pool has no room for.

    Parameters
    ----------
    workers, threads: actors, and CPUs of each.
    address: of a cluster; None starts one on this machine's loopback, which ends with the engine.

    Raises
    ------
    ConfigError: Ray is not installed, or nothing answers at the address.
    """

    def __init__(self, workers: int, threads: int = 1, address: str | None = None) -> None:
        self.workers, self.threads = workers, threads
        # One CPU more, for Ray Data's own reading of the list.
        self._ray = start_ray(address, workers * threads + 1)

    def run(self, task: Task, shards: Sequence[Shard], out: Path, done: Done) -> list[Failed]:
        """Compute a task for all shards; gives those that could not be read.

        Raises
        ------
        DiskError: the disk of a node refuses.  DataError: Ray gave up.
        """
        from ray import data

        left = [shard for shard in shards if not is_done(out, task, shard)]
        if not left:
            return []
        data.DataContext.get_current().enable_progress_bars = False
        rows = data.from_items([{"place": i} for i in range(len(left))])
        results = rows.repartition(len(left)).map_batches(
            _Actor,
            fn_constructor_args=(task, left, out.absolute(), self.threads),
            batch_size=1,
            batch_format="numpy",
            num_cpus=self.threads,
            compute=data.ActorPoolStrategy(size=min(self.workers, len(left))),
        )
        failed: list[Failed] = []
        try:
            for row in results.iter_rows():
                if row["kind"] == "disk":
                    raise DiskError(row["cause"], row["cure"])
                if row["kind"] == "failed":
                    failed.append(Failed(row["shard"], row["cause"], row["cure"]))
                else:
                    done()
        except self._ray.exceptions.RayError as error:
            raise DataError(
                f"Ray gave up ({type(error).__name__}).",
                "Look at its logs; the shards that are done are kept for the next run.",
            ) from error
        return failed

    def close(self) -> None:
        """Leave the cluster; end it where this engine started it."""
        self._ray.shutdown()


class _Actor:
    """Computes shards by their place in the list; what goes wrong is a row, not an exception."""

    def __init__(self, task: Task, shards: Sequence[Shard], out: Path, threads: int) -> None:
        from labelgap.core.device import set_threads

        set_threads(threads)
        self.task, self.shards, self.out = task, shards, out

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {"shard": [], "kind": [], "cause": [], "cure": []}
        for place in batch["place"].tolist():
            shard = self.shards[place]
            kind, cause, cure = "done", "", ""
            try:
                for failed in work(self.task, [shard], self.out):
                    kind, cause, cure = "failed", failed.cause, failed.cure
            except LabelgapError as error:
                kind, cause, cure = "disk", error.cause, error.cure
            for name, value in zip(found, (shard.name, kind, cause, cure), strict=True):
                found[name].append(value)
        return found
