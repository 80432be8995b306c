"""A stage's batches: drawn on the host for many steps ahead, made on the device."""

import math
from collections.abc import Iterable, Iterator
from itertools import islice
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
CACHED = 2**20
"""Bytes of batches that the CPU makes at once: what the cache of a core takes. A crop and its
normalisation are twenty calls, which cost more than what they do to a few small images."""


class _Plan(NamedTuple):
    """The items and the draws of some steps, one step after the other.

    rows: labelled rows, their ids, and the unlabelled ids, for gathers on the device.
    drawn: of the labelled items, then of the unlabelled ones, then of their further views.
    Arrays as they are drawn, tensors on the device in the plan that batches are made by.
    """

    ids: Ids
    u_ids: Ids
    rows: tuple[Any, ...]
    drawn: tuple[Drawn, ...]


class Batches:
    """The batches of one stage of one round: each a pure function of its step."""

    def __init__(
        self, inputs: Inputs, training: Training, stage: Stage, block: int | None = None
    ) -> None:
        """block: steps that are drawn ahead; by default, on the CPU, whose batches fit a cache."""
        self.inputs: Inputs = inputs
        self.training: Training = training
        self.stage: Stage = stage
        t, purpose = training, f"batches/{stage.name}"
        near = t.device.type == "cpu"
        self.block: int = block or (self._cached() if near else BLOCK)
        self.together: int = self.block if near else 1
        """Steps whose batches are made at once: one fills an accelerator."""
        labelled = np.arange(len(t.labelled_ids))
        self._labelled = Endless(labelled, t.streams, purpose, t.round)
        self._unlabelled = Endless(t.unlabelled_ids, t.streams, f"{purpose}/unlabelled", t.round)
        self._labels: Tensor = torch.from_numpy(t.labels).to(t.device)
        self._steps, self._ahead = range(0), _Plan(t.labelled_ids, t.unlabelled_ids, (), ())
        self._made = dict[int, Batch]()

    def _cached(self) -> int:
        stage, shape = self.stage, self.inputs.task.input_shape
        items = stage.batch_size + stage.unlabelled_batch * (1 + len(stage.views))
        return min(BLOCK, max(1, CACHED // (items * math.prod(shape) * torch.float32.itemsize)))

    def batch(self, step: int) -> Batch:
        """The step's labelled and unlabelled images; made anew for whoever asks again."""
        if step not in self._made:
            if step not in self._steps:
                self._draw(step)
            steps = range(step, min(step + self.together, self._steps.stop))
            self._made = {batch.step: batch for batch in self._batches(steps)}
        # Handed out once: what a step leaves in its batch is not kept beyond it.
        return self._made.pop(step)

    def _batches(self, steps: range) -> Iterator[Batch]:
        """Those of steps that were drawn, made by one call for each kind of view."""
        stage, begin = self.stage, steps.start - self._steps.start
        size, others = stage.batch_size, stage.unlabelled_batch
        labelled, unlabelled = (slice(begin * n, (begin + len(steps)) * n) for n in (size, others))
        plan = self._ahead
        rows, ids, u_ids = plan.rows

        def seen(kind: str, drawn: Drawn, near: Ids, there: Any, some: slice) -> Tensor:
            return self.inputs.view(near[some], there[some], kind, tuple(v[some] for v in drawn))

        x = seen("weak", plan.drawn[0], plan.ids, ids, labelled)
        y = self._labels[rows[labelled]]
        kinds = ("weak", *stage.views.values()) if others else ()
        further = zip(kinds, plan.drawn[1:], strict=True)
        u = [seen(*one, plan.u_ids, u_ids, unlabelled) for one in further]
        for i, step in enumerate(steps):
            own = slice(i * size, (i + 1) * size)
            batch = Batch(x[own], y[own], torch.from_numpy(plan.ids[labelled][own]), step)
            if others:
                own = slice(i * others, (i + 1) * others)
                batch.u_ids = torch.from_numpy(plan.u_ids[unlabelled][own])
                batch.u, *views = (view[own] for view in u)
                batch.u_views = dict(zip(stage.views, views, strict=True))
            yield batch

    def _draw(self, first: int) -> None:
        self._steps = range(first, max(first + 1, min(first + self.block, self.stage.steps)))
        plans = [self._plan(step) for step in self._steps]
        ids, u_ids = (np.concatenate(some) for some in zip(*(p[:2] for p in plans), strict=True))
        parts = [_joined(p.rows for p in plans)]
        parts += [_joined(drawn) for drawn in zip(*(p.drawn for p in plans), strict=True)]
        there = iter(all_over([array for part in parts for array in part], self.training.device))
        rows, *drawn = (tuple(islice(there, len(part))) for part in parts)
        self._ahead = _Plan(ids, u_ids, rows, tuple(drawn))

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


def _joined(drawn: Iterable[tuple[Any, ...]]) -> tuple[np.ndarray, ...]:
    """The draws of steps, each of its arrays joined to those of the other steps."""
    return tuple(np.concatenate(same) for same in zip(*drawn, strict=True))
