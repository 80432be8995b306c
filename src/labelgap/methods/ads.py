"""ADS: agreement-discrepancy-selection, two classifiers on one network.

Fu et al. 2021, AAAI. On unlabelled images the features learn to make the classifiers agree and
the classifiers learn to disagree, by turns; asked for is what both are unsure of.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.objective import Objective, Outputs, Passed
from labelgap.axes.registry import acquisition, method, objective
from labelgap.axes.stage import Batch, Phase, Stage
from labelgap.core.config import TUNING, Settings, setting
from labelgap.core.types import Query
from labelgap.learn.supervised import cross_entropy, supervised_stage
from labelgap.methods.uncertainty import top_query
from labelgap.select.scores import entropy

if TYPE_CHECKING:
    from labelgap.axes.training import Training
    from labelgap.axes.view import PoolView

SECOND, SECOND_LOGITS = "second", "second_logits"


def discrepancy(one: Float[Tensor, "b k"], two: Float[Tensor, "b k"]) -> Float[Tensor, " b"]:
    """Mean over classes of |p1 − p2|, from logits."""
    gap: Tensor = (one.float().softmax(dim=1) - two.float().softmax(dim=1)).abs()
    return gap.mean(dim=1)


def doubt(
    one: Float[Tensor, "b k"], two: Float[Tensor, "b k"], calibration: float
) -> Float[Tensor, " b"]:
    """σ(mean entropy in bits − calibration), constant: near 1 where both are unsure."""
    bits = (entropy(one) + entropy(two)) / (2 * math.log(2))
    return (bits - calibration).sigmoid().to(one.dtype)


def agreement_loss(
    one: Float[Tensor, "b k"], two: Float[Tensor, "b k"], calibration: float
) -> Float[Tensor, ""]:
    """mean (1 − doubt) · discrepancy: what the features descend."""
    return ((1 - doubt(one, two, calibration)) * discrepancy(one, two)).mean()


def discrepancy_loss(
    one: Float[Tensor, "b k"], two: Float[Tensor, "b k"], calibration: float
) -> Float[Tensor, ""]:
    """mean doubt · (1 − discrepancy): what the classifiers descend."""
    return (doubt(one, two, calibration) * (1 - discrepancy(one, two))).mean()


class AdsOptions(Settings):
    """The adversarial turns."""

    calibration: float = setting(0.1, "entropy (bits) of doubt 1/2", source="Fu et al. 2021, code")
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"weight": 1.0, "lr": 0.01, "fraction": None}
    }
    weight: float = setting(
        0.151,
        "weight of agreement and discrepancy",
        source="Fu et al. 2021: 1 (its code divides by 128 once more)",
        evidence=f"{TUNING}: +1.1 points over (1, 0.01), together with lr",
        ge=0,
        search=(0.01, 3.0, "log"),
    )
    fraction: float | None = setting(
        0.4,
        "adversarial steps per supervised step, in a stage after it; None: no such stage, labels, "
        "agreement and discrepancy take turns from the first step on",
        source="ours: cost under 3 × random; Fu et al. 2021: in turns from the start",
        gt=0,
    )
    lr: float = setting(
        0.00263,
        "SGD's rate of agreement and discrepancy",
        source="ours",
        evidence="as weight",
        gt=0,
        search=(1e-3, 0.1, "log"),
    )


@objective("ads")
class Ads(Objective):
    """Cross-entropy of both classifiers; agreement, discrepancy and labels by turns."""

    Options = AdsOptions
    uses_unlabelled = True
    options: AdsOptions

    def modules(self, training: "Training") -> dict[str, nn.Module]:
        return {SECOND: nn.Linear(training.network.feature_dim, training.num_classes)}

    def stages(self, training: "Training") -> list[Stage]:
        o, network, second = self.options, training.network, training.modules[SECOND]

        def of_labels(batch: Batch) -> Tensor:
            out = network(batch.x)
            other = second(out.features.float())
            return cross_entropy(out.logits, batch.y) + cross_entropy(other, batch.y)

        def agree(batch: Batch) -> Tensor:
            z = network.trunk(batch.unlabelled())[0].float()
            # The network's own classifier held still; the second is in no phase of this turn.
            one = F.linear(z, network.head.weight.detach(), network.head.bias.detach())
            return o.weight * agreement_loss(one, second(z), o.calibration)

        def disagree(batch: Batch) -> Tensor:
            with torch.no_grad():
                z_u = network.trunk(batch.unlabelled())[0].float()
                z_l = network.trunk(batch.x)[0].float()
            loss = o.weight * discrepancy_loss(network.head(z_u), second(z_u), o.calibration)
            for classifier in (network.head, second):
                loss = loss + cross_entropy(classifier(z_l), batch.y)
            return loss

        supervised = supervised_stage(training, of_labels, modules=[SECOND])
        if len(training.unlabelled_ids) == 0:
            return [supervised]
        sgd = replace(training.optimiser(), lr=o.lr, schedule="step", milestones=(0.8,), warmup=0.0)
        # Turns that leave part of the network out have no momentum to carry over into it.
        plain = replace(sgd, momentum=0.0, nesterov=False)
        turns = (
            Phase("agreement", ("network",), agree, plain),
            Phase("discrepancy", ("network", SECOND), disagree, plain),
        )
        size = training.batch_size
        if o.fraction is None:
            return [
                supervised_stage(
                    training, of_labels, modules=[SECOND], others=turns, unlabelled_batch=size
                )
            ]
        adversarial = Stage(
            "agree and disagree",
            max(1, round(o.fraction * training.steps)),
            (*turns, Phase("labels", ("network", SECOND), of_labels, sgd)),
            batch_size=size,
            unlabelled_batch=size,
        )
        return [supervised, adversarial]

    def second_logits(self, passed: Passed) -> Tensor:
        logits: Tensor = passed.modules[SECOND](passed.features)
        return logits

    provides: ClassVar[Outputs] = {SECOND_LOGITS: second_logits}


@acquisition("ads")
class AdsAcquisition(Acquisition):
    """Highest mean entropy of the two classifiers."""

    needs = frozenset({"logits", SECOND_LOGITS})

    def select(self, view: "PoolView", n: int) -> Query:
        parts = {
            "entropy": entropy(view.candidates("logits")),
            "second_entropy": entropy(view.candidates(SECOND_LOGITS)),
        }
        return top_query(view, n, torch.stack(list(parts.values())).mean(dim=0), "ads", parts)


method(
    "ads",
    "ads",
    "ads",
    title="Agreement-discrepancy-selection",
    citation="Fu et al. 2021, Agreement-discrepancy-selection, AAAI",
    training_cost="about 2.5 × cross-entropy",
    query_cost="N·K",
)
