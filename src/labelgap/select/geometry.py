"""Squared distances among many items, fast for all and accurate for few.

Distances by matrix product lose digits where two items nearly coincide: the error is that of
the norms, not of the distance. Hence a ladder: float32 products for all items; where the
result is small against the norms, float64 products; where that is small too, direct
differences, which give exactly zero for duplicates. Features are centred first, which shortens
the norms and so the error.
"""

from typing import Protocol

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from labelgap.linalg import matmul
from labelgap.select.precision import wide

# Rows of a product at a time: chunk x block float32 values stay in the processor's cache.
_ROWS = 4096
# Below this share of the squared norms a float32 product has under four good digits.
_NEAR = 1e-2
# Below this share a float64 product has under nine: take differences.
_TOUCH = 1e-6
# Elements of a gathered float64 temporary, 32 MB.
_GATHER = 1 << 22


class Geometry(Protocol):
    """What greedy covering and D² sampling need to know of a set of items."""

    @property
    def device(self) -> torch.device:
        """Where the items live."""

    def __len__(self) -> int:
        """Number of items."""

    def pairs(self, rows: Int64[Tensor, " r"], cols: Int64[Tensor, " c"]) -> Float[Tensor, "r c"]:
        """Squared distances of a few items to a few others, float64, 0 for duplicates."""

    def nearest(self, cols: Int64[Tensor, " c"]) -> Float[Tensor, " n"]:
        """Squared distance of every item to the nearest of a few."""


class Euclidean:
    """Euclidean distance between rows of z [n, d]; one centred copy of z is kept."""

    def __init__(self, z: Float[Tensor, "n d"]) -> None:
        self.z = z.detach()
        self.mean = self.z.mean(0, dtype=wide(z.device))
        self.x = self.z - self.mean.to(z.dtype)
        self.norms = row_norms(self.x)

    @property
    def device(self) -> torch.device:
        return self.z.device

    def __len__(self) -> int:
        return len(self.z)

    def pairs(self, rows: Int64[Tensor, " r"], cols: Int64[Tensor, " c"]) -> Float[Tensor, "r c"]:
        return accurate(self.z[rows], self.z[cols], self.mean)

    def nearest(self, cols: Int64[Tensor, " c"]) -> Float[Tensor, " n"]:
        out = self.norms.clone()
        left = -2.0 * self.x[cols]
        norms = self.norms[cols, None]
        for i in range(0, len(self.x), _ROWS):
            part = slice(i, i + _ROWS)
            out[part] += matmul(left, self.x[part].T).add_(norms).amin(0)
        near = torch.nonzero(out < 2 * _NEAR * self.norms).squeeze(1)
        for few in near.split(max(1, _GATHER // max(len(cols), self.z.shape[1]))):
            out[few] = self.pairs(few, cols).amin(1).to(out.dtype)
        return out.clamp_min_(0.0)


def row_norms(x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """Squared norms of the rows, accumulated in float64, in x's own type."""
    parts = [part.to(wide(x.device)).square().sum(1) for part in torch.split(x, _ROWS)]
    return torch.cat(parts).to(x.dtype) if parts else x.new_empty(0)


def accurate(
    a: Float[Tensor, "r d"], b: Float[Tensor, "c d"], mean: Float[Tensor, " d"]
) -> Float[Tensor, "r c"]:
    """Squared Euclidean distances to about nine digits, in float64; 0 for equal rows."""
    a, b = a.to(mean.dtype), b.to(mean.dtype)
    x, y = a - mean, b - mean
    norms = x.square().sum(1)[:, None] + y.square().sum(1)
    d2 = norms - 2.0 * matmul(x, y.T)
    row, col = torch.nonzero(d2 <= _TOUCH * norms, as_tuple=True)
    step = max(1, _GATHER // max(1, a.shape[1]))
    for r, c in zip(torch.split(row, step), torch.split(col, step), strict=True):
        d2[r, c] = (a[r] - b[c]).square().sum(1)
    return d2
