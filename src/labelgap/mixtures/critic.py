"""Distribution alignment: a Wasserstein critic fed with mixture statistics (paper §2.3).

The critic D ascends E_U[D] − E_L[D] − λ · penalty; the features descend E_U[D] − E_L[D] (Eq. 2).
Its input is z, the posteriors under ψ_L and ψ_UL, and the two log-likelihoods, standardised.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelgap.core.crossing import over_like
from labelgap.mixtures.free_critic import FreeCriticLoss


class Critic(nn.Module):
    """Three linear layers; `sigmoid=True` is the paper's output (§3), False a free critic's."""

    def __init__(self, inputs: int, width: int, sigmoid: bool) -> None:
        super().__init__()
        self.layers: nn.Sequential = nn.Sequential(
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
    mix = _shares(labelled, rng)
    between = torch.lerp(unlabelled.detach(), labelled.detach(), mix).requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty: Tensor = ((gradient[:, :columns].norm(dim=1) - 1.0) ** 2).mean()
    return penalty


def _shares(labelled: Float[Tensor, "b i"], rng: np.random.Generator) -> Float[Tensor, "b 1"]:
    """The share of each labelled item in a point between it and an unlabelled one."""
    return over_like(rng.random((len(labelled), 1), dtype=np.float32), labelled)


def critic_loss(
    critic: Callable[[Tensor], Tensor],
    labelled: Float[Tensor, "b i"],
    unlabelled: Float[Tensor, "b i"],
    penalty: float,
    rng: np.random.Generator,
    columns: int | None = None,
) -> Float[Tensor, ""]:
    """−(E_U[D] − E_L[D]) + λ · `gradient_penalty`: what the critic descends, inputs constant.

    Of a `Critic` without sigmoid the gradient is written out (`labelgap.mixtures.free_critic`).
    """
    h_l, h_u = labelled.detach(), unlabelled.detach()
    if isinstance(critic, Critic) and not critic.sigmoid:
        loss: Tensor = FreeCriticLoss.apply(  # type: ignore[no-untyped-call]
            h_l, h_u, _shares(h_l, rng), penalty, columns, *critic.parameters()
        )
        return loss
    gap = distance(critic(h_l), critic(h_u))
    return penalty * gradient_penalty(critic, h_l, h_u, rng, columns) - gap


def distance(
    critic_labelled: Float[Tensor, " b"], critic_unlabelled: Float[Tensor, " u"]
) -> Float[Tensor, ""]:
    """E_U[D] − E_L[D]: the Kantorovich–Rubinstein objective of Eq. 2."""
    return critic_unlabelled.mean() - critic_labelled.mean()
