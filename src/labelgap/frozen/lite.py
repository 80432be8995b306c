"""EfficientNet-Lite as OpenVINO's operations, straight from its weights.

The weights that come with labelgap need neither timm nor a conversion so: loading timm and having
PyTorch's graph traced and converted takes 15 s of a processor, which a person would wait for before
the first question; this takes half a second (benchmarks/photos).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from labelgap.core.config import NetworkSettings
from labelgap.frozen.engine import import_openvino
from labelgap.networks.packaged import packaged_weights
from labelgap.networks.timm import FROZEN_SIZE, Preprocessing, timm_name
from labelgap.networks.weights import State, read_weights, timm_names
from labelgap.networks.weights_file import pretrained, weights_file

REPEATS = {
    "tf_efficientnet_lite0": (1, 2, 2, 3, 3, 4, 1),
    "tf_efficientnet_lite1": (1, 3, 3, 4, 4, 5, 1),
    "tf_efficientnet_lite2": (1, 3, 3, 4, 4, 5, 1),
}
"""timm's name -> blocks of each stage. Tan & Le 2019, Table 1; Lite1 and Lite2 are deeper by 1.1
and 1.2, rounded up, but for the first and the last stage."""
STRIDES = (1, 2, 2, 2, 1, 2, 1)
"""Of the first block of each stage; the others keep the size."""
EPSILON = 1e-3
"""Of TensorFlow's batch normalisation."""
MEAN = STD = (0.5, 0.5, 0.5)
_NORM = ("weight", "bias", "running_mean", "running_var")


@dataclass(frozen=True)
class Lite:
    """One EfficientNet-Lite.

    name: timm's.  state: its weights under timm's names, without the classifier.
    """

    name: str
    state: State
    preprocessing: Preprocessing

    @property
    def width(self) -> int:
        """d of its features."""
        return len(self.state["bn2.weight"])

    def operations(self, batch: int) -> Any:
        """An `openvino.Model`: prepared images [batch, 3, s, s] to pooled features [batch, d].

        Batch normalisation is folded into the convolutions; these pad as TensorFlow's do ("same",
        the odd pixel behind).
        """
        openvino = import_openvino()
        size = self.preprocessing.size
        net = _Operations(self.state)
        images = net.ops.parameter([batch, 3, size, size], np.float32)
        x = net.convolution(images, "conv_stem", "bn1", stride=2, clamped=True)
        for block, stride, expands in _blocks(self.name):
            x = net.block(x, block, stride, expands)
        x = net.convolution(x, "conv_head", "bn2", clamped=True)
        return openvino.Model([net.ops.reduce_mean(x, [2, 3])], [images])


class _Operations:
    """Layers by the names of their weights."""

    def __init__(self, state: State) -> None:
        import_openvino()
        from openvino import opset13

        self.state, self.ops = state, opset13

    def block(self, x: Any, name: str, stride: int, expands: bool) -> Any:
        """An inverted residual block; those of the first stage do not expand."""
        y, start = x, 1
        if expands:
            y, start = self.convolution(y, f"{name}.conv_pw", f"{name}.bn1", clamped=True), 2
        last = f"{name}.conv_pwl" if expands else f"{name}.conv_pw"
        y = self.convolution(
            y, f"{name}.conv_dw", f"{name}.bn{start}", stride=stride, clamped=True, depthwise=True
        )
        y = self.convolution(y, last, f"{name}.bn{start + 1}")
        same = stride == 1 and x.get_output_shape(0) == y.get_output_shape(0)
        return self.ops.add(x, y) if same else y

    def convolution(
        self,
        x: Any,
        layer: str,
        norm: str,
        *,
        stride: int = 1,
        clamped: bool = False,
        depthwise: bool = False,
    ) -> Any:
        """Convolution, batch normalisation and, if clamped, ReLU6."""
        kernel = self._array(f"{layer}.weight")
        scale, bias, mean, variance = (self._array(f"{norm}.{part}") for part in _NORM)
        factor = scale / np.sqrt(variance + EPSILON)
        kernel = (kernel * factor[:, None, None, None]).astype(np.float32)
        shift = (bias - mean * factor).astype(np.float32).reshape(1, -1, 1, 1)
        steps, none = [stride, stride], [0, 0]
        if depthwise:
            kernel = kernel[:, :, None]
            y = self.ops.group_convolution(x, kernel, steps, none, none, [1, 1], "same_upper")
        else:
            y = self.ops.convolution(x, kernel, steps, none, none, [1, 1], "same_upper")
        y = self.ops.add(y, self.ops.constant(shift))
        return self.ops.clamp(y, 0.0, 6.0) if clamped else y

    def _array(self, key: str) -> np.ndarray:
        # In float64 until it is folded: one rounding instead of five.
        array: np.ndarray = self.state[key].numpy().astype(np.float64)
        return array


def packaged_lite(settings: NetworkSettings) -> Lite | None:
    """The network of these settings where it is an EfficientNet-Lite in the weights that came with
    the installation, of which nothing is missing or left over; None for every other.

    Raises
    ------
    ConfigError: not a timm network.
    DataError: the file of weights is damaged.
    """
    name = timm_name(settings)
    path = packaged_weights(name) if name in REPEATS else None
    if path is None or weights_file(pretrained(name, settings.weights)) != path:
        return None
    blocks = [(block, expands) for block, _, expands in _blocks(name)]
    named = timm_names(read_weights(path), blocks)
    state = {key: value for key, value in named.items() if not key.startswith("classifier.")}
    if not _whole(name, state):
        return None  # timm's loading says what is wrong
    size = settings.input_size or FROZEN_SIZE
    return Lite(name, state, Preprocessing(size, MEAN, STD, "bicubic"))


def _blocks(name: str) -> Iterator[tuple[str, int, bool]]:
    """timm's name of each block, its stride, and whether it expands."""
    for i, repeats in enumerate(REPEATS[name]):
        for j in range(repeats):
            yield f"blocks.{i}.{j}", STRIDES[i] if j == 0 else 1, i > 0


def _whole(name: str, state: State) -> bool:
    wanted = set(_keys(name))
    given = {key for key in state if not key.endswith("num_batches_tracked")}
    return given == wanted and all(_finite(state[key]) for key in wanted)


def _keys(name: str) -> Iterator[str]:
    layers = [("conv_stem", "bn1"), ("conv_head", "bn2")]
    for block, _, expands in _blocks(name):
        convolutions = ("conv_pw", "conv_dw", "conv_pwl") if expands else ("conv_dw", "conv_pw")
        layers += [(f"{block}.{c}", f"{block}.bn{k}") for k, c in enumerate(convolutions, 1)]
    for layer, norm in layers:
        yield f"{layer}.weight"
        yield from (f"{norm}.{part}" for part in _NORM)


def _finite(value: Tensor) -> bool:
    return bool(value.isfinite().all())
