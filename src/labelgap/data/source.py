"""What a reader hands over to be packed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from labelgap.data.left_out import LeftOut

Array = UInt8[np.ndarray, "..."]

# The name that an error shows (a file, or a file and a row) and the image: its bytes, its file,
# or its pixels [h, w, c].
Item = tuple[str, bytes | Path | Array]


@dataclass(frozen=True)
class Raw:
    """One split as it was found.

    labels: int64 [n].
    images: uint8 [n, h, w, c], or a function that starts a new pass over the n images.
    where: the file or folder, for messages about labels.
    parts: the files that the rows are of, in order, with the number of each; () for one.
    """

    labels: Int64[np.ndarray, " n"]
    images: Array | Callable[[], Iterator[Item]]
    where: str
    parts: tuple[tuple[str, int], ...] = ()

    def place(self, row: int) -> str:
        """A row as its own file counts it, for messages."""
        for name, size in self.parts:
            if row < size:
                return f"{name}: row {row}"
            row -= size
        return f"{self.where}: row {row}"

    def items(self) -> Iterator[Item]:
        if callable(self.images):
            yield from self.images()
        else:
            for row, image in enumerate(self.images):
                yield f"{self.where}, row {row}", image


@dataclass(frozen=True)
class Contents:
    """Both splits and the class names; `None` where the files do not tell the names."""

    classes: tuple[str, ...] | None
    train: Raw
    test: Raw


@dataclass(frozen=True)
class Source:
    """A data set that was found but not read.

    format: the reader's name and version; part of the key of the packed copy.
    base: the folder that the names of `files` are relative to, in that key.
    files: every file that the contents depend on.
    read: reads them.
    left_out: what lies beside the files and is not read.
    """

    format: str
    base: Path
    files: tuple[Path, ...]
    read: Callable[[], Contents]
    left_out: tuple[LeftOut, ...] = ()
