"""BALD: disagreement of stochastic passes (Houlsby et al. 2011; Gal, Islam, Ghahramani 2017)."""

from typing import TYPE_CHECKING

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition, method
from labelgap.core.types import Query
from labelgap.methods.mc_dropout import DROPOUT, PassesOptions, stochastic_logits
from labelgap.methods.uncertainty import top_query
from labelgap.select import scores
from labelgap.select.top import check_budget

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView


@acquisition("bald")
class Bald(Acquisition):
    """The n candidates of largest mutual information between prediction and weights.

    H[mean_t p_t] − mean_t H[p_t]: high where single passes are sure and contradict each other,
    low where every pass is equally unsure.
    """

    Options = PassesOptions
    needs = frozenset({"mc_logits", "logits"})
    deterministic = False
    options: PassesOptions

    def select(self, view: "PoolView", n: int) -> Query:
        check_budget(n, len(view.candidate_ids))
        if n == 0:
            return Query(view.candidate_ids[:0])
        passes = stochastic_logits(view, self.options.passes)
        return top_query(view, n, scores.bald(passes), "mutual_information")


method(
    "bald",
    "cross-entropy",
    "bald",
    title="BALD",
    citation="Houlsby et al. 2011, Bayesian active learning for classification and preference "
    "learning; Gal et al. 2017",
    query_cost="T passes + N·T·K",
    settings={"network": {"dropout": DROPOUT}},
)
