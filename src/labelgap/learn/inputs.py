"""What a training step sees: endless shuffled passes, augmented and normalised."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from labelgap.core.device import Machine
from labelgap.core.streams import Streams
from labelgap.core.types import Ids
from labelgap.data.augment import augment, normalise
from labelgap.data.strong import strong
from labelgap.data.types import Augment, Split, Task


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


@dataclass(frozen=True)
class Inputs:
    """The images or vectors of a task, as a network takes them, on one machine's device."""

    task: Task
    machine: Machine
    augments: bool = True

    @cached_property
    def _moments(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation, on the device once: thousands of numbers for ready-made features."""
        moments = (self.task.mean, self.task.std)
        mean, std = (
            torch.as_tensor(m, dtype=torch.float32, device=self.machine.device) for m in moments
        )
        return mean, std

    def raw(self, split: Split, ids: Ids) -> Tensor:
        """Inputs of ids as they are stored: uint8 [b, h, w, c] or float32 [b, d]."""
        return torch.from_numpy(np.ascontiguousarray(split.inputs[ids])).to(self.machine.device)

    def clean(self, split: Split, ids: Ids) -> Tensor:
        """Unaugmented, normalised inputs of ids."""
        return normalise(self.raw(split, ids), *self._moments)

    def augmented(self, ids: Ids, rng: np.random.Generator, kind: str) -> Tensor:
        """Normalised training inputs of ids as `kind` has them: weak, strong or warped."""
        raw = self.raw(self.task.train, ids)
        if self.task.train.is_images:
            # Without crop and flip a strong view is still another view.
            usual = self.task.augment if self.augments else Augment()
            if kind in ("strong", "warped"):
                raw = strong(raw, usual, rng, geometry=kind == "warped")
            elif self.augments:
                raw = augment(raw, usual, rng)
        return normalise(raw, *self._moments)
