"""Class-tied Gaussian mixtures: likelihood, posterior, merge."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from labelgap.core import linalg
from labelgap.core.device import full_precision
from labelgap.core.errors import ConfigError
from labelgap.mixtures.products import (
    check_same_dim,
    compute_dtype,
    is_constant,
    padded_columns,
    plain_product,
    row_blocks,
    wide_device,
)

COVARIANCES = ("diagonal", "spherical")


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
        if dtype in (None, self.means.dtype) and (
            device is None or torch.device(device) == self.means.device
        ):
            return self
        return Mixture(
            self.weights.to(device=device, dtype=dtype),
            self.means.to(device=device, dtype=dtype),
            self.variances.to(device=device, dtype=dtype),
            self.empty.to(device=device),
        )

    def same(self, other: "Mixture") -> bool:
        """Whether every parameter is equal, to the last digit."""
        return (
            torch.equal(self.means, other.means)
            and torch.equal(self.variances, other.variances)
            and torch.equal(self.weights, other.weights)
            and torch.equal(self.empty, other.empty)
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
        check_same_dim(z, self.feature_dim)
        dtype = torch.promote_types(torch.promote_types(z.dtype, self.means.dtype), torch.float32)
        terms = self._terms
        if terms.centre.dtype != dtype:
            terms = quadratic_terms(self, self.means.device, dtype)
        k, d = self.means.shape
        if is_constant(z):
            out = torch.empty(z.shape[0], k, dtype=dtype, device=z.device)
            with torch.no_grad(), linalg.one_pool():
                for rows, block in row_blocks(z.detach(), terms.centre, terms.weight.shape[0]):
                    torch.add(
                        plain_product(block, terms.weight)[:, :k], terms.bias[:k], out=out[rows]
                    )
            return out
        with full_precision(z.device):
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
        return quadratic_terms(self, self.means.device, compute_dtype(self.means))


def tempered(joint: Float[Tensor, "n k"], temperature: float) -> Float[Tensor, "n k"]:
    """`Mixture.log_posterior` of items whose `component_log_density` is known."""
    if not temperature > 0:
        raise ConfigError(f"temperature is {temperature}.", "Give a number above 0.")
    return torch.log_softmax(joint / temperature, dim=1)


# Kept by the mixture and used in training too, so never inference tensors.
@torch.inference_mode(False)
@torch.no_grad()
def quadratic_terms(
    mixture: Mixture, device: torch.device, dtype: torch.dtype, about: Tensor | None = None
) -> _Terms:
    """W and b about a centre, the mean of the mixture unless one is given; formed in float64."""
    wide = mixture.to(wide_device(mixture.means.device)).to(dtype=torch.float64)
    k, d = wide.means.shape
    centre = (wide.weights @ wide.means).to(dtype) if about is None else about
    mean = wide.means - centre.to(wide.means)
    precision = wide.variances.reciprocal()
    linear = mean * precision
    repeats = d // wide.variances.shape[1]
    bias = wide.weights.log() - 0.5 * (
        (mean * linear).sum(dim=1)
        + repeats * wide.variances.log().sum(dim=1)
        + d * math.log(2 * math.pi)
    )
    columns = padded_columns(k, device)
    weight = torch.zeros(d + precision.shape[1], columns, dtype=dtype, device=wide.means.device)
    weight[:d, :k] = linear.to(dtype).T
    weight[d:, :k] = (precision * -0.5).to(dtype).T
    padded = torch.full((columns,), -math.inf, dtype=dtype, device=wide.means.device)
    padded[:k] = bias
    return _Terms(centre.to(device), weight.to(device), padded.to(device))
