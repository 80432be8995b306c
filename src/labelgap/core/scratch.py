"""Large arrays that are filled and read again: in memory, or in a file's map that goes with them.

An array of a million items' features is 2 GB. Where it lies in a file the system keeps of it what
fits into memory, and writes the rest out; the values are the same.
"""

import math
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from torch import Tensor

from labelgap.core.disk import told

ABOVE = 512 << 20
"""Bytes from which an array lies in a file. Two or three smaller ones at a time fit anywhere."""
_ROWS = 4096
_KINDS = {torch.float32: "f4", torch.float64: "f8", torch.float16: "f2", torch.int64: "i8"}


def empty(
    *shape: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
) -> Tensor:
    """An array to be filled.

    Raises `DiskError` where it needs a file and the disk has no room for it: TMPDIR names another
    place.
    """
    size = math.prod(shape) * dtype.itemsize
    if size <= ABOVE or torch.device(device).type != "cpu" or dtype not in _KINDS:
        return torch.empty(shape, dtype=dtype, device=device)
    cure = f"Free {size >> 20} MiB there, or name a folder with more room by TMPDIR."
    folder = _folder()
    with told(folder, "used for an array", cure), tempfile.TemporaryFile(dir=folder) as file:
        if hasattr(os, "posix_fallocate"):
            # Now, since a map of a file on a full disk ends the process when it is written.
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
        return torch.from_numpy(np.memmap(file, dtype=_KINDS[dtype], mode="r+", shape=shape))


def rows(x: Float[Tensor, "n *d"], index: Int64[Tensor, " r"]) -> Float[Tensor, "r *d"]:
    """`x[index]`, a piece at a time."""
    made = empty(len(index), *x.shape[1:], dtype=x.dtype, device=x.device)
    for start in range(0, len(index), _ROWS):
        part = slice(start, start + _ROWS)
        made[part] = x[index[part]]
    return made


def read(
    array: NDArray[Any], index: Int64[np.ndarray, " r"], dtype: torch.dtype | None = None
) -> Tensor:
    """`array[index]` of an array or a memory map of numpy, a piece at a time; in its own type
    unless another one is given."""
    wanted = array.dtype if dtype is None else np.dtype(_KINDS[dtype])
    kind: torch.dtype = torch.from_numpy(np.empty(0, wanted)).dtype
    made = empty(len(index), *array.shape[1:], dtype=kind)
    for start in range(0, len(index), _ROWS):
        part = index[start : start + _ROWS]
        made[start : start + len(part)] = torch.from_numpy(np.array(array[part], wanted))
    return made


def joined(one: Float[Tensor, "n d"], other: Float[Tensor, "m d"]) -> Float[Tensor, "s d"]:
    """One after the other, in float32 at least: a copy that may be changed."""
    kind = torch.promote_types(torch.promote_types(one.dtype, other.dtype), torch.float32)
    made = empty(len(one) + len(other), one.shape[1], dtype=kind, device=other.device)
    for x, begin in ((one, 0), (other, len(one))):
        for start in range(0, len(x), _ROWS):
            part = x[start : start + _ROWS]
            made[begin + start : begin + start + len(part)] = part
    return made


def _folder() -> Path:
    """Where files go: TMPDIR, else /var/tmp, which is never in memory as /tmp may be."""
    durable = Path("/var/tmp")
    if "TMPDIR" not in os.environ and durable.is_dir() and os.access(durable, os.W_OK):
        return durable
    return Path(tempfile.gettempdir())
