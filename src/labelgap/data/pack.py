"""Packing: any source becomes uint8 arrays on disk once, and a memory map ever after."""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import UInt8

from labelgap.core.errors import DataError
from labelgap.data.apart import decode_all, decode_apart
from labelgap.data.cache import content_digest, file_digest, unwritable
from labelgap.data.contents import checked
from labelgap.data.decoders import shared
from labelgap.data.images import ColourFound
from labelgap.data.left_out import summary
from labelgap.data.progress import late_progress, say
from labelgap.data.scales import Scales, WideFound
from labelgap.data.source import Array, Contents, Source
from labelgap.data.types import Split, fingerprint, statistics
from labelgap.data.wide import scales_of_contents

_VERSION = 2  # of the packed layout and of what decoding does; part of every key
_CHUNK = 4096  # images written at a time
_MAKING = ".making-"

Advance = Callable[[int], None]
Block = UInt8[np.ndarray, "k h w c"]


@dataclass(frozen=True)
class Packed:
    """Memory-mapped splits and what was computed from them once.

    The maps are copy-on-write: torch takes them without a warning and the file never changes.
    """

    classes: tuple[str, ...]
    train: Split
    test: Split
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str


# The sizes and MD5 sums of the official files, as their publishers give them.
_OFFICIAL = {
    "cifar-10-python.tar.gz": (170498071, "c58f30108f718f92721af3b95e74349a"),
    "cifar-10-binary.tar.gz": (170052171, "c32a1d4ab5d03f1284b67883e8d87530"),
    "cifar-100-python.tar.gz": (169001437, "eb9058c3a382ffc7106e4002c42a8d85"),
    "cifar-100-binary.tar.gz": (168513733, "03b5dce01913d631647c71ecec9e9cb8"),
    "train_32x32.mat": (182040794, "e26dedcc434d2e4c54c9b2d4a06d8373"),
    "test_32x32.mat": (64275384, "eb5a983be6a315427106f1b164d9cef3"),
    "train-images-idx3-ubyte.gz": (26421880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
    "train-labels-idx1-ubyte.gz": (29515, "25c81989df183df01b3e8a0aad5dffbe"),
    "t10k-images-idx3-ubyte.gz": (4422102, "bef4ecab320f06d8554ea6380940ec79"),
    "t10k-labels-idx1-ubyte.gz": (5148, "bb300cfdad3c16e7a12a480ee83cd310"),
}


def load_packed(
    source: Source,
    image_size: int | None,
    cache: Path,
    classes: tuple[str, ...] | None = None,
    shape: tuple[int, int, int] | None = None,
) -> Packed:
    """The packed copy of `source` in the folder `cache`, made if it is not there.

    The copy's key is the contents of the source's files, the reader and `image_size`: a changed
    file is packed anew, the same files elsewhere are not.

    classes: names to use, and to hold the labels to; `None` takes them from the source.
    shape: what the stored images must have before resizing; `None` for any.

    Raises `DataError` for what the reader, the decoder or the labels show to be wrong, and for
    a cache folder that cannot be written.
    """
    contents = content_digest(source.files, source.base, cache)
    key = hashlib.sha256(
        json.dumps([_VERSION, source.format, image_size, classes, shape, contents]).encode()
    ).hexdigest()
    folder = cache / "packed" / key
    if (packed := _open(folder)) is None:
        _check_official(source)
        say(summary(source.left_out))
        found = source.read()
        found, names = checked(found, classes)
        try:
            _make(source, found, names, image_size, shape, folder)
        except OSError as error:
            raise unwritable(cache, error) from error
        packed = _open(folder)
    if packed is None:
        raise DataError(f"The packed copy {folder} vanished or was damaged while it was read.")
    return packed


def _open(folder: Path) -> Packed | None:
    """`None` where there is no whole packed copy; a torn one counts as none."""
    record = folder / "meta.json"
    if not record.is_file():
        return None
    try:
        meta = json.loads(record.read_text())
        sizes = meta["sizes"].items()
    except (ValueError, KeyError):
        return None
    for name, size in sizes:
        if not (folder / name).is_file() or (folder / name).stat().st_size != size:
            return None
    train, test = (
        Split(
            np.load(folder / f"{name}-inputs.npy", mmap_mode="c"),
            np.load(folder / f"{name}-labels.npy"),
        )
        for name in ("train", "test")
    )
    return Packed(
        tuple(meta["classes"]),
        train,
        test,
        tuple(meta["mean"]),
        tuple(meta["std"]),
        meta["fingerprint"],
    )


def _check_official(source: Source) -> None:
    """A file with an official name and size has the official sum, or a bit of it is wrong.

    Other sizes are other people's files (subsets, compressed anew): their format is their check.
    """
    for path in source.files:
        size, md5 = _OFFICIAL.get(path.name, (-1, ""))
        if path.stat().st_size == size and file_digest(path, "md5") != md5:
            raise DataError(
                f"{path}: damaged; its MD5 sum is not the published {md5}.", "Get the file anew."
            )


def _make(
    source: Source,
    found: Contents,
    names: tuple[str, ...],
    image_size: int | None,
    shape: tuple[int, int, int] | None,
    folder: Path,
) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    _sweep(folder.parent)
    temporary = Path(tempfile.mkdtemp(prefix=_MAKING, dir=folder.parent))
    try:
        total = len(found.train.labels) + len(found.test.labels)
        with late_progress("Packing images", total) as advance:
            scales = _write_inputs(found, temporary, image_size, shape, advance)
        say(scales.told())
        splits = []
        for name, raw in (("train", found.train), ("test", found.test)):
            labels = raw.labels.astype(np.int64)
            with (temporary / f"{name}-labels.npy").open("wb") as file:
                np.save(file, labels)
                _sync(file)
            splits.append(Split(np.load(temporary / f"{name}-inputs.npy", mmap_mode="r"), labels))
        mean, std = statistics(splits[0].inputs)
        meta = {
            "from": [str(path) for path in source.files[:8]],
            "classes": names,
            "scales": scales.ranges,
            "mean": mean,
            "std": std,
            "fingerprint": fingerprint(splits[0], splits[1], names),
            "sizes": {path.name: path.stat().st_size for path in temporary.iterdir()},
        }
        with (temporary / "meta.json").open("wb") as file:
            file.write(json.dumps(meta, indent=1).encode())
            _sync(file)
        _publish(temporary, folder)
    finally:
        shared().rest()
        shutil.rmtree(temporary, ignore_errors=True)


def _write_inputs(
    found: Contents,
    folder: Path,
    image_size: int | None,
    shape: tuple[int, int, int] | None,
    advance: Advance,
) -> Scales:
    """Both splits with one number of channels: grey only if no image has colours; and with one
    range for each kind of values, which are returned."""
    channels, scales = 1 if shape is None else shape[2], Scales()
    while True:
        try:
            first = next(found.train.items())
            size = decode_apart(
                first, channels, (shape[0], shape[1]) if shape else None, None, scales
            ).shape[:2]
            for name, raw in (("train", found.train), ("test", found.test)):
                blocks: Iterator[Block]
                if image_size is None and isinstance(raw.images, np.ndarray):
                    blocks = _slices(raw.images, advance)
                else:
                    blocks = decode_all(
                        raw.items(),
                        channels,
                        None if image_size else size,
                        image_size,
                        advance,
                        scales,
                    )
                h, w = (image_size, image_size) if image_size else size
                path = folder / f"{name}-inputs.npy"
                _write(path, (len(raw.labels), h, w, channels), blocks)
            return scales
        except WideFound as error:
            before, scales = scales, scales_of_contents(found, scales)
            if scales == before:  # a file that changes while it is read
                raise DataError(error.cause, "Try again.") from error
        except ColourFound:
            channels = 3
            if shape is not None:
                raise DataError(
                    f"{found.train.where}: an image has colours; this data set is grey.",
                    "These are not its files. Pass the folder itself as data set to use them.",
                ) from None


def _slices(images: Array, advance: Advance) -> Iterator[Block]:
    for start in range(0, len(images), _CHUNK):
        block = np.ascontiguousarray(images[start : start + _CHUNK])
        advance(len(block))
        yield block


def _write(path: Path, shape: tuple[int, ...], blocks: Iterator[Block]) -> None:
    # Written as a stream, not through a map: a full disk is then an error and not a bus error.
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        written = 0
        for block in blocks:
            if block.shape[1:] != shape[1:]:
                raise DataError(
                    f"{path.stem}: images of shape {block.shape[1:]} where {shape[1:]} is due."
                )
            file.write(block.data)
            written += len(block)
        if written != shape[0]:
            raise DataError(f"{path.stem}: {written} images for {shape[0]} labels.")
        _sync(file)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _publish(temporary: Path, folder: Path) -> None:
    """Move the finished copy to its place in one step, unless another process was first."""
    if folder.exists():
        if _open(folder) is not None:
            return
        shutil.rmtree(folder)
    try:
        temporary.rename(folder)
    except OSError:
        if _open(folder) is None:
            raise


def _sweep(folder: Path) -> None:
    """Remove what a process killed while packing left behind, a day later."""
    for left in folder.glob(f"{_MAKING}*"):
        if time.time() - left.stat().st_mtime > 86_400:
            shutil.rmtree(left, ignore_errors=True)
