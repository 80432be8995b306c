"""The query's own critic: trained as in the alignment stage, on features that stand still."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from labelgap.learn.optimiser import Descent
from labelgap.learn.stage import descend, set_rate
from labelgap.methods.daal.settings import CriticSettings
from labelgap.mixtures.critic import Critic


def fit_critic(
    critic: Critic,
    labelled: Float[Tensor, "l i"],
    unlabelled: Float[Tensor, "u i"],
    settings: CriticSettings,
    *,
    steps: int,
    batch: int,
    rng: np.random.Generator,
    features: int | None = None,
) -> Float[Tensor, " u"]:
    """Train a critic on constant inputs; its value of each unlabelled item.

    Ascends E_U[D] − E_L[D] − λ · penalty (Eq. 2 with the features frozen), by the loss, the
    optimiser and the schedule of the alignment stage.

    Parameters
    ----------
    features: leading columns of the inputs that are z; None: all of them.
    """
    spec, params = settings.optimiser(), list(critic.parameters())
    optimiser = Descent(spec, params)
    z = labelled.shape[1] if features is None else features
    for step in range(steps):
        set_rate(optimiser, spec, step, steps)
        h_l = labelled[torch.from_numpy(rng.integers(0, len(labelled), batch))]
        h_u = unlabelled[torch.from_numpy(rng.integers(0, len(unlabelled), batch))]
        descend(optimiser, settings.loss(critic, h_l, h_u, z, rng), params)
    with torch.no_grad():
        scores: Tensor = torch.cat([critic(part) for part in torch.split(unlabelled, 8192)])
    return scores
