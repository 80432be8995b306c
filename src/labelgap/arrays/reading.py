"""Arrays of any library as numpy arrays, or a word about what is wrong with them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from labelgap.core.errors import DataError, DeviceError, NumericalError

_HOST = frozenset({1, 3})
"""DLPack's kinds of device whose memory the processor reads: its own, and pinned for CUDA."""
_NAMED = 10
_SUM = 1e-2
"""How far a row of probabilities may be from 1: half precision, and rounding to two digits."""


def as_array(value: Any, name: str) -> NDArray[Any]:
    """The values as a numpy array, without a copy where the library allows it.

    Taken are numpy (memory maps too), torch, jax, pandas, lists, and whatever has `__array__` or
    DLPack.

    Raises
    ------
    DeviceError: it lies on a GPU.
    DataError: it is sparse, ragged, or of Python objects or text.
    """
    _refuse_device(value, name)
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        raise DataError(f"{name} is a sparse matrix.", f"Give `{name}.toarray()`.")
    if hasattr(value, "detach"):  # torch, without importing it here
        value = value.detach()
        value = (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()
    try:
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            return np.from_dlpack(value)
        return np.asarray(value)
    except (ValueError, TypeError, RuntimeError, BufferError) as error:
        raise DataError(
            f"{name} cannot be read as an array: {error}.",
            "Give an array whose rows have the same length.",
        ) from error


def _refuse_device(value: Any, name: str) -> None:
    device = getattr(value, "device", None)
    kind = getattr(device, "type", None)
    if hasattr(value, "detach") and kind is not None:
        if kind != "cpu":
            raise DeviceError(f"{name} lies on {device}.", f"Give `{name}.cpu()`.")
        return
    if hasattr(value, "__dlpack_device__") and int(value.__dlpack_device__()[0]) not in _HOST:
        raise DeviceError(
            f"{name}, a {type(value).__name__}, does not lie in main memory.",
            "Copy it to the host first: `jax.device_get(x)`, `cupy.asnumpy(x)`.",
        )


def numbers(value: Any, name: str, *, ndim: int | None = None) -> NDArray[Any]:
    """An array of real numbers; with `ndim`, of so many axes.

    Raises `DataError` naming the array; also what `as_array` raises.
    """
    array = as_array(value, name)
    if array.dtype.kind not in "fiub":
        what = {"O": "Python objects", "U": "text", "S": "bytes", "c": "complex numbers"}
        raise DataError(
            f"{name} is an array of {what.get(array.dtype.kind, str(array.dtype))}.",
            f"Give numbers, for example `np.asarray({name}, dtype=np.float32)`; leave out columns "
            "of text.",
        )
    if ndim is not None and array.ndim != ndim:
        shape = "[items, width]" if ndim == 2 else f"{ndim} axes"
        raise DataError(
            f"{name} has the shape {list(array.shape)}.",
            f"Give {shape}: a row for each item"
            + (f", for example `{name}.reshape(len({name}), -1)`." if array.ndim > ndim else "."),
        )
    return array


def finite(array: NDArray[Any], rows: NDArray[np.int64], ids: NDArray[Any], name: str) -> None:
    """Raises `NumericalError` naming items whose rows hold NaN or infinity.

    ids: of all rows of the array.
    """
    if array.dtype.kind != "f":
        return
    bad = [
        part[~np.isfinite(array[part]).all(axis=tuple(range(1, array.ndim)))]
        for part in np.array_split(rows, max(1, len(rows) // 4096))
    ]
    wrong = np.concatenate(bad)
    if len(wrong):
        raise NumericalError(
            f"{name} is NaN or infinite for {len(wrong)} of {len(rows)} items: "
            f"{listed(ids[wrong])}.",
            "Fill these values in, or leave the items out by `available=`.",
        )


def listed(ids: Any) -> str:
    """The first of some ids, for messages."""
    shown = ", ".join(str(id) for id in ids[:_NAMED])
    return shown + (f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else "")


def log_probabilities(array: NDArray[Any], ids: NDArray[Any]) -> NDArray[np.float32]:
    """Logarithms of probabilities [n, k], which serve as logits: their softmax gives them back.

    A probability of 0 is taken for the smallest that float32 has. Rows that hold NaN stay so.

    Raises `DataError` naming items whose row is no distribution.
    """
    p = array.astype(np.float64)
    with np.errstate(invalid="ignore"):
        negative, off = (p < 0).any(axis=1), np.abs(p.sum(axis=1) - 1.0) > _SUM
    if negative.any():
        raise DataError(
            f"probabilities are negative for {int(negative.sum())} items: {listed(ids[negative])}.",
            "Give `logits=` where these are scores before the softmax.",
        )
    if off.any():
        first = int(np.flatnonzero(off)[0])
        raise DataError(
            f"probabilities do not sum to 1 for {int(off.sum())} items: {listed(ids[off])}; "
            f"the first sums to {p[first].sum():.4g}.",
            "Give one distribution over the classes a row, or `logits=` for scores before the "
            "softmax.",
        )
    return np.log(np.maximum(p, np.finfo(np.float32).tiny)).astype(np.float32)
