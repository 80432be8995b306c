"""Whether torch can compile a network here, and when that is worth its time."""

import os
import shutil
from importlib.util import find_spec

import torch

from labelgap.core.errors import DeviceError, UnknownName
from labelgap.core.installing import command_for

CHOICES = ("auto", "on", "off")
LONG = 2000
"""Steps of a round's longest stage from which `auto` compiles on CUDA. Compiling ResNet-18 takes
about a minute, once in a process; 2,000 of its steps take minutes."""
_CAPABILITY = (7, 0)  # what Triton asks for
_COMPILERS = ("c++", "g++", "clang++", "cl")


def compile_on(device: torch.device, wish: str) -> str:
    """What `--compile` comes to on a device: "off", "on", or "auto" (on CUDA: by `LONG`).

    auto is off on the CPU and on MPS. There kernels are few and large already, and compiling takes
    a minute.

    Raises
    ------
    UnknownName: another wish. DeviceError: "on" where nothing can compile, with the cure.
    """
    if wish not in CHOICES:
        raise UnknownName("choice", wish, CHOICES, "--compile")
    missing = what_is_missing(device)
    if wish == "on" and missing:
        raise DeviceError(f"--compile on: {missing[0]}", f"{missing[1]} Or use `--compile off`.")
    if wish == "auto" and (device.type != "cuda" or missing):
        return "off"
    return wish


def what_is_missing(device: torch.device) -> tuple[str, str] | None:
    """What keeps torch from compiling for a device, and what brings it; None if nothing does."""
    if device.type == "mps":
        return "torch compiles no training for Metal.", "Use another device."
    if device.type == "cuda":
        if find_spec("triton") is None:
            return (
                "Triton, which torch compiles with, is not installed.",
                f"Install it: `{command_for('triton')}`.",
            )
        found = torch.cuda.get_device_capability(device)
        if found < _CAPABILITY:
            least = ".".join(map(str, _CAPABILITY))
            have = ".".join(map(str, found))
            return f"Triton needs compute capability {least}; this card has {have}.", (
                "Use a newer card."
            )
        return None
    named = [name for name in (os.environ.get("CXX"), *_COMPILERS) if name]
    if not any(shutil.which(name) for name in named):
        return "No C++ compiler is on the PATH.", "Install one (`apt-get install g++`)."
    return None
