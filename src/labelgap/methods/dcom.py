"""DCoM: coverage first, doubt later, by how much is covered (Mishal & Weinshall 2024)."""

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int64

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition, method
from labelgap.core.config import Settings, setting
from labelgap.core.linalg import one_pool
from labelgap.core.types import Query
from labelgap.select import scores
from labelgap.select.competence import (
    competence,
    covered_by,
    greedy_competence,
    pure_radii,
    unit_range,
)
from labelgap.select.coverage import balls, counted, planes, purity_radius
from labelgap.select.distinct import distinct
from labelgap.select.top import check_budget

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView

_CODE = "the authors' code"


class DcomOptions(Settings):
    """Radii, and when doubt takes over from coverage."""

    delta: float | None = setting(
        None,
        "radius before any label, and what coverage is judged by first; None: as in ProbCover "
        "(0.75 for SimCLR features of CIFAR-10 in the authors' code)",
        source=_CODE,
        gt=0,
    )
    largest: float = setting(1.1, "largest radius that is tried", source=_CODE, gt=0)
    step: float = setting(0.05, "radii are found to within this", source=_CODE, gt=0)
    purity: float = setting(
        0.4, "share of a ball that must be predicted as its label", source=_CODE, ge=0, le=1
    )
    purity_gain: float = setting(
        0.2, "added to it in proportion to what is covered", source=_CODE, ge=0, le=1
    )
    steepness: float = setting(50.0, "k of the competence", source=_CODE, gt=0)
    middle: float = setting(
        0.8, "a, the covered share around which competence rises", source=_CODE, ge=0, le=1
    )
    sample: int = setting(
        10_000,
        "candidates to be covered, drawn uniformly; any candidate may cover them",
        source="ours: memory linear in the pool",
        ge=1,
    )


@acquisition("dcom")
class Dcom(Acquisition):
    """Again and again the candidate of largest s·doubt + (1 − s)·newly covered.

    Balls of labelled items are as large as the classifier's predictions in them agree with the
    label; s, the competence, rises with the share of candidates in these balls.
    """

    Options = DcomOptions
    needs = frozenset({"embedding", "logits"})
    kind = "cover"
    deterministic = False
    options: DcomOptions

    @one_pool()
    def select(self, view: "PoolView", n: int) -> Query:
        o, size = self.options, len(view.candidate_ids)
        check_budget(n, size)
        if n == 0:
            return Query(view.candidate_ids[:0])
        both = torch.cat([view.labelled("embedding"), view.candidates("embedding")]).float()
        F.normalize(both, dim=1, out=both)
        known, z = both[:-size], both[-size:]
        doubt = unit_range(scores.margin(view.candidates("logits")).numpy())
        # Copies have one ball, and are covered together.
        ties = view.ties()
        found = distinct(view.candidates("embedding"), view.candidates("logits"), ties=ties)
        rows = np.sort(np.argsort(ties, kind="stable")[: o.sample])
        counts: Int64[np.ndarray, " m"] | None = None
        weights, wanted = None, len(rows)
        if found.copies:
            z = z[found.rows]
            rows, counts = np.unique(found.inverse[rows], return_counts=True)
            weights = planes(counts)
        predicted = view.pseudo_labels[found.rows]
        points = z if len(rows) == len(z) else z[torch.from_numpy(rows)]
        delta = o.delta
        if delta is None:
            delta = purity_radius(both, view.num_classes, 0.95, view.rng("delta"))
        covered = covered_by(known, np.full(len(known), delta), points)
        share = int(counted(covered[None], weights)[0]) / wanted
        if len(known):
            radii = pure_radii(
                known,
                view.class_labels,
                points,
                predicted[torch.from_numpy(rows)],
                o.purity + o.purity_gain * share,
                o.largest,
                o.step,
                counts,
            )
            covered, delta = covered_by(known, radii, points), float(radii.mean())
            share = int(counted(covered[None], weights)[0]) / wanted
        weight = competence(share, o.steepness, o.middle)
        few, first = min(n, len(found)), found.first
        picks, value, gains = greedy_competence(
            balls(z, points, delta), covered, doubt[first], weight, few, ties[first], weights
        )
        chosen = found.filled(picks, n, ties)
        # Copies alone are left, which cover nothing new: doubt is all of their score.
        value = np.append(value, weight * doubt[chosen[few:]])
        gains = np.append(gains, np.zeros(n - few, dtype=np.int64))
        return Query(
            view.candidate_ids[chosen],
            value,
            {"doubt": doubt[chosen], "newly_covered": gains.astype(np.float64)},
            view.pseudo_labels.numpy()[chosen],
            {"delta": float(delta), "covered": share, "competence": weight},
        )


method(
    "dcom",
    "cross-entropy",
    "dcom",
    title="DCoM",
    citation="Mishal & Weinshall 2024, DCoM: active learning for all learners",
    training_cost="1 × cross-entropy, and the embedding once",
    query_cost="(N + L)·min(N, 10,000)·d",
)
