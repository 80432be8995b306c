"""Parquet in the Hugging Face convention: encoded images and integer labels, found by type."""

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Int64

from labelgap.core.errors import DataError
from labelgap.data.source import Contents, Item, Raw, Source

# Where a table has several columns of the right type, the conventional name decides; CIFAR-100
# has fine and coarse labels, and the fine ones are its classes.
_IMAGE_NAMES = ("image", "img")
_LABEL_NAMES = ("label", "labels", "fine_label")
_SHARD = re.compile(r"-(\d+)-of-(\d+)\.parquet$")
_BATCH = 512  # rows read at a time


def find_parquet(folder: Path) -> Source | None:
    """The Parquet files of `folder` or of its subfolder `data`; `None` if there are none.

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
        return Source("parquet-1", base, (*train, *test), partial(_read, train, test))
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
    return Contents(_class_names(train[0]), _split(train), _split(test))


def _split(files: tuple[Path, ...]) -> Raw:
    labels = np.concatenate([_labels(path) for path in files])
    if not len(labels):
        raise DataError(f"{files[0]}: has no rows.")
    return Raw(labels, lambda: _images(files), str(files[0]))


def _open(path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path}: not a readable Parquet file ({error}).", "Get the file anew.")


def _labels(path: Path) -> Int64[np.ndarray, " n"]:
    file = _open(path)
    name = _column(path, file, "integer labels", _LABEL_NAMES, pa.types.is_integer)
    try:
        column = file.read([name]).column(name)
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from error
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy())[0])
        raise DataError(f"{path}: row {row} has no label.", "Remove the row or label it.")
    return np.asarray(column.to_numpy(), dtype=np.int64)


def _images(files: tuple[Path, ...]) -> Iterator[Item]:
    for path in files:
        file = _open(path)
        name = _column(path, file, "image bytes", _IMAGE_NAMES, _holds_image)
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
            raise _damaged(path, error) from error


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _holds_image(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(field.name == "bytes" and _is_bytes(field.type) for field in kind)
    return _is_bytes(kind)


def _column(
    path: Path,
    file: pq.ParquetFile,
    what: str,
    preferred: tuple[str, ...],
    fits: Callable[[pa.DataType], bool],
) -> str:
    schema = file.schema_arrow
    found = [field.name for field in schema if fits(field.type)]
    for name in preferred:
        if name in found:
            return name
    if len(found) == 1:
        return str(found[0])
    columns = ", ".join(f"{field.name}: {field.type}" for field in schema)
    raise DataError(
        f"{path}: {len(found) or 'no'} columns of {what} ({columns}).",
        f"Name the one to use {preferred[0]!r}.",
    )


def _class_names(path: Path) -> tuple[str, ...] | None:
    """The names that Hugging Face's metadata give to the label column's numbers."""
    file = _open(path)
    label = _column(path, file, "integer labels", _LABEL_NAMES, pa.types.is_integer)
    raw = (file.schema_arrow.metadata or {}).get(b"huggingface")
    if raw is None:
        return None
    try:
        names = json.loads(raw)["info"]["features"][label].get("names")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: its Hugging Face metadata do not describe the column {label!r} ({error!r})."
        ) from error
    return tuple(str(name) for name in names) if names else None
