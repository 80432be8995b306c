"""How far ahead a stage's batches are drawn, and that nothing is drawn twice or for nobody."""

from dataclasses import replace

import pytest
import torch

from labelgap.axes.training import Training
from labelgap.check.case import INITIAL, Case, tiny_task
from labelgap.core.device import Machine
from labelgap.learn.batches import BLOCK, Batches
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


def test_the_cpu_draws_a_step_at_a_time_and_an_accelerator_64(training: Training) -> None:
    made, drawn = batches(training, None)
    for step in (0, 1, 1, 7, 0):
        made.batch(step)
    assert drawn == [0, 1, 7, 0]
    there = replace(training, device=torch.device("meta"))  # another device than the CPU
    stage = supervised_stage(training)
    assert Batches(made.inputs, there, stage).block == BLOCK == 64
    assert Batches(made.inputs, there, stage, 3).block == 3


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
