"""Items judged by mixtures fitted without them: a density flatters what it was fitted to."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from labelgap.mixtures.em import fit
from labelgap.mixtures.mixture import Mixture

FOLDS = 5
FLOOR = 0.05
"""Smallest variance relative to the mean one: classes of one label have some extent too."""


def moments(z: Float[Tensor, "n d"], responsibilities: Float[Tensor, "n k"]) -> Mixture:
    """The mixture of given responsibilities: labels, or groups of which each is one kind."""
    return fit(z, responsibilities, steps=0, average="statistics", floor=FLOOR)


def left_out(
    z: Float[Tensor, "l d"],
    targets: Float[Tensor, "l k"],
    other: Mixture,
    rng: np.random.Generator,
) -> Float[Tensor, " l"]:
    """log p(z; other) − log p(z; ψ) of each item, with a ψ that was fitted without it."""
    density = torch.empty(len(z))
    for fold in np.array_split(rng.permutation(len(z)), FOLDS):
        kept = np.setdiff1d(np.arange(len(z)), fold)
        density[fold] = moments(z[kept], targets[kept]).log_likelihood(z[fold])
    return other.log_likelihood(z) - density


def principal(
    labelled: Float[Tensor, "l d"], free: Float[Tensor, "n d"], dimensions: int
) -> tuple[Float[Tensor, "l q"], Float[Tensor, "n q"]]:
    """Both sets on the largest principal components of the unlabelled one."""
    centre = free.double().mean(dim=0)
    x = free.double() - centre
    _, axes = torch.linalg.eigh(x.T @ x)
    axes = axes[:, -dimensions:]
    return ((labelled.double() - centre) @ axes).float(), (x @ axes).float()
