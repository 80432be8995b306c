"""Pseudo-labels: the network's own confident answers on unlabelled images as targets.

Lee 2013, "Pseudo-Label: the simple and efficient semi-supervised learning method for deep neural
networks"; the confidence threshold is FixMatch's (Sohn et al. 2020, §2.1), without which early
errors are learnt too. An objective: any acquisition goes with it, random by default.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from labelgap.axes.objective import Objective
from labelgap.axes.registry import method, objective
from labelgap.axes.stage import Batch, Stage
from labelgap.core.config import Settings, setting
from labelgap.learn.supervised import cross_entropy, supervised_stage

if TYPE_CHECKING:
    from labelgap.axes.training import Training


class Confident(NamedTuple):
    """The loss of a batch against its pseudo-labels, and which items had one."""

    loss: Float[Tensor, ""]
    mask: Bool[Tensor, " b"]


def pseudo_label_loss(
    predicted: Float[Tensor, "b k"], target: Float[Tensor, "b k"], threshold: float
) -> Confident:
    """(1/b) Σ 1[max p_i ≥ threshold] · CE(predicted_i, argmax p_i) with p = softmax(target).

    Parameters
    ----------
    predicted: logits that learn.
    target: logits that give the pseudo-labels; constant. The same as `predicted` in Lee 2013,
        those of a weaker augmentation in FixMatch (its Eq. 4).
    threshold: least confidence. The mean is over all items, so few confident ones weigh little.
    """
    confidence, label = target.detach().float().softmax(dim=1).max(dim=1)
    mask = confidence >= threshold
    losses = F.cross_entropy(predicted.float(), label, reduction="none")
    return Confident((losses * mask).mean(), mask)


def ramp(done: float, start: float, end: float) -> float:
    """0 before `start`, 1 from `end` on, linear between (Lee 2013, Eq. 16)."""
    if done < start:
        return 0.0
    return 1.0 if done >= end else (done - start) / (end - start)


class PseudoLabelOptions(Settings):
    """Which unlabelled images teach, how much and from when."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {"ratio": 8.0}}
    threshold: float = setting(
        0.95, "least confidence of a pseudo-label", source="Sohn et al. 2020, §4", ge=0, le=1
    )
    weight: float = setting(
        1.0,
        "final weight of the unlabelled loss",
        source="Sohn et al. 2020: 1 (Lee 2013, without a threshold: 3)",
        ge=0,
        search=(0.1, 3.0, "log"),
    )
    start: float = setting(
        1 / 6,
        "share of the steps before any pseudo-label",
        source="Lee 2013: T1 = 100 of 600",
        ge=0,
    )
    end: float = setting(
        1.0, "share of the steps at which the weight is reached", source="Lee 2013: T2 = 600", ge=0
    )
    ratio: float = setting(
        1.0, "unlabelled images per labelled one in a step", source="Lee 2013: 256 to 32", gt=0
    )


@objective("pseudo-label")
class PseudoLabel(Objective):
    """Cross-entropy of labels, and from `start` on of confident pseudo-labels.

    Both sets go through the network in one pass (joint batch-norm), as FixMatch's do; until
    `start` the training is plain cross-entropy, bit for bit.
    """

    Options = PseudoLabelOptions
    uses_unlabelled = True
    options: PseudoLabelOptions

    def stages(self, training: "Training") -> list[Stage]:
        o, network, steps = self.options, training.network, training.steps

        def loss(batch: Batch) -> Tensor:
            done = batch.step / steps
            if done < o.start or batch.u is None:
                return cross_entropy(network(batch.x).logits, batch.y)
            n = len(batch.x)
            logits = network(torch.cat([batch.x, batch.u])).logits
            unlabelled = pseudo_label_loss(logits[n:], logits[n:], o.threshold).loss
            weight = o.weight * ramp(done, o.start, o.end)
            return cross_entropy(logits[:n], batch.y) + weight * unlabelled

        size = max(1, round(o.ratio * training.batch_size))
        if len(training.unlabelled_ids) == 0:
            size = 0  # everything is labelled: there is nobody to teach
        return [supervised_stage(training, loss, unlabelled_batch=size)]


method(
    "pseudo-label",
    "pseudo-label",
    "random",
    title="Pseudo-labels",
    citation="Lee 2013, Pseudo-Label, ICML workshop on challenges in representation learning",
    training_cost="about 2 × cross-entropy (9 × under paper)",
)
