"""How unsure the classifier is of an item; higher is more informative.

All scores start from logits and stay in log space until a probability is needed, so p = 0 (a
logit of minus infinity) and p = 1 are ordinary values. They are computed and returned in float64:
in float32 every probability above 1 - 6e-8 is 1, and the confident part of a pool becomes one
big tie.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from labelgap.select.arrays import wide

# Rows of a Monte-Carlo pass widened at once: T·K values each, so memory stays small.
_ROWS = 4096


def _log_softmax(logits: Float[Tensor, "*n k"]) -> Float[Tensor, "*n k"]:
    return torch.log_softmax(logits.detach().to(wide(logits.device)), dim=-1)


def _entropy(log_p: Float[Tensor, "*n k"]) -> Float[Tensor, "*n"]:
    # entr(0) = 0, which -p·log p is not.
    total: Tensor = torch.special.entr(log_p.exp()).sum(-1)
    return total


def least_confidence(logits: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """1 - max_k p_k, as the sum of the other classes' probabilities (no cancellation).

    Lewis and Gale 1994; Settles 2009, section 3.1.
    """
    log_p = _log_softmax(logits)
    best = log_p.argmax(-1, keepdim=True)
    return log_p.exp().scatter(-1, best, 0.0).sum(-1)


def margin(logits: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """Minus the difference between the two largest probabilities, in [-1, 0].

    Scheffer et al. 2001. With one class the margin is -1 everywhere.
    """
    p = _log_softmax(logits).exp()
    if p.shape[-1] == 1:
        return -p[:, 0]
    two = p.topk(2, dim=-1).values
    return two[:, 1] - two[:, 0]


def entropy(logits: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """-Σ p log p in nats (Shannon 1948), with 0·log 0 = 0."""
    return _entropy(_log_softmax(logits))


def predictive_entropy(mc_logits: Float[Tensor, "n t k"]) -> Float[Tensor, " n"]:
    """Entropy of the mean prediction over T stochastic passes, in nats (Gal et al. 2017)."""
    return _by_rows(mc_logits, lambda log_p: _entropy(_log_mean(log_p)))


def bald(mc_logits: Float[Tensor, "n t k"]) -> Float[Tensor, " n"]:
    """Mutual information of prediction and weights: H[mean_t p_t] - mean_t H[p_t], in nats.

    Houlsby et al. 2011; Gal et al. 2017. Never negative: rounding below zero is clamped.
    """
    return _by_rows(
        mc_logits,
        lambda log_p: (_entropy(_log_mean(log_p)) - _entropy(log_p).mean(-1)).clamp_min(0.0),
    )


def variation_ratio(mc_logits: Float[Tensor, "n t k"]) -> Float[Tensor, " n"]:
    """1 - max_k mean_t p_tk (Gal et al. 2017, section 4), as the sum of the other classes."""

    def score(log_p: Tensor) -> Tensor:
        mean = _log_mean(log_p).exp()
        return mean.scatter(-1, mean.argmax(-1, keepdim=True), 0.0).sum(-1)

    return _by_rows(mc_logits, score)


def _log_mean(log_p: Float[Tensor, "n t k"]) -> Float[Tensor, "n k"]:
    passes = torch.tensor(float(log_p.shape[1]), dtype=log_p.dtype, device=log_p.device)
    return torch.logsumexp(log_p, dim=1) - passes.log()


def _by_rows(
    mc_logits: Float[Tensor, "n t k"], score: Callable[[Tensor], Tensor]
) -> Float[Tensor, " n"]:
    return torch.cat([score(_log_softmax(part)) for part in torch.split(mc_logits, _ROWS)])
