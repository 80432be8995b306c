"""BADGE: D² sampling on gradient embeddings (Ash et al. 2020)."""

from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition, method
from labelgap.core.config import Settings, setting
from labelgap.core.linalg import one_pool
from labelgap.core.types import Query
from labelgap.select import badge as sampling
from labelgap.select.arrays import ROWS, row_norms
from labelgap.select.top import check_budget

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView


class BadgeOptions(Settings):
    """How the sequence starts."""

    first: Literal["max-norm", "random"] = setting(
        "max-norm",
        "the first pick: the longest gradient, or uniform as in k-means++",
        source="Ash et al.'s code: max-norm",
    )


def residual(logits: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """p − onehot(argmax p): the gradient of the loss at the predicted label in the logits.

    The predicted class's entry is minus the sum of the others, not p − 1, which rounds to 0 where
    p is nearly 1.
    """
    made = torch.empty_like(logits)
    for start in range(0, len(logits), ROWS):
        part = logits[start : start + ROWS]
        predicted = part.argmax(1, keepdim=True)
        others = part.double().softmax(1).scatter(1, predicted, 0.0)
        made[start : start + ROWS] = others.scatter(1, predicted, -others.sum(1, keepdim=True))
    return made


@acquisition("badge")
class Badge(Acquisition):
    """n candidates by D² sampling on g = (p − onehot(ŷ)) ⊗ h, which is never materialised.

    Long gradients (uncertain items) are drawn more often, and items like those drawn less often.
    """

    Options = BadgeOptions
    needs = frozenset({"features", "logits"})
    kind = "batch"
    deterministic = False
    options: BadgeOptions

    @one_pool()
    def select(self, view: "PoolView", n: int) -> Query:
        check_budget(n, len(view.candidate_ids))
        if n == 0:
            return Query(view.candidate_ids[:0])
        a, h = residual(view.candidates("logits")), view.candidates("features")
        chosen = sampling(a, h, n, view.rng("D²"), self.options.first)
        length = (row_norms(a[chosen]) * row_norms(h[chosen])).sqrt().double().cpu().numpy()
        rows = chosen.cpu()
        return Query(
            view.candidate_ids[rows.numpy()],
            length,
            {"gradient_norm": length},
            view.pseudo_labels[rows].numpy(),
        )


method(
    "badge",
    "cross-entropy",
    "badge",
    title="BADGE",
    citation="Ash et al. 2020, Deep batch active learning by diverse, uncertain gradient lower "
    "bounds",
    query_cost="N·B·(K + d)",
)
