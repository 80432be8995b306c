"""Sufficient statistics of a mixture: mergeable, so that they stream."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from labelgap.core import linalg
from labelgap.core.errors import ConfigError, DataError, NumericalError
from labelgap.mixtures.mixture import COVARIANCES, Mixture, quadratic_terms
from labelgap.mixtures.products import (
    CPU_ROWS,
    centre_of,
    check_distributions,
    check_known,
    check_positive,
    check_same_dim,
    check_some,
    compute_dtype,
    padded_columns,
    plain_product,
    row_blocks,
    wide_device,
    wide_sum,
)

# Less than this much of one sample is no mass: the mean of such a component is rounding noise.
MINIMUM_MASS = 1e-4


@dataclass(frozen=True)
class Statistics:
    """Sufficient statistics of a set under responsibilities: what an M step needs, mergeable.

    Held in float64, on the device of the features where it has that type, else on the CPU.

    Parameters
    ----------
    mass: Σ_i γ_ik, [k], in samples.
    mean: Σ_i γ_ik z_i / mass, [k, d]; 0 where the mass is 0.
    moment: Σ_i γ_ik (z_i − mean_k)², [k, d], or its average over the features, [k, 1]
        (spherical).
    count: number of samples.
    log_likelihood: Σ_i log p(z_i; ψ) in nats, for the ψ that gave the responsibilities; None
        where they were given from outside.
    """

    mass: Float64[Tensor, "k"]
    mean: Float64[Tensor, "k d"]
    moment: Float64[Tensor, "k v"]
    count: int
    log_likelihood: float | None = None

    def merge(self, other: "Statistics") -> "Statistics":
        """The statistics of both sets together (Chan, Golub & LeVeque 1979).

        Exact, commutative and associative up to float64 rounding, so batches, machines and
        days can be merged in any order.
        """
        if self.mean.shape != other.mean.shape or self.moment.shape != other.moment.shape:
            raise ConfigError(
                f"Statistics of shape {tuple(self.mean.shape)}, {tuple(self.moment.shape)} do "
                f"not merge with {tuple(other.mean.shape)}, {tuple(other.moment.shape)}.",
                "Use the same number of components and features and the same covariance.",
            )
        mass = self.mass + other.mass
        share = torch.where(mass > 0, other.mass / mass, 0.0).unsqueeze(1)
        delta = other.mean - self.mean
        between = self._like_moment(delta.square()) * self.mass.unsqueeze(1) * share
        known = self.log_likelihood is not None and other.log_likelihood is not None
        return Statistics(
            mass,
            self.mean + delta * share,
            self.moment + other.moment + between,
            self.count + other.count,
            (self.log_likelihood or 0.0) + (other.log_likelihood or 0.0) if known else None,
        )

    @linalg.one_pool()
    def mixture(self, floor: float = 1e-3, covariance: str | None = None) -> Mixture:
        """The M step (paper §2.1): the ψ that these statistics maximise, in float64.

        Parameters
        ----------
        floor: smallest σ², relative to the mean variance of a feature over the whole set. The
            default keeps a class of one image from becoming a spike, and is far below the
            variance of a feature inside a class.
        covariance: None keeps the one of the statistics; "spherical" may be made from
            diagonal statistics, not the other way round.

        Raises
        ------
        ConfigError: a floor that is not positive, or diagonal from spherical statistics.
        DataError: no mass at all.
        """
        check_positive("floor", floor)
        have = "diagonal" if self.moment.shape[1] == self.mean.shape[1] else "spherical"
        if covariance is not None and check_known("covariance", covariance, COVARIANCES) != have:
            if have == "spherical":
                raise ConfigError(
                    "Spherical statistics hold no variance of a single feature.",
                    'Gather them with covariance="diagonal".',
                )
            return self._spherical().mixture(floor)
        pooled = pooled_of(self)
        return maximise_step(self, pooled, floor * pooled.scale)

    def _spherical(self) -> "Statistics":
        moment = self.moment.mean(dim=1, keepdim=True)
        return Statistics(self.mass, self.mean, moment, self.count, self.log_likelihood)

    def _like_moment(self, squares: Tensor) -> Tensor:
        """[k, d] in the shape of `moment`: as it is, or averaged over the features."""
        wide = self.moment.shape[1] == self.mean.shape[1]
        return squares if wide else squares.mean(dim=1, keepdim=True)


def class_responsibilities(labels: Int[Tensor, "n"], k: int) -> Float[Tensor, "n k"]:
    """One-hot responsibilities of labels 0 … k − 1, float32: the start of ψ_L.

    Raises
    ------
    DataError: a label outside 0 … k − 1.
    """
    wrong = (labels < 0) | (labels >= k)
    if bool(wrong.any()):
        first = int(wrong.nonzero()[0])
        raise DataError(
            f"Label {int(labels[first])} at position {first} is not one of 0 … {k - 1}.",
            "Give class indices below the number of classes.",
        )
    return torch.nn.functional.one_hot(labels.long(), k).to(torch.float32)


def check_responsibilities(z: Float[Tensor, "n d"], responsibilities: Float[Tensor, "m k"]) -> None:
    """Raises `DataError` where they are not one distribution per sample."""
    n = responsibilities.shape[0]
    if z.shape[0] != n:
        raise DataError(
            f"There are {z.shape[0]} features and {n} rows of responsibilities.",
            "Give one row of responsibilities for each feature vector.",
        )
    check_distributions(responsibilities)


@torch.no_grad()
@linalg.one_pool()
def statistics(
    z: Float[Tensor, "n d"],
    responsibilities: Float[Tensor, "n k"],
    *,
    covariance: str = "diagonal",
) -> Statistics:
    """Statistics of z under given responsibilities (rows sum to 1).

    Raises
    ------
    DataError: no sample, or responsibilities that are not one distribution per sample.
    NumericalError: features that are not finite, or whose squares are not.
    """
    check_known("covariance", covariance, COVARIANCES)
    check_responsibilities(z, responsibilities)
    return Samples(z, covariance).statistics(responsibilities.detach())


@torch.no_grad()
@linalg.one_pool()
def expectation(mixture: Mixture, z: Float[Tensor, "n d"]) -> Statistics:
    """The E step of Eq. 1 fused with the sums of the M step: z is read once.

    The statistics carry Σ log p(z_i; ψ) of the mixture given.

    Raises
    ------
    DataError: no sample, or features of another dimension.
    NumericalError: features that are not finite, or whose squares are not.
    """
    check_same_dim(z, mixture.feature_dim)
    terms = quadratic_terms(mixture, z.device, compute_dtype(z))
    return Samples(z, mixture.covariance, terms.centre).expectation(mixture)


class Samples:
    """The features of one fit, all of whose steps see them about one centre: their own mean.

    So equal responsibilities give equal statistics, to the last digit, and EM sees that it has
    arrived. What fits one block is prepared once.
    """

    def __init__(
        self, z: Float[Tensor, "n d"], covariance: str, centre: Float[Tensor, " d"] | None = None
    ) -> None:
        check_some(z)
        self.z: Tensor = z.detach()
        self.centre: Tensor = centre_of(self.z) if centre is None else centre
        self.width: int = z.shape[1] + (z.shape[1] if covariance == "diagonal" else 1)
        self._only: list[tuple[slice, Tensor]] = []

    def _blocks(self) -> Iterable[tuple[slice, Tensor]]:
        if self._only:
            return self._only
        blocks = row_blocks(self.z, self.centre, self.width)
        if self.z.shape[0] > CPU_ROWS:
            return blocks
        self._only = list(blocks)
        return self._only

    def statistics(self, responsibilities: Float[Tensor, "n k"]) -> Statistics:
        """`statistics` of them."""
        k = responsibilities.shape[1]
        sums = _Sums(self.centre, self.width, padded_columns(k, self.z.device))
        for rows, block in self._blocks():
            r = block.new_zeros(block.shape[0], sums.mass.shape[0])
            r[:, :k] = responsibilities[rows]
            sums.add(r, block)
        return sums.statistics(self.z, k, None)

    def expectation(self, mixture: Mixture) -> Statistics:
        """`expectation` of them, by a mixture of their dimension."""
        terms = quadratic_terms(mixture, self.z.device, self.centre.dtype, self.centre)
        sums = _Sums(terms.centre, *terms.weight.shape)
        total = torch.zeros((), dtype=torch.float64, device=sums.mass.device)
        for _, block in self._blocks():
            logits = plain_product(block, terms.weight).add_(terms.bias)
            r = torch.softmax(logits, dim=1)
            # log Σ exp = max − log(largest posterior): one pass less than a second exponential.
            evidence = logits.amax(dim=1) - r.amax(dim=1).log()
            total += wide_sum(evidence, dim=0)
            sums.add(r, block)
        return sums.statistics(self.z, mixture.num_components, float(total))


class Pooled(NamedTuple):
    """Mean [1, d] and variance [1, v] of the whole set, and the scale of a variance in it."""

    mean: Tensor
    variance: Tensor
    scale: float


class _Sums:
    """Float64 sums of γ, γ x and γ q over blocks; padded components stay at zero."""

    def __init__(self, centre: Tensor, width: int, columns: int) -> None:
        self.centre = centre
        device = wide_device(centre.device)
        self.mass = torch.zeros(columns, dtype=torch.float64, device=device)
        self.sums = torch.zeros(columns, width, dtype=torch.float64, device=device)

    def add(self, r: Tensor, block: Tensor) -> None:
        self.mass += wide_sum(r, dim=0)
        self.sums += plain_product(r.T, block).to(self.sums.device)

    def statistics(self, z: Tensor, k: int, log_likelihood: float | None) -> Statistics:
        if not math.isfinite(float(self.sums.sum())):
            bad = int((~torch.isfinite(z).all(dim=1)).sum())
            raise NumericalError(
                f"{bad} of {z.shape[0]} feature vectors hold NaN or infinity."
                if bad
                else "The squares of the features leave the range of float32.",
                "Look at the learning rate and the loss of the network that made them.",
            )
        d = z.shape[1]
        mass, sums = self.mass[:k], self.sums[:k]
        column = mass.unsqueeze(1)
        mean = torch.where(column > 0, sums / column, 0.0)
        shift, second = mean[:, :d], mean[:, d:]
        squares = shift.square()
        if second.shape[1] != d:
            second, squares = second / d, squares.mean(dim=1, keepdim=True)
        centre = self.centre.to(device=mass.device, dtype=torch.float64)
        return Statistics(
            mass,
            torch.where(column > 0, centre + shift, 0.0),
            (second - squares).clamp_min(0.0) * column,
            z.shape[0],
            log_likelihood,
        )


def pooled_of(s: Statistics) -> Pooled:
    total = s.mass.sum()
    if not float(total) > 0:
        raise DataError("The statistics hold no mass.", "Gather them from at least one sample.")
    mean = s.mass @ s.mean / total
    between = s._like_moment((s.mean - mean).square())
    variance = (s.moment.sum(dim=0) + s.mass @ between) / total
    scale, square = float(variance.mean()), float(mean.square().mean())
    if scale <= 1e-12 * square or scale == 0.0:
        # One sample or constant features: the only scale left is the size of the features.
        scale = square if square > 0 else 1.0
    return Pooled(mean.unsqueeze(0), variance.clamp_min(0.0).unsqueeze(0), scale)


def maximise_step(s: Statistics, pooled: Pooled, smallest: float) -> Mixture:
    empty = s.mass < MINIMUM_MASS
    if bool(empty.all()):
        # A few samples spread over very many components: all that there is counts.
        empty = s.mass <= 0
    mass = torch.where(empty, 0.0, s.mass)
    hole = empty.unsqueeze(1)
    variance = s.moment / torch.where(empty, 1.0, s.mass).unsqueeze(1)
    return Mixture(
        mass / mass.sum(),
        torch.where(hole, pooled.mean, s.mean),
        torch.where(hole, pooled.variance, variance).clamp_min(smallest),
        empty,
    )
