"""Scores as chances: n items drawn without replacement, each ∝ score^β (Kirsch et al. 2023).

The n largest of log s + G/β, with G a standard Gumbel draw per item, are such a draw (Vieira
2014). One draw belongs to one item, so that storage and company change nothing. β = 0 would be
uniform, β → ∞ the n best.
"""

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from labelgap.select.arrays import wide

_LEAST = 2.0**-54


def perturbed(
    log_score: Float[Tensor, " n"],
    beta: float,
    draws: Float[np.ndarray, " n"],
    counts: Int64[np.ndarray, " n"] | None = None,
) -> Float[Tensor, " n"]:
    """log s + Gumbel / β, in float64; the draws are uniform in [0, 1).

    counts: how many items each stands for; None means one. The largest of c values with Gumbel
        draws of their own is distributed as log s + (log c + Gumbel) / β with a single draw.
    """
    uniform = torch.from_numpy(np.maximum(draws, _LEAST)).to(log_score.device)
    drawn = log_score.to(wide(log_score.device)) - (-uniform.log()).log() / beta
    if counts is None:
        return drawn
    return drawn + torch.from_numpy(counts).to(drawn).log() / beta


def log_margin(logits: Float[Tensor, "n k"]) -> Float[Tensor, " n"]:
    """log(1 − (p₁ − p₂)) of the two largest probabilities; finite where p₁ rounds to 1.

    1 − p₁ + p₂ is the sum of the other classes and once more the second, in log space. With one
    class nothing tells items apart: 0 everywhere.
    """
    log_p = torch.log_softmax(logits.detach().to(wide(logits.device)), dim=1)
    if log_p.shape[1] == 1:
        return torch.zeros_like(log_p[:, 0])
    best = log_p.argmax(1, keepdim=True)
    others = log_p.scatter(1, best, -torch.inf)
    second = others.amax(1, keepdim=True)
    return torch.cat([others, second], dim=1).logsumexp(1)


def log_class_entropy(logits: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """log(−p_k log p_k) of every class, finite where p_k is 0 or 1 in float64.

    −log p_k of the best class is −log(1 − rest), with the rest summed in log space.
    """
    log_p = torch.log_softmax(logits.detach().to(wide(logits.device)), dim=1)
    tiny = torch.finfo(log_p.dtype).tiny
    best = log_p.argmax(1, keepdim=True)
    rest = log_p.scatter(1, best, -torch.inf).exp().sum(1, keepdim=True)
    surprise = (-log_p).scatter(1, best, -torch.log1p(-rest))
    return log_p + surprise.clamp_min(tiny).log()
