"""The network's forward and backward pass as torch's compiler writes them, while it trains."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor

from labelgap.core.errors import DeviceError
from labelgap.networks.network import Network, Output


class Compiled(AbstractContextManager[None]):
    """Inside, a network in training mode runs compiled; in evaluation mode it runs as it is.

    Predictions are then the same whether their network was compiled or not. Another network of the
    same build takes the kernels that are there: a process compiles once, not once a round.

    Raises DeviceError, at the first step, where torch cannot compile it.
    """

    def __init__(self, network: Network) -> None:
        self.network: Network = network

    def __enter__(self) -> None:
        plain = self.network.forward
        # A fixed size: a stage has one batch size or two, and kernels of any size are slower.
        fast: Callable[[Tensor], Output] = torch.compile(plain, dynamic=False)

        def forward(x: Tensor) -> Output:
            if not self.network.training:
                return plain(x)
            try:
                return fast(x)
            except torch._dynamo.exc.TorchDynamoException as error:
                first = str(error).strip().splitlines()[0]
                raise DeviceError(
                    f"{type(self.network).__name__} cannot be compiled: {first}",
                    "Use `--compile off`.",
                ) from error

        self.network.forward = forward  # type: ignore[method-assign]

    def __exit__(self, *exc: object) -> None:
        del self.network.forward  # the class's own is there again
