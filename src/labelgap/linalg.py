"""Matrix products at the speed of the best BLAS at hand.

On the CPU numpy's OpenBLAS is about twice as fast as torch's GEMM for the tall, thin float32
products of mixtures and selection (measured: benchmarks/speed); elsewhere torch's own product
is the right one. Both share memory, so nothing is copied.
"""

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
