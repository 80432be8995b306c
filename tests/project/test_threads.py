"""A round on features of few items computes in one thread, and leaves the threads as they were."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info

from labelgap.check.case import tiny_task
from labelgap.core.device import set_threads
from labelgap.data.types import Split
from labelgap.project.asking import quick
from labelgap.project.asking.quick import threads_for


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    set_threads(2)
    yield
    set_threads(before)


def threads():
    return {torch.get_num_threads(), *(pool["num_threads"] for pool in threadpool_info())}


def vectors(n):
    task = tiny_task()
    split = Split(np.zeros((n, 4), dtype=np.float32), np.zeros(n, dtype=np.int64))
    return replace(
        task, train=split, test=split, pool=np.arange(n), mean=(0.0,) * 4, std=(1.0,) * 4
    )


def fail_inside(seen):
    with threads_for(vectors(5)):
        seen |= threads()
        raise InterruptedError


def test_features_have_one_thread_also_after_an_error():
    seen = set()
    with pytest.raises(InterruptedError):
        fail_inside(seen)
    assert seen == {1}
    assert threads() == {2}


def test_images_and_many_items_keep_theirs(monkeypatch):
    with threads_for(tiny_task()):
        assert threads() == {2}
    monkeypatch.setattr(quick, "FEW", 4)
    with threads_for(vectors(5)):
        assert threads() == {2}
