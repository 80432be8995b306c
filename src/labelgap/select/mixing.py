"""Mixing features with class anchors: at which bound on α does a prediction change (ALFA-Mix).

Parvaneh et al. 2022. A mixed feature is z + α ∘ v with v = anchor − z and α of the feature's
width. The head is one linear layer, so its gradient is known and nothing is differentiated.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from labelgap.core.linalg import matmul
from labelgap.select.arrays import row_norms
from labelgap.select.geometry import NEAR

ROWS = 4096
"""Items mixed at a time: [rows, d] arrays stay small whatever the pool."""

Flips = Callable[[Tensor, Tensor, Tensor, float], Tensor]
"""(features [r, d], predicted [r], v [r, d], bound) -> whether each prediction changes [r]."""


class Head:
    """The network's last layer on the host: logits and their gradient in the features."""

    def __init__(self, weight: Float[Tensor, "k d"], bias: Float[Tensor, " k"]) -> None:
        self.weight: Tensor = weight.detach().float().cpu()
        self.bias: Tensor = bias.detach().float().cpu()

    def __call__(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        return matmul(z, self.weight.T) + self.bias

    def gradient(self, z: Float[Tensor, "n d"], y: Int64[Tensor, " n"]) -> Float[Tensor, "n d"]:
        """∇_z of the cross-entropy at label y: Wᵀ(p − onehot(y))."""
        residual = self(z).double().softmax(1)
        residual[torch.arange(len(y)), y] -= 1.0
        return matmul(residual.float(), self.weight)


def anchors(
    z: Float[Tensor, "l d"], labels: Int64[Tensor, " l"], num_classes: int
) -> Float[Tensor, "k d"]:
    """Mean labelled feature of each class; of all labelled items for a class without any."""
    means = z.mean(0, keepdim=True).repeat(num_classes, 1)
    for k in range(num_classes):
        if bool((labels == k).any()):
            means[k] = z[labels == k].mean(0)
    return means


def closed_form_bound(
    head: Head, z: Float[Tensor, "n d"], predicted: Int64[Tensor, " n"], to: Float[Tensor, "k d"]
) -> Float[Tensor, " n"]:
    """The smallest bound ε at which the closed-form α changes the prediction; inf for never.

    α∘(z* − z) = (ε/√d)·‖z* − z‖·g/‖g‖ wherever z* ≠ z: along it the logits are linear in ε, so
    the ε at which another class catches up is a ratio, and no bound has to be tried.
    """
    out = torch.full((len(z),), torch.inf)
    sizes = row_norms(to)
    for i in range(0, len(z), ROWS):
        rows, y = z[i : i + ROWS], predicted[i : i + ROWS]
        g = F.normalize(head.gradient(rows, y), dim=1, eps=1e-30)
        logits = head(rows).double()
        margin = logits.gather(1, y[:, None]) - logits
        whole = matmul(g, head.weight.T).double()
        lengths = _lengths(rows, to, sizes)
        for k, anchor in enumerate(to):
            rate = _rate(whole, rows == anchor, g, head.weight)
            gain = (rate - rate.gather(1, y[:, None])) * (lengths[:, k, None] / z.shape[1] ** 0.5)
            # A class that does not gain never catches up; the predicted one is not a rival.
            needed = torch.where(gain > 0, margin / gain, torch.inf)
            needed.scatter_(1, y[:, None], torch.inf)
            out[i : i + ROWS] = torch.minimum(out[i : i + ROWS], needed.amin(1).float())
    return out


def _lengths(
    rows: Float[Tensor, "r d"], to: Float[Tensor, "k d"], sizes: Float[Tensor, " k"]
) -> Float[Tensor, "r k"]:
    """‖z* − z‖ by a product; by differences where they are too near for one."""
    own = row_norms(rows)[:, None] + sizes
    squares = own - 2 * matmul(rows, to.T)
    near = (squares < NEAR * own).nonzero()
    for some in torch.split(near, ROWS):
        r, k = some[:, 0], some[:, 1]
        squares[r, k] = (rows[r] - to[k]).square().sum(1)
    return squares.sqrt().double()


def _rate(
    whole: Float[Tensor, "r k"],
    still: Bool[Tensor, "r d"],
    g: Float[Tensor, "r d"],
    weight: Float[Tensor, "k d"],
) -> Float[Tensor, "r k"]:
    """Logits along g where some coordinates stand still, from those along the whole of it.

    Few do so but where a ReLU is dead for a class, and nearly all in a copy of an anchor: there
    the difference of two sums would be rounding.
    """
    columns = still.any(0).nonzero().squeeze(1)
    if not len(columns):
        return whole
    many = (still.sum(1) > still.shape[1] // 2).nonzero().squeeze(1)
    less = matmul(g[:, columns] * still[:, columns], weight[:, columns].T)
    found = whole - less.double()
    found[many] = matmul(g[many] * ~still[many], weight.T).double()
    return found


def _draw(v: Tensor, cap: float, rng: np.random.Generator) -> Tensor:
    alpha = torch.from_numpy(rng.standard_normal(tuple(v.shape), dtype=np.float32))
    return (cap / 2 + cap / 2 * alpha).clamp_(1e-8, cap)


def sampled_flips(head: Head, rng: np.random.Generator) -> Flips:
    """α drawn from N(cap/2, cap/2), clipped to (0, cap]."""

    def flips(rows: Tensor, y: Tensor, v: Tensor, cap: float) -> Tensor:
        return head(rows + _draw(v, cap, rng) * v).argmax(1) != y

    return flips


def learned_flips(
    head: Head, rng: np.random.Generator, *, steps: int, lr: float, shrink: float
) -> Flips:
    """α by projected sign steps that raise the loss and shorten α.

    The published code makes a new Adam for every step, and the first step of Adam is the sign of
    the gradient: so it is written here.
    """

    def flips(rows: Tensor, y: Tensor, v: Tensor, cap: float) -> Tensor:
        alpha = _draw(v, cap, rng)
        changed = head(rows + alpha * v).argmax(1) != y
        for step in range(steps):
            uphill = head.gradient(rows + alpha * v, y) * v
            uphill -= shrink * alpha / alpha.norm(dim=1, keepdim=True)
            rate = lr if step < steps * 2 / 3 else lr / 10
            alpha = (alpha + rate * uphill.sign()).clamp_(1e-8, cap)
            changed |= head(rows + alpha * v).argmax(1) != y
        return changed

    return flips
