"""One worker: any shard that nobody else has, until none is left."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from labelgap.core.disk import told
from labelgap.core.errors import DiskError, InUse, LabelgapError
from labelgap.core.lock import WriterLock
from labelgap.score.parts import Task, is_done, part_file, write_part
from labelgap.score.shards import Shard

_WAIT = 0.2
"""Seconds between two looks at the shards that others have."""
_LESS = "Fewer workers or smaller shards need less. The same command goes on from here."


@dataclass(frozen=True)
class Failed:
    """A shard that could not be read, and why; the others go on."""

    shard: str
    cause: str
    cure: str


def compute(task: Task, shard: Shard, out: Path) -> bool:
    """Make a shard's result unless it is there; False where another worker has it now.

    The claim is the kernel's lock on a file beside the result, so a killed worker's shard is free
    at once.

    Raises
    ------
    DiskError: the result cannot be written.   LabelgapError: the shard cannot be read.
    """
    if is_done(out, task, shard):
        return True
    file = part_file(out, task, shard)
    with told(file.parent, "created"):
        file.parent.mkdir(parents=True, exist_ok=True)
    try:
        lock = WriterLock(file)
    except InUse:
        return False
    try:
        if not is_done(out, task, shard):  # another may have done it just now
            write_part(out, task, shard, task(shard))
    finally:
        lock.release()
    return True


def work(
    task: Task,
    shards: Sequence[Shard],
    out: Path,
    done: Callable[[], object] = lambda: None,
) -> list[Failed]:
    """Compute shards until each has a result or failed here; gives those that failed.

    Shards that others have are waited for: should their worker die, this one takes them.

    done: called after each shard that has its result.

    Raises
    ------
    DiskError: the disk refuses; nothing more can be kept.
    """
    left, failed = list(shards), []
    while left:
        others = []
        for shard in left:
            try:
                if compute(task, shard, out):
                    done()
                else:
                    others.append(shard)
            except DiskError:
                raise
            except LabelgapError as error:
                failed.append(Failed(shard.name, error.cause, error.cure))
            except MemoryError:
                failed.append(
                    Failed(shard.name, f"{shard.name}: there is no memory for it.", _LESS)
                )
        if len(others) == len(left):
            time.sleep(_WAIT)
        left = others
    return failed
