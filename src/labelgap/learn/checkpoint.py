"""The state of a training that may be killed."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from labelgap.axes import Objective
from labelgap.axes.training import Training
from labelgap.core.config import canonical
from labelgap.core.errors import DataError, FolderError
from labelgap.core.files import write_atomically
from labelgap.core.tensors import read_tensors

CHECKPOINT_SECONDS = 60.0
"""A killed run loses at most this much training."""

STATE = 3
"""Version of what is kept: a checkpoint of before is another training's."""


def identity(training: Training, objective: Objective) -> str:
    """Equal for trainings that do the same from the same start: whose a checkpoint is."""
    facts: dict[str, Any] = {
        "round": training.round,
        "seed": training.streams.seed,
        "objective": objective.name,
        "options": objective.options.model_dump(mode="json"),
        "settings": training.settings.model_dump(mode="json"),
        "preset": training.preset,
        "state": STATE,
    }
    for name, module in {"network": training.network, **training.modules}.items():
        facts[name] = {k: list(v.shape) for k, v in module.state_dict().items()}
    digest = hashlib.sha256(canonical(facts).encode())
    for array in (training.labelled_ids, training.labels, training.unlabelled_ids):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Checkpoint:
    """Where the state of a training that may be killed is kept, and which training it is.

    Another training's state is as good as none: it has other labels, or other players.
    """

    path: Path
    identity: str

    def save(self, state: Mapping[str, Any]) -> None:
        content = {**state, "identity": self.identity}
        write_atomically(self.path, lambda file: torch.save(content, file))

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The state of this very training, if it was kept.

        Raises
        ------
        FolderError: a file that cannot be read, or holds something else.
        """
        if not self.path.exists():
            return None
        cure = "Remove it: this round's training starts again."
        try:
            state = read_tensors(self.path, device)
        except DataError as error:
            raise FolderError(error.cause, cure) from error
        if not isinstance(state, dict):
            raise FolderError(f"{self.path} holds no state of a training.", cure)
        return state if state.get("identity") == self.identity else None
