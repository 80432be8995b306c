"""CDAL: contextual diversity, the symmetric KL divergence of predictions (Agarwal et al. 2020).

CDAL-CS is greedy k-center under it; CDAL-RL learns a policy that picks diverse and representative
items. Probabilities come from one softmax; the usual re-implementation takes two.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition, method
from labelgap.core.config import Settings, setting
from labelgap.core.linalg import one_pool
from labelgap.core.types import Query
from labelgap.methods.coreset import cover_query, gaps
from labelgap.select.arrays import wide
from labelgap.select.distinct import Distinct, distinct
from labelgap.select.divergence import FLOOR, Divergences, symmetric_kl
from labelgap.select.geometry import Euclidean, Geometry, WithCopies
from labelgap.select.kcenter import k_center_in
from labelgap.select.top import check_budget

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView

_COLUMNS = 128
"""Labelled items met at a time: N × 128 distances are held."""
_CODE = "the authors' code"


class CdalOptions(Settings):
    """CS or RL, and the policy of RL."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"paper": {"hidden": 256}}
    variant: Literal["cs", "rl"] = setting(
        "cs", "greedy k-center (CS) or a learned policy (RL)", source="Agarwal et al. 2020"
    )
    hidden: int = setting(
        32, "rl: units of the LSTM in each direction", source=f"{_CODE}: 256", ge=1
    )
    epochs: int = setting(10, "rl: policy updates", source=_CODE, ge=1)
    lr: float = setting(1e-2, "rl: Adam's rate", source=_CODE, gt=0)
    weight_decay: float = setting(1e-5, "rl: Adam's weight decay", source=_CODE, ge=0)
    diversity: float = setting(1.5, "rl: weight of the mean divergence", source=_CODE, ge=0)
    coverage: float = setting(0.5, "rl: weight of representativeness", source=_CODE, ge=0)
    segment: int = setting(
        500, "rl: items the LSTM reads in one go, so that memory is linear", source="ours", ge=1
    )


class Policy(nn.Module):
    """A bidirectional LSTM over the pool's predictions and two linear layers: one value an item."""

    def __init__(self, classes: int, hidden: int) -> None:
        super().__init__()
        self.lstm: nn.LSTM = nn.LSTM(classes, hidden, bidirectional=True, batch_first=True)
        self.layers: nn.Sequential = nn.Sequential(
            nn.Linear(2 * hidden, 2 * hidden), nn.Linear(2 * hidden, 1)
        )

    def forward(self, p: Float[Tensor, "n k"], segment: int) -> Float[Tensor, " n"]:
        padded = torch.nn.functional.pad(p, (0, 0, 0, -len(p) % min(segment, len(p))))
        states, _ = self.lstm(padded.view(-1, min(segment, len(p)), p.shape[1]))
        values: Tensor = self.layers(states).flatten()
        return values[: len(p)]


def mean_divergence(log_p: Float[Tensor, "b k"]) -> float:
    """Mean symmetric KL over all ordered pairs: Σ_k cov(p_k, log p_k), linear in the items."""
    q = log_p.to(wide(log_p.device)).clamp_min(FLOOR)
    p = q.exp()
    return float(((p * q).mean(0) - p.mean(0) * q.mean(0)).sum())


def reward(
    o: CdalOptions, log_p: Float[Tensor, "n k"], space: Geometry, picks: Int64[Tensor, " b"]
) -> float:
    """Divergence among the picks, and how near every item has one: the authors' code's weights."""
    near = torch.full((len(space),), torch.inf, device=space.device)
    for some in torch.split(picks, _COLUMNS):
        near = torch.minimum(near, space.nearest(some))
    coverage = torch.exp(-near.to(wide(near.device)).mean() / 50)
    return o.diversity * mean_divergence(log_p[picks]) + o.coverage * float(coverage)


