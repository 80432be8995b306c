"""Distribution alignment: a Wasserstein critic fed with mixture statistics (paper §2.3).

The critic D ascends E_U[D] − E_L[D] − λ · penalty; the features descend E_U[D] − E_L[D] (Eq. 2).
Its input is z, the posteriors under ψ_L and ψ_UL, and the two log-likelihoods, standardised.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelgap.gap.em import Mixture, tempered


class Critic(nn.Module):
    """Three linear layers; `sigmoid=True` is the paper's output (§3), False a free critic's."""

    def __init__(self, inputs: int, width: int, sigmoid: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(inputs, width),
            nn.ReLU(),
            nn.Linear(width, width),
            nn.ReLU(),
            nn.Linear(width, 1),
        )
        self.sigmoid = sigmoid
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                # The paper's authors' own discriminator: Kaiming-normal weights, zero bias.
                nn.init.kaiming_normal_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(self, inputs: Float[Tensor, "b i"]) -> Float[Tensor, " b"]:
        scores: Tensor = self.layers(inputs).squeeze(1)
        return scores.sigmoid() if self.sigmoid else scores


class Characteristic(nn.Module):
    """ψ of one set as buffers, with the standardisation of its log-likelihood over both sets.

    Buffers, so that checkpoints hold it; no gradient ever reaches them.
    """

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
        buffers = [self.get_buffer(n) for n in ("weights", "means", "variances", "empty")]
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
        likelihood = mixture.log_likelihood(reference)
        self.get_buffer("centre").copy_(likelihood.mean())
        deviation = likelihood.std() if len(likelihood) > 1 else torch.ones(())
        self.get_buffer("scale").copy_(deviation.clamp_min(1e-6))

    def statistics(
        self, z: Float[Tensor, "b d"], temperature: float
    ) -> tuple[Float[Tensor, "b k"], Float[Tensor, " b"]]:
        """p(y|z; ψ), and (log p(z; ψ) − mean) / deviation, from one pass of the densities."""
        joint = self.mixture.component_log_density(z)
        likelihood = torch.logsumexp(joint, dim=1) - self.get_buffer("centre")
        return tempered(joint, temperature).exp(), likelihood / self.get_buffer("scale")


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
    posteriors, likelihoods = zip(*found, strict=True)
    return torch.cat([z, *posteriors, *(p[:, None] for p in likelihoods)], dim=1)


def gradient_penalty(
    critic: Callable[[Tensor], Tensor],
    labelled: Float[Tensor, "b i"],
    unlabelled: Float[Tensor, "b i"],
    rng: np.random.Generator,
    columns: int | None = None,
) -> Float[Tensor, ""]:
    """mean (‖∇D(h)‖₂ − 1)² at random points between pairs of the two sets (Gulrajani et al. 2017).

    The gradient is over all that `critic` takes, or over its first `columns` (z). The penalty is
    meant to be *subtracted* from what the critic ascends; the graph is kept, so it trains the
    critic.
    """
    mix = torch.from_numpy(rng.random((len(labelled), 1), dtype=np.float32)).to(labelled)
    between = (mix * labelled.detach() + (1 - mix) * unlabelled.detach()).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty: Tensor = ((gradient[:, :columns].norm(dim=1) - 1.0) ** 2).mean()
    return penalty


def critic_loss(
    critic: Callable[[Tensor], Tensor],
    labelled: Float[Tensor, "b i"],
    unlabelled: Float[Tensor, "b i"],
    penalty: float,
    rng: np.random.Generator,
    columns: int | None = None,
) -> Float[Tensor, ""]:
    """−(E_U[D] − E_L[D]) + λ · `gradient_penalty`: what the critic descends, inputs constant."""
    h_l, h_u = labelled.detach(), unlabelled.detach()
    gap = distance(critic(h_l), critic(h_u))
    return penalty * gradient_penalty(critic, h_l, h_u, rng, columns) - gap


def distance(
    critic_labelled: Float[Tensor, " b"], critic_unlabelled: Float[Tensor, " u"]
) -> Float[Tensor, ""]:
    """E_U[D] − E_L[D]: the Kantorovich–Rubinstein objective of Eq. 2."""
    return critic_unlabelled.mean() - critic_labelled.mean()
