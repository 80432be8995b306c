"""CIFAR-10 and CIFAR-100 from the official archives, packed or unpacked, python or binary."""

import pickle
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from labelgap.core.disk import not_the_disk
from labelgap.core.errors import DataError
from labelgap.data.source import Contents, Raw, Source
from labelgap.data.unpickle import unpickle_table

_PIXELS = 3 * 32 * 32
Batch = tuple[UInt8[np.ndarray, "n p"], Int64[np.ndarray, " n"]]


@dataclass(frozen=True)
class Archive:
    """One official archive: its name, the folder inside it, its files, and how to read a file."""

    tar: str
    inside: str
    train: tuple[str, ...]
    test: str
    parse: Callable[[bytes], Batch]


def _parse_python(raw: bytes, label: str) -> Batch:
    batch = unpickle_table(raw)
    pixels, labels = batch["data"], batch[label]
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 2:
        raise ValueError("'data' is not a table of bytes")
    if pixels.shape[1] != _PIXELS:
        raise ValueError(f"'data' has shape {pixels.shape}")
    if not isinstance(labels, list) or not all(isinstance(item, int) for item in labels):
        raise ValueError(f"{label!r} is not a list of integers")
    if len(labels) != len(pixels):
        raise ValueError(f"{len(pixels)} images, {len(labels)} labels")
    return pixels, np.array(labels, dtype=np.int64)


def _parse_binary(raw: bytes, label_bytes: int) -> Batch:
    row = label_bytes + _PIXELS
    if not raw or len(raw) % row:
        raise ValueError(f"{len(raw)} bytes are not rows of {row}")
    table = np.frombuffer(raw, np.uint8).reshape(-1, row)
    # CIFAR-100 has the coarse label first, then the fine one: the last byte is the class.
    return table[:, label_bytes:], table[:, label_bytes - 1].astype(np.int64)


_BATCHES = tuple(f"data_batch_{i}" for i in range(1, 6))
CIFAR10 = (
    Archive(
        "cifar-10-python.tar.gz", "cifar-10-batches-py", _BATCHES, "test_batch",
        partial(_parse_python, label="labels"),
    ),
    Archive(
        "cifar-10-binary.tar.gz", "cifar-10-batches-bin",
        tuple(f"{name}.bin" for name in _BATCHES), "test_batch.bin",
        partial(_parse_binary, label_bytes=1),
    ),
)  # fmt: skip
CIFAR100 = (
    Archive(
        "cifar-100-python.tar.gz", "cifar-100-python", ("train",), "test",
        partial(_parse_python, label="fine_labels"),
    ),
    Archive(
        "cifar-100-binary.tar.gz", "cifar-100-binary", ("train.bin",), "test.bin",
        partial(_parse_binary, label_bytes=2),
    ),
)  # fmt: skip


def find_cifar(folder: Path, archives: tuple[Archive, ...]) -> Source | None:
    """The first archive in `folder`, unpacked (there or in its own subfolder) or as tar file.

    Raises `DataError` where only some of an unpacked archive's files are there.
    """
    for archive in archives:
        names = (*archive.train, archive.test)
        for base in (folder / archive.inside, folder):
            there = [name for name in names if (base / name).is_file()]
            if there and len(there) < len(names):
                missing = next(name for name in names if name not in there)
                raise DataError(
                    f"{base} has {there[0]} but not {missing}.", f"Unpack {archive.tar} anew."
                )
            if there:
                files = tuple(base / name for name in names)
                return Source("cifar-1", base, files, partial(_read_files, archive, base))
        for tar in (folder / archive.tar, folder / archive.tar.removesuffix(".gz")):
            if tar.is_file():
                return Source("cifar-1", folder, (tar,), partial(_read_tar, archive, tar))
    return None


def _read_files(archive: Archive, base: Path) -> Contents:
    def content(name: str) -> tuple[str, bytes]:
        path = base / name
        try:
            return str(path), path.read_bytes()
        except OSError as error:
            not_the_disk(error, path)
            raise DataError(f"{path}: cannot be read ({error.strerror}).") from error

    return _contents(archive, str(base), content)


def _read_tar(archive: Archive, tar: Path) -> Contents:
    wanted = {*archive.train, archive.test}
    found: dict[str, bytes] = {}
    try:
        # Members are read in memory by name; nothing in the archive decides where it is written.
        with tarfile.open(tar) as file:
            for member in file:
                name = member.name.rpartition("/")[2]
                if member.isfile() and name in wanted and (stream := file.extractfile(member)):
                    found[name] = stream.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        not_the_disk(error, tar)
        raise DataError(f"{tar}: a damaged archive ({error}).", "Get the file anew.") from error

    def content(name: str) -> tuple[str, bytes]:
        if name not in found:
            raise DataError(f"{tar}: has no file {name!r}.", "Get the official archive.")
        return f"{tar}, {name}", found[name]

    return _contents(archive, str(tar), content)


def _contents(
    archive: Archive, where: str, content: Callable[[str], tuple[str, bytes]]
) -> Contents:
    def split(names: tuple[str, ...]) -> Raw:
        pixels, labels = zip(*(_parse(archive, *content(name)) for name in names), strict=True)
        # Stored as all reds, all greens, all blues.
        images = np.concatenate(pixels).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        return Raw(np.concatenate(labels), images, f"{where}, {names[0]}")

    return Contents(None, split(archive.train), split((archive.test,)))


def _parse(archive: Archive, where: str, raw: bytes) -> Batch:
    try:
        return archive.parse(raw)
    except (pickle.UnpicklingError, ValueError, KeyError) as error:
        raise DataError(
            f"{where}: not a batch of CIFAR images ({error}).", "Get the file anew."
        ) from error
