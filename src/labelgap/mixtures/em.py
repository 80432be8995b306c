"""Class-tied Gaussian mixtures ψ = (π, μ, σ²) in the latent space (paper §2.1, Eq. 1 and 3).

Component k is class k: EM starts from responsibilities (one-hot labels for ψ_L, the
classifier's softmax for ψ_UL) and never from random means, so that mixtures of different
batches can be averaged component by component.

Everything rests on one identity. With x the features minus a common centre and q their squares
(each square for a diagonal covariance, their sum for a spherical one),

    log π_k N(z | μ_k, σ²_k) = [x, q] @ W[:, k] + b[k],

so the E step is one matrix product, the sums of the M step are another, both over the same
small block that stays in cache, and no n × k × d array ever exists.
"""

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from labelgap.core import linalg
from labelgap.core.errors import ConfigError
from labelgap.mixtures.mixture import COVARIANCES, Mixture
from labelgap.mixtures.products import check_known, check_positive, compute_dtype
from labelgap.mixtures.statistics import (
    Pooled,
    Samples,
    Statistics,
    check_responsibilities,
    maximise_step,
    pooled_of,
)

AVERAGES = ("parameters", "statistics")


@torch.no_grad()
@linalg.one_pool()
def fit(
    z: Float[Tensor, "n d"],
    responsibilities: Float[Tensor, "n k"],
    *,
    covariance: str = "diagonal",
    steps: int = 10,
    average: str = "parameters",
    batch_size: int = 100,
    floor: float = 1e-3,
    generator: np.random.Generator | None = None,
) -> Mixture:
    """Class-tied EM (paper §2.1): an M step from the responsibilities, then `steps` of E and M.

    Parameters
    ----------
    z: features, eval mode, not augmented. float32 or float64; half types are widened.
    responsibilities: rows that sum to 1: one-hot labels for ψ_L, softmax for ψ_UL.
    covariance: "diagonal" or "spherical"; the paper writes both.
    steps: 10 is stated in a review of the longer version of the paper; 0 is the M step alone.
    average: "parameters" is the paper: EM on each batch by itself, then the mean of ψ over
        the batches, component k over those where it has mass, π over all. "statistics" merges
        sufficient statistics instead: exact EM on the whole set.
    batch_size: of "parameters"; 100 is the paper's batch. The set is cut into ⌈n/batch_size⌉
        batches of equal size (± 1), so that no small remnant weighs as much as a full batch.
    floor: smallest σ² relative to the mean variance of a feature over the whole set.
    generator: shuffles before the set is cut into batches; None keeps the order of z. Give
        one where z is sorted in any way.

    Returns
    -------
    The mixture on the device and in the floating type of z (at least float32).

    Raises
    ------
    ConfigError, UnknownName: an argument out of range.
    DataError: no sample, or responsibilities that are not one distribution per sample.
    NumericalError: features that are not finite, or whose squares are not.
    """
    check_known("covariance", covariance, COVARIANCES)
    check_known("average", average, AVERAGES)
    check_positive("floor", floor)
    check_positive("batch_size", batch_size)
    if steps < 0:
        raise ConfigError(f"steps is {steps}.", "Give 0 or more EM steps.")
    z, responsibilities = z.detach(), responsibilities.detach()
    samples, whole = _begin(z, responsibilities, covariance)
    pooled = pooled_of(whole)
    smallest = floor * pooled.scale

    def em(start: Statistics, samples: Samples) -> Mixture:
        mixture = maximise_step(start, pooled, smallest)
        for _ in range(steps):
            before = mixture
            mixture = maximise_step(samples.expectation(before), pooled, smallest)
            if mixture.same(before):
                break  # a fixed point, to the last digit: further steps would repeat it
        return mixture

    parts = math.ceil(z.shape[0] / batch_size)
    if average == "statistics" or parts == 1:
        result = em(whole, samples)
    else:
        n = z.shape[0]
        order = torch.arange(n) if generator is None else torch.from_numpy(generator.permutation(n))
        mean = _Mean(pooled, responsibilities.shape[1])
        for batch in torch.tensor_split(order.to(z.device), parts):
            some, start = _begin(z[batch], responsibilities[batch], covariance)
            mean.add(em(start, some))
        result = mean.mixture()
    return result.to(device=z.device, dtype=compute_dtype(z))


def _begin(z: Tensor, responsibilities: Tensor, covariance: str) -> tuple[Samples, Statistics]:
    check_responsibilities(z, responsibilities)
    samples = Samples(z, covariance)
    return samples, samples.statistics(responsibilities)


class _Mean:
    """The mean of ψ over batches: component k over those where it has mass, π over all."""

    def __init__(self, pooled: Pooled, k: int) -> None:
        self.pooled = pooled
        self.weights = pooled.mean.new_zeros(k)
        self.batches = pooled.mean.new_zeros(k)
        self.means = pooled.mean.new_zeros(k, pooled.mean.shape[1])
        self.variances = pooled.mean.new_zeros(k, pooled.variance.shape[1])

    def add(self, mixture: Mixture) -> None:
        present = ~mixture.empty
        self.weights += mixture.weights
        self.batches += present
        self.means += torch.where(present.unsqueeze(1), mixture.means, 0.0)
        self.variances += torch.where(present.unsqueeze(1), mixture.variances, 0.0)

    def mixture(self) -> Mixture:
        empty = self.batches == 0
        batches = self.batches.clamp_min(1).unsqueeze(1)
        return Mixture(
            self.weights / self.weights.sum(),
            torch.where(empty.unsqueeze(1), self.pooled.mean, self.means / batches),
            torch.where(empty.unsqueeze(1), self.pooled.variance, self.variances / batches),
            empty,
        )
