"""The training set on the device, once, where it fits: a batch is then a gather there."""

import math
import warnings

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from labelgap.core.crossing import over
from labelgap.core.device import Machine
from labelgap.data.types import Split

SHARE = 0.5
"""Of the device's free memory, what the training set may take: the network, its activations and
its optimiser need the rest. CIFAR-10 is 154 MB; a batch of 512 in ResNet-18 is a few GB."""
_PIECE = 64 << 20
"""Bytes that cross at once: the host holds no second copy of a data set in a memory map."""


def resident(
    split: Split, machine: Machine
) -> UInt8[Tensor, "n h w c"] | Float32[Tensor, "n d"] | None:
    """All inputs of a split on an accelerator; None on the CPU, and where they do not fit.

    They fit when they take at most `SHARE` of the memory that is free. A warning says when they
    do not: batches then come from the host's memory, which gives the same numbers, slower.
    """
    free = machine.free_memory()
    if free is None:
        return None
    size = int(split.inputs.nbytes)
    if size > SHARE * free:
        warnings.warn(
            f"The training set takes {size / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free on "
            f"{machine.device}: it stays in the host's memory, and every batch is copied. "
            "The results are the same; smaller images (--image-size) would fit.",
            stacklevel=2,
        )
        return None
    return on_device(split, machine)


def on_device(split: Split, machine: Machine) -> UInt8[Tensor, "n h w c"] | Float32[Tensor, "n d"]:
    """All inputs of a split on the device, copied in pieces."""
    inputs = split.inputs
    kind = torch.from_numpy(np.empty(0, dtype=inputs.dtype)).dtype
    there = torch.empty(inputs.shape, dtype=kind, device=machine.device)
    rows = max(1, _PIECE // (math.prod(inputs.shape[1:]) * inputs.itemsize))
    for start in range(0, len(inputs), rows):
        part = np.ascontiguousarray(inputs[start : start + rows])
        if not part.flags.writeable:
            part = part.copy()  # torch takes no array that must not be written
        there[start : start + len(part)].copy_(over(part, machine.device))
    return there
