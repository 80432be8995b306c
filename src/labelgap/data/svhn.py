"""SVHN's cropped digits from the official MATLAB files."""

import struct
import zlib
from pathlib import Path

import numpy as np

from labelgap.core.disk import not_the_disk
from labelgap.core.errors import DataError
from labelgap.data.source import Contents, Raw, Source

_FILES = ("train_32x32.mat", "test_32x32.mat")


def find_svhn(folder: Path) -> Source | None:
    """`train_32x32.mat` and `test_32x32.mat`; the easier `extra` images are left out.

    Raises `DataError` where one of the two is missing.
    """
    files = tuple(folder / name for name in _FILES)
    there = [path for path in files if path.is_file()]
    if not there:
        return None
    if len(there) == 1:
        missing = next(path for path in files if path not in there)
        raise DataError(f"{missing} is missing; {there[0].name} is there.", "Add it.")
    return Source("svhn-1", folder, files, lambda: Contents(None, _read(files[0]), _read(files[1])))


def _read(path: Path) -> Raw:
    from scipy.io import loadmat  # slow to import, so only where needed
    from scipy.io.matlab import MatReadError

    cure = "Get the file anew; it is damaged or not one of SVHN's cropped digits."
    try:
        table = loadmat(path, variable_names=("X", "y"))
    except (
        OSError, ValueError, TypeError, KeyError, IndexError, EOFError, NotImplementedError,
        MatReadError, MemoryError, struct.error, zlib.error,
    ) as error:  # fmt: skip
        not_the_disk(error, path)
        raise DataError(f"{path}: cannot be read ({error}).", cure) from error
    images, labels = table.get("X"), table.get("y")
    if images is None or labels is None:
        raise DataError(f"{path}: has no variable {'X' if images is None else 'y'!r}.", cure)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[:3] != (32, 32, 3):
        raise DataError(f"{path}: X is {images.dtype} {images.shape}, not bytes 32×32×3×n.", cure)
    if labels.size != images.shape[3] or labels.dtype.kind not in "iuf":
        raise DataError(f"{path}: {images.shape[3]} images, {labels.size} labels.", cure)
    digits = labels.ravel().astype(np.int64)
    if digits.min(initial=1) < 1 or digits.max(initial=10) > 10:
        row = int(np.flatnonzero((digits < 1) | (digits > 10))[0])
        raise DataError(f"{path}: row {row} has label {digits[row]}, outside 1..10.", cure)
    # MATLAB's arrays begin at 1, so the digit 0 is stored as 10.
    return Raw(digits % 10, images.transpose(3, 0, 1, 2), str(path))
