"""Least confidence, margin and entropy: the cheapest strong baselines."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition, method
from labelgap.core.types import Query
from labelgap.select import scores
from labelgap.select.distinct import distinct
from labelgap.select.top import check_finite, top_differing

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView


def top_query(
    view: "PoolView",
    n: int,
    score: Tensor,
    name: str,
    parts: Mapping[str, Tensor] | None = None,
) -> Query:
    """The n candidates of highest score, ties broken by id; explained by its parts or itself.

    Candidates whose logits are all equal are copies, as far as the network can tell: the best of
    them comes in its place, the others after all that differ.
    """
    check_finite({name: score})
    found = distinct(view.candidates("logits")) if view.has("logits") else None
    chosen = top_differing(score, n, view.ties(), found).cpu()
    parts = {name: score} if parts is None else parts
    told = {part: x.detach().cpu()[chosen].double().numpy() for part, x in parts.items()}
    value = score.detach().cpu()[chosen].double().numpy()
    pseudo = view.pseudo_labels[chosen].numpy() if view.has("logits") else None
    return Query(view.candidate_ids[chosen.numpy()], value, told, pseudo)


class Uncertainty(Acquisition):
    """The top n of a function of the logits."""

    needs = frozenset({"logits"})
    score: ClassVar[Callable[[Tensor], Tensor]]

    def select(self, view: "PoolView", n: int) -> Query:
        return top_query(view, n, type(self).score(view.candidates("logits")), self.name)


@acquisition("least-confidence")
class LeastConfidence(Uncertainty):
    """1 − max p."""

    score = scores.least_confidence


@acquisition("margin")
class Margin(Uncertainty):
    """Minus the difference of the two largest probabilities."""

    score = scores.margin


@acquisition("entropy")
class Entropy(Uncertainty):
    """−Σ p log p."""

    score = scores.entropy


method(
    "least-confidence",
    "cross-entropy",
    "least-confidence",
    title="Least confidence",
    citation="Lewis & Gale 1994, A sequential algorithm for training text classifiers",
    query_cost="N·K",
)
method(
    "margin",
    "cross-entropy",
    "margin",
    title="Margin",
    citation="Scheffer et al. 2001, Active hidden Markov models for information extraction",
    query_cost="N·K",
)
method(
    "entropy",
    "cross-entropy",
    "entropy",
    title="Entropy",
    citation="Settles 2009, Active learning literature survey",
    query_cost="N·K",
)
