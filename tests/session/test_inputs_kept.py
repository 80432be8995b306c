"""Inputs from the training set on the device: which it is, and by which rows."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from labelgap.check.case import tiny_task
from labelgap.core.device import Machine
from labelgap.data.types import Split
from labelgap.learn import resident
from labelgap.learn.inputs import Inputs

CPU = Machine(torch.device("cpu"), "float32")
IDS = np.array([5, 1, 7])


def test_it_is_kept_where_that_is_said() -> None:
    task = tiny_task()
    kept = Inputs(task, CPU, keep=True)._kept
    assert kept is not None
    assert torch.equal(kept, torch.from_numpy(task.train.inputs))
    for keep in (False, None):  # on the CPU it is there already
        assert Inputs(task, CPU, keep=keep)._kept is None


def test_the_training_set_is_kept_and_no_other() -> None:
    task = tiny_task()
    inputs = Inputs(task, CPU, keep=True)
    assert torch.equal(inputs.raw(task.train, IDS), torch.from_numpy(task.train.inputs[IDS]))
    assert torch.equal(inputs.raw(task.test, IDS), torch.from_numpy(task.test.inputs[IDS]))


def test_rows_that_are_there_already_do_not_cross_again() -> None:
    task = replace(tiny_task())
    inputs = Inputs(task, CPU, keep=True)
    there = torch.tensor([2, 8])
    expected = torch.from_numpy(task.train.inputs[[2, 8]])
    assert torch.equal(inputs.raw(task.train, IDS, there), expected)
    seen = inputs.view(IDS, there, "weak", ())
    assert torch.equal(seen, inputs.clean(task.train, np.array([2, 8])))
    # Out of the host's memory they are taken by the host's ids.
    streamed = Inputs(task, CPU, keep=False)
    assert torch.equal(streamed.view(IDS, there, "weak", ()), inputs.clean(task.train, IDS))


def split(inputs: np.ndarray) -> Split:
    return Split(inputs, np.zeros(len(inputs), dtype=np.int64))


@pytest.mark.parametrize("writeable", [True, False])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
@pytest.mark.parametrize(("n", "piece", "rows"), [(7, 100, 7), (7, 13, 1), (9, 24, 2), (0, 24, 1)])
def test_pieces_cover_the_set_and_are_no_larger_than_said(
    kind: type, writeable: bool, n: int, piece: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shape = (n, 2, 2, 3) if kind is np.uint8 else (n, 3)  # twelve bytes a row
    inputs = np.random.default_rng(0).integers(0, 255, shape).astype(kind)
    inputs.flags.writeable = writeable
    monkeypatch.setattr(resident, "_PIECE", piece)
    crossed: list[int] = []
    over = resident.over

    def noted(values: np.ndarray, device: torch.device) -> torch.Tensor:
        crossed.append(len(values))
        # torch takes no array that must not be written; any other crosses as it is.
        assert values.flags.writeable
        assert np.shares_memory(values, inputs) is writeable
        return over(values, device)

    monkeypatch.setattr(resident, "over", noted)
    there = resident.on_device(split(inputs), CPU)
    assert there.numpy().dtype == kind
    np.testing.assert_array_equal(there.numpy(), inputs)
    assert crossed == [min(rows, n - start) for start in range(0, n, rows)]


def test_half_of_the_free_memory_is_the_training_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    train = tiny_task().train
    free = 2 * train.inputs.nbytes
    monkeypatch.setattr(Machine, "free_memory", lambda self: free)
    assert resident.resident(train, CPU) is not None
    monkeypatch.setattr(Machine, "free_memory", lambda self: free - 1)
    with pytest.warns(UserWarning, match="stays in the host's memory"):
        assert resident.resident(train, CPU) is None
