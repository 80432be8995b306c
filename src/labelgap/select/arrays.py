"""Array work between matrix products, on numpy for the CPU and on torch elsewhere.

numpy's BLAS and torch keep a pool of threads each, and a pool that has just worked spins for a
while. Alternating between them in small steps made an addition take a hundred times its time;
so on the CPU the few elementwise steps between two products stay with numpy, in cache. The
operations used are spelled alike in both libraries. Views share memory: nothing is copied.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

# Rows of a product at a time: rows x block float32 values stay in the processor's cache.
ROWS = 4096


def wide(device: torch.device) -> torch.dtype:
    """float64, or float32 on Apple's MPS, which has nothing wider."""
    return torch.float32 if device.type == "mps" else torch.float64


def views(*tensors: Tensor) -> tuple[ModuleType, tuple[Any, ...]]:
    """(numpy, arrays) for float32 and float64 on the CPU, else (torch, the tensors)."""
    plain = [t.detach() for t in tensors]
    if all(t.device.type == "cpu" and t.dtype in (torch.float32, torch.float64) for t in plain):
        return np, tuple(t.numpy() for t in plain)
    return torch, tuple(plain)


@dataclass(frozen=True)
class Factor:
    """One factor of a product of inner products: all items and a few."""

    items: Float[Tensor, "n d"]
    few: Float[Tensor, "c d"]


def lowest(factors: list[Factor], shift: Float[Tensor, " c"]) -> Float[Tensor, " n"]:
    """min over c of shift_c + Π_f items_f · few_f for every item, a piece at a time."""
    xp, (offset, *arrays) = views(shift, *(x for f in factors for x in (f.items, f.few)))
    pieces = []
    for i in range(0, len(arrays[0]), ROWS):
        product = arrays[0][i : i + ROWS] @ arrays[1].T
        for items, few in zip(arrays[2::2], arrays[3::2], strict=True):
            product *= items[i : i + ROWS] @ few.T
        product += offset
        pieces.append(xp.amin(product, 1))
    return torch.as_tensor(xp.concatenate(pieces)) if pieces else shift.new_empty(0)


def products(factor: Factor) -> Float[Tensor, "n c"]:
    """items · few for every item, a piece at a time."""
    xp, (items, few) = views(factor.items, factor.few)
    pieces = [items[i : i + ROWS] @ few.T for i in range(0, len(items), ROWS)]
    return torch.as_tensor(xp.concatenate(pieces)) if pieces else factor.items @ factor.few.T


def wide_pieces(x: Float[Tensor, "n d"]) -> Iterator[tuple[int, Tensor]]:
    """(first row, float64 copy of some rows) over all rows, in one buffer that is used again.

    A wide copy of x would be twice x; so would a new one for each piece, since the allocator does
    not fit an aligned block into the hole that its like has left.
    """
    buffer = torch.empty(min(ROWS, len(x)), x.shape[1], dtype=wide(x.device), device=x.device)
    for start in range(0, len(x), ROWS):
        part = x.detach()[start : start + ROWS]
        yield start, buffer[: len(part)].copy_(part)


def wide_sum(x: Float[Tensor, "n d"]) -> Float[Tensor, " d"]:
    """Sum of the rows in float64."""
    total = torch.zeros(x.shape[1], dtype=wide(x.device), device=x.device)
    for _, part in wide_pieces(x):
        total += part.sum(0)
    return total


def wide_mean(x: Float[Tensor, "n d"]) -> Float[Tensor, " d"]:
    """Mean of the rows in float64."""
    return wide_sum(x) / len(x)


def row_norms(x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """Squared norms of the rows, accumulated in float64, in x's own type."""
    out = x.new_empty(len(x))
    for start, part in wide_pieces(x):
        out[start : start + len(part)] = part.square_().sum(1)
    return out


def row_extents(x: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """The largest size of a value in each row; NaN where one is NaN. No array of a piece's size.

    Small results that are kept between large ones that are not would leave holes into which the
    next large one does not fit: memory grew to a copy of x so.
    """
    out = x.new_zeros(len(x))
    if not x.numel():
        return out
    for start in range(0, len(x), ROWS):
        least, most = x.detach()[start : start + ROWS].aminmax(dim=1)
        out[start : start + len(most)] = torch.maximum(most, -least)
    return out
