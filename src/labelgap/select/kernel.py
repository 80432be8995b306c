"""Similarity of items as a Gaussian kernel, and the widths at which it tells them apart."""

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from labelgap.core import scratch
from labelgap.select.arrays import ROWS, wide_mean
from labelgap.select.geometry import accurate

NARROW = 1e-3
"""Below this squared width products of float32 unit vectors are too coarse: float64 then."""


def unit(z: Float[Tensor, "n d"], mean: Float[Tensor, " d"]) -> Float[Tensor, "n d"]:
    """Rows seen from a mean, scaled to unit length; a row at the mean stays zero.

    Features of a network share a large common part, which makes all cosines alike: without it
    directions tell items apart.
    """
    made = scratch.empty(*z.shape, device=z.device)
    narrow = mean.to(device=z.device, dtype=torch.float32)
    for start in range(0, len(z), ROWS):
        part = slice(start, start + ROWS)
        made[part] = F.normalize(z[part].float() - narrow, dim=1)
    return made


def similarity(
    a: Float[Tensor, "r d"], b: Float[Tensor, "c d"], variance: float
) -> Float[Tensor, "r c"]:
    """exp(−‖a − b‖² / variance) of every pair, float32, 1 for the same item."""
    return SimilarityTo(b, variance)(a)


class SimilarityTo:
    """`similarity` of any items to the same ones, whose norms are found once."""

    def __init__(self, b: Float[Tensor, "c d"], variance: float) -> None:
        narrow = variance < NARROW and b.device.type != "mps"
        self.kind: torch.dtype = torch.float64 if narrow else torch.float32
        self.b: Tensor = b.to(self.kind)
        self.variance: float = variance
        self.shift: Tensor = _norms(self.b) / -variance

    def __call__(self, a: Float[Tensor, "r d"]) -> Float[Tensor, "r c"]:
        x = a.to(self.kind)
        # −(‖a‖² + ‖b‖² − 2 a·b) / variance, in one product and two passes.
        made = torch.addmm(self.shift, x, self.b.T, alpha=2.0 / self.variance)
        made -= (_norms(x) / self.variance)[:, None]
        return made.float().exp_().clamp_max_(1.0)


def _norms(x: Float[Tensor, "r d"]) -> Float[Tensor, " r"]:
    # In pieces: the squares of a whole pool are as large as the pool.
    return torch.cat([part.square().sum(1) for part in torch.split(x, 512)])


def squared(
    a: Float[Tensor, "r d"], b: Float[Tensor, "c d"], norms: Float[Tensor, " c"]
) -> Float[Tensor, "r c"]:
    """Squared distances by one float32 product; what is below its rounding is 0.

    norms: squared, of b.
    """
    x = _norms(a)[:, None]
    d2 = torch.addmm(norms, a, b.T, alpha=-2.0).add_(x)
    rounding = 4 * torch.finfo(d2.dtype).eps * float(x.max() + norms.max())
    return d2.masked_fill_(d2 <= rounding, 0.0)


def nearest_similarity(
    z: Float[Tensor, "n d"], centres: Float[Tensor, "c d"], variance: float
) -> Float[Tensor, " n"]:
    """The similarity of every item to the centre nearest to it; 0 where there is no centre."""
    best = z.new_zeros(len(z))
    for start in range(0, len(z), ROWS):
        part = best[start : start + ROWS]
        for some in torch.split(centres, ROWS) if len(centres) else ():
            found = similarity(z[start : start + ROWS], some, variance).amax(dim=1)
            torch.maximum(part, found.to(part.dtype), out=part)
    return best


def reach(
    z: Float[Tensor, "n d"],
    share: float,
    rng: np.random.Generator,
    anchors: int = 256,
    sample: int = 50_000,
    before: Float[Tensor, "l d"] | None = None,
) -> float:
    """The squared distance within which an item has its share of the others: the median of it.

    share: of the items, above 0; a share of less than one item is the nearest one.
    anchors: items whose neighbours are sought. sample: items among which; both drawn uniformly,
        so that the cost does not grow with the square of n.
    before: items that stand before those of z; so two arrays need not become one.
    """
    first = z[:0] if before is None else before
    size = len(first) + len(z)
    rows = np.arange(size)
    if size > sample:
        rows = np.sort(rng.choice(size, sample, replace=False))
    mine = torch.from_numpy(rows[rows >= len(first)] - len(first)).to(z.device)
    among = torch.cat([first[torch.from_numpy(rows[rows < len(first)]).to(z.device)], z[mine]])
    if len(among) < 2:
        return 0.0
    chosen = rng.permutation(len(among))[:anchors]
    anchor = torch.from_numpy(np.sort(chosen)).to(z.device)
    # The item itself is the first of its neighbours.
    place = min(len(among), 1 + max(1, round(share * len(among))))
    some = torch.split(among[anchor], 64)
    norms = _norms(among)
    found = [squared(few, among, norms).kthvalue(place, dim=1).values for few in some]
    return float(torch.cat(found).median())


def nearest_other(z: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """Squared distance of each item to the nearest that differs from it; ∞ where none does."""
    mean = wide_mean(z)
    found = []
    for some in torch.split(z, 1024):
        d2 = accurate(some, z, mean)
        found.append(d2.masked_fill_(d2 == 0, torch.inf).amin(1))
    return torch.cat(found)
