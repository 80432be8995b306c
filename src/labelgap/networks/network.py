"""What every network gives: logits, features, blocks."""

from typing import NamedTuple

from torch import Tensor, nn


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
        self.head: nn.Linear = nn.Linear(feature_dim, num_classes)

    def trunk(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Features [b, d] and the outputs of the blocks."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Output:
        features, blocks = self.trunk(x)
        return Output(self.head(features), features, blocks)


def dropout_modules(network: nn.Module) -> list[nn.Module]:
    """The modules that Monte-Carlo passes make stochastic; batch-norm is never among them."""
    kinds = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
    return [m for m in network.modules() if isinstance(m, kinds) and m.p > 0]
