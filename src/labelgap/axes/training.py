"""What an objective may know of the round that it trains."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from labelgap.axes.stage import Optimiser
from labelgap.core.config import TrainingSettings
from labelgap.core.streams import Streams
from labelgap.core.types import Ids
from labelgap.networks.network import Network


@dataclass
class Training:
    """What an objective may know and use while one round trains. Labels: labelled ids only."""

    network: Network
    modules: dict[str, nn.Module]
    settings: TrainingSettings
    num_classes: int
    input_shape: tuple[int, ...]
    labelled_ids: Ids
    labels: Int64[np.ndarray, " n"]
    unlabelled_ids: Ids
    streams: Streams
    round: int
    preset: str
    device: torch.device
    predict: Callable[[Ids, Iterable[str]], dict[str, Tensor]]

    @property
    def steps(self) -> int:
        """Steps of the supervised stage."""
        if self.settings.steps is not None:
            return self.settings.steps
        epochs, n = self.settings.epochs or 200.0, len(self.labelled_ids)
        # An epoch is a step at least: ten labels in batches of 64 have 200 steps in 200 epochs.
        return max(1, math.ceil(epochs * n / min(self.settings.batch_size, n)))

    @property
    def batch_size(self) -> int:
        return self.settings.batch_size

    def optimiser(self) -> Optimiser:
        """The run's optimiser of the network, as configured."""
        s = self.settings
        return Optimiser(
            kind=s.optimiser,
            lr=s.lr,
            momentum=s.momentum,
            weight_decay=s.weight_decay,
            nesterov=s.nesterov,
            schedule=s.schedule,
            milestones=s.milestones,
            warmup=s.warmup,
        )

    def rng(self, purpose: str, step: int = 0, turn: int = 0) -> np.random.Generator:
        """A generator of this round for a purpose of the objective's own; each turn has its own."""
        name = f"objective/{purpose}/{turn}" if turn else f"objective/{purpose}"
        return self.streams.numpy(name, self.round, step)
