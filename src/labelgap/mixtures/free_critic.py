"""The free critic's loss and its gradient, written out: a third less time than autograd's.

The penalty is a loss of a gradient, so autograd goes through the critic four times and keeps a
graph of the gradient. For three linear layers with ReLU all of it is known. With pre-activations
a₁ = W₁h + b₁ and a₂ = W₂ relu(a₁) + b₂, and masks m = [a > 0], constant almost everywhere,

    D(h) = w₃ · relu(a₂) + b₃,      ∇D(h) = W₁ᵀ(m₁ ∘ W₂ᵀ(m₂ ∘ w₃)),

and the loss is λ · mean (‖∇D(h̃)‖ − 1)² − (E_U[D] − E_L[D]) (Gulrajani et al. 2017, Eq. 3). The
points h̃ lie between the sets, and so do their a₁ between those of the two ends: the first layer,
nearly all of the work on wide features, never meets h̃ itself.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

masked = torch.ops.aten.threshold_backward.default
"""masked(g, a, 0): g where a > 0, else 0."""


class FreeCriticLoss(torch.autograd.Function):
    """What a critic without sigmoid descends; a gradient for its six parameters alone."""

    @staticmethod
    def forward(
        ctx: Any,
        labelled: Float[Tensor, "b i"],
        unlabelled: Float[Tensor, "b i"],
        mix: Float[Tensor, "b 1"],
        penalty: float,
        columns: int | None,
        *parameters: Tensor,
    ) -> Float[Tensor, ""]:
        """The loss, and all of its gradient at once.

        Parameters
        ----------
        mix: the share of the labelled item in each point h̃ at which the penalty is taken.
        penalty: λ.
        columns: of the inputs, the leading ones that the penalty's gradient is over; None: all.
        parameters: W₁ [w, i], b₁ [w], W₂ [w, w], b₂ [w], W₃ [1, w], b₃ [1].
        """
        w1, b1, w2, b2, w3, b3 = parameters
        n, ends, columns = len(mix), 2 * len(mix), columns or labelled.shape[1]
        # All rows pass together, and all products of a layer are one: the last rows are those of
        # the penalty. Their place in h is for what its gradient needs.
        h = labelled.new_empty(3 * n, labelled.shape[1])
        torch.cat([labelled, unlabelled], out=h[:ends])
        a1 = h.new_empty(3 * n, len(w1))
        torch.addmm(b1, h[:ends], w1.t(), out=a1[:ends])
        torch.lerp(a1[n:ends], a1[:n], mix, out=a1[ends:])
        a1.relu_()
        a2 = torch.addmm(b2, a1, w2.t()).relu_()
        # The sign and the share of each item in −(E_U[D] − E_L[D]); 1 for ∇D between the sets.
        share = h.new_full((len(h), 1), 1.0)
        share[:n] = 1 / n
        share[n:ends] = -1 / n
        d2 = masked(share * w3, a2, 0.0)
        d1 = masked(d2 @ w2, a1, 0.0)
        of_w3 = share[:ends].t() @ a2[:ends]
        of_b3 = share[:ends].sum(dim=0)

        # The penalty and backward through it; at a norm of 0 the slope is 0, as it is to autograd.
        gradient = torch.mm(d1[ends:], w1[:, :columns], out=h[ends:, :columns])
        h[ends:, columns:] = 0.0
        norm = gradient.norm(dim=1, keepdim=True)
        excess = norm - 1
        loss: Tensor = (of_w3 @ w3.t() + of_b3 * b3).sum() + penalty * excess.square().mean()
        gradient.div_(norm.clamp_min_(torch.finfo(h.dtype).tiny))
        gradient.mul_(excess.mul_(2 * penalty / n))
        a1[ends:] = masked(h[ends:] @ w1.t(), a1[ends:], 0.0)
        e2 = masked(a1[ends:] @ w2.t(), a2[ends:], 0.0)
        ctx.save_for_backward(
            d1.t() @ h,
            d1[:ends].sum(dim=0),
            d2.t() @ a1,
            d2[:ends].sum(dim=0),
            of_w3.add_(e2.sum(dim=0)),
            of_b3,
        )
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *above: Tensor) -> tuple[Tensor | None, ...]:
        gradients = ctx.saved_tensors
        if above[0].device.type != "cpu" or above[0].numpy() != 1.0:  # read where it costs nothing
            gradients = tuple(g * above[0] for g in gradients)
        return None, None, None, None, None, *gradients
