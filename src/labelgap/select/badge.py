"""BADGE's gradient embeddings (Ash et al. 2020) as a geometry that is never materialised.

The gradient of the loss at the predicted label with respect to the last layer is g = a ⊗ h, of
K·d values per item. Norms and products factorise: ‖g‖² = ‖a‖² ‖h‖² and g·g' = (a·a')(h·h').
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from labelgap.core import scratch
from labelgap.core.errors import UnknownName
from labelgap.select.arrays import Factor, lowest, row_norms, views, wide
from labelgap.select.distinct import distinct
from labelgap.select.dsquared import sample
from labelgap.select.geometry import GATHER, NEAR, TOUCH, WithCopies
from labelgap.select.top import check_budget


def badge(
    a: Float[Tensor, "n k"],
    h: Float[Tensor, "n d"],
    n: int,
    rng: np.random.Generator,
    first: str = "max-norm",
    block: int = 128,
) -> Int64[Tensor, " b"]:
    """n distinct positions by D² sampling on the gradient embeddings a ⊗ h.

    Parameters
    ----------
    a: p - onehot(argmax p), the gradient at the logits.   h: the last layer's input.
    first: "max-norm" takes the longest gradient, as the published code does; "random" draws
        uniformly, as k-means++ does.
    block: proposals per block; changes speed, not the law.

    Raises
    ------
    BudgetError: n exceeds the items.   UnknownName: another `first`.
    """
    check_budget(n, len(a))
    if first not in ("max-norm", "random"):
        raise UnknownName("first pick", first, ("max-norm", "random"))
    found = distinct(a, h)
    rows = found.rows.to(h.device)
    outer = Outer(a[rows], scratch.rows(h, rows)) if found.copies else Outer(a, h)
    start = int(found.first[int(outer.norms.argmax())]) if n and first == "max-norm" else None
    return sample(WithCopies(outer, found) if found.copies else outer, n, rng, start, block)


class Outer:
    """Squared distances between the rank-one matrices a_i ⊗ h_i."""

    def __init__(self, a: Float[Tensor, "n k"], h: Float[Tensor, "n d"]) -> None:
        self.a: Tensor = a.detach()
        self.h: Tensor = h.detach()
        self.norms: Tensor = row_norms(self.a) * row_norms(self.h)

    @property
    def device(self) -> torch.device:
        return self.h.device

    def __len__(self) -> int:
        return len(self.h)

    def pairs(self, rows: Int64[Tensor, " r"], cols: Int64[Tensor, " c"]) -> Float[Tensor, "r c"]:
        dtype = wide(self.device)
        few = [t[at].to(dtype) for at in (rows, cols) for t in (self.a, self.h)]
        xp, (a, h, b, g) = views(*few)
        lengths = [xp.square(u).sum(1) * xp.square(v).sum(1) for u, v in ((a, h), (b, g))]
        norms = lengths[0][:, None] + lengths[1]
        d2 = norms - 2.0 * (a @ b.T) * (h @ g.T)
        row, col = xp.where(d2 <= TOUCH * norms)
        step = max(1, GATHER // (a.shape[1] + h.shape[1]))
        for i in range(0, len(row), step):
            r, c = row[i : i + step], col[i : i + step]
            d2[r, c] = _close(a[r], h[r], b[c], g[c])
        return torch.as_tensor(d2)

    def nearest(self, cols: Int64[Tensor, " c"]) -> Float[Tensor, " n"]:
        gradient, feature = Factor(self.a, -2.0 * self.a[cols]), Factor(self.h, self.h[cols])
        out = self.norms + lowest([feature, gradient], self.norms[cols])
        near = torch.nonzero(out < 2 * NEAR * self.norms).squeeze(1)
        width = max(len(cols), self.a.shape[1] + self.h.shape[1])
        for few in torch.split(near, max(1, GATHER // width)):
            out[few] = self.pairs(few, cols).amin(1).to(out.dtype)
        return out.clamp_min_(0.0)


def _close(a: Any, h: Any, b: Any, g: Any) -> Any:
    """‖a ⊗ h - b ⊗ g‖² of nearly equal pairs, row by row, from differences; 0 for equal ones."""
    # a ⊗ h - b ⊗ g = (a + b)/2 ⊗ (h - g) + (a - b) ⊗ (h + g)/2
    da, dh, ma, mh = a - b, h - g, (a + b) / 2, (h + g) / 2
    far = (ma**2).sum(1) * (dh**2).sum(1) + (da**2).sum(1) * (mh**2).sum(1)
    return (far + 2 * (ma * da).sum(1) * (dh * mh).sum(1)).clip(0.0)
