"""The weights of a session: a cache that can be rebuilt."""

import hashlib

import numpy as np
import torch
from torch import nn

from labelgap.core.types import Ids

WEIGHTS = "weights-{round}.safetensors"
CHECKPOINT = "checkpoint.pt"


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
