"""MC-dropout: uncertainty of the mean of several stochastic passes (Gal, Islam, Ghahramani 2017).

Only dropout is stochastic in the passes: batch-norm keeps its running statistics, which published
code overwrites with those of unlabelled batches (docs/methods/mc-dropout.md).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from jaxtyping import Float
from torch import Tensor

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition, method
from labelgap.core.config import Settings, setting
from labelgap.core.errors import PairError
from labelgap.core.types import Query
from labelgap.methods.uncertainty import top_query
from labelgap.select import scores
from labelgap.select.top import check_budget

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView

DROPOUT = 0.1
"""After each block. 0.3, as in the dropout variant of the paper's authors' ResNet-18, costs the
`smoke` network 2 to 4 points on unlabelled digits at 240 labels, 0.1 none (docs/methods)."""

SCORES = {
    "predictive-entropy": scores.predictive_entropy,
    "variation-ratio": scores.variation_ratio,
}


class PassesOptions(Settings):
    """How many stochastic passes."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {"passes": 50},
        # Drawing masks for 10,000 images of 28 × 28 costs more than the convolutions.
        "cpu": {"passes": 5},
    }
    passes: int = setting(
        10,
        "T, stochastic passes over the candidates",
        source="Ash et al.'s code: 10; ALFA-Mix's code: 5 (cpu); Lüth et al. 2023: 50 (paper)",
        evidence="Fashion-MNIST, cpu: a round with 10 takes 4.3 × one of Random",
        ge=2,
    )


class McDropoutOptions(PassesOptions):
    """How many passes, and what of their mean is the score."""

    score: Literal["predictive-entropy", "variation-ratio"] = setting(
        "predictive-entropy",
        "entropy of the mean prediction, or 1 − its largest probability",
        source="Gal et al. 2017",
    )


def stochastic_logits(view: "PoolView", passes: int) -> Float[Tensor, "n t k"]:
    """The candidates' logits of T passes, from the view's array or its network.

    Raises
    ------
    PairError: neither is there, because the network has no dropout.
    """
    if view.has("mc_logits"):
        return view.candidates("mc_logits")
    if view.passes is None:
        raise PairError(
            "Stochastic passes need a network with dropout; this one has none.",
            "Use `--set network.dropout=0.1`.",
        )
    return view.passes(view.candidate_ids, passes)


@acquisition("mc-dropout")
class McDropout(Acquisition):
    """The n candidates whose mean prediction over the passes is most uncertain."""

    Options = McDropoutOptions
    needs = frozenset({"mc_logits", "logits"})
    deterministic = False
    options: McDropoutOptions

    def select(self, view: "PoolView", n: int) -> Query:
        check_budget(n, len(view.candidate_ids))
        if n == 0:
            return Query(view.candidate_ids[:0])
        name = self.options.score
        passes = stochastic_logits(view, self.options.passes)
        return top_query(view, n, SCORES[name](passes), name)


method(
    "mc-dropout",
    "cross-entropy",
    "mc-dropout",
    title="MC-dropout",
    citation="Gal, Islam & Ghahramani 2017, Deep Bayesian active learning with image data",
    query_cost="T passes + N·T·K",
    settings={"network": {"dropout": DROPOUT}},
)
