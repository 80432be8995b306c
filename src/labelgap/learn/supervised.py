"""The stage that every objective starts with: cross-entropy on the labels."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from labelgap.axes.stage import Batch, Phase, Stage

if TYPE_CHECKING:
    from labelgap.axes.training import Training


SUPERVISED = "supervised"


def cross_entropy(logits: Float[Tensor, "b k"], y: Int64[Tensor, " b"]) -> Float[Tensor, ""]:
    """Mean cross-entropy in float32."""
    return F.cross_entropy(logits.float(), y)


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
        enough=training.settings.enough,
        supervised=True,
    )
