"""How typical an item is of its cluster: the inverse mean distance to its nearest neighbours.

Hacohen et al. 2022, section 3.2. Distances are to nine digits; where only the most typical few
are asked for, products in the items' own type say first which they can be.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from labelgap.select.arrays import row_norms, wide_mean
from labelgap.select.distinct import Distinct, distinct
from labelgap.select.geometry import accurate

_ROWS = 1024


def typicality(
    z: Float[Tensor, "c d"],
    neighbours: int,
    sample: int,
    rng: np.random.Generator,
    best: int | None = None,
    among: Bool[np.ndarray, " c"] | None = None,
) -> Float[Tensor, " c"]:
    """1 / mean Euclidean distance to the nearest neighbours within one cluster; 0 for a lone item.

    Copies are neighbours at distance 0, as many as there are. In clusters larger than `sample`
    neighbours are sought in a uniform sample, and their number shrinks with it: the same quantile
    of the distances.

    Parameters
    ----------
    best: how many items must have their value and come in their order; those that certainly are
        not among them have 0. None: all.
    among: which items compete for it; None: all.
    """
    size = len(z)
    if size < 2:
        return torch.zeros(size, dtype=torch.float64)
    wanted = max(1, min(neighbours, size // 2))
    met = np.arange(size)
    if size > sample:
        met = np.sort(rng.choice(size, sample, replace=False))
        wanted = max(1, round(wanted * sample / size))
    copies = distinct(z)
    if copies.copies:
        return _with_copies(z, copies, met, wanted)
    mean, own = wide_mean(z), np.full(size, -1)
    own[met] = np.arange(len(met))
    rows, value = np.arange(size), torch.zeros(size, dtype=mean.dtype)
    if best is not None:
        rivals = rows if among is None else np.flatnonzero(among)
        rows = rivals[_may_be_best(z, mean, rivals, met, own, wanted, best)]
    others = z[torch.from_numpy(met)]
    for start in range(0, len(rows), _ROWS):
        part = torch.from_numpy(rows[start : start + _ROWS])
        d2 = accurate(z[part], others, mean)
        column = torch.from_numpy(own)[part]
        inside = torch.nonzero(column >= 0).squeeze(1)
        d2[inside, column[inside]] = torch.inf  # nobody is his own neighbour
        near = d2.topk(wanted, largest=False).values
        value[part] = 1.0 / (near.clamp_min(0.0).sqrt().mean(1) + 1e-5)
    return value


def _may_be_best(
    z: Float[Tensor, "c d"],
    mean: Float[Tensor, " d"],
    rivals: Int64[np.ndarray, " r"],
    met: Int64[np.ndarray, " s"],
    own: Int64[np.ndarray, " c"],
    wanted: int,
    best: int,
) -> Bool[np.ndarray, " r"]:
    """Which rivals may be among the `best` most typical, by distances in z's own type.

    A product of d terms is off by at most d roundings of its size (Higham 2002), so each of the
    sorted distances lies within that of the true one, and so does their mean.
    """
    if best >= len(rivals):
        return np.ones(len(rivals), dtype=bool)
    x = z - mean.to(z.dtype)
    norms = row_norms(x)
    items, size = x.cpu().numpy(), norms.cpu().numpy()
    few, reach = items[met], size[met]
    error = 4 * (z.shape[1] + 16) * torch.finfo(z.dtype).eps / 2
    least, most = np.empty(len(rivals)), np.empty(len(rivals))
    for start in range(0, len(rivals), _ROWS // 4):
        part = rivals[start : start + _ROWS // 4]
        d2 = items[part] @ few.T
        d2 *= -2.0
        d2 += reach
        d2 += size[part][:, None]
        inside = np.flatnonzero(own[part] >= 0)
        d2[inside, own[part][inside]] = np.inf
        near = np.partition(d2, wanted - 1)[:, :wanted].astype(np.float64)
        off = error * (size[part][:, None] + float(reach.max()))
        at = slice(start, start + len(part))
        least[at] = np.sqrt((near - off).clip(0)).mean(1)
        most[at] = np.sqrt((near + off).clip(0)).mean(1)
    bar = np.partition(most, best - 1)[best - 1]
    found: Bool[np.ndarray, " r"] = least <= bar
    return found


def _with_copies(
    z: Float[Tensor, "c d"], copies: Distinct, met: Int64[np.ndarray, " s"], wanted: int
) -> Float[Tensor, " c"]:
    """`typicality` of rows that are there several times: each is looked at once.

    An item that is itself among those that neighbours are sought in is not its own neighbour, so
    a row may have two values: of its items in the sample and of those outside.
    """
    found, counts = np.unique(copies.inverse[met], return_counts=True)
    weight = torch.from_numpy(counts).double()
    rows, others, mean = z[copies.rows], z[copies.rows[torch.from_numpy(found)]], wide_mean(z)
    own = np.full(len(rows), -1)
    own[found] = np.arange(len(found))
    inside = np.zeros(len(z), dtype=bool)
    inside[met] = True
    most = min(wanted + 1, len(found))
    values = np.zeros((len(rows), 2))
    for start in range(0, len(rows), _ROWS):
        d2 = accurate(rows[start : start + _ROWS], others, mean)
        near, at = d2.topk(most, largest=False)
        column = torch.from_numpy(own[start : start + _ROWS])[:, None]
        for itself in (0, 1):
            number = weight[at] - itself * (at == column).double()
            before = number.cumsum(1) - number
            taken = torch.minimum((wanted - before).clamp_min(0.0), number)
            value = (near.clamp_min(0.0).sqrt() * taken).sum(1) / taken.sum(1)
            values[start : start + len(d2), itself] = value.numpy()
    return torch.from_numpy(1.0 / (values[copies.inverse, inside.astype(np.int64)] + 1e-5))
