"""Solutions of linear systems whose matrix is known by its products alone."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor


def conjugate_gradients(
    product: Callable[[Tensor], Tensor],
    v: Float[Tensor, " w"],
    iterations: int,
    tolerance: float,
) -> tuple[Float[Tensor, " w"], dict[str, float | int]]:
    """s with product(s) = v, and how it went: iterations, residual, negative curvature.

    Stops at ‖v − product(s)‖ ≤ tolerance · ‖v‖, at the limit, or where the matrix curves down
    (then s is what was found so far, v at least, as in truncated Newton methods).
    """
    s, r = torch.zeros_like(v), v.clone()
    p, square, norm = r.clone(), _dot(r, r), _dot(v, v)
    done, down = 0, 0
    while done < iterations and square > tolerance**2 * norm:
        q = product(p)
        bend = _dot(p, q)
        if bend <= 0:
            s, down = (s if done else v.clone()), 1
            break
        step = square / bend
        s, r = s + step * p, r - step * q
        before, square = square, _dot(r, r)
        p, done = r + (square / before) * p, done + 1
    residual = (square / norm) ** 0.5 if norm > 0 else 0.0
    return s, {"iterations": done, "residual": residual, "negative_curvature": down}


def lissa(
    product: Callable[[Tensor], Tensor], v: Float[Tensor, " w"], damping: float, scale: float,
    depth: int,
) -> Float[Tensor, " w"]:  # fmt: skip
    """(H + damping)⁻¹ v by h ← v + (1 − damping/scale) h − H h / scale (Agarwal et al. 2017).

    product: a stochastic or exact H h. Converges where ‖H + damping‖ < 2 · scale.
    """
    h = v
    for _ in range(depth):
        h = v + (1.0 - damping / scale) * h - product(h) / scale
    return h / scale


def _dot(a: Tensor, b: Tensor) -> float:
    return float(torch.sum(a * b, dtype=torch.float64 if a.device.type != "mps" else None))
