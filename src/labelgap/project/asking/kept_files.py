"""Arrays that are a while in the making, kept in one file under a hash of what they depend on."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile

import numpy as np

from labelgap.core.disk import not_the_disk
from labelgap.core.files import write_atomically

Arrays = dict[str, np.ndarray]


def kept_file(file: Path, key: str, make: Callable[[], Arrays]) -> Arrays:
    """The arrays of `file` if they were made under this key; else made and kept in its place.

    One file, whatever the key: what is of other labels is of no use any more. A damaged one is
    made anew, with a warning. Raises `DiskError` where the disk refuses.
    """
    if file.is_file():
        try:
            with np.load(file, allow_pickle=False) as known:
                if str(known["key"]) == key:
                    return {name: known[name] for name in known.files if name != "key"}
        except (OSError, BadZipFile, ValueError, KeyError, EOFError) as error:
            not_the_disk(error, file)
            warnings.warn(f"{file} is damaged ({error!r}): making it anew.", stacklevel=2)
    made = make()
    write_atomically(file, lambda sink: _save(sink, key, made))
    return made


def _save(sink: IO[bytes], key: str, made: Arrays) -> None:
    arrays: dict[str, Any] = {"key": np.array(key), **made}
    np.savez(sink, **arrays)