def log_law(values: Float[Tensor, " n"], order: Int64[Tensor, " n"], n: int) -> Float[Tensor, ""]:
    """Log-probability of drawing order[:n] one after another without replacement ∝ exp(values)."""
    ordered = values[order]
    rest = ordered.flip(0).logcumsumexp(0).flip(0)
    return (ordered - rest)[:n].sum()


@acquisition("cdal")
class Cdal(Acquisition):
    """Items whose predictions are unlike each other's and unlike the labelled items'."""

    Options = CdalOptions
    needs = frozenset({"logits"})
    kind = "cover"
    deterministic = True
    options: CdalOptions

    def __init__(self, options: Settings) -> None:
        super().__init__(options)
        if self.options.variant == "rl":
            self.deterministic = False

    @one_pool()
    def select(self, view: "PoolView", n: int) -> Query:
        check_budget(n, len(view.candidate_ids))
        if n == 0:
            return Query(view.candidate_ids[:0])
        every, ties = view.candidates("logits"), view.ties()
        found = distinct(every, ties=ties)
        if self.options.variant == "rl":
            chosen, best = self.learned(view, every.double().log_softmax(1), n, found)
            ids, pseudo = view.candidate_ids[chosen.numpy()], view.pseudo_labels[chosen]
            return Query(ids, pseudo_label=pseudo.numpy(), notes={"reward": best})
        log_p, few = every[found.rows].double().log_softmax(1), min(n, len(found))
        known = view.labelled("logits")
        known = known[distinct(known).rows].double().log_softmax(1)
        draws, among = ties[found.first], Divergences(log_p)
        nearest = among.nearest_of(known) if len(known) else None
        first = int(draws.argmin()) if nearest is None else None
        picks = k_center_in(among, nearest, few, ties=draws, first=first)
        chosen = torch.from_numpy(found.filled(picks.numpy(), n, ties))
        shown = every[chosen].double().log_softmax(1)
        return cover_query(view, chosen, gaps(shown, known, symmetric_kl), "divergence")

    def learned(
        self, view: "PoolView", log_p: Tensor, n: int, copies: Distinct
    ) -> tuple[Int64[Tensor, " b"], float]:
        """The set of largest reward among those that REINFORCE comes by.

        The published set may hold copies, and so may this: the policy values each place in the
        pool's order.

        n items are drawn without replacement from the policy (Gumbel's trick); the reward of that
        draw moves the policy, against a moving average. The published code rewards the policy's
        top n whatever was drawn, so that its expected gradient is zero.
        """
        o, rng = self.options, view.rng("policy")
        p = log_p.exp().float()
        space: Geometry = Euclidean(p)
        if copies.copies:
            space = WithCopies(Euclidean(p[copies.rows]), copies)
        with view.scope("policy"):
            policy = Policy(p.shape[1], o.hidden)
        adam = torch.optim.Adam(policy.parameters(), lr=o.lr, weight_decay=o.weight_decay)
        best, found, average = -torch.inf, torch.empty(0, dtype=torch.int64), 0.0
        for epoch in range(o.epochs):
            values = policy(p, o.segment)
            noise = torch.from_numpy(rng.gumbel(size=len(p)).astype("float32"))
            order = (values.detach() + noise).argsort(descending=True, stable=True)
            drawn = reward(o, log_p, space, order[:n])
            greedy = values.detach().argsort(descending=True, stable=True)[:n]
            for picks, value in (
                (order[:n], drawn),
                (greedy, reward(o, log_p, space, greedy)),
            ):
                if value > best:
                    best, found = value, picks
            average = drawn if epoch == 0 else 0.9 * average + 0.1 * drawn
            loss = -log_law(values, order, n) / n * (drawn - average)
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
        return found, float(best)


method(
    "cdal",
    "cross-entropy",
    "cdal",
    title="CDAL",
    citation="Agarwal et al. 2020, Contextual diversity for active learning",
    query_cost="N·(L + B)·K",
)
