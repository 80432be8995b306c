"""The idx format of MNIST and Fashion-MNIST, plain or gzipped."""

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from labelgap.core.disk import not_the_disk
from labelgap.core.errors import DataError
from labelgap.data.source import Contents, Raw, Source

_UNSIGNED_BYTE = 0x08
_KINDS = ("images-idx3-ubyte", "labels-idx1-ubyte")


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
        not_the_disk(error, path)
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


def find_idx(folder: Path) -> Source | None:
    """The four files of MNIST's format in `folder`, each gzipped or not.

    Raises `DataError` where only some of them are there.
    """
    wanted = [f"{stem}-{kind}" for stem in ("train", "t10k") for kind in _KINDS]
    found = {name: path for name in wanted if (path := _file(folder, name)) is not None}
    if not found:
        return None
    missing = [name for name in wanted if name not in found]
    if missing:
        raise DataError(
            f"{folder} has {next(iter(found.values())).name} but no {missing[0]}[.gz].",
            "All four files are needed.",
        )

    def split(stem: str) -> Raw:
        paths = [found[f"{stem}-{kind}"] for kind in _KINDS]
        images = read_idx(paths[0], 3)
        labels = read_idx(paths[1], 1)
        if len(images) != len(labels):
            raise DataError(
                f"{paths[0].name} has {len(images)} images, {paths[1].name} {len(labels)} labels "
                f"(in {folder}).",
                "They belong to different sets; get both anew.",
            )
        return Raw(labels.astype(np.int64), images[..., None], str(paths[1]))

    files = tuple(found[name] for name in wanted)
    return Source("idx-1", folder, files, lambda: Contents(None, split("train"), split("t10k")))


def _file(folder: Path, name: str) -> Path | None:
    # Some mirrors write the second hyphen as a dot.
    for spelling in (name, name.replace("-idx", ".idx")):
        for suffix in (".gz", ""):
            if (path := folder / f"{spelling}{suffix}").is_file():
                return path
    return None
