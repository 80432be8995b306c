"""What computes a frozen backbone's features: PyTorch, or OpenVINO on a CPU."""

import sys
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from labelgap.core.errors import ConfigError
from labelgap.core.installing import command_for
from labelgap.networks.timm import Backbone, Preprocessing, prepare

TORCH, OPENVINO = "torch", "openvino"

Extract = Callable[[UInt8[Tensor, "b h w c"]], Float32[np.ndarray, "b d"]]
Run = Callable[[np.ndarray], np.ndarray]


def engine_of(wanted: str, device: torch.device) -> str:
    """The engine's name: "auto" is OpenVINO on a CPU that it is installed for, else PyTorch.

    Raises
    ------
    ConfigError: OpenVINO is asked for by its name on another device, or is not installed.
    """
    there = find_spec(OPENVINO) is not None
    if wanted == "auto":
        return OPENVINO if device.type == "cpu" and there else TORCH
    if wanted == OPENVINO:
        if device.type != "cpu":
            raise ConfigError(
                f'network.engine = "openvino" computes on CPUs, and the device is {device}.',
                "Use `--device cpu`, or leave the key out.",
            )
        if not there:
            raise ConfigError(
                'network.engine = "openvino", and OpenVINO is not installed.',
                f"{command_for('openvino')} brings it; or leave the key out.",
            )
    return wanted


def of_torch(backbone: Backbone, device: torch.device) -> Extract:
    """Features by PyTorch on a device that the backbone is on."""
    return lambda images: backbone.features(images.to(device)).cpu().numpy()


def of_openvino(backbone: Backbone, batch: int) -> Extract:
    """Features by OpenVINO on the CPU, in float32 and as many threads as torch has.

    In float32 since OpenVINO's own choice, bfloat16 where the hardware computes in it, is off by
    3.5 % of the features' norm (cosine 0.9987) and depends on the machine. Measured:
    benchmarks/engines.

    batch: images at a time; fewer are filled up, since other shapes would be compiled anew.

    Raises
    ------
    ConfigError: it cannot convert this network.
    """
    size = backbone.preprocessing.size
    run = compile_openvino(backbone.model, (batch, 3, size, size), "f32")
    return of_compiled(run, backbone.preprocessing, batch)


def of_compiled(run: Run, preprocessing: Preprocessing, batch: int) -> Extract:
    """Features by a network that was compiled for so many prepared images at a time."""

    def extract(images: UInt8[Tensor, "b h w c"]) -> Float32[np.ndarray, "b d"]:
        x = prepare(images, preprocessing).contiguous().numpy()
        if len(x) < batch:
            filled = np.zeros((batch, *x.shape[1:]), dtype=np.float32)
            filled[: len(x)] = x
            return run(filled)[: len(x)]
        return run(x)

    return extract


def compile_openvino(model: torch.nn.Module, shape: tuple[int, ...], precision: str) -> Run:
    """A network for inputs [b, c, h, w] of one shape, as a function of arrays.

    precision: f32 | bf16.  Raises `ConfigError` where OpenVINO cannot convert the network.
    """
    openvino = import_openvino()
    example = torch.zeros(shape)
    try:
        converted = openvino.convert_model(model, example_input=example, input=list(shape))
        return compile_operations(converted, precision)
    except (RuntimeError, TypeError, ValueError) as error:  # OpenVINO's errors are RuntimeErrors
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise ConfigError(
            f"OpenVINO cannot compute this network ({first}).",
            "Use PyTorch: `--set network.engine=torch`.",
        ) from error


def compile_operations(model: Any, precision: str) -> Run:
    """An `openvino.Model` on the CPU, in as many threads as torch has, as a function of arrays.

    precision: f32 | bf16.
    """
    options = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = import_openvino().Core().compile_model(model, "CPU", options)
    request = compiled.create_infer_request()
    output = compiled.output(0)

    def run(x: np.ndarray) -> np.ndarray:
        # A copy: the next call writes into the same memory.
        features: np.ndarray = np.array(request.infer([x])[output], dtype=np.float32)
        return features.reshape(len(x), -1)

    return run


def import_openvino() -> Any:
    """The package, without what reports its use to its makers: nothing leaves this machine.

    OpenVINO works without `openvino_telemetry`, and imports it where it can.
    """
    if OPENVINO not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino
