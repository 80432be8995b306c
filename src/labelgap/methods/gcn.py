"""UncertainGCN and CoreGCN: a graph network tells labelled from unlabelled at query time.

Caramalau, Bhattarai & Kim 2021, "Sequential graph convolutional network for active learning",
CVPR. Nodes are all labelled items and candidates, edges the cosines of their features.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition, method
from labelgap.core.config import Settings, setting
from labelgap.core.errors import LabelgapError
from labelgap.core.linalg import constant_matmul, one_pool
from labelgap.core.types import Query
from labelgap.methods.coreset import cover_query, gaps
from labelgap.methods.uncertainty import top_query
from labelgap.select.arrays import wide_mean
from labelgap.select.distinct import Distinct, distinct
from labelgap.select.geometry import accurate
from labelgap.select.graph import Graph
from labelgap.select.kcenter import k_center
from labelgap.select.top import check_budget, check_finite

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView

_CODE = "Caramalau et al.'s code"


class GcnOptions(Settings):
    """The graph network and its training. The published sizes are cheap enough for every preset."""

    hidden: int = setting(128, "units of the hidden layer", source=_CODE, ge=1)
    dropout: float = setting(0.3, "dropout on the hidden layer", source=_CODE, ge=0, lt=1)
    unlabelled_weight: float = setting(
        1.2, "λ: weight of the unlabelled nodes' loss", source=_CODE, gt=0, search=(0.5, 3.0, "log")
    )
    lr: float = setting(1e-3, "Adam's learning rate", source=_CODE, gt=0)
    weight_decay: float = setting(5e-4, "weight decay", source=_CODE, ge=0)
    steps: int = setting(200, "full-batch steps", source=_CODE, ge=1)


class UncertainGcnOptions(GcnOptions):
    """And the score that is asked for."""

    margin: float = setting(
        0.1,
        "items whose probability of being labelled is nearest to this",
        source=_CODE,
        ge=0,
        le=1,
    )


class Gcn(nn.Module):
    """relu(A X W + b), dropout, A (· w) + b: a hidden layer and the logit of being labelled."""

    def __init__(self, inputs: int, hidden: int, dropout: float) -> None:
        super().__init__()
        bound = hidden**-0.5
        self.weight: nn.Parameter = nn.Parameter(
            torch.empty(inputs, hidden).uniform_(-bound, bound)
        )
        self.bias: nn.Parameter = nn.Parameter(torch.empty(hidden).uniform_(-bound, bound))
        self.out_weight: nn.Parameter = nn.Parameter(torch.empty(hidden, 1).uniform_(-1.0, 1.0))
        self.out_bias: nn.Parameter = nn.Parameter(torch.empty(1).uniform_(-1.0, 1.0))
        self.dropout: nn.Dropout = nn.Dropout(dropout)

    def forward(
        self, graph: Graph, ax: Float[Tensor, "n d"]
    ) -> tuple[Float[Tensor, "n h"], Float[Tensor, " n"]]:
        hidden = self.dropout(F.relu(constant_matmul(ax, self.weight) + self.bias))
        logit = graph.propagate(hidden @ self.out_weight) + self.out_bias
        return hidden, logit.squeeze(1)


def separation(
    logit: Float[Tensor, " n"],
    labelled: Bool[Tensor, " n"],
    unlabelled_weight: float,
    weights: Float[Tensor, "n 1"] | None = None,
) -> Float[Tensor, ""]:
    """−mean_L log s − λ mean_U log(1 − s) with s = σ(logit), finite for every logit.

    weights: how many items each node stands for; None means one.
    """

    def mean(loss: Tensor, of: Tensor) -> Tensor:
        if weights is None:
            return loss.mean()
        mass = weights[of, 0]
        return (loss * mass).sum() / mass.sum()

    known = mean(F.softplus(-logit[labelled]), labelled)
    return known + unlabelled_weight * mean(F.softplus(logit[~labelled]), ~labelled)


@one_pool()
def trained(
    graph: Graph, labelled: Bool[Tensor, " n"], options: GcnOptions
) -> tuple[Float[Tensor, "n h"], Float[Tensor, " n"]]:
    """Hidden layer and logit of every node by a new network; draws from the current scope."""
    ax = graph.inputs()
    model = Gcn(ax.shape[1], options.hidden, options.dropout).to(ax)
    optimiser = torch.optim.Adam(
        model.parameters(), lr=options.lr, weight_decay=options.weight_decay
    )
    for _ in range(options.steps):
        _, logit = model(graph, ax)
        loss = separation(logit, labelled, options.unlabelled_weight, graph.weights)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    model.eval()
    with torch.no_grad():
        hidden, logit = model(graph, ax)
    check_finite({"graph network's logit": logit})
    return hidden, logit


def _copies(view: "PoolView") -> Distinct:
    return distinct(view.candidates("features"), ties=view.ties())


class GcnAcquisition(Acquisition):
    """What both have in common: the graph network, made and trained for the query."""

    Options = GcnOptions
    needs = frozenset({"features"})
    uses = frozenset({"logits"})
    deterministic = False
    options: GcnOptions

    def nodes(
        self, view: "PoolView", found: Distinct | None = None
    ) -> tuple[Float[Tensor, "n h"], Float[Tensor, " n"], int]:
        """Hidden layers and logits, labelled items first; and how many those are.

        Copies among the labelled items are one node, and so are copies among the candidates, which
        `found` tells.
        """
        if len(view.labelled_ids) == 0:
            raise LabelgapError(
                f"{self.name!r} tells labelled items from others, and no item has a label.",
                "Label an initial set first.",
            )
        known, free = view.labelled("features"), view.candidates("features")
        before, found = distinct(known), found or _copies(view)
        split, weights = len(before), None
        if before.copies or found.copies:
            weights = torch.from_numpy(np.concatenate([before.counts, found.counts]))
        graph = Graph.of(torch.cat([known[before.rows], free[found.rows]]), weights)
        labelled = torch.arange(len(graph.x), device=graph.x.device) < split
        with view.scope("graph network"):
            hidden, logit = trained(graph, labelled, self.options)
        return hidden, logit, split


@acquisition("uncertain-gcn")
class UncertainGcn(GcnAcquisition):
    """The n candidates whose probability of being labelled is nearest to the margin."""

    Options = UncertainGcnOptions
    options: UncertainGcnOptions

    def select(self, view: "PoolView", n: int) -> Query:
        check_budget(n, len(view.candidate_ids))
        if n == 0:
            return Query(view.candidate_ids[:0])
        found = _copies(view)
        _, logit, split = self.nodes(view, found)
        every = logit[split:][torch.from_numpy(found.inverse)]
        score = -(every.double().sigmoid() - self.options.margin).abs()
        return top_query(view, n, score, "nearness_to_margin")


@acquisition("coregcn")
class CoreGcn(GcnAcquisition):
    """Greedy k-center on the graph network's embedding: hidden layer and logit (128 + 1)."""

    kind = "cover"

    def select(self, view: "PoolView", n: int) -> Query:
        check_budget(n, len(view.candidate_ids))
        if n == 0:
            return Query(view.candidate_ids[:0])
        found = _copies(view)
        hidden, logit, split = self.nodes(view, found)
        z, ties = torch.cat([hidden, logit[:, None]], dim=1), view.ties()
        few = min(n, len(found))
        picks = k_center(z[split:], z[:split], few, ties=ties[found.first])
        rows = found.filled(picks.numpy(), n, ties)
        chosen, mean = torch.from_numpy(rows), wide_mean(z)
        gap = gaps(
            z[split:][torch.from_numpy(found.inverse[rows])],
            z[:split],
            lambda a, b: accurate(a, b, mean),
        ).sqrt()
        return cover_query(view, chosen, gap, "distance")


_PAPER = "Caramalau et al. 2021, Sequential graph convolutional network for active learning, CVPR"
method(
    "uncertain-gcn",
    "cross-entropy",
    "uncertain-gcn",
    title="UncertainGCN",
    citation=_PAPER,
    query_cost="N·d² + 200·N·128·d",
)
method(
    "coregcn",
    "cross-entropy",
    "coregcn",
    title="CoreGCN",
    citation=_PAPER,
    query_cost="N·d² + 200·N·128·d + N·(L + B)·129",
)
