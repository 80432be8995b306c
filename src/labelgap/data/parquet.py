"""Parquet in the Hugging Face convention: encoded images and labels, named alike in all files."""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from labelgap.core.disk import not_the_disk
from labelgap.core.errors import DataError
from labelgap.data.columns import class_names, image_column, label_column
from labelgap.data.labels import Labels, class_order, read_labels
from labelgap.data.source import Contents, Item, Raw, Source

_SHARD = re.compile(r"-(\d+)-of-(\d+)\.parquet$")
_BATCH = 512  # rows read at a time


def find_parquet(folder: Path) -> Source | None:
    """The Parquet files of `folder` or of its subfolder `data`; `None` if there are none.

    Raises as `split_files`.
    """
    if (found := split_files(folder)) is None:
        return None
    base, train, test = found
    return Source("parquet-2", base, (*train, *test), partial(_read, train, test))


def split_files(folder: Path) -> tuple[Path, tuple[Path, ...], tuple[Path, ...]] | None:
    """Where the Parquet files are, the folder or its subfolder `data`, and those of both splits.

    Either `train.parquet` and `test.parquet`, or shards `train-*.parquet` and `test-*.parquet`.
    Raises `DataError` where one split or a shard is missing.
    """
    for base in (folder, folder / "data"):
        train, test = (_shards(base, split) for split in ("train", "test"))
        if not train and not test:
            continue
        for split, files in (("train", train), ("test", test)):
            if not files:
                raise DataError(
                    f"{base} has no {split}.parquet (nor {split}-*.parquet).",
                    f"Add the {split} split; it is never cut out of the other one.",
                )
        return base, train, test
    return None


def _shards(folder: Path, split: str) -> tuple[Path, ...]:
    whole = folder / f"{split}.parquet"
    if whole.is_file():
        return (whole,)
    files = tuple(sorted(folder.glob(f"{split}-*.parquet")))
    numbers = [(int(m[1]), int(m[2])) for f in files if (m := _SHARD.search(f.name))]
    if numbers:
        missing = set(range(numbers[0][1])) - {number for number, _ in numbers}
        if missing:
            raise DataError(
                f"{folder}: of {numbers[0][1]} {split} shards number {min(missing)} is missing.",
                "Get the missing shard.",
            )
    return files


def _read(train: tuple[Path, ...], test: tuple[Path, ...]) -> Contents:
    found = [(path, _labels(path)) for path in (*train, *test)]
    names = merged(found, len(train))
    splits = (found[: len(train)], found[len(train) :])
    return Contents(names, *(rows_of(s, names, partial(_images, s)) for s in splits))


def merged(found: Sequence[tuple[Path, Labels]], train: int) -> tuple[str, ...] | None:
    """The class names of all files, in the order of the first one that declares one; None where
    all have numbers only. The first `train` files say what classes there are.

    Raises `DataError` where one file names its classes and another does not, and for a class of a
    test file that no training file has.
    """
    named = [path for path, labels in found if labels.names is not None]
    nameless = [path for path, labels in found if labels.names is None]
    if not named:
        return None
    if nameless:
        raise DataError(
            f"{nameless[0]}: has numbers for labels, and {named[0]} names its classes; what the "
            "numbers mean is not known.",
            "Write the names into all files, or into none.",
        )
    # Declared ones first: their order is meant.
    of_train = sorted((labels for _, labels in found[:train]), key=lambda x: not x.declared)
    names = tuple(dict.fromkeys(name for labels in of_train for name in labels.names or ()))
    if not of_train[0].declared:
        names = class_order(names)
    for path, labels in found[train:]:
        for name in labels.names or ():
            if name not in names:
                raise DataError(
                    f"{path}: class {name!r} is none of the training files' "
                    f"({', '.join(names[:12])}).",
                    "Name the classes alike in all files; every one needs training images.",
                )
    return names


def rows_of(
    found: Sequence[tuple[Path, Labels]],
    names: tuple[str, ...] | None,
    images: Callable[[], Iterator[Item]],
) -> Raw:
    """The rows of one split's files, their labels as places in the merged names."""
    parts = []
    for _, labels in found:
        place = None if names is None else [names.index(name) for name in labels.names or ()]
        parts.append(labels.values if place is None else np.array([*place, -1])[labels.values])
    values, first = np.concatenate(parts), str(found[0][0])
    if not len(values):
        raise DataError(f"{first}: has no rows.")
    sizes = tuple((str(path), len(part)) for (path, _), part in zip(found, parts, strict=True))
    return Raw(values, images, first, sizes)


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> DataError:
    not_the_disk(error, path)
    return DataError(f"{path}: not a readable Parquet file ({error}).", "Get the file anew.")


def _labels(path: Path) -> Labels:
    file = _open(path)
    name = label_column(path, file.schema_arrow)
    try:
        column = file.read([name]).column(name)
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, error) from error
    return read_labels(column, str(path), class_names(path, file.schema_arrow, name))


def _images(found: Sequence[tuple[Path, Labels]]) -> Iterator[Item]:
    for path, _ in found:
        file = _open(path)
        name = image_column(path, file.schema_arrow)
        nested = pa.types.is_struct(file.schema_arrow.field(name).type)
        row = 0
        try:
            for batch in file.iter_batches(_BATCH, columns=[f"{name}.bytes" if nested else name]):
                column = batch.column(0).field("bytes") if nested else batch.column(0)
                for value in column:
                    data = value.as_py()
                    if data is None:
                        raise DataError(
                            f"{path}: row {row} has no image bytes.",
                            "Embed the images in the table; paths to files are not followed.",
                        )
                    yield f"{path}, row {row}", data
                    row += 1
        except (pa.ArrowException, OSError) as error:
            raise damaged(path, error) from error
