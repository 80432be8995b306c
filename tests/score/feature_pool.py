"""A small pool of feature shards, its labelled items, and what is known of it."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CLASSES, WIDTH = 3, 8


def labelled_file(folder: Path, seed: int = 0) -> Path:
    """30 labelled rows, ten a class."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(CLASSES), 10)
    x = rng.normal(size=(30, WIDTH)) + 3 * np.eye(CLASSES, WIDTH)[y]
    np.savez(folder / "labelled.npz", features=x.astype(np.float32), labels=y)
    return folder / "labelled.npz"


def pool(n: int, seed: int = 1) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    y = rng.integers(CLASSES, size=n)
    x = 1.3 * rng.normal(size=(n, WIDTH)) + 3 * np.eye(CLASSES, WIDTH)[y]
    return x.astype(np.float32)


def cut(folder: Path, x: NDArray[np.float32], parts: int) -> Path:
    """Shards of unequal sizes."""
    folder.mkdir()
    at = np.sort(np.random.default_rng(parts).choice(len(x), parts - 1, replace=False))
    for i, part in enumerate(np.split(x, at)):
        np.save(folder / f"{i:03}.npy", part)
    return folder
