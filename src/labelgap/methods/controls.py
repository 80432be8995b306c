"""Controls of alignment: the steps without the critic, with and without unlabelled batch-norm.

Both take DAAL's own alignment stage (its length, batches, optimiser and schedule, read from
`daal.py`) and leave only the cross-entropy in it. Without them no claim for alignment can be
believed: more steps help, and so do batch-norm statistics that have seen the pool.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from labelgap.axes.objective import Objective
from labelgap.axes.registry import method, objective
from labelgap.axes.stage import Batch, Stage
from labelgap.core.config import Settings
from labelgap.learn.supervised import cross_entropy, supervised_loss, supervised_stage
from labelgap.methods.daal.objective import Daal
from labelgap.methods.daal.settings import DaalOptions

if TYPE_CHECKING:
    from labelgap.axes.training import Training


def _daals(name: str) -> Any:
    """DAAL's key: its default, description, source and limits."""
    return copy(DaalOptions.model_fields[name])


class ExtraStepsOptions(Settings):
    """The length and the rate of DAAL's alignment stage."""

    align_steps: int | None = _daals("align_steps")
    align_fraction: float = _daals("align_fraction")
    align_optimiser: Literal["sgd", "adam"] = _daals("align_optimiser")
    align_lr: float = _daals("align_lr")


class BatchNormOnlyOptions(ExtraStepsOptions):
    """And its way of passing the two sets through the network."""

    batch_norm: Literal["joint", "separate"] = _daals("batch_norm")


for _options in (ExtraStepsOptions, BatchNormOnlyOptions):
    _options.presets = {
        preset: {key: value for key, value in values.items() if key in _options.model_fields}
        for preset, values in DaalOptions.presets.items()
    }


def alignment_stages(
    options: Settings, training: "Training", loss: Callable[[Batch], Tensor], unlabelled: bool
) -> list[Stage]:
    """DAAL's stages after the supervised one, the network learning from `loss` and nobody else.

    Parameters
    ----------
    unlabelled: whether the batches keep their unlabelled half (as long as there is any).
    """
    daal = Daal(DaalOptions(**options.model_dump()))
    stages = []
    for stage in daal.stages(training):
        if stage.supervised:
            continue
        features = next(phase for phase in stage.phases if phase.modules == ("network",))
        size = stage.unlabelled_batch if unlabelled and len(training.unlabelled_ids) else 0
        phases = (replace(features, loss=loss),)
        stages.append(
            replace(stage, phases=phases, forward=None, refresh=(), unlabelled_batch=size)
        )
    return stages


@objective("extra-steps")
class ExtraSteps(Objective):
    """Cross-entropy, then as many more steps of it as DAAL's alignment takes."""

    Options = ExtraStepsOptions

    def stages(self, training: "Training") -> list[Stage]:
        more = alignment_stages(self.options, training, supervised_loss(training), False)
        return [supervised_stage(training), *more]


@objective("batch-norm-only")
class BatchNormOnly(Objective):
    """The same steps, the unlabelled batch merely passing through the network in train mode."""

    Options = BatchNormOnlyOptions
    uses_unlabelled = True
    options: BatchNormOnlyOptions

    def stages(self, training: "Training") -> list[Stage]:
        joint, network = self.options.batch_norm == "joint", training.network

        def loss(batch: Batch) -> Tensor:
            if batch.u is None:
                return cross_entropy(network(batch.x).logits, batch.y)
            if joint:
                logits = network(torch.cat([batch.x, batch.u])).logits[: len(batch.x)]
            else:
                # The labelled batch first, as in DAAL: the running statistics end on the other.
                logits = network(batch.x).logits
                with torch.no_grad():
                    network(batch.u)
            return cross_entropy(logits, batch.y)

        return [
            supervised_stage(training),
            *alignment_stages(self.options, training, loss, True),
        ]


_CITATION = "control of Park et al. 2023, Distribution Aware Active Learning via Gaussian Mixtures"
method(
    "extra-steps",
    "extra-steps",
    "random",
    title="Control: equal steps",
    citation=_CITATION,
    training_cost="1.25 × cross-entropy",
)
method(
    "batch-norm-only",
    "batch-norm-only",
    "random",
    title="Control: batch-norm only",
    citation=_CITATION,
    training_cost="1.5 × cross-entropy",
)
