"""Squared distances among many items, fast for all and accurate for few.

Distances by matrix product lose digits where two items nearly coincide: the error is that of
the norms, not of the distance. Hence a ladder: float32 products for all items; where the
result is small against the norms, float64 products; where that is small too, direct
differences, which give exactly zero for duplicates. Features are centred first, which shortens
the norms and so the error.
"""

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from labelgap.core import scratch
from labelgap.select.arrays import ROWS, Factor, lowest, row_norms, views, wide_mean
from labelgap.select.distinct import Distinct

# Below this share of the squared norms a float32 product has under four good digits.
NEAR = 1e-2
# Below this share a float64 product has under nine: take differences.
TOUCH = 1e-6
# Elements of a gathered float64 temporary, 32 MB.
GATHER = 1 << 22


@runtime_checkable
class Geometry(Protocol):
    """What D² sampling needs to know of a set of items."""

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
    """Euclidean distance between rows of z [n, d]; one centred copy of z is kept.

    mean: what to centre at; None is the mean of z.
    """

    def __init__(self, z: Float[Tensor, "n d"], mean: Float[Tensor, " d"] | None = None) -> None:
        self.z: Tensor = z.detach()
        self.mean: Tensor = wide_mean(self.z) if mean is None else mean
        self.x: Tensor = scratch.empty(*self.z.shape, dtype=z.dtype, device=z.device)
        torch.sub(self.z, self.mean.to(z.dtype), out=self.x)
        self.norms: Tensor = row_norms(self.x)

    @property
    def device(self) -> torch.device:
        return self.z.device

    def __len__(self) -> int:
        return len(self.z)

    def pairs(self, rows: Int64[Tensor, " r"], cols: Int64[Tensor, " c"]) -> Float[Tensor, "r c"]:
        return self.to(rows, self.z[cols])

    def to(self, rows: Int64[Tensor, " r"], few: Float[Tensor, "c d"]) -> Float[Tensor, "r c"]:
        """Squared distances of a few items to a few points, float64, 0 where they coincide."""
        return accurate(self.z[rows], few, self.mean)

    def nearest(self, cols: Int64[Tensor, " c"]) -> Float[Tensor, " n"]:
        out = self.norms + lowest([Factor(self.x, -2.0 * self.x[cols])], self.norms[cols])
        near = torch.nonzero(out < 2 * NEAR * self.norms).squeeze(1)
        for few in torch.split(near, max(1, GATHER // max(len(cols), self.z.shape[1]))):
            out[few] = self.pairs(few, cols).amin(1).to(out.dtype)
        return out.clamp_min_(0.0)


class WithCopies:
    """A geometry of items with copies, by that of the rows that differ: each is looked at once."""

    def __init__(self, geometry: Geometry, found: Distinct) -> None:
        self.geometry = geometry
        self.inverse: Tensor = torch.from_numpy(found.inverse).to(geometry.device)

    @property
    def device(self) -> torch.device:
        return self.geometry.device

    def __len__(self) -> int:
        return len(self.inverse)

    def pairs(self, rows: Int64[Tensor, " r"], cols: Int64[Tensor, " c"]) -> Float[Tensor, "r c"]:
        one, i = torch.unique(self.inverse[rows], return_inverse=True)
        two, j = torch.unique(self.inverse[cols], return_inverse=True)
        return self.geometry.pairs(one, two)[i][:, j]

    def nearest(self, cols: Int64[Tensor, " c"]) -> Float[Tensor, " n"]:
        return self.geometry.nearest(torch.unique(self.inverse[cols]))[self.inverse]


def accurate(
    a: Float[Tensor, "r d"], b: Float[Tensor, "c d"], mean: Float[Tensor, " d"]
) -> Float[Tensor, "r c"]:
    """Squared Euclidean distances to about nine digits, in float64; 0 for equal rows."""
    xp, (a_, b_, m) = views(a, b, mean)
    x, y = a_ - m, b_ - m  # m is wide, so these are
    norms = xp.einsum("ij,ij->i", x, x)[:, None] + xp.einsum("ij,ij->i", y, y)
    d2 = norms - 2.0 * (x @ y.T)
    row, col = xp.where(d2 <= TOUCH * norms)
    step = max(1, GATHER // max(1, a.shape[1]))
    wide_a = a_ + 0 * m
    for i in range(0, len(row), step):
        r, c = row[i : i + step], col[i : i + step]
        gap = wide_a[r] - b_[c]
        d2[r, c] = xp.einsum("ij,ij->i", gap, gap)
    return torch.as_tensor(d2)


def closer(
    a: Float[Tensor, "r d"], b: Float[Tensor, "c d"], mean: Float[Tensor, " d"], radius: float
) -> Bool[np.ndarray, "r c"]:
    """Is the distance of each pair below the radius? As `accurate` has it, at half the cost.

    Products in the items' own type decide all pairs but those within their rounding of the radius.
    """
    narrow = mean.to(a.dtype)
    xp, (x, y) = views(a - narrow, b - narrow)
    norms = xp.einsum("ij,ij->i", x, x)[:, None] + xp.einsum("ij,ij->i", y, y)
    off = x @ y.T
    off *= -2.0
    off += norms
    off -= radius**2
    # Sums of d products are off by at most d roundings of the sum of their sizes (Higham 2002).
    norms *= (a.shape[1] + 8) * torch.finfo(a.dtype).eps
    row, col = xp.where(xp.abs(off) <= norms)
    inside = torch.as_tensor(off < 0).cpu().numpy()
    step = max(1, GATHER // max(1, a.shape[1]))
    for i in range(0, len(row), step):
        r, c = (torch.as_tensor(index[i : i + step]) for index in (row, col))
        gap = a[r].to(mean.dtype) - b[c].to(mean.dtype)
        near = gap.square_().sum(1) < radius**2
        inside[r.cpu().numpy(), c.cpu().numpy()] = near.cpu().numpy()
    return inside


def accurate_nearest(
    a: Float[Tensor, "r d"], b: Float[Tensor, "c d"], mean: Float[Tensor, " d"]
) -> Float[Tensor, " r"]:
    """`accurate` distance of each row of a to the nearest of b, a piece at a time."""
    out = torch.full((len(a),), torch.inf, dtype=mean.dtype, device=a.device)
    for i in range(0, len(a), ROWS):
        part = slice(i, i + ROWS)
        for some in torch.split(b, 512):
            xp, (d2,) = views(accurate(a[part], some, mean))
            out[part] = torch.minimum(out[part], torch.as_tensor(xp.amin(d2, 1)))
    return out
