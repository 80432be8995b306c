"""All similarities of two sets block by block: exact, or bounded from above at half precision.

Greedy coverage looks at every pair once, and at few again. Where the processor multiplies bfloat16
several times as fast as float32, that one look takes upper bounds, and exact rows are made for
those that lead: what is taken is the same. Between a set and itself each pair is looked at once.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from labelgap.core.device import native_bfloat16
from labelgap.select.kernel import SimilarityTo, similarity

BLOCK = 1024
"""Rows and columns of a block: 4 MB of float32."""
LOOSEST = 0.05
"""Bounds that may lie further above the similarity, relative to it, would let too many lead."""

_HALF = 2.0**-9
"""What rounding to bfloat16, whose fraction has seven digits, may change of a number by itself."""


class _Halved(NamedTuple):
    """Rows in bfloat16 with the length of each, its error, and the square of the row itself."""

    half: Tensor
    length: Tensor
    error: Tensor
    square: Tensor


def _halved(rows: Float[Tensor, "n d"]) -> _Halved:
    parts = []
    for part in torch.split(rows, 256):  # what is made of so few stays in the processor's cache
        half = part.bfloat16()
        wide = half.float()
        error = (part - wide).norm(dim=1)
        parts.append((half, wide.norm(dim=1), error, part.square().sum(1)))
    return _Halved(*(torch.cat(p) for p in zip(*parts, strict=True)))


class Similarities:
    """exp(−‖a − b‖² / variance) of all pairs, or upper bounds of them.

    With â, b̂ the rows in bfloat16 and e their errors, a·b ≤ â·b̂ + ‖e_a‖ ‖b‖ + ‖â‖ ‖e_b‖ (Cauchy
    and Schwarz). The errors are known; to them come the rounding of the product to bfloat16 and of
    its sum in float32.

    Parameters
    ----------
    bounded: take bounds where they are cheaper and close enough.

    Attributes
    ----------
    exact: whether the blocks are the similarities themselves.
    """

    def __init__(
        self, a: Float[Tensor, "n d"], b: Float[Tensor, "m d"], variance: float, bounded: bool
    ) -> None:
        self.a, self.b, self.variance = a, b, variance
        self.same: bool = a is b
        self._to_b = SimilarityTo(b, variance)
        self.exact: bool = True
        # On the CPU alone: accelerators may add up in half precision, which no bound here knows.
        halves = bounded and a.device.type == "cpu" and native_bfloat16(a.device)
        if halves and a.dtype == b.dtype == torch.float32 and len(a) and len(b):
            self._halves()

    def _halves(self) -> None:
        """Take bounds, unless they would be too far from what they bound."""
        a = _halved(self.a)
        b = a if self.same else _halved(self.b)
        # ‖b‖ ≤ ‖b̂‖ + ‖e_b‖; sums of d products and squares in float32; the product in bfloat16.
        longest = float(b.length.max())
        summed = 4 * self.a.shape[1] * torch.finfo(torch.float32).eps + _HALF * (1 + _HALF)
        rounding = summed * float(a.length.max()) * longest
        slack_a = a.error * (longest + float(b.error.max())) + rounding
        slack_b = b.error * a.length.max()
        most = 4.0 * float(slack_a.max() + slack_b.max()) / self.variance
        if not most <= LOOSEST:
            return
        self.exact = False
        self.half_a, self.half_b = a.half, b.half.T
        self.of_a = (2.0 * slack_a - a.square)[:, None] / self.variance
        self.of_b = (2.0 * slack_b - b.square) / self.variance

    def blocks(self) -> Iterator[tuple[slice, slice, Float[Tensor, "r c"]]]:
        """(rows, columns, values); of a set with itself only those on and above the diagonal."""
        for i in range(0, len(self.a), BLOCK):
            rows = slice(i, min(i + BLOCK, len(self.a)))
            for j in range(i if self.same else 0, len(self.b), BLOCK):
                columns = slice(j, min(j + BLOCK, len(self.b)))
                yield rows, columns, self._block(rows, columns)

    def mirrored(self, rows: slice, columns: slice) -> bool:
        """Whether the block stands for the one across the diagonal too."""
        return self.same and rows.start != columns.start

    def exactly(self, rows: Int64[Tensor, " r"]) -> Float[Tensor, "r m"]:
        """The similarities of some rows of a themselves."""
        return self._to_b(self.a[rows])

    def _block(self, rows: slice, columns: slice) -> Float[Tensor, "r c"]:
        if self.exact:
            return similarity(self.a[rows], self.b[columns], self.variance)
        products = self.half_a[rows] @ self.half_b[:, columns]
        made = torch.add(self.of_b[columns], products, alpha=2.0 / self.variance)
        return made.add_(self.of_a[rows]).exp_().clamp_max_(1.0)
