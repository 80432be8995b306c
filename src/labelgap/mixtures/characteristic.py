"""A set as the critic sees it: features with the statistics of both mixtures."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelgap.mixtures.mixture import Mixture, tempered


class Characteristic(nn.Module):
    """ψ of one set as buffers, with the standardisation of its log-likelihood over both sets.

    Buffers, so that checkpoints hold it; no gradient ever reaches them.
    """

    weights: Tensor
    means: Tensor
    variances: Tensor
    empty: Tensor
    centre: Tensor
    scale: Tensor

    def __init__(self, num_classes: int, feature_dim: int, diagonal: bool) -> None:
        super().__init__()
        columns = feature_dim if diagonal else 1
        self.register_buffer("weights", torch.full((num_classes,), 1.0 / num_classes))
        self.register_buffer("means", torch.zeros(num_classes, feature_dim))
        self.register_buffer("variances", torch.ones(num_classes, columns))
        self.register_buffer("empty", torch.ones(num_classes, dtype=torch.bool))
        self.register_buffer("centre", torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))
        self._mixture: tuple[tuple[int, ...], Mixture] | None = None

    @property
    def mixture(self) -> Mixture:
        """The mixture that the buffers hold; made anew only when they have changed."""
        buffers = [self.weights, self.means, self.variances, self.empty]
        state = tuple(x for b in buffers for x in (b._version, b.data_ptr()))
        if self._mixture is None or self._mixture[0] != state:
            # Clones: a mixture keeps derived terms, so its tensors must never change in place.
            self._mixture = (state, Mixture(*(b.clone() for b in buffers)))
        return self._mixture[1]

    @torch.no_grad()
    def set(self, mixture: Mixture, reference: Float[Tensor, "n d"]) -> None:
        """Take a new ψ; its log-likelihood is standardised over `reference` (both sets)."""
        for name in ("weights", "means", "variances", "empty"):
            self.get_buffer(name).copy_(getattr(mixture, name))
        centre, scale = standard(mixture.log_likelihood(reference))
        self.centre.copy_(centre)
        self.scale.copy_(scale)

    def statistics(
        self, z: Float[Tensor, "b d"], temperature: float
    ) -> tuple[Float[Tensor, "b k"], Float[Tensor, " b"]]:
        """p(y|z; ψ), and (log p(z; ψ) − mean) / deviation, from one pass of the densities."""
        joint = self.mixture.component_log_density(z)
        return read(joint, self.centre, self.scale, temperature)


def standard(likelihood: Float[Tensor, " n"]) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """Mean and deviation by which log-likelihoods are standardised; of one alone 1."""
    deviation = likelihood.std() if len(likelihood) > 1 else torch.ones(())
    return likelihood.mean(), deviation.clamp_min(1e-6)


def read(
    joint: Float[Tensor, "b k"],
    centre: Float[Tensor, ""],
    scale: Float[Tensor, ""],
    temperature: float,
) -> tuple[Float[Tensor, "b k"], Float[Tensor, " b"]]:
    """`Characteristic.statistics` of items whose `Mixture.component_log_density` is known."""
    likelihood = (torch.logsumexp(joint, dim=1) - centre) / scale
    return tempered(joint, temperature).exp(), likelihood


def statistics_width(feature_dim: int, num_classes: int, statistics: bool) -> int:
    """Width of the critic's input: d, or d + 2K + 2 with mixture statistics (§2.3)."""
    return feature_dim + (2 * num_classes + 2 if statistics else 0)


def critic_input(
    z: Float[Tensor, "b d"],
    labelled: Characteristic | None,
    unlabelled: Characteristic | None,
    *,
    temperature: float = 1.0,
    through_statistics: bool = True,
) -> Float[Tensor, "b i"]:
    """z ⊕ p(y|z; ψ_L) ⊕ p(y|z; ψ_UL) ⊕ standardised log-likelihoods; only z without mixtures.

    Parameters
    ----------
    temperature: divides the log joint before the posterior's softmax (1 is the paper).
    through_statistics: whether gradients reach z through posteriors and likelihoods (ψ is
        constant in any case).
    """
    if labelled is None or unlabelled is None:
        return z
    source = z if through_statistics else z.detach()
    found = [psi.statistics(source, temperature) for psi in (labelled, unlabelled)]
    return joined(z, found)


def joined(
    z: Float[Tensor, "b d"], found: Iterable[tuple[Float[Tensor, "b k"], Float[Tensor, " b"]]]
) -> Float[Tensor, "b i"]:
    """z ⊕ the posteriors ⊕ the standardised log-likelihoods that `read` found."""
    posteriors, likelihoods = zip(*found, strict=True)
    return torch.cat([z, *posteriors, *(p[:, None] for p in likelihoods)], dim=1)
