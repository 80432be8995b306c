"""WAAL's critic, and what it descends in the released code (Shui et al. 2020).

As corrected it descends `labelgap.gap.critic.critic_loss`.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from labelgap.gap.critic import gradient_penalty


class WaalCritic(nn.Module):
    """One hidden layer; high on what looks unlabelled.

    sigmoid: the released code's output. It bounds D to [0, 1], so that no critic can have the
    slope 1 that the penalty asks for over features further apart than 1: with the penalty in its
    right sign it no longer finds planted outliers (the numeric test's case), so it is off there.
    """

    def __init__(self, inputs: int, width: int, sigmoid: bool = False) -> None:
        super().__init__()
        self.sigmoid = sigmoid
        self.layers = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, 1))
        self.register_buffer("centre", torch.zeros(()))

    def forward(self, z: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        scores: Tensor = self.layers(z).squeeze(1)
        return scores.sigmoid() if self.sigmoid else scores

    @torch.no_grad()
    def centre_between(
        self, labelled: Float[Tensor, "l d"], unlabelled: Float[Tensor, "u d"]
    ) -> None:
        """Put `centre` half-way between the two sets' mean scores.

        Neither E_U[D] − E_L[D] nor the penalty changes under D + c, so a critic without a sigmoid
        ends at an offset that nothing has decided. σ(D) would lie at an accidental place of the
        sigmoid, another one for every seed; σ(D − centre) is ½ half-way between the sets.
        """
        middle = (self(labelled).mean() + self(unlabelled).mean()) / 2
        self.get_buffer("centre").copy_(middle)

    def unit(self, z: Float[Tensor, "b d"]) -> Float[Tensor, " b"]:
        """D in [0, 1], as the query weighs it; `centre` is 0 where the sigmoid is trained with."""
        scores: Tensor = (self.layers(z).squeeze(1) - self.get_buffer("centre")).sigmoid()
        return scores


def published_critic_loss(
    critic: nn.Module,
    labelled: Float[Tensor, "b d"],
    unlabelled: Float[Tensor, "b d"],
    alpha: float,
    gamma: float,
    rng: np.random.Generator,
) -> Float[Tensor, ""]:
    """−α · (E_U[D] − γ E_L[D]) − 2α · penalty: the released code, which *maximises* the penalty.

    Its penalty is the mean over points between the sets and the points of both sets themselves.
    """
    h_l, h_u = labelled.detach(), unlabelled.detach()
    ends = ((h_l, h_u), (h_u, h_u), (h_l, h_l))
    penalty = torch.stack([gradient_penalty(critic, a, b, rng) for a, b in ends]).mean()
    gap: Tensor = critic(h_u).mean() - gamma * critic(h_l).mean()
    return -alpha * gap - 2 * alpha * penalty
