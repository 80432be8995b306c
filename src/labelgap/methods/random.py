"""Random sampling: uniform and without replacement.

Published code of this field draws with replacement, so that its Random holds 13 % fewer distinct
labels than it claims (docs/methods/random.md).
"""

from typing import TYPE_CHECKING

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.registry import acquisition, method
from labelgap.core.types import Query
from labelgap.select.top import check_budget

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView


@acquisition("random")
class Random(Acquisition):
    """The n candidates of smallest uniform draw, one per id: no replacement by construction."""

    deterministic = True

    def select(self, view: "PoolView", n: int) -> Query:
        check_budget(n, len(view.candidate_ids))
        order = view.ties().argsort(kind="stable")[:n]
        return Query(view.candidate_ids[order])


method(
    "random",
    "cross-entropy",
    "random",
    title="Random sampling",
    citation="the control of every comparison",
    query_cost="N",
)
