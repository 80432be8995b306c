"""A map of the photographs: alike ones lie together. And its regions: groups of them.

t-SNE keeps neighbours together; distances across the map, sizes and gaps mean nothing.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64

from labelgap.core.streams import Streams
from labelgap.report.plane import layout
from labelgap.select.kmeans import kmeans

COMPONENTS = 50
"""Principal components that the map is drawn from: the rest is mostly noise to neighbours, and
costs time (van der Maaten and Hinton 2008, §4.1 use 30; openTSNE and scikit-learn advise 50)."""
MOST = 20_000
"""Images that are drawn at most: minutes on two cores, and more dots than a screen tells apart."""
REGIONS = 24
"""At most as many as a list of filters can show."""
SMALLEST = 12
"""Images in a region on average at least."""


def components(z: Float32[np.ndarray, "n d"], q: int = COMPONENTS) -> Float[np.ndarray, "n q"]:
    """Scores on the q largest principal components, in float64, the largest first.

    Eigenvectors have no sign of their own: each is turned so that its entries sum to 0 or more.
    """
    x = z.astype(np.float64) - z.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(x.T @ x)
    axes = axes[:, ::-1][:, :q]
    axes = axes * np.where(axes.sum(axis=0) < 0, -1.0, 1.0)
    made: Float[np.ndarray, "n q"] = x @ axes
    return made


def plane(
    z: Float32[np.ndarray, "n d"],
    seed: int,
    progress: Callable[[int, int], None] | None = None,
    threads: int = 1,
) -> tuple[Int64[np.ndarray, " m"], Float32[np.ndarray, "m 2"]]:
    """Which rows are drawn, ascending, and where: x and y in [0, 1], one scale for both.

    Of more than 20,000 rows a uniform sample is drawn.
    """
    rows = np.arange(len(z), dtype=np.int64)
    if len(z) > MOST:
        rng = Streams(seed).numpy("map")
        rows = np.sort(rng.choice(len(z), MOST, replace=False)).astype(np.int64)
    if not len(rows):
        return rows, np.empty((0, 2), dtype=np.float32)
    reduced = components(z[rows])
    start = np.zeros((len(rows), 2))
    start[:, : min(2, reduced.shape[1])] = reduced[:, :2]
    made = layout(reduced, start, seed, progress=progress, threads=threads)
    low, high = made.min(axis=0), made.max(axis=0)
    size = float((high - low).max()) or 1.0
    return rows, (0.5 + (made - (low + high) / 2) / size).astype(np.float32)


def regions(z: Float32[np.ndarray, "n d"], seed: int) -> Int64[np.ndarray, " n"]:
    """Each row's region, 0 for the largest: k-means on 16 principal components, as the regions
    that a training notes (`project.asking.regions`) are of so many too."""
    k = min(REGIONS, len(z) // SMALLEST)
    if k < 2:
        return np.zeros(len(z), dtype=np.int64)
    reduced = torch.from_numpy(components(z, 16).astype(np.float32))
    _, cluster, _ = kmeans(reduced, k, Streams(seed).numpy("regions of the map"))
    found = cluster.numpy()
    order = np.argsort(-np.bincount(found, minlength=k), kind="stable")
    rank = np.empty(k, dtype=np.int64)
    rank[order] = np.arange(k)
    numbered: Int64[np.ndarray, " n"] = rank[found]
    return numbered
