"""The machine: device, precision, threads. Nothing else in the package asks what it runs on."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from threadpoolctl import threadpool_limits
from torch import nn

from labelgap.core.compiler import LONG, compile_on
from labelgap.core.errors import DeviceError
from labelgap.core.names import check_device

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Machine:
    """Where and in which precision training runs. Prediction is always float32.

    compile: on | off | auto, as `labelgap.core.compiler.compile_on` has it.
    """

    device: torch.device
    precision: str
    compile: str = "off"

    def compiles(self, steps: int) -> bool:
        """Whether the network is compiled for a training whose longest stage has so many steps."""
        return self.compile == "on" or (self.compile == "auto" and steps >= LONG)

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of a training step's forward passes."""
        if self.precision == "bfloat16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    def place(self, module: M) -> M:
        """Move to the device; convolutions in channels-last, the layout their kernels want."""
        module = module.to(self.device)
        if any(p.dim() == 4 for p in module.parameters()):
            module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return module

    def free_memory(self) -> int | None:
        """Bytes that are free on an accelerator; None on the CPU, whose memory the data are in."""
        if self.device.type == "cuda":
            return int(torch.cuda.mem_get_info(self.device)[0])
        if self.device.type == "mps":
            used = torch.mps.driver_allocated_memory()
            return int(torch.mps.recommended_max_memory() - used)
        return None

    def synchronise(self) -> None:
        """Wait for the device, so that a clock reads what it should."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()


def machine(device: str = "auto", precision: str = "auto", compile: str = "auto") -> Machine:
    """Choose device and precision by what the hardware can do, never by a timing.

    Parameters
    ----------
    device: auto | cpu | cuda | cuda:N | mps. auto takes cuda, then mps, then cpu.
    precision: auto | float32 | bfloat16. auto takes bfloat16 where the hardware computes in it
        natively (AVX512-BF16 or AMX on the CPU, compute capability 8 on CUDA).
    compile: auto | on | off: whether training compiles the network. auto does so on CUDA, where
        Triton can, for a training of at least 2,000 steps.

    Raises
    ------
    DeviceError: a device that this machine does not have, or nothing that compiles for it.
    UnknownName: another word for `compile`.
    """
    if device == "auto":
        kind = "cpu"
        if torch.cuda.is_available():
            kind = "cuda"
        elif torch.backends.mps.is_available():
            kind = "mps"
        chosen = torch.device(kind)
    else:
        check_device(device)
        chosen = torch.device(device)
    if chosen.type == "cuda" and (
        not torch.cuda.is_available() or (chosen.index or 0) >= torch.cuda.device_count()
    ):
        raise DeviceError(
            f"--device {device}: this machine has {_count_cuda()} CUDA devices that torch can use.",
            "Use `--device cpu`, or install a CUDA build of torch and its driver.",
        )
    if chosen.type == "mps" and not torch.backends.mps.is_available():
        raise DeviceError("--device mps: no Metal device here.", "Use `--device cpu`.")
    if precision == "auto":
        precision = "bfloat16" if native_bfloat16(chosen) else "float32"
    return Machine(chosen, precision, compile_on(chosen, compile))


def full_precision(device: torch.device) -> AbstractContextManager[Any]:
    """Whatever is computed inside keeps its own type, also within `Machine.autocast`.

    Nothing is entered where no autocast is on: the context costs as much as a small product.
    """
    if torch.is_autocast_enabled(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def set_threads(threads: int | None) -> int:
    """Give torch and the BLAS of numpy the same number of threads; returns it.

    None: as many as torch takes by itself. Two pools of unequal size on the same cores wait for
    each other: EM was ten times slower so.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    threads = torch.get_num_threads()
    threadpool_limits(threads)
    return threads


def _count_cuda() -> int:
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def native_bfloat16(device: torch.device) -> bool:
    """Whether the hardware computes in bfloat16 itself; elsewhere it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        # oneDNN computes bfloat16 natively with either; elsewhere it only emulates it.
        capability = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return bool(capability.get("avx512_bf16") or capability.get("amx_bf16"))
    return False
