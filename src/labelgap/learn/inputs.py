"""What a training step sees: endless shuffled passes, augmented and normalised."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labelgap.core.crossing import over
from labelgap.core.device import Machine
from labelgap.core.streams import Streams
from labelgap.core.types import Ids
from labelgap.data.augment import Crops, cropped, crops, normalise
from labelgap.data.strong import Changes, changed, changes
from labelgap.data.types import Augment, Split, Task
from labelgap.learn.resident import on_device, resident


class Endless:
    """The endless sequence of shuffled passes over `ids`: element i is a pure function of i.

    Batches are windows of it, so they are always full, every id comes once a pass, and a resumed
    run needs no saved state.
    """

    def __init__(self, ids: Ids, streams: Streams, purpose: str, round: int) -> None:
        self.ids: Ids = ids
        self.streams: Streams = streams
        self.purpose: str = purpose
        self.round: int = round
        self._epoch, self._order = -1, ids

    def _pass(self, epoch: int) -> Ids:
        if epoch != self._epoch:
            rng = self.streams.numpy(self.purpose, self.round, epoch)
            self._epoch, self._order = epoch, self.ids[rng.permutation(len(self.ids))]
        return self._order

    def window(self, start: int, size: int) -> Ids:
        """Elements start … start + size − 1."""
        n, parts = len(self.ids), []
        while size > 0:
            epoch, offset = divmod(start, n)
            part = self._pass(epoch)[offset : offset + size]
            parts.append(part)
            start, size = start + len(part), size - len(part)
        return np.concatenate(parts) if len(parts) > 1 else parts[0]


Drawn = tuple[Any, ...]
"""What befalls the items of a batch: arrays as they are drawn, tensors when they are used."""


@dataclass(frozen=True)
class Inputs:
    """The images or vectors of a task, as a network takes them, on one machine's device.

    Parameters
    ----------
    keep: hold the training set on the device; None where the device is no CPU and it fits
        (`labelgap.learn.resident`). The numbers are the same.
    """

    task: Task
    machine: Machine
    augments: bool = True
    keep: bool | None = None

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation, on the device once: thousands of numbers for ready-made features."""
        moments = (self.task.mean, self.task.std)
        mean, std = (
            over(torch.tensor(m, dtype=torch.float32), self.machine.device) for m in moments
        )
        return mean, std

    @cached_property
    def _kept(self) -> Tensor | None:
        """The training set on the device, copied when it is first needed."""
        if self.keep is None:
            return resident(self.task.train, self.machine)
        return on_device(self.task.train, self.machine) if self.keep else None

    @property
    def _usual(self) -> Augment:
        # Without crop and flip a strong view is still another view.
        return self.task.augment if self.augments else Augment()

    def raw(self, split: Split, ids: Ids, there: Tensor | None = None) -> Tensor:
        """Inputs of ids as they are stored: uint8 [b, h, w, c] or float32 [b, d].

        there: the ids on the device, where they are already; else they cross with the items.
        """
        if split is self.task.train and self._kept is not None:
            rows = over(ids, self.machine.device) if there is None else there
            return self._kept.index_select(0, rows)
        return over(np.ascontiguousarray(split.inputs[ids]), self.machine.device)

    def clean(self, split: Split, ids: Ids) -> Tensor:
        """Unaugmented, normalised inputs of ids."""
        return normalise(self.raw(split, ids), *self._moments)

    def draw(self, size: int, rng: np.random.Generator, kind: str) -> Drawn:
        """The draws of `size` items' views of a kind: weak, strong or warped. Arrays."""
        if not self.task.train.is_images:
            return ()
        if kind in ("strong", "warped"):
            h, w, _ = self.task.input_shape
            return changes(size, (h, w), self._usual, rng, geometry=kind == "warped")
        return crops(size, self._usual, rng) if self.augments else ()

    def view(self, ids: Ids, there: Tensor | None, kind: str, drawn: Drawn) -> Tensor:
        """Normalised training inputs of ids as `drawn`, tensors on the device, has them."""
        raw = self.raw(self.task.train, ids, there)
        if drawn and kind in ("strong", "warped"):
            raw = changed(raw, self._usual, Changes(*drawn))
        elif drawn:
            raw = cropped(raw, self._usual, Crops(*drawn))
        return normalise(raw, *self._moments)
