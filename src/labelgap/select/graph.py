"""The graph whose edges are all cosines, propagated through without writing it out.

Caramalau, Bhattarai & Kim 2021, "Sequential graph convolutional network for active learning".
"""

from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional as F

from labelgap.core.linalg import matmul
from labelgap.select.arrays import wide_sum


@dataclass(frozen=True)
class Graph:
    """A = (XXᵀ − diag ‖x‖²) D⁻¹ + I, never written out: `propagate` is exact and linear in n.

    Attributes
    ----------
    x: unit rows (a zero row stays zero).
    own: ‖x‖², 1 or 0: what an item has in common with itself, which is no edge.
    degree: column sums of XXᵀ − diag ‖x‖², at least 1. Features after a ReLU have degrees far
        above 1, where the floor changes nothing; signed ones may sum to 0 or less.
    weights: how many items of equal features each row stands for; None means one. Copies have
        equal rows of A h wherever they have equal h, so that one row says what all would.
    """

    x: Float[Tensor, "n d"]
    own: Float[Tensor, "n 1"]
    degree: Float[Tensor, "n 1"]
    weights: Float[Tensor, "n 1"] | None = None

    @classmethod
    def of(
        cls, features: Float[Tensor, "n d"], weights: Int64[Tensor, " n"] | None = None
    ) -> "Graph":
        x = F.normalize(features.detach(), dim=1)
        own = x.square().sum(1, keepdim=True).round()
        mass = None if weights is None else weights[:, None].to(x)
        total = wide_sum(x if mass is None else x * mass).to(x.dtype)
        return cls(x, own, ((x @ total)[:, None] - own).clamp_min(1.0), mass)

    def _of_all(self, scaled: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
        """A value for every row, as often as there are items of it."""
        return scaled if self.weights is None else scaled * self.weights

    def propagate(self, h: Float[Tensor, "n c"]) -> Float[Tensor, "n c"]:
        """A h = X (Xᵀ D⁻¹ h) − diag ‖x‖² D⁻¹ h + h."""
        scaled = h / self.degree
        return self.x @ (self.x.T @ self._of_all(scaled)) - self.own * scaled + h

    def inputs(self) -> Float[Tensor, "n d"]:
        """A X. It is constant, so that the first layer, A (X W), is (A X) W: no graph in it."""
        scaled = self.x / self.degree
        ax = matmul(self.x, matmul(self.x.T, self._of_all(scaled)))
        return ax.addcmul_(self.own, scaled, value=-1.0).add_(self.x)
