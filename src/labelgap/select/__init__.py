"""Selection as pure functions on arrays: scores, top, balance, k-means, k-center, D² sampling.

Nothing here knows of views, sessions or files. Positions are rows of the arrays given; whoever
calls maps them to ids. Randomness comes in as a `numpy.random.Generator`, ties as one draw per
item, so that shuffled storage changes no answer. Memory is linear in the number of items.
"""

from labelgap.select.badge import badge
from labelgap.select.balance import balanced_candidates
from labelgap.select.distinct import Distinct, distinct
from labelgap.select.divergence import symmetric_kl
from labelgap.select.dsquared import d_squared
from labelgap.select.kcenter import k_center, k_center_by, k_center_in
from labelgap.select.kmeans import kmeans, representatives
from labelgap.select.scores import (
    bald,
    entropy,
    least_confidence,
    margin,
    predictive_entropy,
    variation_ratio,
)
from labelgap.select.top import check_finite, ranks, standardise, top

__all__ = [
    "Distinct",
    "badge",
    "balanced_candidates",
    "bald",
    "check_finite",
    "d_squared",
    "distinct",
    "entropy",
    "k_center",
    "k_center_by",
    "k_center_in",
    "kmeans",
    "least_confidence",
    "margin",
    "predictive_entropy",
    "ranks",
    "representatives",
    "standardise",
    "symmetric_kl",
    "top",
    "variation_ratio",
]
