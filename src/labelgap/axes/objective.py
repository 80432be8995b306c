"""The first axis: what is optimised."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

from labelgap.axes.stage import Stage
from labelgap.core.config import Settings
from labelgap.core.place import Place
from labelgap.networks.network import Network

if TYPE_CHECKING:
    from labelgap.axes.training import Training


STANDARD_OUTPUTS = frozenset({"features", "logits"})
"""What every network provides for every item."""


class Objective(ABC):
    """What is optimised: extra players, stages of training, and per-sample outputs.

    Attributes
    ----------
    outputs: named per-sample outputs beyond "features" and "logits".
    needs_images: refused on vectors when the pair is made.
    name, place: what it is registered as, and where.
    """

    name: ClassVar[str]
    place: ClassVar[Place]
    Options: ClassVar[type[Settings]] = Settings
    outputs: ClassVar[frozenset[str]] = frozenset()
    needs_images: ClassVar[bool] = False
    uses_unlabelled: ClassVar[bool] = False

    def __init__(self, options: Settings) -> None:
        self.options = options

    def modules(self, training: "Training") -> dict[str, nn.Module]:
        """Extra players, in the weights that the current stream draws; mixtures as buffers."""
        return {}

    @abstractmethod
    def stages(self, training: "Training") -> list[Stage]:
        """The stages of one round's training, in order."""

    def output(
        self,
        name: str,
        network: Network,
        modules: Mapping[str, nn.Module],
        x: Tensor,
        known: Mapping[str, Tensor],
    ) -> Tensor:
        """The named output of a batch in eval mode; `known` has its "features" and "logits"."""
        raise KeyError(name)
