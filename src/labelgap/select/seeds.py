"""Greedy k-means++ (of several D² draws keep the best), with the draws of many picks per product.

Plain D² sampling starts k-means one to several per cent above the greedy form that libraries
use. The greedy form reads all features once per pick; here the proposals of a block are drawn
and met together, and thinned as in `dsquared`, so that every trial has the law of the moment.
"""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from labelgap.select.arrays import views
from labelgap.select.dsquared import propose
from labelgap.select.geometry import Euclidean
from labelgap.select.top import check_budget

# Distances held at a time, 64 MB in float32.
_HELD = 1 << 24


def greedy_seeds(
    z: Float[Tensor, "n d"],
    k: int,
    rng: np.random.Generator,
    trials: int | None = None,
    block: int = 48,
    weights: Float[np.ndarray, " n"] | None = None,
) -> Int64[Tensor, " k"]:
    """k distinct positions to start k-means from.

    Parameters
    ----------
    trials: D² draws per pick, of which the one that lowers the sum of distances most is kept;
        None is 2 + log k (Arthur and Vassilvitskii 2007, section 5; scikit-learn's default).
        The last pick of a block may have fewer.
    block: picks per product, roughly; changes speed only.
    weights: how many items each row stands for; None means one.

    Distances are those of float32 products: good to 1e-6 of the squared norms, which is enough
    to start from. Items that coincide with all seeds' are drawn uniformly at the end.

    Raises
    ------
    BudgetError: k exceeds the items, or is 0.
    """
    check_budget(k, len(z), "items to cluster")
    check_budget(1, k, "clusters")
    trials = 2 + int(math.log(k)) if trials is None else trials
    items = Euclidean(z)
    size = max(trials, min(block * trials, _HELD // len(z)))
    mass = None
    if weights is None:
        picks = [int(rng.integers(len(z)))]
    else:
        drawn = rng.random() * weights.sum()
        picks = [int(np.searchsorted(weights.cumsum(), drawn, side="right"))]
        _, (mass,) = views(torch.from_numpy(weights).to(items.norms))
    _, (d2,) = views(items.nearest(torch.tensor(picks, device=z.device)))
    d2[picks] = 0
    while len(picks) < k:
        proposals = propose(torch.as_tensor(d2), size, rng, weights)
        if proposals is None:
            break
        xp, (far, x, norms) = views(items.x[proposals], items.x, items.norms)
        at = proposals.tolist()
        columns = (-2.0 * far) @ x.T
        columns += norms
        columns += norms[at][:, None]
        # Accepting with probability now / then is now > uniform x then.
        bars = rng.random(size) * _numbers(d2, proposals)
        left = list(range(size))
        while left and len(picks) < k:
            now = _numbers(d2, proposals)
            trial: list[int] = []
            while left and len(trial) < trials:
                i = left.pop(0)
                if bars[i] < now[i]:
                    trial.append(i)
            if not trial:
                break
            lowered = xp.minimum(columns[trial], d2)
            best = int((lowered.sum(1) if mass is None else lowered @ mass).argmin())
            d2 = lowered[best].clip(0)
            picks.append(at[trial[best]])
            d2[picks[-1]] = 0
    rest = np.setdiff1d(np.arange(len(z)), picks)
    picks += rng.choice(rest, k - len(picks), replace=False).tolist()
    return torch.tensor(picks, dtype=torch.int64, device=z.device)


def _numbers(d2: Any, at: Int64[Tensor, " m"]) -> Float[np.ndarray, " m"]:
    values: Float[np.ndarray, " m"] = torch.as_tensor(d2)[at].cpu().double().numpy()
    return values
