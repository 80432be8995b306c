"""Sessions on digits with a first labelled set, for the tests of objectives."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch

from labelgap.core.device import machine
from labelgap.data import load
from labelgap.data.types import Augment, Split, Task
from labelgap.learn.stage import StageRunner
from labelgap.session.session import Session


@cache
def digits() -> Task:
    return load("digits")


def vectors() -> Task:
    """Digits as 64 standardised pixels."""
    task = digits()

    def flat(split: Split) -> Split:
        x = split.inputs.reshape(len(split), -1).astype(np.float32)
        return Split(((x - 61) / 75).astype(np.float32), split.labels)

    return Task.of("digits as vectors", task.classes, flat(task.train), flat(task.test), Augment())


def labelled_session(
    method: str,
    *,
    task: Task | None = None,
    labels: int = 40,
    steps: int = 60,
    classes: Sequence[int] | None = None,
    seed: int = 0,
    objective: dict[str, Any] | None = None,
    **values: Any,
) -> Session:
    """A session with `labels` labels, of `classes` only if given, not yet trained."""
    task = task or digits()
    values.setdefault("training", {"steps": steps})
    session = Session(
        task,
        machine=machine("cpu", "float32"),
        method=method,
        seed=seed,
        objective=objective or {},
        **values,
    )
    order = session.streams.permutation("initial set", len(task.train))
    if classes is not None:
        order = order[np.isin(task.train.labels[order], np.asarray(classes))]
    ids = order[:labels].astype(np.int64)
    session.start_with(ids)
    session.tell({int(i): int(task.train.labels[i]) for i in ids})
    return session


def fitted(method: str, **values: Any) -> Session:
    """The same, trained."""
    session = labelled_session(method, **values)
    session.fit()
    return session


def runner(session: Session, stage: int = 0) -> StageRunner:
    """The stage's runner on a new training, at its first step."""
    training = session.new_training(0)
    return StageRunner(session.learner.inputs, training, session.objective.stages(training)[stage])


def state(session: Session) -> dict[str, torch.Tensor]:
    return dict(session.training.network.state_dict())


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Whether two sets of weights are equal bit for bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
