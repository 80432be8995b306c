"""The first question, when nothing is labelled: diverse and typical images.

TypiClust's rule (Hacohen et al. 2022: with few labels, typical images teach more than unusual
ones) on frozen features, or on principal components of thumbnails where there is no backbone.
"""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from labelgap.axes.view import PoolView
from labelgap.core.config import build
from labelgap.core.streams import Streams
from labelgap.core.types import Ids, Query
from labelgap.methods.typiclust import TypiClust, TypiClustOptions

SIDE = 16
"""Thumbnails' side: shapes and colours survive, textures do not."""
COMPONENTS = 32
_CHUNK = 2048


def thumbnails(images: UInt8[np.ndarray, "n h w c"]) -> Float[Tensor, "n d"]:
    """Principal components of 16×16 thumbnails, at most 32, not whitened, float32.

    By eigenvectors of the covariance (768² however many images there are), accumulated in
    float64; deterministic, the sign of a component aside.
    """
    small = _small(images)
    mean = small.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((small.shape[1], small.shape[1]))
    for start in range(0, len(small), _CHUNK):
        block = small[start : start + _CHUNK] - mean
        covariance += block.T @ block
    _, vectors = np.linalg.eigh(covariance)
    axes = vectors[:, ::-1][:, :COMPONENTS]
    return torch.from_numpy(((small - mean) @ axes).astype(np.float32))


def _small(images: UInt8[np.ndarray, "n h w c"]) -> Float[np.ndarray, "n d"]:
    """Area averages of at most 16×16 cells, in [0, 1]."""
    n, h, w, c = images.shape
    rows, columns = (np.array_split(np.arange(s), min(SIDE, s)) for s in (h, w))
    small = np.empty((n, len(rows), len(columns), c), dtype=np.float32)
    for start in range(0, n, _CHUNK):
        block = images[start : start + _CHUNK].astype(np.float32) / 255
        for i, r in enumerate(rows):
            band = block[:, r].mean(axis=1)
            for j, q in enumerate(columns):
                small[start : start + _CHUNK, i, j] = band[:, q].mean(axis=1)
    return small.reshape(n, -1)


def typical(
    z: Float[Tensor, "n d"],
    candidates: Ids,
    labelled: Ids,
    n: int,
    streams: Streams,
    round: int,
    normalise: bool,
) -> Query:
    """n candidates: the most typical of each of as many groups as there will be labels.

    normalise: compare directions (features of a backbone) or distances (thumbnails).
    """
    view = PoolView(
        round=round,
        num_classes=1,
        labelled_ids=labelled,
        labels=np.zeros(len(labelled), dtype=np.int64),
        candidate_ids=candidates,
        labelled={"embedding": z[torch.from_numpy(labelled)]},
        candidates={"embedding": z[torch.from_numpy(candidates)]},
        streams=streams,
    )
    options = build(TypiClustOptions, {"normalise": normalise}, "acquisition")
    query: Query = TypiClust(options).select(view, n)
    return query
