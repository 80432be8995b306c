"""MQ-Net: informative or of a known class? In an open set a small network learns the exchange.

Park et al. 2022, "Meta-Query-Net: resolving purity-informativeness dilemma in open-set active
learning", NeurIPS. Each query's answers teach the network that ranks the next query's candidates.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition, method
from labelgap.core.config import TUNING, Settings, setting
from labelgap.core.linalg import one_pool
from labelgap.core.types import NONE_OF_THESE, Query
from labelgap.methods.ll4al import PREDICTED_LOSS, pairs
from labelgap.select.arrays import Factor, lowest
from labelgap.select.distinct import distinct
from labelgap.select.scores import least_confidence
from labelgap.select.top import best_first, check_budget, check_finite, standardise, top_differing

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView

_CODE = "Park et al.'s code"


class MqNetOptions(Settings):
    """The meta-network and its training."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {"steps": 10_000, "lr": 1e-3}}
    hidden: int = setting(64, "hidden units", source=_CODE, ge=1)
    steps: int = setting(
        1000, "steps of meta-training", source="ours; paper preset: 100 epochs of 100", ge=1
    )
    batch_size: int = setting(32, "answered items a step, ranked in pairs", source=_CODE, ge=2)
    lr: float = setting(
        1e-2,
        "learning rate of plain SGD",
        source="ours: a tenth of the steps at ten times the paper preset's rate, 0.001",
        evidence=f"{TUNING}: no rate better than another beside LL4AL's weight, which decides; at "
        "0.00026 (best by a point) the meta-network learns nothing",
        gt=0,
        search=(1e-4, 1e-1, "log"),
    )
    margin: float = setting(1.0, "margin of the ranking loss", source=_CODE, gt=0)


def purity(z: Float[Tensor, "n d"], known: Float[Tensor, "l d"]) -> Float[Tensor, " n"]:
    """Largest cosine with a labelled item of the task's classes; 0 where there is none."""
    if len(known) == 0 or len(z) == 0:
        return torch.zeros(len(z), dtype=z.dtype, device=z.device)
    a, b = F.normalize(z.detach(), dim=1), F.normalize(known.detach(), dim=1)
    best = torch.full((len(a),), torch.inf, dtype=a.dtype, device=a.device)
    for some in torch.split(b, 512):
        best = torch.minimum(best, lowest([Factor(a, -some)], some.new_zeros(len(some))))
    return -best


