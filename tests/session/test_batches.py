"""How far ahead a stage's batches are drawn, and that nothing is drawn twice or for nobody."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

from labelgap.axes.training import Training
from labelgap.check.case import INITIAL, Case, tiny_task
from labelgap.core.device import Machine
from labelgap.core.types import Ids
from labelgap.learn.batches import BLOCK, CACHED, Batches
from labelgap.learn.inputs import Inputs
from labelgap.learn.supervised import supervised_stage
from labelgap.loop.oracle import Oracle
from labelgap.methods import METHODS

CPU = Machine(torch.device("cpu"), "float32")


@pytest.fixture(scope="module")
def training() -> Training:
    session = Case(METHODS["random"]).session()
    session.tell(Oracle(session.task).answer(session.ask(INITIAL)))
    return session.new_training(0)


def batches(
    training: Training, block: int | None, unlabelled: int = 0
) -> tuple[Batches, list[int]]:
    """Those of a stage of ten steps, and the steps that are drawn."""
    stage = replace(supervised_stage(training, unlabelled_batch=unlabelled), steps=10)
    made = Batches(Inputs(tiny_task(), CPU, keep=False), training, stage, block)
    drawn: list[int] = []
    plan = made._plan

    def noted(step: int) -> object:
        drawn.append(step)
        return plan(step)

    made._plan = noted  # type: ignore
    return made, drawn


def test_the_cpu_makes_at_once_what_fits_a_cache_and_an_accelerator_draws_64(
    training: Training,
) -> None:
    made, drawn = batches(training, None)
    made.batch(3)
    assert drawn == [3, 4, 5, 6, 7, 8, 9]  # small images: all that the stage has
    item = 4 * math.prod(tiny_task().input_shape)
    for steps, unlabelled, views in ((1, 0, 0), (5, 0, 0), (2, 7, 0), (3, 7, 2)):
        stage = replace(
            supervised_stage(training, unlabelled_batch=unlabelled),
            batch_size=CACHED // item // steps - unlabelled * (1 + views),
            views={str(v): "strong" for v in range(views)},
        )
        assert Batches(made.inputs, training, stage).block == steps
    huge = replace(supervised_stage(training), batch_size=1 + CACHED // item)
    assert Batches(made.inputs, training, huge).block == 1
    assert made.together == made.block == BLOCK == 64
    there = replace(training, device=torch.device("meta"))  # another device than the CPU
    for block in (None, 3):
        other = Batches(made.inputs, there, huge, block)
        assert (other.block, other.together) == (block or BLOCK, 1)


def test_batches_of_a_block_are_made_by_one_call_and_handed_out_once(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, drawn = batches(training, 4, unlabelled=5)
    sizes: list[int] = []
    view = Inputs.view

    def noted(self: Inputs, ids: Ids, *rest: Any) -> torch.Tensor:
        sizes.append(len(ids))
        return view(self, ids, *rest)

    monkeypatch.setattr(Inputs, "view", noted)
    first = [made.batch(step) for step in range(4)]
    assert sizes == [4 * len(first[0].x), 4 * 5]
    first[2].shared = "what a step computed"
    again = made.batch(2)
    assert again.shared is None
    assert torch.equal(again.x, first[2].x)
    assert drawn == [0, 1, 2, 3]  # not drawn again
    assert [batch.step for batch in first] == [0, 1, 2, 3]


def test_a_block_begins_at_the_step_that_is_asked_and_ends_with_the_stage(
    training: Training,
) -> None:
    made, drawn = batches(training, 4)
    for step in (2, 2, 3, 5, 2):
        made.batch(step)
    assert drawn == [2, 3, 4, 5]
    made.batch(6)
    assert drawn[4:] == [6, 7, 8, 9]
    made.batch(9)
    made.batch(1)
    assert drawn[8:] == [1, 2, 3, 4]
    made.batch(8)
    assert drawn[12:] == [8, 9]
    made.batch(12)  # behind the last, as an estimate of time may ask for
    assert drawn[14:] == [12]


def test_no_unlabelled_items_are_drawn_for_a_stage_without(training: Training) -> None:
    for size in (0, 5):
        plan = batches(training, 1, size)[0]._plan(3)
        assert len(plan.u_ids) == size
        assert len(plan.drawn) == (2 if size else 1)
