"""D² sampling, the law of k-means++ seeding (Arthur and Vassilvitskii 2007), a block at a time.

The next pick is drawn with probability proportional to the squared distance to the nearest pick
so far. Plainly this reads all features once per pick. Here m proposals are drawn from the law
as it stood at the start of a block, and each is accepted with probability d_new / d_old, where
d_new also counts the picks made within the block. Distances only shrink, so the ratio is a
probability and every accepted proposal has exactly the sequential law; only accepted ones meet
the whole pool, together, in one matrix product.
"""

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from labelgap.select.arrays import wide
from labelgap.select.distinct import distinct
from labelgap.select.geometry import Euclidean, Geometry, WithCopies
from labelgap.select.top import check_budget


def d_squared(
    z: Float[Tensor, "n d"],
    n: int,
    rng: np.random.Generator,
    first: int | None = None,
    block: int = 128,
) -> Int64[Tensor, " b"]:
    """n distinct positions by D² sampling on Euclidean distance, in the order of the draw.

    Parameters
    ----------
    first: position of the first pick; None draws it uniformly, as k-means++ does.
    block: proposals per block; changes speed, not the law.

    When every remaining item coincides with a pick, the rest is drawn uniformly without
    replacement. The law is exact up to the rounding of distances (relative 1e-4 or better).

    Raises
    ------
    BudgetError: n exceeds the items.
    """
    found = distinct(z)
    if not found.copies:
        return sample(Euclidean(z), n, rng, first, block)
    return sample(WithCopies(Euclidean(z[found.rows.to(z.device)]), found), n, rng, first, block)


def sample(
    geometry: Geometry,
    n: int,
    rng: np.random.Generator,
    first: int | None = None,
    block: int = 128,
) -> Int64[Tensor, " b"]:
    """`d_squared` for any geometry."""
    check_budget(n, len(geometry))
    if n == 0:
        return torch.empty(0, dtype=torch.int64, device=geometry.device)
    start = int(rng.integers(len(geometry))) if first is None else first
    picks = [start]
    d2 = _update(None, geometry, picks)
    while len(picks) < n:
        proposals = propose(d2, block, rng)
        if proposals is None:
            break
        accepted = _accept(geometry, d2, proposals, rng)[: n - len(picks)]
        picks += accepted
        if len(picks) < n:
            d2 = _update(d2, geometry, accepted)
    rest = np.setdiff1d(np.arange(len(geometry)), picks)
    picks += rng.choice(rest, n - len(picks), replace=False).tolist()
    return torch.tensor(picks, dtype=torch.int64, device=geometry.device)


def _update(d2: Tensor | None, geometry: Geometry, picks: list[int]) -> Tensor:
    cols = torch.tensor(picks, dtype=torch.int64, device=geometry.device)
    near = geometry.nearest(cols)
    d2 = near if d2 is None else torch.minimum(d2, near)
    d2[cols] = 0.0
    return d2


def propose(
    d2: Float[Tensor, " n"],
    size: int,
    rng: np.random.Generator,
    weights: Float[np.ndarray, " n"] | None = None,
) -> Int64[Tensor, " m"] | None:
    """`size` independent draws with probability ∝ d2 · weight; None when all of it is zero."""
    mass = d2.to(wide(d2.device))
    if weights is not None:
        mass = mass * torch.from_numpy(weights).to(mass)
    mass = mass.cumsum(0)
    if mass[-1] <= 0:
        return None
    draws = torch.from_numpy(rng.random(size)).to(mass) * mass[-1]
    found = torch.searchsorted(mass, draws, right=True)
    # A draw may round up to the total; the last item with mass is then meant.
    last = int(torch.searchsorted(mass, mass[-1:]).item())
    return found.clamp_max(last)


def _accept(
    geometry: Geometry, d2: Tensor, proposals: Int64[Tensor, " m"], rng: np.random.Generator
) -> list[int]:
    """Thin the proposals, in order, to the law that also counts those accepted before."""
    old = d2[proposals].cpu().double().numpy()
    among = geometry.pairs(proposals, proposals).cpu().numpy()
    bars = rng.random(len(old)) * old
    now, accepted = old.copy(), []
    for i, item in enumerate(proposals.tolist()):
        if bars[i] < now[i] and item not in accepted:
            accepted.append(item)
            now = np.minimum(now, among[i])
    return accepted
