"""Long computations of one row an image, kept: resumable by chunk, atomic, checked when opened.

A finished folder holds `features.npy` and `meta.json`. One in the making is hidden, and its
journal vouches for each chunk that is safe on disk, so that a killed process loses one chunk.
"""

import hashlib
import json
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Float32

from labelgap.core.disk import not_the_disk
from labelgap.core.errors import DataError, DiskError, InUse
from labelgap.core.lock import WriterLock
from labelgap.data.cache import CURE, content_digest, unwritable, write_record

CHUNK = 1024
"""Rows between two points that a killed computation resumes from."""

Features = Float32[np.ndarray, "n d"]
Compute = Callable[[int, int], Features]
"""Rows start … stop − 1; the same rows give the same values, or resuming would mix two."""


@dataclass(frozen=True, eq=False)
class Stored:
    """Rows mapped into memory (copy-on-write: the file never changes), mean and deviation."""

    features: Features
    mean: tuple[float, ...]
    std: tuple[float, ...]


def stored(
    folder: Path,
    cache: Path,
    shape: tuple[int, int],
    compute: Compute,
    report: Callable[[int], None],
    facts: Mapping[str, Any],
) -> Stored:
    """The rows of `folder`, computed if they are not there whole.

    Parameters
    ----------
    cache: the cache folder, which remembers digests of files that did not change.
    shape: (rows, width).
    report: called with the number of rows that resuming saved, where it saved some.
    facts: kept in `meta.json`, for people.

    Raises
    ------
    DiskError: the cache cannot be written. Damaged features are no error: a warning says so and
        they are computed anew.
    """
    if (entry := _open(folder, cache)[0]) is not None:
        return entry
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _sole_writer(folder):
            # Another process may have finished it while this one waited.
            entry, damage = _open(folder, cache)
            if entry is not None:
                return entry
            if damage:
                warnings.warn(
                    f"The cached features {folder} are damaged ({damage}): computing them anew.",
                    stacklevel=3,
                )
                shutil.rmtree(folder)
            _make(folder, cache, shape, compute, report, facts)
    except OSError as error:
        raise unwritable(cache, error) from error
    entry, damage = _open(folder, cache)
    if entry is None:
        raise DataError(f"The features in {folder} were damaged while they were read: {damage}.")
    return entry


def _open(folder: Path, cache: Path) -> tuple[Stored | None, str]:
    """The finished rows; or None, and what is wrong with them if they are there."""
    if not folder.is_dir():
        return None, ""
    array = folder / "features.npy"
    try:
        meta = json.loads((folder / "meta.json").read_text())
        # Computed once and then known by the file's times, as digests of data sets are.
        if content_digest((array,), folder, cache) != meta["digest"]:
            return None, "their contents have changed"
        features = np.load(array, mmap_mode="c")
        return Stored(features, tuple(meta["mean"]), tuple(meta["std"])), ""
    except (DataError, OSError, ValueError, KeyError, TypeError) as error:
        not_the_disk(error, folder)
        return None, str(error) or type(error).__name__


@contextmanager
def _sole_writer(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder of features; wait for a process that is computing them."""
    lock, said = None, False
    while lock is None:
        try:
            lock = WriterLock(folder)
        except InUse as error:
            if not said:
                warnings.warn(f"Waiting for the features: {error.cause}", stacklevel=4)
                said = True
            time.sleep(0.5)
        except DiskError as error:
            raise DiskError(error.cause, CURE, error.trouble) from error
    try:
        yield
    finally:
        lock.release()


def _make(
    folder: Path,
    cache: Path,
    shape: tuple[int, int],
    compute: Compute,
    report: Callable[[int], None],
    facts: Mapping[str, Any],
) -> None:
    making = folder.with_name(f".making-{folder.name}")
    making.mkdir(exist_ok=True)
    array, journal = making / "features.npy", making / "chunks.jsonl"
    start = _resume(array, journal, shape)
    if start:
        report(start)
    with array.open("ab") as file, journal.open("ab") as log:
        while start < shape[0]:
            stop = min(start + CHUNK, shape[0])
            data = np.ascontiguousarray(compute(start, stop), dtype="<f4").tobytes()
            _append(file, data)
            line = {"rows": stop, "sha256": hashlib.sha256(data).hexdigest()}
            _append(log, json.dumps(line).encode() + b"\n")
            start = stop
    mean, std = _statistics(np.load(array, mmap_mode="r"))
    digest = content_digest((array,), making, cache)
    meta = {**facts, "shape": shape, "digest": digest, "mean": mean, "std": std}
    write_record(making / "meta.json", json.dumps(meta).encode())
    journal.unlink()
    making.rename(folder)


def _append(file: BinaryIO, data: bytes) -> None:
    # A stream and not a map: a full disk is then an error and not a bus error.
    file.write(data)
    file.flush()
    os.fsync(file.fileno())


def _resume(array: Path, journal: Path, shape: tuple[int, int]) -> int:
    """Cut both files to the chunks that are whole, and return how many rows those have."""
    (n, width), header = shape, _header(shape)
    rows, lines = 0, b""
    if array.is_file() and journal.is_file():
        with array.open("rb") as file:
            known = file.read(len(header)) == header
            for line in journal.read_bytes().splitlines(keepends=True) if known else ():
                stop = min(rows + CHUNK, n)
                if not _vouches(line, file.read((stop - rows) * width * 4), stop):
                    break
                rows, lines = stop, lines + line
    if rows:
        os.truncate(array, len(header) + rows * width * 4)
    else:
        array.write_bytes(header)
    journal.write_bytes(lines)
    return rows


def _vouches(line: bytes, chunk: bytes, stop: int) -> bool:
    """Whether a line of the journal says of this chunk that it is whole and ends at `stop`."""
    expected = {"rows": stop, "sha256": hashlib.sha256(chunk).hexdigest()}
    return line == json.dumps(expected).encode() + b"\n"


def _header(shape: tuple[int, int]) -> bytes:
    buffer = BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


def _statistics(features: Features) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each feature in float64; a constant one gets a deviation of 1."""
    n, width = features.shape
    total, squares = np.zeros(width), np.zeros(width)
    for i in range(0, n, CHUNK):
        total += features[i : i + CHUNK].sum(axis=0, dtype=np.float64)
    mean = total / n
    for i in range(0, n, CHUNK):
        squares += ((features[i : i + CHUNK] - mean) ** 2).sum(axis=0)
    std = np.sqrt(squares / n)
    return tuple(mean.tolist()), tuple(np.where(std > 0, std, 1.0).tolist())
