"""Symmetric KL divergence of predictions, the distance of contextual diversity (CDAL)."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from labelgap.core.linalg import matmul
from labelgap.select.arrays import views, wide

_ROWS, _COLUMNS = 1024, 256
"""Divergences held at a time, 2 MB: they stay in the processor's cache."""

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


class Divergences:
    """`symmetric_kl` among the rows of log_p [n, k], as `Geometry` asks for it.

    ½ [Σ p log p + Σ q log q - p·log q - q·log p] is one inner product of rows of 2k + 2 numbers,
    so that the nearest of many costs a product and a minimum, both in cache.
    """

    def __init__(self, log_p: Float[Tensor, "n k"], floor: float = FLOOR) -> None:
        self.floor = floor
        self.left, self.right = self._factors(log_p)

    def _factors(self, log_p: Tensor) -> tuple[Tensor, Tensor]:
        log_p = log_p.detach().to(wide(log_p.device)).clamp_min(self.floor)
        p, one = log_p.exp(), log_p.new_full((len(log_p), 1), 0.5)
        own = 0.5 * (p * log_p).sum(1, keepdim=True)
        # Halves are exact, so they are taken where they cost nothing.
        left = torch.cat([p, log_p, own, one], 1)
        return left, torch.cat([-0.5 * log_p, -0.5 * p, 2 * one, 2 * own], 1)

    @property
    def device(self) -> torch.device:
        return self.left.device

    def __len__(self) -> int:
        return len(self.left)

    def pairs(self, rows: Int64[Tensor, " r"], cols: Int64[Tensor, " c"]) -> Float[Tensor, "r c"]:
        """Divergences of a few items and a few others, float64."""
        return matmul(self.left[rows], self.right[cols].T).clamp_min_(0.0)

    def nearest(self, cols: Int64[Tensor, " c"]) -> Float[Tensor, " n"]:
        """Divergence of every item from the nearest of a few."""
        return self._least(self.right[cols])

    def nearest_of(self, log_q: Float[Tensor, "m k"]) -> Float[Tensor, " n"]:
        """Divergence of every item from the nearest of others, at least one."""
        return self._least(self._factors(log_q)[1])

    def _least(self, right: Tensor) -> Float[Tensor, " n"]:
        xp, (a, b) = views(self.left, right)
        found = self.left.new_empty(len(self.left))
        for i in range(0, len(a), _ROWS):
            parts = [xp.amin(a[i : i + _ROWS] @ b[j : j + _COLUMNS].T, 1)
                     for j in range(0, len(b), _COLUMNS)]  # fmt: skip
            least = torch.stack([torch.as_tensor(part) for part in parts]).amin(0)
            found[i : i + len(least)] = least
        return found.clamp_min_(0.0)
