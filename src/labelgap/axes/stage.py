"""The nouns of training: batch, optimiser, phase, stage."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from torch import Tensor

T = TypeVar("T")


@dataclass
class Batch:
    """One training step's data, augmented and normalised, on the device.

    `x`, `y`, `ids` are labelled; `u`, `u_ids` unlabelled (None in stages that use none). The ids
    stay on the host: a step that reads them there waits for nothing.
    `u_views` are further augmentations of the same unlabelled images, by name.
    `shared` is what `Stage.forward` returned: what the phases of one step have in common.
    `turn` counts the repeats of a phase within the step.
    """

    x: Tensor
    y: Tensor
    ids: Tensor
    step: int
    turn: int = 0
    u: Tensor | None = None
    u_ids: Tensor | None = None
    u_views: dict[str, Tensor] = field(default_factory=dict)
    shared: object = None

    def unlabelled(self) -> Tensor:
        """The unlabelled images, in stages that asked for them."""
        if self.u is None:
            raise RuntimeError("This stage was declared without unlabelled data.")
        return self.u

    def common(self, kind: type[T]) -> T:
        """What the stage's `forward` made of this batch, of the kind that it makes."""
        if not isinstance(self.shared, kind):
            raise RuntimeError(
                f"This stage's forward gave {type(self.shared).__name__}, not {kind.__name__}."
            )
        return self.shared


@dataclass(frozen=True)
class Optimiser:
    """An optimiser and its learning-rate schedule over one stage.

    `milestones` are fractions of the stage at which the rate is multiplied by `gamma`;
    `schedule="cosine"` ignores them. `warmup` is the fraction over which the rate rises from 0.
    """

    kind: Literal["sgd", "adam"] = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 0.0
    nesterov: bool = False
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Literal["step", "cosine", "constant"] = "step"
    milestones: tuple[float, ...] = ()
    gamma: float = 0.1
    warmup: float = 0.0


@dataclass(frozen=True)
class Phase:
    """One player's turn within a step: which modules learn, from which loss, how.

    `modules` names what is updated: "network" or keys of the objective's modules. All other
    modules are frozen while `loss` is computed.
    """

    name: str
    modules: tuple[str, ...]
    loss: Callable[[Batch], Tensor]
    optimiser: Optimiser
    repeats: int = 1
    clip: float | None = None


@dataclass(frozen=True)
class Stage:
    """A stretch of training in which phases alternate on one batch per step.

    Attributes
    ----------
    forward: computed once a step with every module's gradient on, before the phases; what it
        returns they read by `batch.common`. At most one phase may then go backward through each
        of its graphs.
    refresh: (every, function): called with the step at steps 0, every, 2·every, …; what it
        computes must live in buffers, so that a checkpoint holds it.
    unlabelled_batch: unlabelled images per step; 0 for none.
    views: further augmentations of the unlabelled batch: name -> "weak" | "strong" |
        "warped" (strong, with changes of geometry).
    enough: in its second half the stage ends once the mean of the first phase's losses over 20
        steps is below this; 0: never.
    supervised: the stage on the labels that every objective begins with; later ones go on from
        its network (alignment).

    Modules that no phase of the stage updates are in eval mode throughout it.
    """

    name: str
    steps: int
    phases: tuple[Phase, ...]
    forward: Callable[[Batch], object] | None = None
    refresh: tuple[tuple[int, Callable[[int], None]], ...] = ()
    batch_size: int = 64
    unlabelled_batch: int = 0
    views: Mapping[str, Literal["weak", "strong", "warped"]] = field(default_factory=dict)
    enough: float = 0.0
    supervised: bool = False
