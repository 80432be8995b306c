"""A folder of ready-made features: vectors and labels of two splits, of whatever network."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from labelgap.core.errors import DataError
from labelgap.data.checks import as_inputs
from labelgap.data.columns import class_names, label_column, the_one
from labelgap.data.contents import checked
from labelgap.data.labels import Labels, read_labels
from labelgap.data.parquet import damaged, merged, rows_of, split_files
from labelgap.data.source import Contents
from labelgap.data.types import Augment, Split, Task

SPLITS = ("train", "test")
FEATURE_NAMES = ("features", "embeddings", "embedding", "x", "z")
LABEL_NAMES = ("labels", "label", "y")
CLASS_NAMES = ("classes", "class_names", "names")


def load_features(folder: Path, name: str) -> Task | None:
    """The task of `train.npz` and `test.npz`, or of `train.parquet` and `test.parquet` (or shards)
    with a column of lists of numbers; None for a folder of something else.

    An `.npz` has an array [n, d] of numbers, an array [n] of labels (numbers or names), and, if
    wished, the names of the classes in the order of the numbers. Where several arrays fit, the
    names `features` and `labels` decide. Class names are matched between the files.

    Raises
    ------
    DataError: one split alone, arrays that do not fit, rows without a label, a NaN, with its row.
    """
    files = _npz(folder) or _lists(folder)
    if files is None:
        return None
    read = {f: read_npz(f) if f.suffix == ".npz" else _read_lists(f) for fs in files for f in fs}
    labels = [(f, found) for f, (_, found) in read.items()]
    names, first = merged(labels, len(files[0])), labels[: len(files[0])]
    raws = [rows_of(part, names, lambda: iter(())) for part in (first, labels[len(first) :])]
    _refuse_widths({f: x.shape[1] for f, (x, _) in read.items()})
    inputs = [np.concatenate([read[f][0] for f in fs]) for fs in files]
    contents, classes = checked(Contents(names, *raws), None)
    train, test = (
        Split(x, raw.labels) for x, raw in zip(inputs, (contents.train, contents.test), strict=True)
    )
    return Task.of(name, classes, train, test, Augment())


def _npz(folder: Path) -> list[list[Path]] | None:
    there = [folder / f"{split}.npz" for split in SPLITS]
    present = [path.is_file() for path in there]
    if not any(present):
        return None
    if not all(present):
        missing = there[present.index(False)]
        raise DataError(
            f"{folder} has no {missing.name}.", "Add it; it is never cut out of the other one."
        )
    return [[path] for path in there]


def _lists(folder: Path) -> list[list[Path]] | None:
    found = split_files(folder)
    if found is None:
        return None
    _, *splits = found
    try:
        schema = pq.read_schema(splits[0][0])
    except (pa.ArrowException, OSError):
        return None  # the reader of images says what is wrong with it
    return [list(files) for files in splits] if _vectors(schema) else None


def _refuse_widths(widths: dict[Path, int]) -> None:
    if len(set(widths.values())) > 1:
        listed = ", ".join(f"{file.name} has {width}" for file, width in widths.items())
        raise DataError(
            f"{next(iter(widths)).parent}: features of several widths: {listed}.",
            "Compute all by one network.",
        )


def _vectors(schema: Any) -> list[str]:
    return [
        field.name
        for field in schema
        if (
            pa.types.is_list(field.type)
            or pa.types.is_large_list(field.type)
            or pa.types.is_fixed_size_list(field.type)
        )
        and (
            pa.types.is_floating(field.type.value_type)
            or pa.types.is_integer(field.type.value_type)
        )
    ]


def _read_lists(file: Path) -> tuple[NDArray[np.float32], Labels]:
    try:
        table = pq.read_table(file)
    except (pa.ArrowException, OSError) as error:
        raise damaged(file, error) from error
    name = the_one(file, table.schema, _vectors(table.schema), FEATURE_NAMES, "lists of numbers")
    column = table.column(name).combine_chunks()
    if column.null_count:
        row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
        raise DataError(f"{file}: row {row} has no features.", "Remove it, or compute them.")
    widths = np.unique([len(x) for x in column]) if not _fixed(column) else [column.type.list_size]
    if len(widths) > 1:
        raise DataError(
            f"{file}: rows of {widths[0]} to {widths[-1]} features in {name!r}.",
            "Give each row as many.",
        )
    values = column.flatten().to_numpy(zero_copy_only=False)
    x = values.reshape(len(column), -1) if len(column) else np.empty((0, 0))
    label = label_column(file, table.schema)
    known = class_names(file, table.schema, label)
    return as_inputs(x, f"{file}: {name}"), read_labels(table.column(label), str(file), known)


def _fixed(column: Any) -> bool:
    return bool(pa.types.is_fixed_size_list(column.type))


def read_npz(file: Path) -> tuple[NDArray[np.float32], Labels]:
    try:
        with np.load(file, allow_pickle=False) as opened:
            arrays = {name: opened[name] for name in opened.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{file}: not a readable .npz of plain arrays ({error}).",
            "Write it by `numpy.savez(file, features=x, labels=y)`; objects are not read.",
        ) from error
    x = _array(file, arrays, FEATURE_NAMES, "an array [n, d] of features", _is_matrix)
    y = _array(file, arrays, LABEL_NAMES, "an array [n] of labels", lambda a: a.ndim == 1,
               CLASS_NAMES)  # fmt: skip
    if len(x) != len(y):
        raise DataError(f"{file}: {len(x)} rows of features and {len(y)} labels.", "One for each.")
    named = next((arrays[name] for name in CLASS_NAMES if name in arrays), None)
    known = None if named is None else [str(name) for name in named.ravel().tolist()]
    return as_inputs(x, f"{file}: features"), read_labels(pa.array(y.tolist()), str(file), known)


def _is_matrix(a: NDArray[Any]) -> bool:
    return a.ndim == 2 and a.dtype.kind in "fiu"


def _array(
    file: Path,
    arrays: dict[str, NDArray[Any]],
    preferred: tuple[str, ...],
    what: str,
    fits: Any,
    besides: tuple[str, ...] = (),
) -> NDArray[Any]:
    found = [name for name, a in arrays.items() if fits(a) and name not in besides]
    for name in (*preferred, *(found if len(found) == 1 else ())):
        if name in found:
            return arrays[name]
    listed = ", ".join(f"{name} {a.dtype}{list(a.shape)}" for name, a in arrays.items())
    raise DataError(
        f"{file}: {'several arrays could be' if found else 'no array is'} {what} "
        f"(it has {listed or 'none'}).",
        f"Name the one to use {preferred[0]!r}.",
    )
