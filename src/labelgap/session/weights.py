"""The weights of a session: a cache that can be rebuilt."""

import hashlib
import warnings
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from labelgap.axes.training import Training
from labelgap.core.errors import DataError
from labelgap.core.files import write_atomically
from labelgap.core.tensors import mismatch, read_tensors
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


def load_weights(file: Path, training: Training, digest: str) -> bool:
    """Put a fit's weights into its network and modules, in evaluation mode, if they are whole.

    Parameters
    ----------
    file: written by `save_weights`; its keys are "player/key".
    digest: `weights_hash` of the network at the end of that fit.

    Weights are a cache: of a file that is damaged or of another fit (a training that broke off
    before it was noted) nothing is used. A warning says so, and the answer is False.
    """
    players = _players(training)
    wanted = {f"{name}/{k}": v for name, m in players.items() for k, v in m.state_dict().items()}
    try:
        state = read_tensors(file)
        problem = mismatch(wanted, state)
    except DataError as error:
        problem = error.cause
    if not problem:
        for name, module in players.items():
            start = f"{name}/"
            own = {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}
            module.load_state_dict(own)
            module.eval()
        if weights_hash(players["network"]) != digest:
            problem = "they are not those that the last fit noted"
    if problem:
        warnings.warn(
            f"The weights in {file} are not used, and the network is to be trained anew: "
            f"{problem.removesuffix('.')}.",
            stacklevel=3,
        )
    return not problem


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
