"""A folder of images: `train/CLASS/*` and `test/CLASS/*`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from labelgap.core.errors import DataError
from labelgap.data.source import Contents, Item, Raw, Source

_SUFFIXES = frozenset(
    f".{kind}"
    for kind in (
        "png", "jpg", "jpeg", "jpe", "bmp", "gif", "webp", "tif", "tiff", "ppm", "pgm", "pbm", "pnm"
    )
)  # fmt: skip


def find_folder(folder: Path) -> Source | None:
    """The images under `folder`/train and /test, or `None` where neither folder exists.

    A class is a folder inside a split; its images are the files in it, at any depth, with a
    suffix of an image (png, jpg, bmp, gif, webp, tif, ppm, pgm), ordered by path. Names that
    begin with a dot, and files with other suffixes, are left out. An item's id is its place in
    that order.
    """
    train, test = folder / "train", folder / "test"
    if not train.is_dir() and not test.is_dir():
        return None
    for split in (train, test):
        if not split.is_dir():
            raise DataError(
                f"{folder} has no folder {split.name!r}.",
                "Both train/CLASS/* and test/CLASS/* are needed; neither is cut out of the other.",
            )
    classes = tuple(p.name for p in _visible(train) if p.is_dir())
    if not classes:
        raise DataError(
            f"{train} has no folders.", "Put each class's images in a folder of its own."
        )
    strange = [p.name for p in _visible(test) if p.is_dir() and p.name not in classes]
    if strange:
        raise DataError(
            f"{test / strange[0]} is a class without training images.",
            f"Rename or remove it; the classes are those of {train}: {', '.join(classes)}.",
        )
    splits = [
        [(k, p) for k, c in enumerate(classes) for p in _images(s / c)] for s in (train, test)
    ]
    files = tuple(path for split in splits for _, path in split)

    def read() -> Contents:
        raws = [_raw(where, split) for where, split in zip((train, test), splits, strict=True)]
        return Contents(classes, raws[0], raws[1])

    return Source("folder-1", folder, files, read)


def _raw(where: Path, split: list[tuple[int, Path]]) -> Raw:
    def items() -> Iterator[Item]:
        return ((str(path), path) for _, path in split)

    return Raw(np.array([k for k, _ in split], dtype=np.int64), items, str(where))


def _visible(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror}).") from error


def _images(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        return
    for path in _visible(folder):
        if path.is_dir():
            yield from _images(path)
        elif path.suffix.lower() in _SUFFIXES:
            yield path
