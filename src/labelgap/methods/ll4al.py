"""Learning loss (LL4AL): a head on the network's blocks learns to predict each item's loss.

Yoo & Kweon 2019, "Learning loss for active learning", CVPR. Asked for are the items whose
predicted loss is highest. `ranking="bce"` is the pairwise loss that TA-VAAL puts in its place.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.objective import Objective, Outputs, Passed
from labelgap.axes.registry import acquisition, method, objective
from labelgap.axes.stage import Batch, Stage
from labelgap.core.config import TUNING, Settings, setting
from labelgap.core.types import Query
from labelgap.learn.supervised import supervised_stage
from labelgap.methods.uncertainty import top_query

if TYPE_CHECKING:
    from labelgap.axes.training import Training
    from labelgap.axes.view import PoolView

PREDICTED_LOSS = "predicted_loss"


def pairs(values: Float[Tensor, " b"]) -> tuple[Float[Tensor, " p"], Float[Tensor, " p"]]:
    """The ⌊b/2⌋ pairs (i, b + 1 − i) of a batch; an odd batch's middle item is left out."""
    half = len(values) // 2
    return values[:half], values.flip(0)[:half]


def margin_ranking(
    predicted: Float[Tensor, " b"], loss: Float[Tensor, " b"], margin: float
) -> Float[Tensor, ""]:
    """Mean over pairs of max(0, ξ − s · (l̂_i − l̂_j)), s = +1 if l_i > l_j, else −1 (Eq. 2).

    Pairs are (i, b + 1 − i); the true losses are constants.
    """
    (a, b), (l_a, l_b) = pairs(predicted), pairs(loss.detach())
    sign = torch.where(l_a > l_b, 1.0, -1.0)
    return F.relu(margin - sign * (a - b)).mean()


def logistic_ranking(
    predicted: Float[Tensor, " b"], loss: Float[Tensor, " b"]
) -> Float[Tensor, ""]:
    """Mean over pairs of BCE(σ(l̂_i − l̂_j), 1[l_i > l_j]): TA-VAAL's ranker (Kim et al. 2021)."""
    (a, b), (l_a, l_b) = pairs(predicted), pairs(loss.detach())
    return F.binary_cross_entropy_with_logits(a - b, (l_a > l_b).to(predicted))


class LossHead(nn.Module):
    """Each block's output, pooled over its map, through Linear–ReLU; all together to one number.

    Blocks may be maps [b, c, h, w] of any size or vectors [b, c].
    """

    def __init__(self, block_dims: Sequence[int], width: int) -> None:
        super().__init__()
        self.branches: nn.ModuleList = nn.ModuleList(nn.Linear(dim, width) for dim in block_dims)
        self.out: nn.Linear = nn.Linear(width * len(block_dims), 1)

    def forward(self, blocks: Sequence[Tensor]) -> Float[Tensor, " b"]:
        pooled = [(b.mean(dim=(2, 3)) if b.ndim == 4 else b).float() for b in blocks]
        hidden = [F.relu(branch(x)) for branch, x in zip(self.branches, pooled, strict=True)]
        scores: Tensor = self.out(torch.cat(hidden, dim=1)).squeeze(1)
        return scores


class Ll4alOptions(Settings):
    """The loss head and its training."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {"weight": 1.0}}
    ranking: Literal["margin", "bce"] = setting(
        "margin", "pairwise loss: the paper's, or TA-VAAL's", source="Yoo & Kweon 2019, Eq. 2"
    )
    margin: float = setting(1.0, "ξ of the margin loss", source="Yoo & Kweon 2019, §4.1", gt=0)
    weight: float = setting(
        0.133,
        "λ: weight of the ranking loss",
        source="Yoo & Kweon 2019, §4.1: 1",
        evidence=f"{TUNING}: +6.8 points over 1; +6.4 with 0.174, −5.9 with 1.86",
        ge=0,
        search=(0.1, 3.0, "log"),
    )
    width: int = setting(128, "units of each branch", source="Yoo & Kweon 2019, §4.1", ge=1)
    detach_from: float = setting(
        0.6,
        "share of the steps after which the head no longer trains the network",
        source="Yoo & Kweon 2019, §4.1: epoch 120 of 200",
        ge=0,
        le=1,
    )


@objective("ll4al")
class Ll4al(Objective):
    """Cross-entropy + λ · ranking loss, the head learning with the network's own optimiser."""

    Options = Ll4alOptions
    options: Ll4alOptions

    def modules(self, training: "Training") -> dict[str, nn.Module]:
        return {"loss_head": LossHead(training.network.block_dims, self.options.width)}

    def stages(self, training: "Training") -> list[Stage]:
        o, network, head = self.options, training.network, training.modules["loss_head"]
        last = o.detach_from * training.steps

        def loss(batch: Batch) -> Tensor:
            out = network(batch.x)
            with torch.autocast(training.device.type, enabled=False):
                each = F.cross_entropy(out.logits.float(), batch.y, reduction="none")
                late = batch.step >= last
                predicted = head([b.detach() if late else b for b in out.blocks])
                if o.ranking == "margin":
                    ranking = margin_ranking(predicted, each, o.margin)
                else:
                    ranking = logistic_ranking(predicted, each)
                return each.mean() + o.weight * ranking

        return [supervised_stage(training, loss, modules=("loss_head",))]

    def predicted_loss(self, passed: Passed) -> Tensor:
        predicted: Tensor = passed.modules["loss_head"](passed.blocks)
        return predicted

    provides: ClassVar[Outputs] = {PREDICTED_LOSS: predicted_loss}


@acquisition("predicted-loss")
class HighestPredictedLoss(Acquisition):
    """The n items of highest predicted loss."""

    needs = frozenset({PREDICTED_LOSS})

    def select(self, view: "PoolView", n: int) -> Query:
        return top_query(view, n, view.candidates(PREDICTED_LOSS), PREDICTED_LOSS)


method(
    "ll4al",
    "ll4al",
    "predicted-loss",
    title="Learning loss (LL4AL)",
    citation="Yoo & Kweon 2019, Learning loss for active learning, CVPR",
    training_cost="about 1 × cross-entropy",
    query_cost="N",
)
