"""What a project on frozen features does otherwise than a benchmark, so that nobody waits."""

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from labelgap.core.linalg import one_pool
from labelgap.data.types import Task

FROZEN: dict[str, Any] = {"network": {"engine": "auto"}}
"""Laid under a project's settings where its backbone is frozen."""


def threads_for(task: Task) -> AbstractContextManager[None]:
    """The threads of a training: one for an adapter on features, torch's own for images.

    An adapter's products take microseconds: several threads wait for each other longer than they
    compute, on a busy machine ten times as long.
    """
    return nullcontext() if task.train.is_images else one_pool()
