"""Networks: blocks, features, head. The paper's ResNet-18, narrow variants, and an MLP.

Every network exposes the outputs of its blocks (for loss heads), its features z (the latent space
of the mixtures) and a head that is one linear layer, so that `head(features)` are the logits.
"""

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from labelgap.core.config import NetworkSettings
from labelgap.core.errors import ConfigError
from labelgap.core.names import unknown_network


class Output(NamedTuple):
    """One forward pass: logits [b, k], features [b, d], and the outputs of the blocks."""

    logits: Tensor
    features: Tensor
    blocks: list[Tensor]


class Network(nn.Module):
    """Blocks, pooling, and a linear head.

    Attributes
    ----------
    feature_dim: d, the width of the features.
    block_dims: channels (or units) of each block's output, for loss heads.
    """

    feature_dim: int
    block_dims: tuple[int, ...]

    def __init__(self, feature_dim: int, block_dims: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.feature_dim = feature_dim
        self.block_dims = block_dims
        self.num_classes = num_classes
        self.head = nn.Linear(feature_dim, num_classes)

    def trunk(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Features [b, d] and the outputs of the blocks."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Output:
        features, blocks = self.trunk(x)
        return Output(self.head(features), features, blocks)


class Shortcut(nn.Conv2d):
    """A 1×1 convolution that drops rows and columns before it multiplies, not while it does.

    The same numbers as with `stride`. oneDNN's strided kernel writes beyond its buffer in the
    backward pass where channels are fewer than its block (oneDNN issue 6035): heap corruption, or
    wrong gradients, on narrow networks.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__(inputs, outputs, 1, bias=False)
        self.step = stride

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[:, :, :: self.step, :: self.step])


class Residual(nn.Module):
    """Two 3×3 convolutions with a shortcut (He et al. 2016, basic block)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                Shortcut(inputs, outputs, stride), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ResNet(Network):
    """The CIFAR ResNet: 3×3 stem without max-pool, stages of widths w, 2w, 4w, …, global pooling.

    width 64 and blocks (2, 2, 2, 2) is the paper's ResNet-18 (d = 512). Any image size: a stage
    keeps its stride only while the map is larger than 1×1 (8×8 digits work).
    """

    def __init__(
        self,
        channels: int,
        num_classes: int,
        *,
        width: int = 64,
        blocks: tuple[int, ...] = (2, 2, 2, 2),
        stem_stride: int = 1,
        dropout: float = 0.0,
    ) -> None:
        dims = tuple(width * 2**i for i in range(len(blocks)))
        super().__init__(dims[-1], dims, num_classes)
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 3, stem_stride, 1, bias=False), nn.BatchNorm2d(width)
        )
        stages, inputs = [], width
        for index, (count, dim) in enumerate(zip(blocks, dims, strict=True)):
            layers = [
                Residual(inputs if i == 0 else dim, dim, 2 if index > 0 and i == 0 else 1)
                for i in range(count)
            ]
            stages.append(nn.Sequential(*layers))
            inputs = dim
        self.stages = nn.ModuleList(stages)
        self.dropout = nn.Dropout(dropout)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def trunk(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        y, blocks = torch.relu(self.stem(x)), []
        for stage in self.stages:
            y = self.dropout(stage(y))
            blocks.append(y)
        return y.mean(dim=(2, 3)), blocks


class MLP(Network):
    """Hidden layers of linear, batch-norm, ReLU: for vectors and for features of a backbone."""

    def __init__(
        self,
        inputs: int,
        num_classes: int,
        *,
        hidden: tuple[int, ...] = (256, 128),
        dropout: float = 0.0,
    ) -> None:
        super().__init__(hidden[-1], hidden, num_classes)
        dims = (inputs, *hidden)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU(), nn.Dropout(dropout))
            for a, b in pairwise(dims)
        )

    def trunk(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        y, blocks = x.flatten(1), []
        for layer in self.layers:
            y = layer(y)
            blocks.append(y)
        return y, blocks


def build(settings: NetworkSettings, input_shape: tuple[int, ...], num_classes: int) -> Network:
    """Make the network of a task, in the weights that the current global stream draws.

    Parameters
    ----------
    input_shape: (height, width, channels) of images or (d,) of vectors.

    Raises
    ------
    ConfigError: a convolutional network for vectors.  UnknownName: no such network.
    """
    vectors = len(input_shape) == 1
    name = settings.name
    if name == "auto":
        name = "mlp" if vectors else "resnet"
    if settings.freeze:
        if not vectors:
            raise ConfigError("A frozen backbone's features were not computed before training.")
        # One hidden layer: the latent space that Reg, alignment and mixtures work on.
        return MLP(
            input_shape[0], num_classes, hidden=(settings.adapter,), dropout=settings.dropout
        )
    if name == "mlp":
        flat = 1
        for side in input_shape:
            flat *= side
        return MLP(flat, num_classes, hidden=settings.hidden, dropout=settings.dropout)
    if vectors:
        raise ConfigError(
            f"network.name = {settings.name!r} needs images, the data are vectors.",
            "Use `--network mlp`.",
        )
    if name == "resnet":
        return ResNet(
            input_shape[2],
            num_classes,
            width=settings.width,
            blocks=settings.blocks,
            stem_stride=settings.stem_stride,
            dropout=settings.dropout,
        )
    if name.startswith("timm:"):
        from labelgap.networks.timm import TimmNetwork

        return TimmNetwork(settings, input_shape, num_classes)
    if name == "embedding":
        raise ConfigError(
            "network.name = 'embedding' is an adapter on features that stay as they are.",
            "Add `--freeze`.",
        )
    raise unknown_network(settings.name)


def dropout_modules(network: nn.Module) -> list[nn.Module]:
    """The modules that Monte-Carlo passes make stochastic; batch-norm is never among them."""
    kinds = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
    return [m for m in network.modules() if isinstance(m, kinds) and m.p > 0]
