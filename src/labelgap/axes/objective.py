"""The first axis: what is optimised."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from jaxtyping import Float
from torch import Tensor, nn

from labelgap.axes.stage import Stage
from labelgap.core.config import Settings
from labelgap.core.errors import ConfigError
from labelgap.core.place import Place
from labelgap.networks.network import Network

if TYPE_CHECKING:
    from labelgap.axes.training import Training


STANDARD_OUTPUTS = frozenset({"features", "logits"})
"""What every network provides for every item."""


@dataclass(frozen=True)
class Passed:
    """A batch that has passed the network in eval mode: all that an output may be made of.

    Attributes
    ----------
    x: the normalised inputs.
    features, logits: in float32.
    blocks: the output of each of the network's blocks.
    modules: the objective's extra players, by name.
    """

    x: Tensor
    features: Float[Tensor, "b d"]
    logits: Float[Tensor, "b k"]
    blocks: tuple[Tensor, ...]
    modules: Mapping[str, nn.Module]

    @classmethod
    def through(cls, network: Network, modules: Mapping[str, nn.Module], x: Tensor) -> "Passed":
        """The batch `x`, passed through `network`."""
        out = network(x)
        return cls(x, out.features.float(), out.logits.float(), tuple(out.blocks), modules)


Outputs = Mapping[str, Callable[[Any, Passed], Tensor]]
"""Name → function of an objective and a batch that has passed the network."""


class Objective(ABC):
    """What is optimised: extra players, stages of training, and per-sample outputs.

    Attributes
    ----------
    provides: per-sample outputs beyond "features" and "logits": name -> function (objective,
        `Passed`) -> tensor of as many rows as the batch.
    needs_images: refused on vectors when the pair is made.
    name, place: what it is registered as, and where.
    """

    name: ClassVar[str]
    place: ClassVar[Place]
    Options: ClassVar[type[Settings]] = Settings
    provides: ClassVar[Outputs] = {}
    needs_images: ClassVar[bool] = False
    uses_unlabelled: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        outputs = vars(cls).get("outputs")
        if "output" in vars(cls) or not isinstance(outputs, property | None):
            raise ConfigError(
                f"Objective {cls.__qualname__} of {cls.__module__} has the method `output` or the "
                "set `outputs`, which `provides` has replaced.",
                "Write `provides = {NAME: function}` with a function (self, passed) for each name; "
                "see docs/own-method.md.",
            )

    def __init__(self, options: Settings) -> None:
        self.options = options

    @property
    def outputs(self) -> frozenset[str]:
        """Names of what it provides, as configured."""
        return frozenset(self.provides)

    def modules(self, training: "Training") -> dict[str, nn.Module]:
        """Extra players, in the weights that the current stream draws; mixtures as buffers."""
        return {}

    @abstractmethod
    def stages(self, training: "Training") -> list[Stage]:
        """The stages of one round's training, in order."""

    def output(self, name: str, passed: Passed) -> Tensor:
        """The named output of a batch, one of `outputs`."""
        return self.provides[name](self, passed)
