"""Where nothing is labelled: groups of similar images without a label."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from labelgap.select.kmeans import kmeans
from labelgap.types import Ids

GROUPS = 40
"""Enough that a group is one kind of image, few enough that a person can look at them."""
SMALLEST = 20
"""Images a group has on average at least."""
SHOWN = 6


def uncovered(
    z: Float[Tensor, "n d"], ids: Ids, labelled: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """The groups of `z` that have no labelled item, the largest first.

    Parameters
    ----------
    labelled: the first so many rows are labelled.

    Returns for each group: `size`, its `share` of the unlabelled rows, and `examples`, the ids
    nearest to its centre.
    """
    free = len(z) - labelled
    groups = min(GROUPS, len(z) // SMALLEST)
    if groups < 2 or not free:
        return []
    deviation = z.std(dim=0, correction=0)
    z = (z - z.mean(dim=0)) / torch.where(deviation > 0, deviation, 1.0)
    centres, cluster, _ = kmeans(z, groups, rng)
    found = []
    for group in range(groups):
        rows = torch.nonzero(cluster == group).squeeze(1)
        if len(rows) == 0 or bool((rows < labelled).any()):
            continue
        near = (z[rows] - centres[group]).square().sum(dim=1).argsort()[:SHOWN]
        found.append(
            {
                "size": len(rows),
                "share": len(rows) / free,
                "examples": [int(ids[int(r)]) for r in rows[near]],
            }
        )
    return sorted(found, key=lambda group: -group["size"])
