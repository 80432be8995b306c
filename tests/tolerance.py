"""What rounding alone may do to a result: the one tolerance of the tests' comparisons of floats.

A sum of n floats is not one number. AVX2 adds eight at a time, AVX-512 sixteen, AMX a tile of them;
a fused multiply-add rounds once where two instructions round twice; OpenBLAS, MKL and oneDNN cut a
matrix into blocks to fit the cache of the processor they find. Every order is right, and each gives
other last digits. So a test does not ask how far two results were apart on the machine on which it
was written: it says how many roundings lie between operand and result, and compares with a
reference in float64.

The bound. One rounding changes a value by a factor 1 + δ, |δ| ≤ u: 2⁻⁵³ in float64, 2⁻²⁴ in
float32, 2⁻⁸ in bfloat16. Of n of them in a row at most n·u can remain (Higham, *Accuracy and
Stability of Numerical Algorithms*, §3.1); they have either sign, so √n·u is what does remain, and
more than 6·√n·u has a probability of about 2·exp(−6²/2), or 3e-8, for each value compared (Higham
and Mary 2019, *A new approach to probabilistic rounding error analysis*). The smaller of the two
counts:

    |found − exact| ≤ u · min(n, 6·√n) · (|exact| + spread)

`spread` is for values that cancel. A rounding is relative to the partial sum at which it happens,
and that may be far from the total: partial sums, in whatever order, drift towards the total and
wander by the root of the sum of the squared terms. A sum of terms of one sign has spread 0.
Where a function follows that magnifies an error (a difference, an exponential, a division by
something small), `spread` is the size of the operand times the function's slope.

What does not need it. Runs of the same code on the same machine with the same threads are equal bit
for bit, and tests ask for that. Float64 against float64 at 1e-9 or the libraries' own 1e-7 (numpy,
torch) and 1e-6 (pytest): a million roundings at least, more than any test sums, and far less than
a wrong formula shows. Numbers of a few decimals, and of draws from a law, have the tolerance of
these, which is said where they are.
"""

from typing import Any

import numpy as np
import torch

ROUNDOFF = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}


def rounding(name: str, terms: float) -> float:
    """The relative change that `terms` roundings of a type make at most, in any order."""
    return ROUNDOFF[name] * min(terms, 6 * terms**0.5)


def assert_rounded(
    found: Any, exact: Any, terms: float, spread: Any = 0.0, *, dtype: Any = None
) -> None:
    """`found` is `exact` but for `terms` roundings of its own type (or of `dtype`).

    Parameters
    ----------
    found, exact: tensors, arrays, lists or numbers of one shape. Where `exact` was computed in
        `found`'s precision too, `terms` counts the roundings of both.
    terms: how many roundings lie between the operands and the result: of a scalar product its
        length, of an elementary function a few. More than one kind adds up.
    spread: √Σ terms² of a sum whose terms cancel, or another size at which the errors arise.
    """
    name = str(dtype or getattr(found, "dtype", "float64")).removeprefix("torch.")
    a, b, s = (_wide(x) for x in (found, exact, spread))
    assert a.shape == b.shape, f"{a.shape} found, {b.shape} expected"
    allowed = rounding(name, terms) * (np.abs(b) + s)
    with np.errstate(invalid="ignore", divide="ignore"):  # ∞ − ∞, 0 / 0
        ratio = np.where(a == b, 0.0, np.nan_to_num(np.abs(a - b) / allowed, nan=np.inf))
    if (ratio > 1).any():
        at = np.unravel_index(int(ratio.argmax()), a.shape)
        raise AssertionError(
            f"{int((ratio > 1).sum())} of {a.size} values are not within {terms:g} roundings of "
            f"{name}; at {[int(i) for i in at]}: {a[at]!r} found, {b[at]!r} expected, "
            f"{ratio[at]:.3g} times the tolerance apart"
        )


def _wide(x: Any) -> np.ndarray:
    if isinstance(x, torch.Tensor):
        x = x.detach().cpu().double().numpy()
    return np.asarray(x, dtype=np.float64)


def product(a: torch.Tensor, b: torch.Tensor, bias: Any = 0.0) -> tuple[Any, int, Any]:
    """`a @ b + bias` in float64, its roundings and its spread: what `assert_rounded` asks for."""
    a, b = a.detach().double(), b.detach().double()
    return a @ b + bias, a.shape[-1] + 1, (a.square() @ b.square()).sqrt()


def through(*networks: torch.nn.Module) -> int:
    """Roundings on the way through networks: the products of every layer, and four for its norm.

    Layers side by side count too: it is the longest way at most.
    """
    weights = [p for net in networks for p in net.parameters() if p.ndim > 1]
    return sum(p[0].numel() + 4 for p in weights)


def two_ways(probabilities: np.ndarray, *networks: torch.nn.Module) -> dict[str, Any]:
    """Roundings and spread of probabilities that networks gave in two ways: in another program, or
    in a batch of other items, for which a product is cut differently.

    An error of a logit is relative to the size of the logits, and at most a quarter of it is one of
    the probability.
    """
    logits = np.log(probabilities)
    size = np.abs(logits - logits.mean(axis=1, keepdims=True)).max()
    return {"terms": 2 * through(*networks), "spread": size / 4, "dtype": "float32"}
