"""Draws in float64 that several tests of mixtures compare with closed forms."""

import numpy as np
import torch
from torch import Tensor

from labelgap.mixtures.mixture import Mixture


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def mixture(k: int, d: int, columns: int, seed: int = 0) -> Mixture:
    """k components in d dimensions; `columns` is d for diagonal covariances, 1 for spherical."""
    rng = np.random.default_rng(seed)
    return Mixture(
        torch.from_numpy(rng.dirichlet(np.ones(k))),
        torch.from_numpy(rng.standard_normal((k, d))),
        torch.from_numpy(rng.uniform(0.5, 2, (k, columns))),
        torch.zeros(k, dtype=torch.bool),
    )
