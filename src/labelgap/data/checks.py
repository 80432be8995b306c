"""Arrays as people have them: taken where they are clear, refused with kind, shape and cure."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Int64, UInt8
from numpy.typing import NDArray

from labelgap.core.errors import DataError
from labelgap.data.labels import checked_names, read_labels

Inputs = UInt8[np.ndarray, "n h w c"] | Float32[np.ndarray, "n d"]
_CHANNELS = (1, 3, 4)
_CHUNK = 65_536  # rows at a time: bounds the temporary arrays of a scan


def plain_array(values: Any, where: str) -> NDArray[Any]:
    """A numpy array of numbers of a numpy or torch array, or of nested lists.

    Raises `DataError` for what is no array of real numbers.
    """
    array = _array(values, where)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{where} are {kind_of(array)}.", "Give an array of real numbers.")
    return array


def _array(values: Any, where: str) -> NDArray[Any]:
    if hasattr(values, "detach"):  # a torch tensor, on whatever device, with or without gradient
        values = values.detach().cpu()
        if str(values.dtype) == "torch.bfloat16":  # numpy has no such kind
            values = values.float()
    try:
        return np.asarray(values)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{where} cannot be made an array: {error}.",
            "Give one array; its items must have one shape.",
        ) from error


def check_inputs(inputs: NDArray[Any], where: str) -> None:
    """Refuse what no network here takes: it is uint8 [n, h, w, c] or finite float32 [n, d].

    Features in a memory map were checked when they were written and are not read here.
    """
    shape = inputs.shape
    if inputs.ndim == 3:
        raise DataError(
            f"{where} are {kind_of(inputs)}: there is no channel axis.", "Give `x[..., None]`."
        )
    if inputs.ndim not in (2, 4):
        raise DataError(
            f"{where} are {kind_of(inputs)}.",
            "Give images as uint8 [n, height, width, channels] or vectors as float32 [n, d].",
        )
    if 0 in shape[1:]:
        raise DataError(f"{where} are {kind_of(inputs)}.", "An item needs one value at least.")
    if inputs.ndim == 4:
        if shape[3] not in _CHANNELS and shape[1] in _CHANNELS:
            raise DataError(
                f"{where} are {kind_of(inputs)}: the channels come first.",
                "Give `x.transpose(0, 2, 3, 1)`; for a torch tensor `x.permute(0, 2, 3, 1)`.",
            )
        if inputs.dtype != np.uint8:
            cure = "`x.astype(np.uint8)`, if its values are 0 to 255"
            if inputs.dtype.kind == "f":
                cure = "`(x * 255).round().astype(np.uint8)`, if its values are 0 to 1"
            raise DataError(f"{where} are {kind_of(inputs)}; images are uint8.", f"Give {cure}.")
        return
    if inputs.dtype != np.float32:
        raise DataError(
            f"{where} are {kind_of(inputs)}; vectors are float32.", "Give `x.astype(np.float32)`."
        )
    if not isinstance(inputs, np.memmap):
        check_finite(inputs, where)


def check_finite(inputs: NDArray[Any], where: str) -> None:
    """Refuse vectors [n, d] with NaN or infinity, naming the first such row."""
    wrong = [
        start + np.flatnonzero(~np.isfinite(inputs[start : start + _CHUNK]).all(axis=1))
        for start in range(0, len(inputs), _CHUNK)
    ]
    rows = np.concatenate(wrong) if wrong else np.empty(0, np.int64)
    if len(rows):
        raise DataError(
            f"{where} are {kind_of(inputs)}; {len(rows)} of these rows hold NaN or infinity, the "
            f"first is row {rows[0]}.",
            "Remove these rows or fill the values in.",
        )


def as_inputs(values: Any, where: str) -> Inputs:
    """Images or vectors as they are stored; vectors of other numbers become float32."""
    array = plain_array(values, where)
    if array.ndim == 2:
        array = array.astype(np.float32, copy=False)
    check_inputs(array, where)
    return array


def as_labels(
    values: Any, n: int, where: str, names: Sequence[str] | None = None
) -> Int64[np.ndarray, " n"]:
    """Labels as int64 [n]; None is "no label" for all, −1 for one.

    Of an array only its kind is looked at here; what its numbers mean is the rule of
    `labelgap.data.labels`, with two differences: truth values are the classes 0 and 1, and NaN is
    refused, since who has numbers can say −1.

    names: of the classes, where they are known: then −1 beside 1 is clear.
    """
    if values is None:
        return np.full(n, -1, dtype=np.int64)
    array = _array(values, where)
    if array.ndim == 1 and array.dtype.kind == "f":
        missing = np.flatnonzero(np.isnan(array))
        if len(missing):
            raise DataError(
                f"{where}: row {missing[0]} is nan ({len(missing)} such rows).",
                "Labels are whole numbers; −1 is an item without a label.",
            )
        array = array.astype(np.float64)
    elif array.ndim == 1 and array.dtype.kind == "b":
        array = array.astype(np.int64)
    else:
        check_label_kind(array, where)
    if len(array) != n:
        raise DataError(f"{where}: {n} inputs but {len(array)} labels.", "Give one for each.")
    if names is None and set(np.unique(array).tolist()) == {-1, 1}:
        raise DataError(
            f"{where} are −1 and 1: two classes, or none and one.",
            "Give `(y > 0).astype(int)` for two classes; `classes=` where −1 is no label.",
        )
    native = array.astype(array.dtype.newbyteorder("="), copy=False)  # Arrow takes no other
    return read_labels(pa.array(native), where, names).values


def check_label_kind(labels: NDArray[Any], where: str) -> None:
    """Refuse labels that are no whole numbers [n]; `as_labels` takes more."""
    if labels.dtype.kind in "OUS":
        raise DataError(
            f"{where} are {kind_of(labels)}; labels are numbers of classes.",
            "Give `classes, y = np.unique(y, return_inverse=True)`, and these classes.",
        )
    if labels.ndim != 1:
        cure = "Give `y[:, 0]`." if labels.ndim == 2 and labels.shape[1] == 1 else "Give [n]."
        raise DataError(f"{where} are {kind_of(labels)}; labels have one axis.", cure)
    if labels.dtype.kind not in "iu":
        raise DataError(
            f"{where} are {kind_of(labels)}; labels are int64.",
            "Give `y.astype(np.int64)`, if they are whole numbers.",
        )


def as_pool(values: Any, n: int, where: str) -> Int64[np.ndarray, " m"]:
    """Ids that may be asked for, as int64; None is every one of the n items.

    Raises `DataError` for what are not distinct numbers of rows.
    """
    if values is None:
        return np.arange(n, dtype=np.int64)
    ids = _array(values, where)
    if ids.ndim != 1 or (ids.dtype.kind not in "iu" and len(ids)):
        raise DataError(
            f"{where} is {kind_of(ids)}; it holds numbers of rows.",
            "Give whole numbers [m]; of a mask, `np.flatnonzero(mask)`.",
        )
    wrong = ids[(ids < 0) | (ids >= n)]
    if len(wrong):
        raise DataError(f"{where} has the id {wrong[0]}, outside 0..{n - 1}.", "Give row numbers.")
    if len(np.unique(ids)) != len(ids):
        raise DataError(f"{where} has an id twice.", "Give `np.unique(pool)`.")
    return ids.astype(np.int64)


def class_names(classes: Any) -> tuple[str, ...] | None:
    """The names given for the classes, None for none.

    Raises `DataError` for what are no names, and for one that comes twice.
    """
    if classes is None:
        return None
    if not isinstance(classes, Iterable):
        raise DataError(f"classes is {classes!r}.", "Give the names, such as `classes=range(3)`.")
    return checked_names([str(name) for name in classes], "classes")


def kind_of(array: NDArray[Any]) -> str:
    """Kind and shape, for messages."""
    return f"{array.dtype} {list(array.shape)}"
