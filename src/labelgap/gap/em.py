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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor
from torch.autograd import forward_ad

from labelgap.core import linalg
from labelgap.core.errors import ConfigError, DataError, NumericalError, UnknownName

COVARIANCES = ("diagonal", "spherical")
AVERAGES = ("parameters", "statistics")

# Less than this much of one sample is no mass: the mean of such a component is rounding noise.
MINIMUM_MASS = 1e-4
# Rows of a block: large enough to hide the call, small enough for a core's cache (measured with
# benchmarks/speed/mixture.py: flat from 512 to 2048). A GPU wants few large kernels instead.
CPU_ROWS = 2048
GPU_ROWS = 16_384
# OpenBLAS works on 16 columns at a time: filling a block that is more than half full is free.
COLUMNS = 16


class _Terms(NamedTuple):
    """W and b of the module's identity, about `centre`; columns k.. are padding (b = -inf)."""

    centre: Tensor  # [d]
    weight: Tensor  # [d + d or 1, padded k]
    bias: Tensor  # [padded k]


@dataclass(frozen=True)
class Mixture:
    """ψ = (π, μ, σ²): k Gaussians in d dimensions, diagonal or spherical (paper §2.1).

    The parameters are constants: gradients flow to the features only (paper §2.2 holds ψ_L
    fixed between two refreshes). Do not change the tensors in place.

    Parameters
    ----------
    weights: π, [k], sums to 1; 0 is allowed.
    means: μ, [k, d], in units of the features.
    variances: σ², [k, d] (diagonal) or [k, 1] (spherical), squared units of the features.
    empty: [k], True where a component had no mass: it holds the mean and the variance of the
        whole set and has weight 0.

    Raises
    ------
    ConfigError: shapes that do not belong together.
    """

    weights: Float[Tensor, "k"]
    means: Float[Tensor, "k d"]
    variances: Float[Tensor, "k v"]
    empty: Bool[Tensor, "k"]

    def __post_init__(self) -> None:
        k, d = self.means.shape
        right = (
            self.weights.shape == (k,)
            and self.empty.shape == (k,)
            and self.variances.shape in ((k, d), (k, 1))
        )
        if not right:
            raise ConfigError(
                f"A mixture with means {tuple(self.means.shape)} has weights "
                f"{tuple(self.weights.shape)}, variances {tuple(self.variances.shape)} and "
                f"empty {tuple(self.empty.shape)}.",
                f"Give ({k},), ({k}, {d}) or ({k}, 1), and ({k},).",
            )

    @property
    def covariance(self) -> str:
        """ "diagonal" or "spherical"; in one dimension, where they are one, "diagonal"."""
        return "diagonal" if self.variances.shape[1] == self.feature_dim else "spherical"

    @property
    def num_components(self) -> int:
        return self.means.shape[0]

    @property
    def feature_dim(self) -> int:
        return self.means.shape[1]

    def to(
        self, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> "Mixture":
        """The same ψ on another device or in another floating type."""
        return Mixture(
            self.weights.to(device=device, dtype=dtype),
            self.means.to(device=device, dtype=dtype),
            self.variances.to(device=device, dtype=dtype),
            self.empty.to(device=device),
        )

    def state(self) -> dict[str, Tensor]:
        """Named tensors for a checkpoint (safetensors takes them as they are)."""
        names = ("weights", "means", "variances", "empty")
        return {name: getattr(self, name).contiguous() for name in names}

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> "Mixture":
        """The mixture that `state` described; ConfigError where a tensor is missing."""
        names = ("weights", "means", "variances", "empty")
        missing = [name for name in names if name not in state]
        if missing:
            raise ConfigError(
                f"The state of a mixture lacks {', '.join(missing)}.",
                "Give what Mixture.state() returned.",
            )
        return cls(*(state[name] for name in names))

    def component_log_density(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """log π_k + log N(z_i | μ_k, σ²_k), in nats; -inf where π_k = 0.

        Differentiable in z (twice) and finite in the gradient, also where π_k = 0. Computed in
        the wider type of z and ψ, at least float32, and outside autocast: half precision has
        too few digits for 512 summed squares. Without a gradient it runs in blocks on the
        fastest product at hand.
        """
        _same_dim(z, self.feature_dim)
        dtype = torch.promote_types(torch.promote_types(z.dtype, self.means.dtype), torch.float32)
        terms = self._terms
        if terms.centre.dtype != dtype:
            terms = _terms(self, self.means.device, dtype)
        k, d = self.means.shape
        if _constant(z):
            out = torch.empty(z.shape[0], k, dtype=dtype, device=z.device)
            with torch.no_grad(), linalg.one_pool():
                for rows, block in _blocks(z.detach(), terms.centre, terms.weight.shape[0]):
                    torch.add(_product(block, terms.weight)[:, :k], terms.bias[:k], out=out[rows])
            return out
        with torch.autocast(z.device.type, enabled=False):
            x = z.to(dtype) - terms.centre
            q = x.square()
            if self.covariance == "spherical":
                q = q.sum(dim=1, keepdim=True)
            weight = terms.weight[:, :k]
            return x @ weight[:d] + q @ weight[d:] + terms.bias[:k]

    def log_likelihood(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n"]:
        """log p(z_i; ψ), in nats: Eq. 3's likelihood in log space.

        The paper writes densities and calls them log-likelihoods; a density in 512 dimensions
        leaves the range of float32, so only the logarithm is ever formed.
        """
        return torch.logsumexp(self.component_log_density(z), dim=1)

    def log_posterior(
        self, z: Float[Tensor, "n d"], temperature: float = 1.0
    ) -> Float[Tensor, "n k"]:
        """log p(y = k | z_i; ψ), the logarithm of Eq. 1's responsibility, in nats.

        Parameters
        ----------
        temperature: divides log π_k N(z | μ_k, σ²_k) before it is normalised. 1 is the paper;
            posteriors saturate in high dimensions, and a larger value softens them.

        Raises
        ------
        ConfigError: a temperature that is not positive.
        """
        return tempered(self.component_log_density(z), temperature)

    @cached_property
    def _terms(self) -> _Terms:
        return _terms(self, self.means.device, _compute_dtype(self.means))


def tempered(joint: Float[Tensor, "n k"], temperature: float) -> Float[Tensor, "n k"]:
    """`Mixture.log_posterior` of items whose `component_log_density` is known."""
    if not temperature > 0:
        raise ConfigError(f"temperature is {temperature}.", "Give a number above 0.")
    return torch.log_softmax(joint / temperature, dim=1)


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
        _positive("floor", floor)
        have = "diagonal" if self.moment.shape[1] == self.mean.shape[1] else "spherical"
        if covariance is not None and _known("covariance", covariance, COVARIANCES) != have:
            if have == "spherical":
                raise ConfigError(
                    "Spherical statistics hold no variance of a single feature.",
                    'Gather them with covariance="diagonal".',
                )
            return self._spherical().mixture(floor)
        pooled = _pooled(self)
        return _maximise(self, pooled, floor * pooled.scale)

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
    _known("covariance", covariance, COVARIANCES)
    n, k = responsibilities.shape
    if z.shape[0] != n:
        raise DataError(
            f"There are {z.shape[0]} features and {n} rows of responsibilities.",
            "Give one row of responsibilities for each feature vector.",
        )
    _some(z)
    _distributions(responsibilities)
    z, responsibilities = z.detach(), responsibilities.detach()
    centre = _centre(z)
    width = z.shape[1] + (z.shape[1] if covariance == "diagonal" else 1)
    sums = _Sums(centre, width, _padded(k, z.device))
    for rows, block in _blocks(z, centre, width):
        r = block.new_zeros(block.shape[0], sums.mass.shape[0])
        r[:, :k] = responsibilities[rows]
        sums.add(r, block)
    return sums.statistics(z, k, None)


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
    _some(z)
    _same_dim(z, mixture.feature_dim)
    z = z.detach()
    terms = _terms(mixture, z.device, _compute_dtype(z))
    sums = _Sums(terms.centre, *terms.weight.shape)
    total = torch.zeros((), dtype=torch.float64, device=sums.mass.device)
    for _, block in _blocks(z, terms.centre, terms.weight.shape[0]):
        logits = _product(block, terms.weight).add_(terms.bias)
        r = torch.softmax(logits, dim=1)
        # log Σ exp = max − log(largest posterior): one pass less than a second exponential.
        evidence = logits.amax(dim=1) - r.amax(dim=1).log()
        total += _wide_sum(evidence, dim=0)
        sums.add(r, block)
    return sums.statistics(z, mixture.num_components, float(total))


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
    _known("covariance", covariance, COVARIANCES)
    _known("average", average, AVERAGES)
    _positive("floor", floor)
    _positive("batch_size", batch_size)
    if steps < 0:
        raise ConfigError(f"steps is {steps}.", "Give 0 or more EM steps.")
    z, responsibilities = z.detach(), responsibilities.detach()
    whole = statistics(z, responsibilities, covariance=covariance)
    pooled = _pooled(whole)
    smallest = floor * pooled.scale

    def em(start: Statistics, samples: Tensor) -> Mixture:
        mixture = _maximise(start, pooled, smallest)
        for _ in range(steps):
            mixture = _maximise(expectation(mixture, samples), pooled, smallest)
        return mixture

    parts = math.ceil(z.shape[0] / batch_size)
    if average == "statistics" or parts == 1:
        result = em(whole, z)
    else:
        n = z.shape[0]
        order = torch.arange(n) if generator is None else torch.from_numpy(generator.permutation(n))
        mean = _Mean(pooled, responsibilities.shape[1])
        for batch in torch.tensor_split(order.to(z.device), parts):
            start = statistics(z[batch], responsibilities[batch], covariance=covariance)
            mean.add(em(start, z[batch]))
        result = mean.mixture()
    return result.to(device=z.device, dtype=_compute_dtype(z))


class _Pooled(NamedTuple):
    """Mean [1, d] and variance [1, v] of the whole set, and the scale of a variance in it."""

    mean: Tensor
    variance: Tensor
    scale: float


class _Sums:
    """Float64 sums of γ, γ x and γ q over blocks; padded components stay at zero."""

    def __init__(self, centre: Tensor, width: int, columns: int) -> None:
        self.centre = centre
        device = _wide_device(centre.device)
        self.mass = torch.zeros(columns, dtype=torch.float64, device=device)
        self.sums = torch.zeros(columns, width, dtype=torch.float64, device=device)

    def add(self, r: Tensor, block: Tensor) -> None:
        self.mass += _wide_sum(r, dim=0)
        self.sums += _product(r.T, block).to(self.sums.device)

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


class _Mean:
    """The mean of ψ over batches: component k over those where it has mass, π over all."""

    def __init__(self, pooled: _Pooled, k: int) -> None:
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


def _pooled(s: Statistics) -> _Pooled:
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
    return _Pooled(mean.unsqueeze(0), variance.clamp_min(0.0).unsqueeze(0), scale)


def _maximise(s: Statistics, pooled: _Pooled, smallest: float) -> Mixture:
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


# Kept by the mixture and used in training too, so never inference tensors.
@torch.inference_mode(False)
@torch.no_grad()
def _terms(mixture: Mixture, device: torch.device, dtype: torch.dtype) -> _Terms:
    """W and b about the mean of the mixture, formed in float64."""
    wide = mixture.to(device=_wide_device(mixture.means.device)).to(dtype=torch.float64)
    k, d = wide.means.shape
    centre = (wide.weights @ wide.means).to(dtype)
    mean = wide.means - centre.to(torch.float64)
    precision = wide.variances.reciprocal()
    linear = mean * precision
    repeats = d // wide.variances.shape[1]
    bias = wide.weights.log() - 0.5 * (
        (mean * linear).sum(dim=1)
        + repeats * wide.variances.log().sum(dim=1)
        + d * math.log(2 * math.pi)
    )
    columns = _padded(k, device)
    weight = torch.zeros(d + precision.shape[1], columns, dtype=dtype, device=wide.means.device)
    weight[:d, :k] = linear.to(dtype).T
    weight[d:, :k] = (precision * -0.5).to(dtype).T
    padded = torch.full((columns,), -math.inf, dtype=dtype, device=wide.means.device)
    padded[:k] = bias
    return _Terms(centre.to(device), weight.to(device), padded.to(device))


def _blocks(z: Tensor, centre: Tensor, width: int) -> Iterator[tuple[slice, Tensor]]:
    """Row slices of z and their [x, q]; each block is valid until the next one is asked for."""
    n, d = z.shape
    rows = CPU_ROWS if z.device.type == "cpu" else GPU_ROWS
    # Spare columns: rows a power of two apart would share cache lines (twice as slow at 1024).
    spare = min(rows, n), width + COLUMNS
    buffer = torch.empty(spare, dtype=centre.dtype, device=z.device)[:, :width]
    for begin in range(0, n, rows):
        chosen = slice(begin, min(begin + rows, n))
        block = buffer[: chosen.stop - begin]
        x = torch.sub(z[chosen], centre, out=block[:, :d])
        if width == 2 * d:
            torch.mul(x, x, out=block[:, d:])
        else:
            torch.linalg.vecdot(x, x, out=block[:, d])
        yield chosen, block


def _product(a: Tensor, b: Tensor) -> Tensor:
    """`linalg.matmul` in the type of its arguments, whatever autocast says."""
    with torch.autocast(a.device.type, enabled=False):
        return linalg.matmul(a, b)


def _centre(z: Tensor) -> Tensor:
    """The mean of z, [d], summed in float64 and given in the type of the products."""
    return (_wide_sum(z, dim=0) / z.shape[0]).to(device=z.device, dtype=_compute_dtype(z))


def _wide_device(device: torch.device) -> torch.device:
    """Where float64 lives: MPS has none."""
    return torch.device("cpu") if device.type == "mps" else device


def _wide_sum(x: Tensor, dim: int) -> Tensor:
    """A sum in float64, on the host where the device has no float64."""
    return x.to(_wide_device(x.device)).sum(dim=dim, dtype=torch.float64)


def _compute_dtype(z: Tensor) -> torch.dtype:
    return torch.promote_types(z.dtype, torch.float32)


def _padded(k: int, device: torch.device) -> int:
    """Columns for k components: on the CPU, up to a full block where the last is nearly full."""
    return k if device.type != "cpu" or k % COLUMNS <= COLUMNS // 2 else k + -k % COLUMNS


def _constant(z: Tensor) -> bool:
    """Nobody asks for a derivative by z, backward or forward."""
    backward = torch.is_grad_enabled() and z.requires_grad
    tangent = forward_ad.unpack_dual(z).tangent  # type: ignore[no-untyped-call]
    return not backward and tangent is None


def _known(kind: str, name: str, choices: tuple[str, ...]) -> str:
    if name not in choices:
        raise UnknownName(kind, name, choices)
    return name


def _positive(name: str, value: float | int) -> None:
    if not value > 0:
        raise ConfigError(f"{name} is {value}.", "Give a number above 0.")


def _some(z: Tensor) -> None:
    if z.shape[0] == 0:
        raise DataError("A mixture of no samples was asked for.", "Give at least one sample.")


def _same_dim(z: Tensor, d: int) -> None:
    if z.shape[1] != d:
        raise DataError(
            f"The features have {z.shape[1]} dimensions, the mixture {d}.",
            "Fit the mixture on features of the same network.",
        )


def _distributions(responsibilities: Tensor) -> None:
    # Half-precision softmax rows sum to 1 within a percent.
    wide = responsibilities.to(torch.float32)
    wrong = ~((wide.sum(dim=1) - 1).abs() < 1e-2) | (wide < 0).any(dim=1)
    if bool(wrong.any()):
        first = int(wrong.nonzero()[0])
        raise DataError(
            f"{int(wrong.sum())} rows of responsibilities are no distribution over the "
            f"{responsibilities.shape[1]} components; the first is row {first}.",
            "Give one-hot labels or a softmax: entries of 0 or more that sum to 1.",
        )
