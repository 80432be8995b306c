"""Matrix products at the speed of the best BLAS at hand.

On the CPU numpy's OpenBLAS is about twice as fast as torch's GEMM for the tall, thin float32
products of mixtures and selection (measured: benchmarks/speed); elsewhere torch's own product
is the right one. Both share memory, so nothing is copied.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor


def matmul(a: Float[Tensor, "n d"], b: Float[Tensor, "d k"]) -> Float[Tensor, "n k"]:
    """`a @ b` without a gradient; transposed views are passed to BLAS as they are."""
    a, b = a.detach(), b.detach()
    if (
        a.device.type == "cpu"
        and b.device.type == "cpu"
        and a.dtype
        in (
            torch.float32,
            torch.float64,
        )
    ):
        return torch.from_numpy(a.numpy() @ b.numpy())
    return a @ b


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a)
        return matmul(a, b)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        (a,) = ctx.saved_tensors
        return None, matmul(a.T, gradients[0])


def constant_matmul(a: Float[Tensor, "n d"], b: Float[Tensor, "d k"]) -> Float[Tensor, "n k"]:
    """`a @ b` with a gradient to b alone, by `matmul` both ways."""
    product: Tensor = _Product.apply(a.detach(), b)  # type: ignore[no-untyped-call]
    return product


@contextmanager
def one_pool() -> Iterator[None]:
    """Leave the threads of the CPU to numpy's BLAS while it takes turns with torch.

    Torch and BLAS have a pool of threads each, and idle threads spin for work: two pools that
    alternate every millisecond starve each other (10-40 times slower on two busy cores). The
    products are what needs the threads; the rest is small.
    """
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
