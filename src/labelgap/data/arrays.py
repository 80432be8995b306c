"""What a notebook has: arrays, or a data set of torch's kind."""

import operator
from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from labelgap.core.errors import DataError
from labelgap.data.checks import as_inputs, as_labels, class_names
from labelgap.data.images import decode, pixels
from labelgap.data.progress import late_progress
from labelgap.data.scales import Scales, WideFound, of_samples, sample, spread


@runtime_checkable
class MapDataset(Protocol):
    """What torch calls a map-style data set: its items are (input, label)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


Pair = tuple[NDArray[Any], NDArray[np.int64]]


def checked(
    x: Any,
    y: Any,
    test: Any,
    classes: Any,
    name: str,
) -> tuple[Pair, Pair, tuple[str, ...]]:
    """Training and test (inputs, labels) and the names of the classes; see `Task.from_arrays`."""
    given = class_names(classes)
    train = _pair(x, y, f"{name}: x", f"{name}: y", given)
    if not len(train[0]):
        raise DataError(f"{name}: x has no items.", "Give one at least.")
    if test is None:
        held = np.empty((0, *train[0].shape[1:]), train[0].dtype), np.empty(0, np.int64)
    elif not isinstance(test, (tuple, list)) or len(test) != 2:
        raise DataError(
            f"{name}: test is of type {type(test).__name__}.", "Give a pair: `test=(x, y)`."
        )
    else:
        x, y = test
        held = _pair(x, y, f"{name}: test x", f"{name}: test y", given)
    highest = max((int(labels.max()) for _, labels in (train, held) if len(labels)), default=-1)
    names = given or tuple(str(k) for k in range(highest + 1))
    if not names:
        raise DataError(
            f"{name}: no item has a label, so the classes are not known.", "Give `classes=`."
        )
    return train, held, names


def _pair(
    x: Any, y: Any, inputs_said: str, labels_said: str, names: tuple[str, ...] | None
) -> Pair:
    inputs = as_inputs(x, inputs_said)
    return inputs, as_labels(y, len(inputs), labels_said, names)


def stacked(
    dataset: Any, name: str, image_size: int | None, scales: Scales
) -> tuple[NDArray[Any], list[int], Scales]:
    """All items of a data set as one array, their labels, and what other values of open images
    than 8 bits became; see `Task.from_dataset`.

    scales: those of the training images; for kinds that are not in them, this data set's.
    """
    if not isinstance(dataset, MapDataset):
        raise DataError(
            f"{name} is of type {type(dataset).__name__}: no length, or no items by number.",
            "Give a map-style data set; of an iterable one, `list(dataset)`.",
        )
    if len(dataset) == 0:
        raise DataError(f"{name} is empty.", "Give a data set with items.")
    rows: list[NDArray[Any]] = []
    labels: list[int] = []
    with late_progress(f"Reading {name}", len(dataset)) as advance:
        for where, item, label in _items(dataset, name):
            try:
                row = _row(item, where, image_size, scales)
            except WideFound:
                some = [item, *(dataset[i][0] for i in spread(range(len(dataset))))]
                scales = of_samples((sample(x) for x in some if _is_open(x)), scales, "auto")
                row = _row(item, where, image_size, scales)
            if rows and row.shape != rows[0].shape:
                raise DataError(
                    f"{where} has shape {list(row.shape)}, the items before it "
                    f"{list(rows[0].shape)}.",
                    "Give image_size=, or resize in the data set's own transform."
                    if row.shape[:2] != rows[0].shape[:2]
                    else "Some are grey: take `image.convert('RGB')` in its transform.",
                )
            rows.append(row)
            labels.append(label)
            advance(1)
    return np.stack(rows), labels, scales


def _items(dataset: MapDataset, name: str) -> Iterator[tuple[str, Any, int]]:
    for i in range(len(dataset)):
        where, found = f"{name}, item {i}", dataset[i]
        if not isinstance(found, (tuple, list)) or len(found) != 2:
            raise DataError(
                f"{where} is a {type(found).__name__}, not (input, label).",
                "Wrap the data set so that it gives pairs.",
            )
        try:
            label = operator.index(found[1])  # int() would make 1 of 1.7 and of "1"
        except TypeError as error:
            raise DataError(
                f"{where} has the label {found[1]!r}.",
                "Labels are whole numbers of classes; −1 is an item without one.",
            ) from error
        yield where, found[0], label


def _is_open(item: Any) -> bool:
    """Whether it is an image of Pillow."""
    return hasattr(item, "convert")


def _row(item: Any, where: str, image_size: int | None, scales: Scales) -> NDArray[Any]:
    if hasattr(item, "detach"):
        item = _of_tensor(item.detach().cpu().numpy(), where)
    elif _is_open(item):
        item = pixels(item, where, scales)
    row: NDArray[Any] = np.asarray(item)
    if row.ndim == 2:
        row = row[..., None]
    if row.ndim == 3 and image_size is not None:
        if row.dtype != np.uint8 or row.shape[2] not in (1, 3):
            raise DataError(
                f"{where} is {row.dtype} {list(row.shape)}.", "Give uint8 images to be resized."
            )
        grey = row.shape[2] == 1
        item = where, row[..., 0] if grey else row
        row = decode(item, row.shape[2], None, image_size)
    return row


def _of_tensor(values: NDArray[Any], where: str) -> NDArray[Any]:
    """An image tensor [c, h, w] as uint8 [h, w, c]; vectors as they are."""
    if values.ndim != 3:
        return values
    values = values.transpose(1, 2, 0)
    if values.dtype.kind != "f":
        return values
    if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
        raise DataError(
            f"{where} has values from {values.min():g} to {values.max():g}; an image of floats "
            "is 0 to 1.",
            "Leave normalisation out of the data set's transform: labelgap does its own.",
        )
    bytes_: NDArray[Any] = np.rint(values * 255).astype(np.uint8)
    return bytes_
