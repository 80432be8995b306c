"""One cell's run inside a worker, whatever engine started it."""

import json
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from labelgap.bench.grid.grid import Cell
from labelgap.bench.running import memory
from labelgap.core.config import RunConfig
from labelgap.core.device import machine, set_threads
from labelgap.core.errors import DataError, LabelgapError
from labelgap.core.files import write_text
from labelgap.core.streams import Streams
from labelgap.data import load, simulate
from labelgap.data.types import Task
from labelgap.frozen.freeze import load_task_for
from labelgap.loop import own
from labelgap.loop import run as loop
from labelgap.loop.early import refuse_early
from labelgap.session.claim import DATA, prepare
from labelgap.session.weights import CHECKPOINT, WEIGHTS

COST = "cost.json"
DEVELOPMENT_SEED = 2023
"""Of the development split, which all trials of all methods share."""

Report = Callable[[str, Mapping[str, Any]], None]


@dataclass(frozen=True)
class Job:
    """All that a worker needs to know of a cell; it pickles.

    own: the file of a user's method.
    source: where the data are, if it is not the name that they have in the benchmark.
    """

    cell: Cell
    folder: Path
    shared: Path | None = None
    device: str = "auto"
    threads: int | None = None
    data_root: Path | None = None
    own: Path | None = None
    source: str | None = None


def attempt(job: Job, report: Report) -> tuple[str, dict[str, Any]]:
    """Run or continue the cell: ("done", cost), or ("failed", {error, details}).

    Whatever goes wrong inside a cell is that cell's failure and is told; the others go on.
    """
    try:
        return "done", _run(job, report)
    except LabelgapError as error:
        return "failed", {"error": str(error), "details": traceback.format_exc()}
    except Exception as error:  # noqa: BLE001  (the cell's failure, told with its traceback)
        return "failed", {"error": repr(error), "details": traceback.format_exc()}


def _run(job: Job, report: Report) -> dict[str, Any]:
    config = job.cell.config
    if job.own:
        _load_own(job.own, str(config.method_sha256))
    memory.reset_peak()
    set_threads(job.threads)
    where = machine(job.device, config.precision)
    task = task_of(config, job.data_root, job.device, job.cell.development, job.source)
    data = loaded(config, job.data_root, job.source)
    for warning in prepare(job.folder, config, where):
        report("warning", {"text": warning})
    loop.run(config, task, job.folder, where, listen=report, shared=job.shared, data=data)
    _discard(job.folder)
    cost = {"peak_memory": memory.peak()}
    write_text(job.folder / COST, json.dumps(cost))
    return cost


def _load_own(file: Path, sha256: str) -> None:
    if own.settings(file)["method_sha256"] != sha256:
        raise DataError(
            f"{file} is not what it was when the cell was named.",
            "Remove it and repeat the command with the method's own file.",
        )


def _discard(folder: Path) -> None:
    """Remove the weights of a finished run and what its data are: a benchmark has thousands, and
    knows its data itself."""
    for file in (*folder.glob(WEIGHTS.format(round="*")), folder / CHECKPOINT, folder / DATA):
        file.unlink(missing_ok=True)


def task_of(
    config: RunConfig, root: Path | None, device: str, development: int, source: str | None = None
) -> Task:
    """The task of a cell before its simulations; packed data are memory maps, shared by workers."""
    task = loaded(config, root, source)
    refuse_early(config, _developed(task, development))
    if config.network.freeze:
        # The preset decides how an embedding is learned.
        key = (task.fingerprint, config.network.model_dump_json(), config.preset)
        if key not in _frozen:
            _frozen.clear()  # one data set's features at a time
            _frozen[key] = load_task_for(config, task, machine(device, config.precision))
        task = _frozen[key]
    return _developed(task, development)


def _developed(task: Task, development: int) -> Task:
    if not development:
        return task
    rng = Streams(DEVELOPMENT_SEED).numpy("development split")
    return simulate.development_split(task, development, rng)


_frozen: dict[tuple[str, str, str], Task] = {}


def loaded(config: RunConfig, root: Path | None, source: str | None = None) -> Task:
    """The data of a cell as they are."""
    return _loaded(source or config.data.name, root, config.data.image_size)


@lru_cache(maxsize=4)
def _loaded(name: str, root: Path | None, image_size: int | None) -> Task:
    return load(name, root=root, image_size=image_size)
