"""Products and sums in blocks, centred and in float64 where it matters."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd import forward_ad

from labelgap.core import linalg
from labelgap.core.device import full_precision
from labelgap.core.errors import ConfigError, DataError, UnknownName

# Rows of a block: large enough to hide the call, small enough for a core's cache (measured with
# benchmarks/speed/mixture.py: flat from 512 to 2048). A GPU wants few large kernels instead.
CPU_ROWS = 2048
GPU_ROWS = 16_384
# OpenBLAS works on 16 columns at a time: filling a block that is more than half full is free.
COLUMNS = 16


def row_blocks(z: Tensor, centre: Tensor, width: int) -> Iterator[tuple[slice, Tensor]]:
    """Row slices of z and their [x, q]; each block is valid until the next one is asked for."""
    n, d = z.shape
    rows = CPU_ROWS if z.device.type == "cpu" else GPU_ROWS
    # Spare columns: rows a power of two apart would share cache lines (twice as slow at 1024).
    spare = min(rows, n), width + COLUMNS
    buffer = torch.empty(spare, dtype=centre.dtype, device=z.device)[:, :width]
    for begin in range(0, n, rows):
        chosen = slice(begin, min(begin + rows, n))
        block = buffer[: chosen.stop - begin]
        x = torch.sub(z[chosen], centre, out=block[:, :d])
        if width == 2 * d:
            torch.mul(x, x, out=block[:, d:])
        else:
            torch.linalg.vecdot(x, x, out=block[:, d])
        yield chosen, block


def plain_product(a: Tensor, b: Tensor) -> Tensor:
    """`linalg.matmul` in the type of its arguments, whatever autocast says."""
    with full_precision(a.device):
        return linalg.matmul(a, b)


def centre_of(z: Tensor) -> Tensor:
    """The mean of z, [d], summed in float64 and given in the type of the products."""
    # In pieces: torch widens the whole of what it sums in a wider type.
    total = torch.stack([wide_sum(part, dim=0) for part in torch.split(z, GPU_ROWS)]).sum(dim=0)
    return (total / z.shape[0]).to(device=z.device, dtype=compute_dtype(z))


def wide_device(device: torch.device) -> torch.device:
    """Where float64 lives: MPS has none."""
    return torch.device("cpu") if device.type == "mps" else device


def wide_sum(x: Tensor, dim: int) -> Tensor:
    """A sum in float64, on the host where the device has no float64."""
    return x.to(wide_device(x.device)).sum(dim=dim, dtype=torch.float64)


def compute_dtype(z: Tensor) -> torch.dtype:
    return torch.promote_types(z.dtype, torch.float32)


def padded_columns(k: int, device: torch.device) -> int:
    """Columns for k components: on the CPU, up to a full block where the last is nearly full."""
    return k if device.type != "cpu" or k % COLUMNS <= COLUMNS // 2 else k + -k % COLUMNS


def is_constant(z: Tensor) -> bool:
    """Nobody asks for a derivative by z, backward or forward."""
    backward = torch.is_grad_enabled() and z.requires_grad
    tangent = forward_ad.unpack_dual(z).tangent  # type: ignore[no-untyped-call]
    return not backward and tangent is None


def check_known(kind: str, name: str, choices: tuple[str, ...]) -> str:
    if name not in choices:
        raise UnknownName(kind, name, choices)
    return name


def check_positive(name: str, value: float | int) -> None:
    if not value > 0:
        raise ConfigError(f"{name} is {value}.", "Give a number above 0.")


def check_some(z: Tensor) -> None:
    if z.shape[0] == 0:
        raise DataError("A mixture of no samples was asked for.", "Give at least one sample.")


def check_same_dim(z: Tensor, d: int) -> None:
    if z.shape[1] != d:
        raise DataError(
            f"The features have {z.shape[1]} dimensions, the mixture {d}.",
            "Fit the mixture on features of the same network.",
        )


def check_distributions(responsibilities: Tensor) -> None:
    # Half-precision softmax rows sum to 1 within a percent.
    wide = responsibilities.to(torch.float32)
    wrong = ~((wide.sum(dim=1) - 1).abs() < 1e-2) | (wide < 0).any(dim=1)
    if bool(wrong.any()):
        first = int(wrong.nonzero()[0])
        raise DataError(
            f"{int(wrong.sum())} rows of responsibilities are no distribution over the "
            f"{responsibilities.shape[1]} components; the first is row {first}.",
            "Give one-hot labels or a softmax: entries of 0 or more that sum to 1.",
        )
