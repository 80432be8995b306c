"""Arrays as people have them: taken where they are clear, refused with kind, shape and cure."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64, UInt8
from numpy.typing import NDArray

from labelgap.core.errors import DataError

Inputs = UInt8[np.ndarray, "n h w c"] | Float32[np.ndarray, "n d"]
_CHANNELS = (1, 3, 4)


def plain_array(values: Any, where: str) -> NDArray[Any]:
    """A numpy array of a numpy or torch array, or of nested lists.

    Raises `DataError` for what is no array of numbers.
    """
    if hasattr(values, "detach"):  # a torch tensor, on whatever device, with or without gradient
        values = values.detach().cpu()
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{where} cannot be made an array: {error}.",
            "Give one array; its items must have one shape.",
        ) from error
    if array.dtype.kind in "OUSV":
        raise DataError(f"{where} are {_kind(array)}.", "Give an array of numbers.")
    return array


def check_inputs(inputs: NDArray[Any], where: str) -> None:
    """Refuse what no network here takes: it is uint8 [n, h, w, c] or finite float32 [n, d].

    Features in a memory map were checked when they were written and are not read here.
    """
    shape = inputs.shape
    if inputs.ndim == 3:
        raise DataError(
            f"{where} are {_kind(inputs)}: there is no channel axis.", "Give `x[..., None]`."
        )
    if inputs.ndim not in (2, 4):
        raise DataError(
            f"{where} are {_kind(inputs)}.",
            "Give images as uint8 [n, height, width, channels] or vectors as float32 [n, d].",
        )
    if inputs.ndim == 4:
        if shape[3] not in _CHANNELS and shape[1] in _CHANNELS:
            raise DataError(
                f"{where} are {_kind(inputs)}: the channels come first.",
                "Give `x.transpose(0, 2, 3, 1)`; for a torch tensor `x.permute(0, 2, 3, 1)`.",
            )
        if inputs.dtype != np.uint8:
            cure = "`x.astype(np.uint8)`, if its values are 0 to 255"
            if inputs.dtype.kind == "f":
                cure = "`(x * 255).round().astype(np.uint8)`, if its values are 0 to 1"
            raise DataError(f"{where} are {_kind(inputs)}; images are uint8.", f"Give {cure}.")
        return
    if inputs.dtype != np.float32:
        raise DataError(
            f"{where} are {_kind(inputs)}; vectors are float32.", "Give `x.astype(np.float32)`."
        )
    if not isinstance(inputs, np.memmap):
        wrong = np.flatnonzero(~np.isfinite(inputs).all(axis=1))
        if len(wrong):
            raise DataError(
                f"{where}: {len(wrong)} rows hold NaN or infinity, the first is row {wrong[0]}.",
                "Remove these rows or fill the values in.",
            )


def as_inputs(values: Any, where: str) -> Inputs:
    """Images or vectors as they are stored; vectors of other numbers become float32."""
    array = plain_array(values, where)
    if array.ndim == 2:
        array = array.astype(np.float32, copy=False)
    check_inputs(array, where)
    return array


def as_labels(values: Any, n: int, where: str) -> Int64[np.ndarray, " n"]:
    """Labels as int64 [n]; None is "no label" for all, −1 for one."""
    if values is None:
        return np.full(n, -1, dtype=np.int64)
    array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
    if array.ndim != 1:
        cure = "Give `y[:, 0]`." if array.ndim == 2 and array.shape[1] == 1 else "Give [n]."
        raise DataError(f"{where} are {_kind(array)}; labels have one axis.", cure)
    if len(array) != n:
        raise DataError(f"{where}: {n} inputs but {len(array)} labels.", "Give one for each.")
    if array.dtype.kind in "OUS":
        raise DataError(
            f"{where} are {_kind(array)}; labels are numbers of classes.",
            "Give `classes, y = np.unique(y, return_inverse=True)`, and these classes.",
        )
    if array.dtype.kind == "f":
        wrong = np.flatnonzero(~np.isfinite(array) | (array != np.rint(array)))
        if len(wrong):
            raise DataError(
                f"{where}: row {wrong[0]} is {array[wrong[0]]} ({len(wrong)} such rows).",
                "Labels are whole numbers; −1 is an item without a label.",
            )
    if array.dtype.kind not in "iufb":
        raise DataError(f"{where} are {_kind(array)}.", "Give whole numbers.")
    return array.astype(np.int64)


def class_names(classes: Iterable[object] | None, highest: int) -> tuple[str, ...]:
    """The names of the classes; without them "0" … of the highest label.

    Raises `DataError` for a label so high that it can be no class.
    """
    if classes is not None:
        return tuple(str(name) for name in classes)
    if highest >= 1_000_000:
        raise DataError(f"A label is {highest}.", "Give the number of a class, or `classes=`.")
    return tuple(str(k) for k in range(highest + 1))


def _kind(array: NDArray[Any]) -> str:
    return f"{array.dtype} {list(array.shape)}"
