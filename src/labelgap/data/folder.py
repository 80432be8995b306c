"""A folder of images: `train/CLASS/*` and `test/CLASS/*`."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from labelgap.core.errors import DataError
from labelgap.data.labels import SHOWN, class_order, label_of
from labelgap.data.left_out import LINKED, of_files
from labelgap.data.source import Contents, Item, Raw, Source

_SUFFIXES = frozenset(
    f".{kind}"
    for kind in (
        "png", "jpg", "jpeg", "jpe", "bmp", "gif", "webp", "tif", "tiff", "ppm", "pgm", "pbm",
        "pnm", "heic", "heif", "hif",
    )
)  # fmt: skip


def find_folder(folder: Path) -> Source | None:
    """The images under `folder`/train and /test, or `None` where neither folder exists.

    A class is a folder inside a split; its images are the files in it, at any depth, with a
    suffix of an image (png, jpg, bmp, gif, webp, tif, ppm, pgm, heic), ordered by path. Names
    that begin with a dot, links to folders, and files with other suffixes, are left out; packing
    tells of those that somebody may miss. Folders named by numbers are ordered as numbers. An
    item's id is its place in that order.
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
    of_train, of_test = _class_folders(train), _class_folders(test)
    classes = class_order(of_train)
    if not classes:
        raise DataError(
            f"{train} has no folders{_but_links(train)}.",
            "Put each class's images in a folder of its own.",
        )
    strange = [folders[0] for name, folders in of_test.items() if name not in of_train]
    if strange:
        raise DataError(
            f"{strange[0]} is a class without training images{_but_links(train)}.",
            f"Rename or remove it; the classes are those of {train}: {', '.join(classes)}.",
        )
    splits = [
        [(k, p) for k, name in enumerate(classes) for f in of.get(name, ()) for p in _images(f)]
        for of in (of_train, of_test)
    ]
    files = tuple(path for split in splits for _, path in split)

    def read() -> Contents:
        raws = [_raw(where, split) for where, split in zip((train, test), splits, strict=True)]
        return Contents(classes, raws[0], raws[1])

    rest = [
        p for of in (of_train, of_test) for found in of.values() for f in found for p in _all(f)
    ]
    linked = [
        (LINKED, p.relative_to(folder).as_posix())
        for split in (train, test)
        for p in links_below(split)
    ]
    return Source("folder-2", folder, files, read, (*linked, *of_files(rest, folder, _SUFFIXES)))


def _class_folders(split: Path) -> dict[str, list[Path]]:
    """Class name -> its folders, in order: two can differ in Unicode's form alone.

    Raises `DataError` for one whose name says that there is no label.
    """
    found: dict[str, list[Path]] = {}
    for path in (p for p in _visible(split) if p.is_dir() and not p.is_symlink()):
        name = label_of(path.name)
        if name is None:
            raise DataError(
                f"{path}: images without a label, by the folder's name.",
                "A benchmark answers from the folders: move it away; `labelgap init` makes a "
                "project of images without labels.",
            )
        found.setdefault(name, []).append(path)
    return found


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
    return (path for path in _all(folder) if path.suffix.lower() in _SUFFIXES)


def _but_links(split: Path) -> str:
    names = [path.name for path in links_below(split)]
    return f" (links to folders are not followed: {', '.join(names[:SHOWN])})" if names else ""


def links_below(folder: Path) -> Iterator[Path]:
    """Links to folders, at any depth. They are not followed, in no reader: they lead out of the
    folder, or round in a circle, and what they point to changes without the folder's knowing."""
    for path in _visible(folder):
        if path.is_dir():
            if path.is_symlink():
                yield path
            else:
                yield from links_below(path)


def _all(folder: Path) -> Iterator[Path]:
    for path in _visible(folder):
        if path.is_dir():
            if not path.is_symlink():
                yield from _all(path)
        else:
            yield path
