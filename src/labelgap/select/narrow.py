"""Items by the few directions in which they differ most: distances among them for little work."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from labelgap.core.linalg import matmul
from labelgap.select.arrays import wide

_SAMPLE = 4096
"""Items that the directions are found by."""
_PASSES = 2


def narrowed(x: Float[Tensor, "n d"], width: int, rng: np.random.Generator) -> Float[Tensor, "n w"]:
    """Centred items in their leading principal directions, in x's type.

    The directions are those of a uniform sample, by subspace iteration from a random start (Halko,
    Martinsson and Tropp 2011, algorithm 4.4): orthonormal, and nearly the best of their number.

    Parameters
    ----------
    x: centred items.
    width: how many directions, at most d.
    """
    some = x.detach()
    if len(x) > _SAMPLE:
        rows = np.sort(rng.choice(len(x), _SAMPLE, replace=False))
        some = some[torch.from_numpy(rows).to(x.device)]
    directions = torch.from_numpy(rng.standard_normal((x.shape[1], width))).to(x)
    for _ in range(_PASSES):
        found = matmul(some.T, matmul(some, directions))
        # On the host: a small matrix, and not every device has this decomposition.
        basis, _ = torch.linalg.qr(found.cpu().to(wide(found.device)))
        directions = basis.to(x)
    return matmul(x, directions)
