"""ClaSP PE: power entropy, most of it class by class (Lüth et al. 2026).

From segmentation, where rare classes are what queries miss; here an item is an image.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition, method
from labelgap.core.config import Settings, setting
from labelgap.core.types import Query
from labelgap.select.distinct import distinct
from labelgap.select.power import log_class_entropy, perturbed
from labelgap.select.top import check_budget, top

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView

_CODE = "the authors' code"


class ClaspPeOptions(Settings):
    """The classes' share, and how the draw sharpens."""

    share: float = setting(
        2 / 3, "share of the batch that is split evenly over the classes", source=_CODE, ge=0, le=1
    )
    beta_first: float = setting(1.0, "β of the first query", source=_CODE, gt=0)
    beta_last: float = setting(100.0, "β once `rounds` queries have been made", source=_CODE, gt=0)
    rounds: int = setting(
        5, "queries over which β rises, by the same factor each", source=_CODE, ge=1
    )


def sharpness(first: float, last: float, rounds: int, round: int) -> float:
    """β of a round: from first to last by equal factors, then last."""
    if rounds == 1:
        return last
    return float(first * (last / first) ** min(1.0, max(0, round - 1) / (rounds - 1)))


def even(n: int, groups: int, order: Int64[np.ndarray, " k"]) -> Int64[np.ndarray, " k"]:
    """n split over groups as evenly as can be; the first of the order have one more."""
    quota = np.full(groups, n // groups, dtype=np.int64)
    quota[order[: n % groups]] += 1
    return quota


@acquisition("clasp-pe")
class ClaspPe(Acquisition):
    """Two thirds of the batch by each class's own part of the entropy, the rest by all of it.

    All are drawn, not ranked: log score + Gumbel/β, β growing from round to round.
    """

    Options = ClaspPeOptions
    needs = frozenset({"logits"})
    kind = "batch"
    options: ClaspPeOptions

    def select(self, view: "PoolView", n: int) -> Query:
        o = self.options
        check_budget(n, len(view.candidate_ids))
        if n == 0:
            return Query(view.candidate_ids[:0])
        beta = sharpness(o.beta_first, o.beta_last, o.rounds, view.round)
        logits, ties = view.candidates("logits"), view.ties()
        found = distinct(logits, ties=ties)
        few, stands = min(n, len(found)), found.first
        if found.copies:
            logits = logits[found.rows]
        terms = log_class_entropy(logits)
        classes = terms.shape[1]
        order = view.rng("classes").permutation(classes).astype(np.int64)
        quota = even(int(few * o.share), classes, order)
        chosen: list[Int64[Tensor, " q"]] = []
        free = torch.ones(len(terms), dtype=torch.bool)

        def draw(score: Float[Tensor, " n"], number: int, purpose: str) -> None:
            rows = torch.nonzero(free).squeeze(1)
            drawn = perturbed(score, beta, view.ties(purpose)[stands], found.counts)[rows]
            best = rows[top(drawn, number, ties[stands[rows.numpy()]])]
            free[best] = False
            chosen.append(best)

        for k in order:
            draw(terms[:, k], int(quota[k]), f"gumbel/{k}")
        draw(terms.logsumexp(1), few - int(quota.sum()), "gumbel")
        rows = found.filled(torch.cat(chosen).numpy(), n, ties)
        asked_for = np.concatenate([np.repeat(order, quota[order]), np.full(n - quota.sum(), -1)])
        return Query(
            view.candidate_ids[rows],
            terms.logsumexp(1).exp().numpy()[found.inverse[rows]],
            {"asked_for_class": asked_for.astype(np.float64)},
            view.pseudo_labels.numpy()[rows],
            {"beta": beta},
        )


method(
    "clasp-pe",
    "cross-entropy",
    "clasp-pe",
    title="ClaSP PE",
    citation="Lüth et al. 2026, class-stratified scheduled power predictive entropy",
    query_cost="N·K",
)
