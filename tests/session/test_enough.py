"""A stage ends once its loss is small: when that is looked at, what it ends with, after a kill."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from labelgap.check.case import INITIAL, Case
from labelgap.learn import learner as learning
from labelgap.learn.stage import StageRunner
from labelgap.loop.oracle import Oracle
from labelgap.methods import METHODS
from labelgap.session.session import Session
from labelgap.session.weights import weights_hash

ANY = 1e9
"""A loss that every training is below."""


@pytest.fixture
def losses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The losses of the first phase, as they come."""
    found: list[float] = []
    check: Callable[..., None] = StageRunner._check

    def noted(self: StageRunner, index: int, loss: Tensor, step: int) -> None:
        if index == 0:
            found.append(float(loss.detach()))
        check(self, index, loss, step)

    monkeypatch.setattr(StageRunner, "_check", noted)
    return found


def trained(steps: int, enough: float, folder: Path | None = None, **other: Any) -> Session:
    training = {"steps": steps, "enough": enough, "schedule": "constant", "lr": 0.01}
    made = Case(METHODS["random"]).session(folder=folder, training=training, **other)
    made.tell(Oracle(made.task).answer(made.ask(INITIAL)))
    return made


def test_it_ends_in_its_second_half_and_is_a_training_of_so_many_steps(
    losses: list[float],
) -> None:
    told: list[tuple[int, int]] = []
    early = trained(70, ANY)
    early.progress = lambda stage, step, of: told.append((step, of))
    early.fit()
    assert len(losses) == 40
    assert told[-2:] == [(39, 70), (70, 70)]  # whoever watches sees it come to its end
    short = trained(40, 0.0)
    short.fit()
    assert weights_hash(early.training.network) == weights_hash(short.training.network)


def test_it_looks_at_the_mean_of_the_last_twenty(losses: list[float]) -> None:
    trained(60, 0.0).fit()
    mean = float(np.mean(losses[20:40]))
    for times, steps in ((1 + 1e-4, 40), (1 - 1e-4, 60)):
        losses.clear()
        # Falling all the time, so that the next look at 60 would be its end as well.
        trained(80, mean * times).fit()
        assert len(losses) == steps
    losses.clear()
    trained(60, 1e-12).fit()
    assert len(losses) == 60


def test_of_several_phases_the_first_is_looked_at(losses: list[float]) -> None:
    """LL4AL's second phase has a loss of its own."""
    training = {"steps": 60, "enough": ANY}
    made = Case(METHODS["ll4al"]).session(training=training)
    made.tell(Oracle(made.task).answer(made.ask(INITIAL)))
    made.fit()
    assert len(losses) == 40


@pytest.mark.parametrize("death", [15, 25, 38])
def test_a_killed_one_ends_as_it_would_have(
    death: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "CHECKPOINT_SECONDS", 0.0)
    session = trained(70, ANY, tmp_path)

    def progress(stage: str, step: int, of: int) -> None:
        if step == death + 1:
            raise KeyboardInterrupt

    session.progress = progress
    with pytest.raises(KeyboardInterrupt):
        session.fit()
    session.close()
    again = Session(session.task, session.config, folder=tmp_path, machine=session.machine)
    steps: list[int] = []
    again.progress = lambda stage, step, of: steps.append(step)
    again.fit()
    assert steps == [*range(death + 1, 40), 70]
    at_once = trained(70, ANY)
    at_once.fit()
    assert weights_hash(again.training.network) == weights_hash(at_once.training.network)
    again.close()
