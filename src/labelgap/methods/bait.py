"""BAIT: labels whose information is like the pool's, by second moments (Ash et al. 2021)."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition, method
from labelgap.core.config import Settings, setting
from labelgap.core.types import Query
from labelgap.select.arrays import row_norms, wide_mean
from labelgap.select.distinct import distinct
from labelgap.select.fisher import bait
from labelgap.select.scores import least_confidence
from labelgap.select.top import check_budget

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView


class BaitOptions(Settings):
    """The ridge, and how many enter before some leave."""

    ridge: float = setting(
        0.01,
        "λ as a share of the mean eigenvalue of the pool's information",
        source="authors' code: 0.01 for CIFAR, 1 elsewhere, of features as they are",
        gt=0,
    )
    forward: float = setting(
        2.0, "so many times the budget enter; the rest leave again", source="Ash et al. 2021", ge=1
    )


def information_factor(
    z: Float[Tensor, "n d"], logits: Float[Tensor, "n k"]
) -> Float[Tensor, "n e"]:
    """√(q (1 − q)) · (z, 1) with q the top class's probability: w of an information w wᵀ.

    The likelihood of "the top class is right" has two classes; its two rows are parallel and add
    up to this one (Huseljic et al. 2024).
    """
    rest = least_confidence(logits)
    scale = (rest * (1.0 - rest)).sqrt().to(z.dtype)
    return torch.cat([z, torch.ones_like(z[:, :1])], dim=1) * scale[:, None]


@acquisition("bait")
class Bait(Acquisition):
    """The candidates after whose labels the classifier's last layer is told as much about the
    pool as a batch can: tr(M⁻¹F) least, F the pool's Fisher information, M the labels'.

    Features are centred and scaled to mean square 1, so that their scale does not matter.
    """

    Options = BaitOptions
    needs = frozenset({"features", "logits"})
    kind = "batch"
    options: BaitOptions

    def select(self, view: "PoolView", n: int) -> Query:
        o, known = self.options, len(view.labelled_ids)
        check_budget(n, len(view.candidate_ids))
        if n == 0:
            return Query(view.candidate_ids[:0])
        z, logits = (
            torch.cat([view.labelled(name), view.candidates(name)]).float()
            for name in ("features", "logits")
        )
        z = z - wide_mean(z).float()
        size = float(row_norms(z).double().mean() / z.shape[1]) ** 0.5
        w = information_factor(z / size if size > 0 else z, logits)
        ties = view.ties()
        found = distinct(view.candidates("features"), view.candidates("logits"), ties=ties)
        few, counts, pool = min(n, len(found)), None, w[known:]
        if found.copies:
            counts, pool = found.counts, pool[found.rows]
        rows, value = bait(
            pool, w[:known], few, ties[found.first], ridge=o.ridge, more=o.forward, counts=counts
        )
        # A copy of what is asked for adds nothing to it.
        rows, value = found.filled(rows, n, ties), np.append(value, np.zeros(n - few))
        pseudo = view.pseudo_labels[torch.from_numpy(rows)].numpy()
        return Query(view.candidate_ids[rows], value, {"information": value}, pseudo)


method(
    "bait",
    "cross-entropy",
    "bait",
    title="BAIT",
    citation="Ash, Goel, Krishnamurthy & Kakade 2021, Gone fishing; in the two-class form of "
    "Huseljic et al. 2024, Fast Fishing",
    query_cost="3·B passes over N·d, and d²",
)
