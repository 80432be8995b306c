"""From the host's memory to the device's, without the host waiting.

A copy out of ordinary memory stops the host until the device has taken it, and with it all that was
queued. Out of pinned memory it is one more thing in the queue.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from labelgap.core import scratch

PINNED = 512 << 20
"""Bytes of an array up to which it is pinned: pinned memory is taken from everybody else."""
_ALIGNED = 16
"""Bytes: each array begins at a multiple, so that its part of the buffer is one of its own type."""


def waits_for_nothing(device: torch.device) -> bool:
    """Whether copies from pinned memory are queued behind the device's work: on CUDA."""
    return device.type == "cuda"


def over(values: np.ndarray | Tensor, device: torch.device) -> Tensor:
    """An array of the host on the device; on the CPU the array itself, as a tensor."""
    here = torch.from_numpy(values) if isinstance(values, np.ndarray) else values
    if device.type == "cpu":
        return here
    if waits_for_nothing(device):
        return here.pin_memory().to(device, non_blocking=True)
    return here.to(device)


def over_like(values: np.ndarray, like: Tensor) -> Tensor:
    """`over`, on the device and in the type of another tensor."""
    return over(values, like.device).to(like.dtype)


def all_over(arrays: Sequence[np.ndarray], device: torch.device) -> list[Tensor]:
    """Arrays of any types and shapes on the device, by one copy.

    A copy of a hundred bytes takes as long as one of a hundred thousand: what is drawn for many
    steps crosses at once. On the CPU nothing is copied.
    """
    if device.type == "cpu":
        return [torch.from_numpy(a) for a in arrays]
    starts, size = [], 0
    for array in arrays:
        starts.append(size)
        size += array.nbytes + -array.nbytes % _ALIGNED
    buffer = np.empty(size, dtype=np.uint8)
    for array, start in zip(arrays, starts, strict=True):
        flat = np.ascontiguousarray(array).reshape(-1)
        buffer[start : start + array.nbytes] = flat.view(np.uint8)
    there = over(buffer, device)
    return [_part(there, array, start) for array, start in zip(arrays, starts, strict=True)]


def _part(buffer: Tensor, array: np.ndarray, start: int) -> Tensor:
    kind: torch.dtype = torch.from_numpy(np.empty(0, array.dtype)).dtype
    return buffer[start : start + array.nbytes].view(kind).view(array.shape)


def waiting_room(rows: int, like: Tensor) -> Tensor:
    """Room on the host for `rows` rows like those of a tensor, in float32.

    Pinned where the tensor is on CUDA and the room is at most `PINNED` bytes: rows then come home
    behind the device's work (`copy_` with non_blocking), and who reads them synchronises once.
    Elsewhere, where it is large, in a file's map (`scratch.empty`).
    """
    shape = (rows, *like.shape[1:])
    if waits_for_nothing(like.device) and math.prod(shape) * 4 <= PINNED:
        return torch.empty(shape, dtype=torch.float32).pin_memory()
    return scratch.empty(*shape)
