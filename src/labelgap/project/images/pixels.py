"""The packed pixels of a project: one row of bytes an item.

Rows are appended; one is written anew only when the pixels are packed anew after damage.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from labelgap.core.disk import told
from labelgap.core.errors import DataError
from labelgap.data.scales import Scales

CHANNELS = 3
"""Grey images are repeated: a colour image may come later, and backbones want three."""


class Pixels:
    """Rows of uint8 [side, side, 3] in one file without a header; row k is item k.

    side: pixels of a square's side.
    scales: what other values than 8 bits became.
    """

    def __init__(self, file: Path, side: int, scales: Scales) -> None:
        self.file: Path = file
        self.side: int = side
        self.scales: Scales = scales
        self.row: int = side * side * CHANNELS

    def append(self, images: Sequence[UInt8[np.ndarray, "h w c"]], after: int) -> None:
        """Write rows `after`, `after` + 1, … to the disk; what lies behind is replaced.

        Raises `DiskError` where the disk is full; the rows before are as they were.
        """
        if images:
            cure = "Free some disk space and run `labelgap add`: it goes on where it stopped."
            self._write(enumerate(images, after), cure)

    def replace_rows(self, images: Mapping[int, UInt8[np.ndarray, "h w c"]]) -> None:
        """Write the rows of these items anew to the disk (packing anew after damage).

        Raises `DiskError` where the disk is full; each of these rows is then old, new or torn.
        """
        if images:
            cure = "Free some disk space and run `labelgap doctor --repack` again."
            self._write(images.items(), cure)

    def _write(self, rows: Iterable[tuple[int, UInt8[np.ndarray, "h w c"]]], cure: str) -> None:
        # A stream and not a map: a full disk is then an error and not a bus error.
        with (
            told(self.file, "written", cure),
            open(self.file, "r+b" if self.file.exists() else "w+b") as file,
        ):
            for row, image in rows:
                file.seek(row * self.row)
                file.write(np.ascontiguousarray(image).tobytes())
            file.flush()
            os.fsync(file.fileno())

    def trim(self, rows: int) -> None:
        """Cut off what a killed process wrote behind the last item."""
        size = self.file.stat().st_size if self.file.exists() else 0
        if size < rows * self.row:
            raise DataError(
                f"{self.file} holds {size // self.row} images of {rows}.",
                "Run `labelgap doctor --repack`, which packs them anew from the files.",
            )
        if size > rows * self.row:
            with told(self.file):
                os.truncate(self.file, rows * self.row)

    def open(self, rows: int) -> UInt8[np.ndarray, "n h w c"]:
        """The first `rows` rows, mapped copy-on-write: what a caller writes into them never
        reaches the file."""
        shape = (rows, self.side, self.side, CHANNELS)
        if rows == 0:
            return np.empty(shape, dtype=np.uint8)
        size = self.file.stat().st_size if self.file.exists() else 0
        if size < rows * self.row:
            raise DataError(
                f"{self.file} holds {size // self.row} images of {rows}.",
                "Run `labelgap doctor --repack`, which packs them anew from the files.",
            )
        return np.memmap(self.file, dtype=np.uint8, mode="c", shape=shape)
