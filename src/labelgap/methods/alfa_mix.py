"""ALFA-Mix: which predictions change when features are mixed with class anchors (Parvaneh 2022).

Candidates are the items whose predicted class changes for some anchor under the smallest
mixing; k-means on their normalised features then spreads the query.
"""

from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition, method
from labelgap.core import scratch
from labelgap.core.config import Settings, setting
from labelgap.core.errors import LabelgapError
from labelgap.core.linalg import one_pool
from labelgap.core.types import Query
from labelgap.select.distinct import distinct
from labelgap.select.kmeans import representatives
from labelgap.select.mixing import (
    ROWS,
    Head,
    anchors,
    closed_form_bound,
    learned_flips,
    sampled_flips,
)
from labelgap.select.top import check_budget

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView


class AlfaMixOptions(Settings):
    """How α is found, and how it grows."""

    alpha: Literal["closed-form", "learned", "sampled"] = setting(
        "closed-form",
        "how the mixing weights are found",
        source="Parvaneh et al. 2022",
    )
    epsilon: float = setting(
        0.2,
        "step by which the bound on α grows until enough predictions change",
        source="the authors' advice for the closed form; 0.03125 in their code for the others",
        gt=0,
        le=1,
        search=(0.03, 0.5, "log"),
    )
    steps: int = setting(5, "learned: gradient steps", source="the authors' code", ge=1)
    lr: float = setting(0.1, "learned: size of a step", source="the authors' code", gt=0)
    shrink: float = setting(
        0.01, "learned: weight of ‖α‖ against the loss", source="the authors' code", ge=0
    )


@acquisition("alfa-mix")
class AlfaMix(Acquisition):
    """Items whose prediction changes under the smallest mixing, spread by k-means."""

    Options = AlfaMixOptions
    needs = frozenset({"features", "logits"})
    needs_network = True
    needs_head = True
    kind = "batch"
    deterministic = False
    options: AlfaMixOptions

    @one_pool()
    def select(self, view: "PoolView", n: int) -> Query:
        check_budget(n, len(view.candidate_ids))
        if n == 0:
            return Query(view.candidate_ids[:0])
        every, ties = view.pseudo_labels, view.ties()
        copies = distinct(view.candidates("features"), ties=ties)
        z, pseudo = view.candidates("features").float(), every[copies.rows]
        if copies.copies:
            z = scratch.rows(z, copies.rows)
        few, counts = min(n, len(copies)), copies.counts
        bound = self.bounds(view, z, pseudo, few)
        inconsistent = torch.nonzero(torch.isfinite(bound)).squeeze(1)
        if len(inconsistent) > few:
            spread, rng = scratch.rows(z, inconsistent), view.rng("k-means")
            for part in torch.split(spread, ROWS):
                part.copy_(F.normalize(part, dim=1))
            weights = counts[inconsistent.numpy()].astype("float64") if copies.copies else None
            picks = inconsistent[representatives(spread, few, rng, weights)]
        else:
            order = torch.from_numpy(ties[copies.first].argsort(kind="stable"))
            rest = order[~torch.isfinite(bound)[order]]
            picks = torch.cat([inconsistent, rest[: few - len(inconsistent)]])
        chosen = copies.filled(picks.numpy(), n, ties)
        # What was filled up at random needed more than the largest bound, 1.
        bound = bound[torch.from_numpy(copies.inverse[chosen])]
        value = bound.clamp_max(1.0 + self.options.epsilon).double().numpy()
        items = int(counts[inconsistent.numpy()].sum())
        return Query(
            view.candidate_ids[chosen],
            -value,
            {"mixing_bound": value},
            every.numpy()[chosen],
            {
                "candidate_set": items,
                "candidate_share": items / len(every),
                "random": max(0, n - len(inconsistent)),
            },
        )

    def bounds(self, view: "PoolView", z: Tensor, predicted: Tensor, n: int) -> Float[Tensor, " n"]:
        """The bound on α at which each prediction changed; inf where none up to the last tried.

        The bound grows by ε until more than n predictions have changed, or to 1.
        """
        o = self.options
        if view.network is None:
            raise LabelgapError("ALFA-Mix needs the network's head; this view has arrays alone.")
        head = Head(view.network.head.weight, view.network.head.bias)
        to = anchors(view.labelled("features").float(), view.class_labels, view.num_classes)
        needed = torch.full((len(z),), torch.inf)
        if o.alpha == "closed-form":
            needed = closed_form_bound(head, z, predicted, to)
        rng = view.rng("alpha")
        flips = sampled_flips(head, rng)
        if o.alpha == "learned":
            flips = learned_flips(head, rng, steps=o.steps, lr=o.lr, shrink=o.shrink)
        cap = 0.0
        while cap < 1.0:
            cap = min(cap + o.epsilon, 1.0)
            if o.alpha != "closed-form":
                open_ = torch.nonzero(torch.isinf(needed)).squeeze(1)
                for rows in torch.split(open_, ROWS):
                    for anchor in to:
                        changed = flips(z[rows], predicted[rows], anchor - z[rows], cap)
                        needed[rows[changed]] = cap
            if int((needed <= cap).sum()) > n:
                break
        return needed.masked_fill(needed > cap, torch.inf)


method(
    "alfa-mix",
    "cross-entropy",
    "alfa-mix",
    title="ALFA-Mix",
    citation="Parvaneh et al. 2022, Active learning by feature mixing",
    query_cost="N·K²·d + k-means of the candidates",
)
