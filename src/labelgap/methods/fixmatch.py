"""FixMatch: confident pseudo-labels of weakly augmented images teach strongly augmented ones.

Sohn et al. 2020, "FixMatch: simplifying semi-supervised learning with consistency and
confidence", NeurIPS. An objective: any acquisition goes with it, random by default.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from labelgap.axes.objective import Objective
from labelgap.axes.registry import method, objective
from labelgap.axes.stage import Batch, Stage
from labelgap.core.config import TUNING, Settings, setting
from labelgap.learn.supervised import cross_entropy, supervised_stage
from labelgap.methods.pseudo_label import pseudo_label_loss

if TYPE_CHECKING:
    from labelgap.axes.training import Training

STRONG, AVERAGE = "strong", "average"


class FixMatchOptions(Settings):
    """Unlabelled batch, threshold, weight and the averaged weights."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"ratio": 7.0, "ema": 0.999, "threshold": 0.95, "weight": 1.0, "geometry": True}
    }
    ratio: float = setting(
        1.0, "μ: unlabelled images per labelled one", source="Sohn et al. 2020, §4: 7", gt=0
    )
    threshold: float = setting(
        0.7,
        "τ: least confidence of a pseudo-label",
        source="Sohn et al. 2020, §4: 0.95",
        evidence=f"{TUNING}: +0.9 points over (0.95, 1), together with weight",
        ge=0,
        le=1,
        search=(0.7, 0.99, "linear"),
    )
    weight: float = setting(
        0.241,
        "λ_u",
        source="Sohn et al. 2020, §4: 1",
        evidence="as threshold",
        ge=0,
        search=(0.1, 3.0, "log"),
    )
    geometry: bool = setting(
        False,
        "the strong view is also turned, sheared or moved; not for digits, where that can change "
        "the class",
        source="Sohn et al. 2020, appendix D.2: RandAugment",
    )
    ema: float = setting(
        0.0,
        "decay of the averaged weights that are kept at the end; 0: the last weights (an average "
        "over 1,000 steps means nothing in a stage of 200)",
        source="Sohn et al. 2020, §4: 0.999",
        ge=0,
        lt=1,
    )


@objective("fixmatch")
class FixMatch(Objective):
    """L_CE(weak labelled) + λ_u · mean 1[max q ≥ τ] CE(strong unlabelled, argmax q) (Eq. 3–4).

    q is of the weak view, without gradient. Labelled and strong images share one pass.
    """

    Options = FixMatchOptions
    needs_images = True
    uses_unlabelled = True
    options: FixMatchOptions

    def modules(self, training: "Training") -> dict[str, nn.Module]:
        return {AVERAGE: deepcopy(training.network)} if self.options.ema > 0 else {}

    def stages(self, training: "Training") -> list[Stage]:
        o, network = self.options, training.network

        def loss(batch: Batch) -> Tensor:
            if batch.u is None:
                return cross_entropy(network(batch.x).logits, batch.y)
            with torch.no_grad():
                weak = network(batch.u).logits
            # Older versions of torch hand on the weights' casts that autocast made without a
            # graph (pytorch/pytorch#158232): the second pass would have no gradient for them.
            torch.clear_autocast_cache()
            n = len(batch.x)
            logits = network(torch.cat([batch.x, batch.u_views[STRONG]])).logits
            unlabelled = pseudo_label_loss(logits[n:], weak, o.threshold).loss
            return cross_entropy(logits[:n], batch.y) + o.weight * unlabelled

        # With everything labelled there is nobody to teach.
        size = max(1, round(o.ratio * training.batch_size)) if len(training.unlabelled_ids) else 0
        stage = supervised_stage(
            training,
            loss,
            unlabelled_batch=size,
            refresh=[(1, lambda step: _follow(training, o.ema, step))] if o.ema > 0 else [],
        )
        stages = [
            replace(stage, views={STRONG: "warped" if o.geometry else "strong"} if size else {})
        ]
        if o.ema > 0:
            # No phase: the one step only puts the average in the network's place.
            stages.append(
                Stage(
                    AVERAGE,
                    1,
                    (),
                    refresh=((1, lambda _: _take(training, o.ema)),),
                    batch_size=training.batch_size,
                )
            )
        return stages


@torch.no_grad()
def _follow(training: "Training", decay: float, step: int) -> None:
    """average ← decay · average + (1 − decay) · network; buffers as they are.

    The decay is at most (1 + step) / (10 + step), so that the initial weights are soon forgotten.
    """
    average, network = training.modules[AVERAGE], training.network
    decay = min(decay, (1 + step) / (10 + step))
    for mine, theirs in zip(average.parameters(), network.parameters(), strict=True):
        mine.lerp_(theirs, 1 - decay)
    for buffer, other in zip(average.buffers(), network.buffers(), strict=True):
        buffer.copy_(other)


def _take(training: "Training", decay: float) -> None:
    _follow(training, decay, training.steps)
    training.network.load_state_dict(training.modules[AVERAGE].state_dict())


method(
    "fixmatch",
    "fixmatch",
    "random",
    title="FixMatch",
    citation="Sohn et al. 2020, FixMatch, NeurIPS",
    training_cost="about 2.5 × cross-entropy (16 × under paper)",
)