class Monotone(nn.Module):
    """(informativeness, purity) → score by non-negative weights: more of either is never worse."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.first: nn.Linear = nn.Linear(2, hidden)
        self.second: nn.Linear = nn.Linear(hidden, 1)
        for layer in (self.first, self.second):
            nn.init.uniform_(layer.weight)

    def forward(self, z: Float[Tensor, "n 2"]) -> Float[Tensor, " n"]:
        hidden = torch.sigmoid(F.linear(z, F.relu(self.first.weight), self.first.bias))
        return F.linear(hidden, F.relu(self.second.weight), self.second.bias).squeeze(1)


def ranking(
    score: Float[Tensor, " b"], loss: Float[Tensor, " b"], margin: float
) -> Float[Tensor, ""]:
    """Mean of max(0, ξ − sign(l_i − l_j)(s_i − s_j)) over the pairs (i, b + 1 − i), l_i ≠ l_j.

    Pairs of equal loss, as two items outside the classes, have no order to learn.
    """
    (a, b), (l_a, l_b) = pairs(score), pairs(loss)
    sign = torch.sign(l_a - l_b)
    each = F.relu(margin - sign * (a - b))[sign != 0]
    return each.sum() / max(1, len(each))


def meta_train(
    model: Monotone,
    z: Float[Tensor, "q 2"],
    loss: Float[Tensor, " q"],
    options: MqNetOptions,
    rng: np.random.Generator,
) -> None:
    """Teach the ranking of the answered items: cross-entropy in the classes, 0 outside them."""
    optimiser = torch.optim.SGD(model.parameters(), lr=options.lr)
    for _ in range(options.steps):
        rows = torch.from_numpy(rng.permutation(len(z))[: options.batch_size])
        value = ranking(model(z[rows]), loss[rows], options.margin)
        optimiser.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        optimiser.step()


@acquisition("mq-net")
class MqNet(Acquisition):
    """The n candidates that the meta-network, taught by the last query's answers, puts first.

    Informativeness is the objective's predicted loss where it has one, else 1 − max p; purity is
    the largest cosine with a labelled item of the classes, in the embedding. Both enter as
    exp((x − mean) / deviation) over the candidates of the query in which they were measured,
    in meta-training as in the query. The network that is taught by a query's answers must not have
    been trained on them, so each query remembers its inputs and logits.

    While no labelled item was outside the classes, purity is constant: there is nothing that it
    could tell, and any monotone function of informativeness orders alike.
    """

    Options = MqNetOptions
    needs = frozenset({"logits", "embedding"})
    uses = frozenset({PREDICTED_LOSS})
    deterministic = False
    options: MqNetOptions

    @one_pool()
    def select(self, view: "PoolView", n: int) -> Query:
        check_budget(n, len(view.candidate_ids))
        if n == 0:
            return Query(view.candidate_ids[:0])
        logits = view.candidates("logits")
        if view.has(PREDICTED_LOSS):
            informativeness = view.candidates(PREDICTED_LOSS)
        else:
            informativeness = least_confidence(logits)
        pure = purity(view.candidates("embedding"), view.labelled("embedding"))
        check_finite({"informativeness": informativeness, "purity": pure})
        z = torch.stack([standardise(informativeness), standardise(pure)], dim=1).exp()
        score, notes = self.score(view, z)
        # Saturated sigmoids tie; the plain sum orders them before chance does.
        order = np.empty(len(z))
        order[best_first(z.sum(1).cpu().numpy(), view.ties())] = np.arange(len(z))
        chosen = top_differing(score, n, order, distinct(logits)).cpu()
        rows = chosen.numpy()
        parts = {
            "informativeness": informativeness[chosen].double().cpu().numpy(),
            "purity": pure[chosen].double().cpu().numpy(),
        }
        memory = {"inputs": z[chosen].cpu().numpy(), "logits": logits[chosen].double().numpy()}
        return Query(
            view.candidate_ids[rows],
            score[chosen].detach().cpu().numpy(),
            parts,
            view.pseudo_labels[chosen].numpy(),
            notes,
            memory=memory,
        )

    def score(
        self, view: "PoolView", z: Float[Tensor, "n 2"]
    ) -> tuple[Float[Tensor, " n"], dict[str, float | int | str]]:
        """The score of the candidates, and by which rule."""
        if len(view.rejected_ids) == 0:
            return z[:, 0], {"rule": "informativeness"}
        inputs, loss = answered(view)
        if len(torch.unique(loss)) < 2:
            return z.sum(1), {"rule": "sum"}  # as in the paper's first round
        with view.scope("meta-network"):
            model = Monotone(self.options.hidden).to(z)
        meta_train(model, inputs.to(z), loss.to(z), self.options, view.rng("meta-training"))
        with torch.no_grad():
            return model(z), {"rule": "meta-network", "taught_by": len(loss)}


def answered(view: "PoolView") -> tuple[Float[Tensor, "q 2"], Float[Tensor, " q"]]:
    """Inputs and loss of the last query's answered items: what the network did not know then."""
    empty: Int64[np.ndarray, " q"] = np.empty(0, dtype=np.int64)
    last = view.memory.get(max(view.memory, default=-1), {})
    ids = np.asarray(last.get("ids", empty), dtype=np.int64)
    labels = dict(zip(view.labelled_ids.tolist(), view.labels.tolist(), strict=True))
    labels |= dict.fromkeys(view.rejected_ids.tolist(), NONE_OF_THESE)
    rows = [i for i, id in enumerate(ids.tolist()) if id in labels]
    if not rows:
        return torch.zeros(0, 2), torch.zeros(0)
    y = torch.tensor([labels[int(ids[i])] for i in rows])
    logits = torch.from_numpy(last["logits"][rows])
    loss = F.cross_entropy(logits, y.clamp_min(0), reduction="none")
    return torch.from_numpy(last["inputs"][rows]), torch.where(y >= 0, loss, 0.0)


method(
    "mq-net",
    "ll4al",
    "mq-net",
    title="MQ-Net",
    citation="Park et al. 2022, Meta-Query-Net: resolving purity-informativeness dilemma in "
    "open-set active learning, NeurIPS",
    training_cost="about 1 × cross-entropy",
    query_cost="N·L·d_embedding, and 1,000 steps of a network of 64 units",
)
