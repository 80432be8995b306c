"""A multi-layer perceptron on vectors or flattened images."""

from itertools import pairwise

from torch import Tensor, nn

from labelgap.networks.network import Network


class MLP(Network):
    """Hidden layers of linear, batch-norm, ReLU: for vectors and for features of a backbone.

    Without any it is one linear layer; its features, and its one block, are the inputs.
    """

    def __init__(
        self,
        inputs: int,
        num_classes: int,
        *,
        hidden: tuple[int, ...] = (256, 128),
        dropout: float = 0.0,
    ) -> None:
        dims = (inputs, *hidden)
        super().__init__(dims[-1], hidden or (inputs,), num_classes)
        self.layers: nn.ModuleList = nn.ModuleList(
            nn.Sequential(nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU(), nn.Dropout(dropout))
            for a, b in pairwise(dims)
        )

    def trunk(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        y, blocks = x.flatten(1), []
        for layer in self.layers:
            y = layer(y)
            blocks.append(y)
        return y, blocks or [y]
