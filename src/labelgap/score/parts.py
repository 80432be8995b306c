"""One shard's result in a file: whole or not at all, and only for the inputs it was made of."""

import hashlib
import json
import zipfile
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from labelgap.core.disk import not_the_disk
from labelgap.core.errors import DataError
from labelgap.core.files import write_atomically, write_text
from labelgap.score.shards import Shard

Arrays = Mapping[str, NDArray[Any]]


@runtime_checkable
class Task(Protocol):
    """What is computed of each shard. It travels to workers, so it is picklable.

    stage: the folder of its results.  digest: hash of all that they depend on but the shard.
    """

    @property
    def stage(self) -> str: ...
    @property
    def digest(self) -> str: ...
    def __call__(self, shard: Shard) -> Arrays: ...


def part_file(out: Path, task: Task, shard: Shard) -> Path:
    return out / task.stage / f"{shard.key}.npz"


def is_done(out: Path, task: Task, shard: Shard) -> bool:
    """Whether the marker beside the result says that it is of this task and this very shard.

    Results of other weights, or of a shard that has changed since, are not: they are made anew.
    """
    file = part_file(out, task, shard)
    try:
        marker = json.loads(_marker(file).read_bytes())
        size = file.stat().st_size
    except (FileNotFoundError, ValueError):
        return False
    return bool(marker == {**_facts(task, shard), "sha256": marker.get("sha256"), "size": size})


def write_part(out: Path, task: Task, shard: Shard, arrays: Arrays) -> None:
    """The result, then its marker: each written aside, fsynced and renamed.

    Raises
    ------
    DiskError: the disk is full or refuses; there is no marker then, and no file in part.
    """
    file = part_file(out, task, shard)
    packed = BytesIO()
    np.savez(packed, allow_pickle=False, **arrays)
    data = packed.getvalue()
    # A marker of before would vouch for the new file, should the two be of one size.
    _marker(file).unlink(missing_ok=True)
    write_atomically(file, lambda stream: stream.write(data))
    facts = {**_facts(task, shard), "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    write_text(_marker(file), json.dumps(facts, indent=1))


def read_part(out: Path, task: Task, shard: Shard) -> dict[str, NDArray[Any]]:
    """The result of a shard that is done, compared with its sum.

    Raises
    ------
    DataError: it is of other weights, or damaged; its marker is taken away, so that the next
        run makes it anew.
    """
    file = part_file(out, task, shard)
    if not is_done(out, task, shard):
        raise DataError(
            f"{file}: no result of {shard.name} by these weights.",
            "Run the same command again: it is made anew.",
        )
    try:
        data = file.read_bytes()
        if hashlib.sha256(data).hexdigest() != json.loads(_marker(file).read_bytes())["sha256"]:
            raise ValueError("its sum differs")
        with np.load(BytesIO(data), allow_pickle=False) as opened:
            return {name: opened[name] for name in opened.files}
    except (ValueError, OSError, zipfile.BadZipFile) as error:
        not_the_disk(error, file)
        _marker(file).unlink(missing_ok=True)
        raise DataError(
            f"{file}: the result of {shard.name} is damaged ({error}).",
            "Run the same command again: it is made anew.",
        ) from error


def _marker(file: Path) -> Path:
    return file.with_suffix(".done")


def _facts(task: Task, shard: Shard) -> dict[str, Any]:
    return {"shard": shard.name, "state": shard.state, "task": task.digest}
