"""Data sets: `load(name)` gives a `Task` of packed arrays, whatever the files looked like."""

import os
from pathlib import Path

from labelgap.core.errors import DataError, UnknownName
from labelgap.data.cache import cache_folder
from labelgap.data.digits import digits
from labelgap.data.download import download as _download
from labelgap.data.features import load_features
from labelgap.data.folder import find_folder
from labelgap.data.known import KNOWN, Known, find_known
from labelgap.data.pack import Packed, load_packed
from labelgap.data.parquet import find_parquet
from labelgap.data.source import Source
from labelgap.data.types import Augment, Split, Task

__all__ = ["Augment", "Split", "Task", "load", "names", "one_name"]


def names() -> tuple[str, ...]:
    """The built-in data sets; `digits` needs no files."""
    return ("digits", *KNOWN)


def one_name(name: str) -> str:
    """The one name of a data set, however its path was typed: `data`, `./data/`, `../here/data`
    and a link to it are the same folder.

    Below the current folder it is the path from there, which another machine can have too; else
    the whole path. Names of `names()`, and what is no folder, stay as they are.
    """
    if name in names():
        return name
    path = Path(name).expanduser()
    if not name.strip() or not path.is_dir():
        return name
    found, here = path.resolve(), Path.cwd().resolve()
    if not found.is_relative_to(here):
        return found.as_posix()
    below = found.relative_to(here).as_posix()
    return f"./{below}" if below in names() else below


def load(
    name: str | Path,
    *,
    root: str | Path | None = None,
    image_size: int | None = None,
    download: bool = False,
    cache: str | Path | None = None,
) -> Task:
    """A built-in data set, or the one in a folder of yours.

    name: one of `names()`, or the path of a folder that holds `train.parquet` and `test.parquet`
        (or shards `train-*.parquet`), of images or of ready-made features (lists of numbers); or
        images as `train/CLASS/*` and `test/CLASS/*`; or features as `train.npz` and `test.npz`
        (arrays `features` [n, d] and `labels` [n]). A built-in name wins over a folder of that
        name: write `./cifar10` for the folder.
    root: where to look for a built-in set's files first: their folder, or its parent. Then the
        cache folder is looked in, then the place where Debian's package puts Fashion-MNIST.
    image_size: resize every image so that its shorter side has so many pixels (bicubic,
        antialiased, the aspect kept) and keep the square at its centre. `None` keeps the size,
        which all images must then share.
    download: get a built-in set's files (into `root`, else the cache folder) if they are not found.
    cache: default $LABELGAP_CACHE, else the platform's cache folder. The packed copy is kept
        there: a set is decoded once, later loads map it into memory.

    Own folders are augmented by crops with a border of 1/8 of the smaller side, and flips; change
    it with `dataclasses.replace(task, augment=Augment(...))`.

    Raises `UnknownName` for a name that is neither; `DataError` for files that are missing
    or damaged, labels out of range and images of several sizes.
    """
    if not isinstance(name, (str, Path)):
        raise DataError(
            f"A data set is loaded by its name or path; this is {name!r}.",
            f"Give one of {', '.join(names())}, or the path of a folder; arrays become a task by "
            "`labelgap.Task.from_arrays(x, y)`.",
        )
    name = str(name)
    folder = cache_folder(None if cache is None else Path(cache))
    if image_size is not None and image_size < 1:
        raise DataError(f"image_size is {image_size}.", "Give at least 1 pixel.")
    if name == "digits":
        return digits(image_size)
    if name in KNOWN:
        where = None if root is None else Path(root)
        return _known(name, KNOWN[name], where, image_size, download, folder)
    return _own(name, image_size, folder)


def _known(
    name: str,
    known: Known,
    root: Path | None,
    image_size: int | None,
    download: bool,
    cache: Path,
) -> Task:
    if root is not None and not root.is_dir() and not download:
        raise DataError(f"The data root {root} is not a folder.", "Correct --data-root.")
    roots = (*([root] if root else []), cache, *known.places)
    source = _first(known, roots)
    if source is None and download:
        target = (root or cache) / known.folders[0]
        _download(name, target)
        source = _first(known, (target,))
    if source is None:
        looked = ", ".join(str(place) for place in roots)
        raise DataError(
            f"The files of {name} were not found (looked in {looked}).",
            f"Put there {known.get}, or train.parquet and test.parquet; name the place with "
            "--data-root; or let --download get them.",
        )
    packed = load_packed(source, image_size, cache, known.classes, known.shape)
    return _task(name, packed, known.augment)


def _first(known: Known, roots: tuple[Path, ...]) -> Source | None:
    for place in roots:
        if (source := find_known(known, place)) is not None:
            return source
    return None


def _own(name: str, image_size: int | None, cache: Path) -> Task:
    path = Path(name).expanduser()
    if not path.is_dir():
        if os.sep in name or "/" in name or path.exists():
            raise DataError(
                f"{name} is not a folder.",
                "Give a folder with train.parquet and test.parquet, or with train/CLASS/* and "
                "test/CLASS/*.",
            )
        raise UnknownName("data set (nor is there such a folder)", name, names())
    if (features := load_features(path, path.resolve().name)) is not None:
        if image_size is not None:
            raise DataError(f"{name} holds features, not images.", "Leave out --image-size.")
        return features
    source = find_parquet(path) or find_folder(path)
    if source is None:
        raise DataError(
            f"{name} holds neither train.parquet and test.parquet, nor train/CLASS/* and "
            "test/CLASS/*, nor train.npz and test.npz.",
            "Lay it out as one of the three.",
        )
    packed = load_packed(source, image_size, cache)
    h, w = packed.train.inputs.shape[1:3]
    return _task(path.resolve().name, packed, Augment(pad=min(h, w) // 8, flip=True))


def _task(name: str, packed: Packed, augment: Augment) -> Task:
    return Task(
        name,
        packed.classes,
        packed.train,
        packed.test,
        augment,
        packed.mean,
        packed.std,
        packed.fingerprint,
    )
