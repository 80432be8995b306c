"""ResNets for small images, of any width."""

import torch
from torch import Tensor, nn

from labelgap.networks.network import Network


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
        self.conv1: nn.Conv2d = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1: nn.BatchNorm2d = nn.BatchNorm2d(outputs)
        self.conv2: nn.Conv2d = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2: nn.BatchNorm2d = nn.BatchNorm2d(outputs)
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
        self.stem: nn.Sequential = nn.Sequential(
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
        self.stages: nn.ModuleList = nn.ModuleList(stages)
        self.dropout: nn.Dropout = nn.Dropout(dropout)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def trunk(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        y, blocks = torch.relu(self.stem(x)), []
        for stage in self.stages:
            y = self.dropout(stage(y))
            blocks.append(y)
        return y.mean(dim=(2, 3)), blocks
