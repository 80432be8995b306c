"""A pickle reader that can make numbers, text, lists, dictionaries and integer arrays only.

CIFAR's python archives are pickles, and a pickle is a program. This reader never calls anything
from outside this file: the three names that an array needs are bound to inert stand-ins, every
other name is refused before it is looked up.
"""

import io
import pickle
from typing import Any

import numpy as np

_TYPES = frozenset({"u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8"})


class _DType:
    """Stands for numpy.dtype: an integer type and its byte order."""

    def __init__(self, code: object, *_: object) -> None:
        if code not in _TYPES:
            raise pickle.UnpicklingError(f"values of type {code!r}")
        self.code = str(code)
        self.order = "|"

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        # (version, byte order, subdtype, names, fields, …): only the order says anything here.
        if state[1] not in ("<", ">", "|", "="):
            raise pickle.UnpicklingError(f"byte order {state[1]!r}")
        self.order = state[1]


class _Array:
    """Stands for numpy.ndarray until its state, the bytes, arrives."""

    def __init__(self) -> None:
        self.array = np.empty(0, dtype=np.uint8)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, raw = state
        if not isinstance(dtype, _DType) or not isinstance(raw, bytes | str):
            raise pickle.UnpicklingError("an array that is not one of integers")
        # Python 2 pickled bytes as text; "latin1" maps them back one to one.
        data = raw.encode("latin1") if isinstance(raw, str) else raw
        flat = np.frombuffer(data, np.dtype(dtype.order + dtype.code))
        self.array = flat.reshape(shape, order="F" if fortran else "C")


class _Inert:
    """A callable whose state a pickle cannot touch."""

    __slots__ = ()

    def __setstate__(self, _: object) -> None:
        raise pickle.UnpicklingError("state for something that has none")


class _Reconstruct(_Inert):
    __slots__ = ()

    def __call__(self, *_: object) -> _Array:
        return _Array()


class _Encode(_Inert):
    __slots__ = ()

    def __call__(self, text: object, codec: object) -> bytes:
        if not isinstance(text, str) or codec != "latin1":
            raise pickle.UnpicklingError("text in another encoding")
        return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], object] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("numpy.core.multiarray", "_reconstruct"): _Reconstruct(),
    ("numpy._core.multiarray", "_reconstruct"): _Reconstruct(),
    # How Python 3 writes bytes in the old protocols that CIFAR uses.
    ("_codecs", "encode"): _Encode(),
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is refused")
        return _ALLOWED[module, name]


def unpickle_table(raw: bytes) -> dict[str, object]:
    """The dictionary in `raw`, its keys as str, the arrays among its values as numpy's.

    Python 2's strings come as str with one character a byte. Raises `pickle.UnpicklingError`
    for whatever is not a dictionary of data, is damaged or is truncated.
    """
    try:
        table = _Reader(io.BytesIO(raw), encoding="latin1").load()
    except pickle.UnpicklingError:
        raise
    except (
        ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError, OverflowError,
        MemoryError, RecursionError, ImportError,
    ) as error:  # fmt: skip
        raise pickle.UnpicklingError(f"{type(error).__name__}: {error}") from error
    if not isinstance(table, dict):
        raise pickle.UnpicklingError("not a dictionary")
    return {
        key.decode("latin1") if isinstance(key, bytes) else str(key): (
            value.array if isinstance(value, _Array) else value
        )
        for key, value in table.items()
    }
