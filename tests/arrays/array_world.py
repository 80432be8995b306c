"""Features, predictions and labels of a small pool, for tests of the calls on arrays."""

from typing import Any

import numpy as np

N, WIDTH, CLASSES = 90, 6, 3
LABELLED = np.array([70, 3, 41, 8, 12, 66])


def world(seed: int = 0) -> dict[str, Any]:
    """Arguments of `labelgap.choose`, but n: three groups, some of each labelled."""
    rng = np.random.default_rng(seed)
    y = rng.integers(CLASSES, size=N)
    y[LABELLED] = [0, 1, 2, 0, 1, 2]
    z = (3 * np.eye(CLASSES, WIDTH)[y] + rng.standard_normal((N, WIDTH))).astype(np.float32)
    p = np.exp(z[:, :CLASSES].astype(np.float64))
    p /= p.sum(axis=1, keepdims=True)
    return {"features": z, "probabilities": p, "labelled": LABELLED, "labels": y[LABELLED]}


def unlabelled() -> np.ndarray:
    return np.setdiff1d(np.arange(N), LABELLED)
