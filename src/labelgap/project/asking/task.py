"""A project as a task: its images or frozen features as rows."""

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from labelgap.core.config import RunConfig, config_hash
from labelgap.core.device import Machine
from labelgap.core.files import write_text
from labelgap.core.types import Ids, Progress
from labelgap.data.types import Augment, Split, Task, statistics
from labelgap.project.keep.store import Project

BLOCK = 20_000  # images whose frozen features are kept under one key


def image_task(project: Project, hashes: list[str]) -> tuple[Task, int]:
    """All items as a task without labels, and the number of rows its statistics are of."""
    n, classes = len(hashes), project.classes
    inputs = project.pixels.open(n)
    rows, mean, std = _statistics(project, inputs)
    side = project.settings.image_size
    facts: dict[str, Any] = {"items": hashes, "side": side, "classes": classes}
    if project.settings.scales:
        facts["scales"] = project.settings.scales
    digest = config_hash(facts)
    empty = Split(np.empty((0, *inputs.shape[1:]), np.uint8), np.empty(0, np.int64))
    task = Task(
        project.root.name,
        classes,
        Split(inputs, np.full(n, -1, dtype=np.int64)),
        empty,
        Augment(pad=max(1, side // 8), flip=project.settings.flip),
        mean,
        std,
        digest,
    )
    return task, rows


def _statistics(
    project: Project, inputs: np.ndarray
) -> tuple[int, tuple[float, ...], tuple[float, ...]]:
    """Statistics of the channels, computed again only once the project has doubled: networks
    trained before a few more images came stay what they were."""
    file = project.home / "cache" / "statistics.json"
    match _cached(file):
        case {"rows": int(rows), "mean": list(means), "std": list(deviations)}:
            if rows <= len(inputs) < 2 * rows:
                return rows, tuple(means), tuple(deviations)
    mean, std = statistics(inputs)
    write_text(file, json.dumps({"rows": len(inputs), "mean": mean, "std": std}))
    return len(inputs), mean, std


def _cached(file: Path) -> Any:
    """What a file of the cache holds; None where it has to be made anew."""
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return None


def with_pool(task: Task, pool: Ids) -> Task:
    from dataclasses import replace

    return replace(task, pool=pool)


def frozen_task(
    project: Project, config: RunConfig, task: Task, where: Machine, progress: Progress | None
) -> Task:
    """The task of frozen features where the configuration freezes a backbone.

    Features are computed by blocks of rows that never change, so that `add` computes new ones
    only.
    """
    if not config.network.freeze:
        return task
    from labelgap.frozen.freeze import freeze

    blocks, test = [], task.test
    for start, stop in _block_bounds(project, len(task.train)):
        inputs = task.train.inputs[start:stop]
        part = Task(
            task.name,
            task.classes,
            Split(inputs, task.train.labels[start:stop]),
            task.test,
            Augment(),
            task.mean,
            task.std,
            "",
        )
        frozen = freeze(
            part, config.network, where, cache=project.home / "cache", progress=progress
        )
        blocks.append(frozen.train.inputs)
        test = frozen.test
    features = np.concatenate(blocks) if len(blocks) > 1 else blocks[0]
    mean, std = _feature_statistics(project, features)
    return Task(
        task.name,
        task.classes,
        Split(features, task.train.labels),
        test,
        Augment(),
        mean,
        std,
        config_hash({"of": task.fingerprint, "network": config.network.model_dump(mode="json")}),
        task.pool,
    )


def _block_bounds(project: Project, n: int) -> list[tuple[int, int]]:
    """Rows of each block of features: what was there when features were first wanted, then what
    has come since."""
    file = project.home / "cache" / "blocks.json"
    known = _cached(file)
    ends = [end for end in known if end <= n] if _rising(known) else []
    while not ends or ends[-1] < n:
        ends.append(min(n, (ends[-1] if ends else 0) + BLOCK))
    if ends != known:
        write_text(file, json.dumps(ends))
    return list(zip([0, *ends[:-1]], ends, strict=True))


def _rising(ends: Any) -> bool:
    return isinstance(ends, list) and all(
        isinstance(end, int) and end > start for start, end in pairwise([0, *ends])
    )


def _feature_statistics(
    project: Project, features: Float[np.ndarray, "n d"]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of the same rows as the pixels' statistics, for the same reason."""
    rows = json.loads((project.home / "cache" / "statistics.json").read_text())["rows"]
    return statistics(np.asarray(features[:rows]))
