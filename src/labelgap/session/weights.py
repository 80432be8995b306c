"""The weights of a session: a cache that can be rebuilt."""

import hashlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save
from torch import nn

from labelgap.axes.training import Training
from labelgap.core.files import write_atomically
from labelgap.core.types import Ids

WEIGHTS = "weights-{round}.safetensors"
CHECKPOINT = "checkpoint.pt"


def weights_file(folder: Path, round: int) -> Path:
    """Where the weights of a round are kept."""
    return folder / WEIGHTS.format(round=round)


def save_weights(folder: Path, round: int, training: Training) -> None:
    """Write network and extra modules of a finished training, whole or not at all."""
    state = {
        f"{name}/{key}": value.detach().cpu().contiguous()
        for name, module in _players(training).items()
        for key, value in module.state_dict().items()
    }
    data = save(state, {"round": str(round)})
    write_atomically(weights_file(folder, round), lambda file: file.write(data))


def load_weights(file: Path, training: Training) -> None:
    """Fill network and extra modules from a file of `save_weights`; all in evaluation mode."""
    state = load_file(file)
    for name, module in _players(training).items():
        own = {k.split("/", 1)[1]: v for k, v in state.items() if k.startswith(f"{name}/")}
        module.load_state_dict(own)
        module.eval()


def keep_only(folder: Path, round: int) -> None:
    """Remove what a finished training makes useless: checkpoint, weights of other rounds."""
    (folder / CHECKPOINT).unlink(missing_ok=True)
    for file in folder.glob(WEIGHTS.format(round="*")):
        if file != weights_file(folder, round):
            file.unlink()


def _players(training: Training) -> dict[str, nn.Module]:
    return {"network": training.network, **training.modules}


def weights_hash(module: nn.Module) -> str:
    """SHA-256 of parameters and buffers: equal for equal weights, whatever the device."""
    digest = hashlib.sha256()
    for name, value in sorted(module.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def ids_hash(ids: Ids) -> str:
    """SHA-256 of ids in their order."""
    return hashlib.sha256(np.ascontiguousarray(ids, dtype="<i8").tobytes()).hexdigest()
