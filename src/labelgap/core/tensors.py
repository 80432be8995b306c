"""Files of tensors: read whole or named as damaged, and compared with what they are for."""

import pickle
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from labelgap.core.disk import not_the_disk
from labelgap.core.errors import DataError

# A damaged pickle is a program with typos: it fails in any of these ways.
_UNREADABLE = (
    OSError,
    EOFError,
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    AssertionError,
    struct.error,
    pickle.UnpicklingError,
    BadZipFile,
    SafetensorError,
)
_NAMED = 4  # keys of each kind that a message names


def read_tensors(path: Path, device: torch.device | str = "cpu") -> Any:
    """What a `.safetensors` file, or one that torch saved, holds.

    Pickles are read with torch's restricted unpickler: they run no code.

    Raises
    ------
    DataError: the file is missing or damaged.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path, str(device))
        return torch.load(path, map_location=device, weights_only=True)
    except _UNREADABLE as error:
        not_the_disk(error, path)
        raise DataError(
            f"{path} cannot be read ({_why(path, error)}).", "Make or get the file anew."
        ) from error


def _why(path: Path, error: Exception) -> str:
    """In one line what is wrong with a file; never torch's advice, which is to trust it."""
    try:
        with path.open("rb") as file:
            head = file.read(512).lstrip()
    except OSError as refused:
        return refused.strerror or str(refused)
    if not head:
        return "it is empty"
    if head[:1] == b"<":
        return "it is a page of HTML or XML: what a server says instead of a file"
    if head.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS, not the file: `git lfs pull` gets it"
    first = (str(error) or type(error).__name__).splitlines()[0]
    if isinstance(error, pickle.UnpicklingError) and "eights" in first:
        return "it is no file of tensors alone, or it is damaged"
    return first


def mismatch(wanted: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """In which keys and shapes two state dicts differ, in words; "" where they do not."""
    shapes = [
        f"{k} {tuple(found[k].shape)} for {tuple(v.shape)}"
        for k, v in wanted.items()
        if k in found and found[k].shape != v.shape
    ]
    differences = {
        "missing": [k for k in wanted if k not in found],
        "unexpected": [k for k in found if k not in wanted],
        "wrong shape": shapes,
    }
    return "; ".join(
        f"{what} {len(keys)}: {', '.join(keys[:_NAMED])}{', …' if len(keys) > _NAMED else ''}"
        for what, keys in differences.items()
        if keys
    )
