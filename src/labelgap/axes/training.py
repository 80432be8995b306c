"""What an objective may know of the round that it trains."""

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from labelgap.axes.objective import Objective
from labelgap.axes.stage import Optimiser
from labelgap.core.config import TrainingSettings, canonical
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
        epochs = self.settings.epochs or 200.0
        return max(1, math.ceil(epochs * len(self.labelled_ids) / self.settings.batch_size))

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

    def identity(self, objective: Objective) -> str:
        """Equal for trainings that do the same from the same start: whose a checkpoint is."""
        facts: dict[str, Any] = {
            "round": self.round,
            "seed": self.streams.seed,
            "objective": objective.name,
            "options": objective.options.model_dump(mode="json"),
            "settings": self.settings.model_dump(mode="json"),
            "preset": self.preset,
        }
        for name, module in {"network": self.network, **self.modules}.items():
            facts[name] = {k: list(v.shape) for k, v in module.state_dict().items()}
        digest = hashlib.sha256(canonical(facts).encode())
        for array in (self.labelled_ids, self.labels, self.unlabelled_ids):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()
