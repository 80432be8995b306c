"""Symmetric KL divergence of predictions, the distance of contextual diversity (CDAL)."""

import torch
from jaxtyping import Float
from torch import Tensor

from labelgap.core.linalg import matmul
from labelgap.select.arrays import wide

# log of the smallest probability told from 0: the 1e-8 of CDAL's published code.
FLOOR = -18.420680743952367


def symmetric_kl(
    log_p: Float[Tensor, "n k"], log_q: Float[Tensor, "m k"], floor: float = FLOOR
) -> Float[Tensor, "n m"]:
    """½ KL(p ‖ q) + ½ KL(q ‖ p) of every row with every other, in nats, float64.

    Agarwal et al. 2020. ½ Σ (p - q)(log p - log q) = ½ [Σ p log p + Σ q log q - p·log q -
    q·log p]: one product of [p, log p] with [log q, q]. Log-probabilities are floored, so that
    p = 0 is a large distance and not an infinite one.
    """
    log_p = log_p.detach().to(wide(log_p.device)).clamp_min(floor)
    log_q = log_q.detach().to(log_p.dtype).clamp_min(floor)
    p, q = log_p.exp(), log_q.exp()
    cross = matmul(torch.cat([p, log_p], 1), torch.cat([log_q, q], 1).T)
    return (0.5 * ((p * log_p).sum(1)[:, None] + (q * log_q).sum(1) - cross)).clamp_min(0.0)
