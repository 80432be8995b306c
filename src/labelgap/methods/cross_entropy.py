"""Plain supervised training: the first stage of every objective."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from labelgap.axes.registry import Objective, objective
from labelgap.core.types import Batch, Phase, Stage
from labelgap.learn.learner import cross_entropy

if TYPE_CHECKING:
    from labelgap.learn.learner import Training

SUPERVISED = "supervised"


def supervised_loss(training: "Training") -> Callable[[Batch], Tensor]:
    """Cross-entropy of the labelled batch."""
    return lambda batch: cross_entropy(training.network(batch.x).logits, batch.y)


def supervised_stage(
    training: "Training",
    loss: Callable[[Batch], Tensor] | None = None,
    *,
    modules: Sequence[str] = (),
    others: Sequence[Phase] = (),
    refresh: Sequence[tuple[int, Callable[[int], None]]] = (),
    unlabelled_batch: int = 0,
) -> Stage:
    """The supervised stage: its name fixes the batches, so all methods of a seed share them.

    Parameters
    ----------
    loss: replaces plain cross-entropy (cross-entropy plus a regulariser, say).
    modules: extra modules trained by the same loss and optimiser as the network.
    others: further phases of each step.
    """
    network = Phase(
        "network", ("network", *modules), loss or supervised_loss(training), training.optimiser()
    )
    return Stage(
        SUPERVISED,
        training.steps,
        (network, *others),
        batch_size=training.batch_size,
        refresh=tuple(refresh),
        unlabelled_batch=unlabelled_batch,
    )


@objective("cross-entropy")
class CrossEntropy(Objective):
    """Minimise the cross-entropy of the labelled images; nothing else."""

    def stages(self, training: "Training") -> list[Stage]:
        return [supervised_stage(training)]
