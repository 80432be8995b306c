"""The adversarial stage that VAAL and TA-VAAL have in common (Sinha et al. 2019).

The auto-encoder learns to reconstruct both sets and to hide from the discriminator which set a
latent code came from; the discriminator learns to tell.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from labelgap.axes.stage import Batch, Optimiser, Phase, Stage
from labelgap.core.crossing import over_like
from labelgap.methods.vae.networks import DISCRIMINATOR, VAE, Vae, VaeSettings

if TYPE_CHECKING:
    from labelgap.axes.training import Training


def vae_loss(
    x: Tensor,
    reconstruction: Tensor,
    mean: Float[Tensor, "b z"],
    log_variance: Float[Tensor, "b z"],
    beta: float = 1.0,
    published: Literal["sum", "mean"] | None = None,
) -> Float[Tensor, ""]:
    """MSE + KL divergence, in the proportion of the evidence lower bound.

    With P values per item, −ELBO of a decoder of unit variance is P/2 · MSE + KL + constant, so
    the loss is MSE + β · 2/P · KL, KL summed over dimensions and averaged over items.

    `x` holds as many labelled as unlabelled items. The published forms add the MSE of both sets
    (twice the mean over all), and in VAAL's code ("sum") the KL of the *whole batch*: b · P/4 times
    as much for the same MSE; in TA-VAAL's ("mean") each set's KL as a mean over items *and*
    dimensions.
    """
    divergence = -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum()
    error = F.mse_loss(reconstruction, x)
    if published == "sum":
        return 2 * error + beta * divergence
    if published == "mean":
        return 2 * error + beta * 2 * divergence / mean.numel()
    return error + beta * 2.0 * divergence / x.numel()


@dataclass
class Both:
    """One step's labelled and unlabelled images in one batch.

    Attributes
    ----------
    condition: what the task says of each of them (TA-VAAL).
    codes: their mean codes, of the auto-encoder's last turn; constant.
    """

    x: Tensor
    condition: Float[Tensor, " b"] | None
    codes: Float[Tensor, "b z"] | None = None


def vae_stage(
    training: "Training",
    o: VaeSettings,
    condition: Callable[[Tensor], Tensor] | None = None,
) -> list[Stage]:
    """Auto-encoder and discriminator in turns; no stage at all if nothing is unlabelled.

    The network is in no phase, so it is frozen and in eval mode throughout. Labelled and
    unlabelled images go through the auto-encoder together: batch-norm of each set by itself
    would take away the difference that the discriminator is to see.
    """
    if len(training.unlabelled_ids) == 0:
        return []
    vae, discriminator = training.modules[VAE], training.modules[DISCRIMINATOR]
    assert isinstance(vae, Vae)

    def forward(batch: Batch) -> Both:
        x = torch.cat([batch.x, batch.unlabelled()])
        with torch.no_grad():
            return Both(x, condition(x) if condition is not None else None)

    def vae_turn(batch: Batch) -> Tensor:
        both = batch.common(Both)
        x, r = both.x, both.condition
        with torch.autocast(training.device.type, enabled=False):
            mean, log_variance = vae.encode(x)
            noise = _normal(training.rng("code", batch.step, batch.turn), mean)
            reconstruction = vae.decode(mean + noise * (0.5 * log_variance).exp(), r)
            published = o.published if o.scaling == "published" else None
            loss = vae_loss(x, reconstruction, mean, log_variance, o.beta, published)
            both.codes = mean.detach()
            if o.adversarial == 0:
                return loss
            logit, n = discriminator(mean, r), len(batch.x)
            fooled = F.softplus(-logit[:n]).mean() + F.softplus(-logit[n:]).mean()
            # The auto-encoder's loss is 2/P · (−ELBO per item): so is this term, then.
            scale = 1.0 if published else 2.0 * len(x) / x.numel()
            return loss + o.adversarial * scale * fooled

    def discriminator_turn(batch: Batch) -> Tensor:
        # −log D of labelled codes − log(1 − D) of unlabelled ones.
        n, both = len(batch.x), batch.common(Both)
        logit = discriminator(both.codes, both.condition)
        return F.softplus(-logit[:n]).mean() + F.softplus(logit[n:]).mean()

    adam = Optimiser("adam", lr=o.vae_lr, schedule="constant")
    return [
        Stage(
            VAE,
            o.steps(training),
            (
                Phase(VAE, (VAE,), vae_turn, adam, repeats=o.vae_turns),
                Phase(DISCRIMINATOR, (DISCRIMINATOR,), discriminator_turn, adam),
            ),
            forward=forward,
            batch_size=training.batch_size,
            unlabelled_batch=training.batch_size,
        )
    ]


def unlabelled_logit(
    modules: Mapping[str, nn.Module], x: Tensor, condition: Tensor | None = None
) -> Float[Tensor, " b"]:
    """−logit of "labelled" of the mean codes of a batch."""
    vae, discriminator = modules[VAE], modules[DISCRIMINATOR]
    assert isinstance(vae, Vae)
    mean, _ = vae.encode(x)
    score: Tensor = -discriminator(mean, condition)
    return score


def _normal(rng: np.random.Generator, like: Tensor) -> Tensor:
    return over_like(rng.standard_normal(tuple(like.shape), dtype=np.float32), like)
