"""ProbCover: cover the embedding with balls around labelled items (Yehuda et al. 2022)."""

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition, method
from labelgap.core.config import Settings, setting
from labelgap.core.linalg import one_pool
from labelgap.core.types import Query
from labelgap.select.coverage import balls, counted, greedy_cover, planes, purity_radius
from labelgap.select.distinct import distinct
from labelgap.select.top import check_budget

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView


class ProbCoverOptions(Settings):
    """The radius of the balls and what they are to cover."""

    delta: float | None = setting(
        None,
        "radius of a ball; None: the largest at which balls are pure (0.75 for SimCLR features "
        "of CIFAR-10 in the authors' code)",
        source="Yehuda et al. 2022",
        gt=0,
    )
    purity: float = setting(
        0.95,
        "share of pure balls that decides delta",
        source="Yehuda et al. 2022",
        gt=0,
        lt=1,
    )
    normalise: bool = setting(True, "embedding scaled to unit length", source="the authors' code")
    sample: int = setting(
        10_000,
        "candidates to be covered, drawn uniformly; any candidate may cover them",
        source="ours: memory linear in the pool",
        ge=1,
    )


@acquisition("probcover")
class ProbCover(Acquisition):
    """Again and again the candidate whose ball holds the most candidates that no ball covers yet.

    Balls of labelled items count from the start. Once everything is covered the rest is uniform.
    """

    Options = ProbCoverOptions
    needs = frozenset({"embedding"})
    uses = frozenset({"logits"})
    kind = "cover"
    deterministic = False
    options: ProbCoverOptions

    @one_pool()
    def select(self, view: "PoolView", n: int) -> Query:
        o, size = self.options, len(view.candidate_ids)
        check_budget(n, size)
        if n == 0:
            return Query(view.candidate_ids[:0])
        both = self._scaled(torch.cat([view.labelled("embedding"), view.candidates("embedding")]))
        known, every, ties = both[:-size], both[-size:], view.ties()
        delta = o.delta
        if delta is None:
            delta = purity_radius(both, view.num_classes, o.purity, view.rng("delta"))
        # Copies have one ball, and are covered together.
        found = distinct(every, ties=ties)
        points = z = every[found.rows]
        counts, wanted = found.counts, size
        if size > o.sample:
            rows = np.sort(np.argsort(ties, kind="stable")[: o.sample])
            at, counts = np.unique(found.inverse[rows], return_counts=True)
            points, wanted = z[torch.from_numpy(at)], o.sample
        weights = planes(counts) if found.copies else None
        covers = balls(z, points, delta)
        covered = np.zeros(covers.shape[1], dtype=np.uint8)
        if len(known):
            known = known[distinct(known).rows]
            covered = np.bitwise_or.reduce(balls(known, points, delta), axis=0)
        few = min(n, len(found))
        picks, gains = greedy_cover(covers, covered, few, ties[found.first], weights)
        chosen = found.filled(picks, n, ties)
        gains = np.concatenate([gains, np.zeros(n - few, dtype=np.int64)])
        reached = int(counted(covered[None], weights)[0] + gains.sum())
        value = gains.astype(np.float64)
        return Query(
            view.candidate_ids[chosen],
            value,
            {"newly_covered": value},
            view.pseudo_labels.numpy()[chosen] if view.has("logits") else None,
            {
                "delta": float(delta),
                "covered": reached / wanted,
                "random": int((gains == 0).sum()),
            },
        )

    def _scaled(self, z: Tensor) -> Tensor:
        return F.normalize(z.float(), dim=1) if self.options.normalise else z.float()


method(
    "probcover",
    "cross-entropy",
    "probcover",
    title="ProbCover",
    citation="Yehuda et al. 2022, Active learning through a covering lens",
    training_cost="1 × cross-entropy, and the embedding once",
    query_cost="N·min(N, 10,000)·d",
)
