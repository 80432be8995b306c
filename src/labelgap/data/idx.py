"""The idx format of MNIST and Fashion-MNIST, plain or gzipped."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from labelgap.errors import DataError

_UNSIGNED_BYTE = 0x08


def read_idx(path: Path, dims: int) -> UInt8[np.ndarray, "..."]:
    """The uint8 array of an idx file with `dims` dimensions (1 for labels, 3 for images).

    The format: two zero bytes, the type of the values, the number of dimensions, one big-endian
    32-bit size a dimension, then the values in C order. Raises `DataError` for anything else,
    for a truncated gzip stream and for too few or too many values.
    """
    cure = "Get the file anew; it is damaged or not what its name says."
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read ({error}).", cure) from error
    expected = bytes([0, 0, _UNSIGNED_BYTE, dims])
    if raw[:4] != expected:
        raise DataError(
            f"{path}: an idx file starts with 0x{expected.hex()}, this one with 0x{raw[:4].hex()}.",
            cure,
        )
    header = 4 + 4 * dims
    if len(raw) < header:
        raise DataError(f"{path}: ends inside its header.", cure)
    shape = tuple(int(n) for n in np.frombuffer(raw, ">u4", dims, offset=4))
    if len(raw) - header != math.prod(shape):
        raise DataError(
            f"{path}: its header announces {shape} = {math.prod(shape)} values, it holds "
            f"{len(raw) - header}.",
            cure,
        )
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)
