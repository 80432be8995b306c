"""A stage's batches: drawn on the host for many steps ahead, made on the device."""

from itertools import accumulate, islice, pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from labelgap.axes.stage import Batch, Stage
from labelgap.axes.training import Training
from labelgap.core.crossing import all_over
from labelgap.core.types import Ids
from labelgap.learn.inputs import Drawn, Endless, Inputs

BLOCK = 64
"""Steps whose draws cross to an accelerator at once. Those of 128 images with a strong view are
half a megabyte; and a killed training that goes on draws at most so many steps again."""


class _Plan(NamedTuple):
    """One step's items and draws, arrays or (in `rows` and `drawn`) tensors on the device.

    rows: labelled rows, their ids, and the unlabelled ids, for gathers on the device.
    drawn: of the labelled batch, then of the unlabelled one, then of its further views.
    """

    ids: Ids
    u_ids: Ids
    rows: tuple[Any, ...]
    drawn: tuple[Drawn, ...]

    def parts(self) -> tuple[Drawn, ...]:
        return (self.rows, *self.drawn)


class Batches:
    """The batches of one stage of one round: each a pure function of its step."""

    def __init__(
        self, inputs: Inputs, training: Training, stage: Stage, block: int | None = None
    ) -> None:
        """block: steps that are drawn ahead; by default 1 on the CPU, where nothing crosses."""
        self.inputs: Inputs = inputs
        self.training: Training = training
        self.stage: Stage = stage
        t, purpose = training, f"batches/{stage.name}"
        self.block: int = block or (1 if t.device.type == "cpu" else BLOCK)
        labelled = np.arange(len(t.labelled_ids))
        self._labelled = Endless(labelled, t.streams, purpose, t.round)
        self._unlabelled = Endless(t.unlabelled_ids, t.streams, f"{purpose}/unlabelled", t.round)
        self._labels: Tensor = torch.from_numpy(t.labels).to(t.device)
        self._first, self._ahead = 0, list[_Plan]()

    def batch(self, step: int) -> Batch:
        """The step's labelled and unlabelled images."""
        if not self._first <= step < self._first + len(self._ahead):
            self._draw(step)
        plan, stage, inputs = self._ahead[step - self._first], self.stage, self.inputs
        rows, ids, u_ids = plan.rows
        batch = Batch(
            x=inputs.view(plan.ids, ids, "weak", plan.drawn[0]),
            y=self._labels[rows],
            ids=torch.from_numpy(plan.ids),
            step=step,
        )
        if stage.unlabelled_batch:
            batch.u_ids = torch.from_numpy(plan.u_ids)
            batch.u = inputs.view(plan.u_ids, u_ids, "weak", plan.drawn[1])
            batch.u_views = {
                name: inputs.view(plan.u_ids, u_ids, kind, drawn)
                for (name, kind), drawn in zip(stage.views.items(), plan.drawn[2:], strict=True)
            }
        return batch

    def _draw(self, first: int) -> None:
        steps = range(first, max(first + 1, min(first + self.block, self.stage.steps)))
        plans = [self._plan(step) for step in steps]
        parts = [part for plan in plans for part in plan.parts()]
        there = all_over([array for part in parts for array in part], self.training.device)
        ends = list(accumulate(map(len, parts), initial=0))
        found = iter([tuple(there[a:b]) for a, b in pairwise(ends)])
        self._first = first
        self._ahead = [
            plan._replace(rows=next(found), drawn=tuple(islice(found, len(plan.drawn))))
            for plan in plans
        ]

    def _plan(self, step: int) -> _Plan:
        t, stage = self.training, self.stage
        rng = t.streams.numpy(f"augment/{stage.name}", t.round, step)
        rows = self._labelled.window(step * stage.batch_size, stage.batch_size)
        ids, u_ids = t.labelled_ids[rows], t.unlabelled_ids[:0]
        drawn = [self.inputs.draw(len(ids), rng, "weak")]
        if size := stage.unlabelled_batch:
            u_ids = self._unlabelled.window(step * size, size)
            kinds = ("weak", *stage.views.values())
            drawn += [self.inputs.draw(size, rng, kind) for kind in kinds]
        return _Plan(ids, u_ids, (rows, ids, u_ids), tuple(drawn))
