"""Regions of the unlabelled mixture that the labelled mixture does not cover.

The paper's likelihood gap log p(z; ψ_UL) − log p(z; ψ_L) says of one image how much more it is
like the unlabelled set than like the labelled one. Here ψ_UL has more components than classes, so
that one is about one kind of image, and a component is uncovered where its images' gap is larger
than that of nearly all labelled images, each of them judged by a ψ_L that was fitted without it.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from labelgap.core.types import Ids
from labelgap.mixtures.judged import left_out, moments, principal
from labelgap.mixtures.statistics import class_responsibilities
from labelgap.select.kmeans import kmeans

COMPONENTS = 40
"""Enough that one is one kind of image, few enough that a person can look at them."""
SMALLEST = 50
"""Images of a component on average at least."""
DIMENSIONS = 16
"""Principal components of the features: a variance in hundreds of dimensions cannot be estimated
from a handful of labels, and a group worth showing spans the large ones."""
FEWEST = 10
"""Labels below which nothing is said: there is no telling what they cover."""
USUAL = 0.95
"""The share of left-out labelled images whose gap counts as covered."""
SHOWN = 6


def uncovered(
    labelled: Float[Tensor, "l d"],
    labels: Int64[np.ndarray, " l"],
    free: Float[Tensor, "n d"],
    predicted: Int64[Tensor, " n"],
    ids: Ids,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """The components of ψ_UL that ψ_L does not cover, the largest first.

    Parameters
    ----------
    labelled, labels: features of the labelled images and their classes.
    free, predicted, ids: features of the unlabelled images, the network's classes, their ids.

    Returns for each component: `size`, the unlabelled images in it; its `share` of them; `gap`,
    their median likelihood gap in nats, and `usual`, the gap that few labelled images exceed;
    `labelled`, the labelled images in it; `predicted`, the most frequent classes and their counts;
    `examples`, the ids of the images that are most typical of it.
    """
    components = min(COMPONENTS, len(free) // SMALLEST)
    if components < 2 or len(labels) < FEWEST:
        return []
    labelled, free = principal(labelled, free, DIMENSIONS)
    # Half of them make the components and the others judge, as the labelled images do: a density
    # flatters what it was fitted to.
    order = torch.from_numpy(rng.permutation(len(free)))
    half, judges = order[: len(free) // 2], order[len(free) // 2 :]
    _, cluster, _ = kmeans(free[half], components, rng)
    unlabelled_mixture = moments(free[half], class_responsibilities(cluster, components))
    inside = unlabelled_mixture.component_log_density(free)
    component = inside.argmax(dim=1)
    targets = class_responsibilities(torch.from_numpy(labels), int(labels.max()) + 1)
    gap = inside.logsumexp(dim=1) - moments(labelled, targets).log_likelihood(free)
    usual = float(torch.quantile(left_out(labelled, targets, unlabelled_mixture, rng), USUAL))
    of_labelled = unlabelled_mixture.component_log_density(labelled).argmax(dim=1)
    found = []
    for k in range(components):
        judging = judges[component[judges] == k]
        if len(judging) < SHOWN or float(gap[judging].median()) <= usual:
            continue
        rows = torch.nonzero(component == k).squeeze(1)
        counts = torch.bincount(predicted[rows])
        likely = counts.argsort(descending=True)[:3]
        typical = inside[rows, k].argsort(descending=True)[:SHOWN]
        found.append(
            {
                "size": len(rows),
                "share": len(rows) / len(free),
                "gap": float(gap[judging].median()),
                "usual": usual,
                "labelled": int((of_labelled == k).sum()),
                "predicted": [[int(c), int(counts[c])] for c in likely if counts[c]],
                "examples": ids[rows[typical].numpy()].tolist(),
            }
        )
    return sorted(found, key=lambda region: -region["size"])
