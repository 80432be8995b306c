"""What a project on frozen features does otherwise than a benchmark, so that nobody waits."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from labelgap.data.types import Task

FROZEN: dict[str, Any] = {"network": {"engine": "auto"}, "training": {"enough": 0.01}}
"""Laid under a project's settings where its backbone is frozen."""


FEW = 20_000
"""Items up to which one thread computes all of a round on features."""


@contextmanager
def threads_for(task: Task) -> Iterator[None]:
    """One thread, of torch and of numpy's BLAS, for a round on features of few items.

    Its products take microseconds: several threads wait for each other, and idle ones spin.
    Measured on 1,500 items, two busy cores: a training takes 2.6 s of the processor in one
    thread and 17.8 s in two, the choice of 50 items 0.1 s and 2.4 s.
    """
    if task.train.is_images or len(task.train) > FEW:
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)
