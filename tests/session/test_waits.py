"""A training step never waits for the device: no number of a tensor is read inside one.

Reading one (`.item()`, `float()`, `bool()`, `if tensor`) stops the host until an accelerator has
done all that was queued. Here every such read goes through one operator, which is counted.
"""

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from labelgap.check.case import Case
from labelgap.learn.stage import StageRunner
from labelgap.loop.oracle import Oracle
from labelgap.methods import METHODS, OBJECTIVES

OF_OBJECTIVE = {entry.objective: name for name, entry in sorted(METHODS.items(), reverse=True)}


class Waits(TorchDispatchMode):
    """Counts what makes the host wait: a number read, or an index list that depends on values."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        reads = name in ("_local_scalar_dense", "nonzero", "_unique2", "masked_select")
        # Rows chosen by a mask: how many there are, the host must wait to hear.
        masks = name in ("index", "index_put", "index_put_", "_index_put_impl_") and any(
            index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1]
        )
        if reads or masks:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


def test_the_counter_counts() -> None:
    with Waits() as waits:
        x = torch.arange(3.0)
        float(x.sum())
        bool((x > 1).any())
        assert len(x[x > 1]) == 1
    assert waits.found == ["_local_scalar_dense", "_local_scalar_dense", "index"]


def test_every_objective_is_looked_at() -> None:
    assert set(OF_OBJECTIVE) == set(OBJECTIVES)


@pytest.mark.parametrize("objective", sorted(OF_OBJECTIVE))
def test_a_step_reads_no_number(objective: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(METHODS[OF_OBJECTIVE[objective]])
    # As on an accelerator between two of its checks of the loss.
    monkeypatch.setattr(StageRunner, "_due_for_check", lambda self, step: False)
    with case.session() as session:
        session.tell(Oracle(session.task).answer(session.ask(session.config.loop.initial)))
        training = session.new_training(0)
        for stage in session.objective.stages(training):
            runner = StageRunner(session.learner.inputs, training, stage)
            runner.step(0)  # with its refreshes, which may wait
            runner.refreshing = False
            with Waits() as waits:
                for step in range(1, min(4, stage.steps)):
                    runner.step(step)
                if stage.steps > 4:
                    runner.step(stage.steps - 1)  # every loss term is on by then
            assert not waits.found, stage.name
