"""Data sets: `load(name)` gives a `Task` of packed arrays."""

from pathlib import Path

import numpy as np

from labelgap.data.digits import digits
from labelgap.data.idx import read_idx
from labelgap.data.types import Augment, Split, Task
from labelgap.errors import DataError, UnknownName

__all__ = ["Augment", "Split", "Task", "load", "names"]

_FASHION = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def names() -> tuple[str, ...]:
    """The built-in data sets."""
    return ("digits", "fashion-mnist")


def load(
    name: str,
    *,
    root: Path | None = None,
    image_size: int | None = None,
    download: bool = False,
    cache: Path | None = None,
) -> Task:
    """The data set `name`."""
    if name == "digits":
        return digits()
    if name != "fashion-mnist":
        raise UnknownName("data set", name, names())
    for folder in (root, root and root / name, Path("/usr/share/datasets/fashion-mnist")):
        if folder and (folder / "train-images-idx3-ubyte.gz").is_file():
            splits = [
                Split(
                    read_idx(folder / f"{stem}-images-idx3-ubyte.gz", 3)[..., None],
                    read_idx(folder / f"{stem}-labels-idx1-ubyte.gz", 1).astype(np.int64),
                )
                for stem in ("train", "t10k")
            ]
            return Task.of(name, _FASHION, splits[0], splits[1], Augment(4, True))
    raise DataError("Fashion-MNIST's files were not found.", "Install dataset-fashion-mnist.")
