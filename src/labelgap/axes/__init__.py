"""All that a method is written against: objective, acquisition, the view of the pool, a stage."""

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.objective import STANDARD_OUTPUTS, Objective
from labelgap.axes.registry import (
    ACQUISITIONS,
    METHODS,
    OBJECTIVES,
    Method,
    acquisition,
    check_pair,
    lookup,
    method,
    objective,
    options,
)

__all__ = [
    "ACQUISITIONS",
    "METHODS",
    "OBJECTIVES",
    "STANDARD_OUTPUTS",
    "Acquisition",
    "Method",
    "Objective",
    "acquisition",
    "check_pair",
    "lookup",
    "method",
    "objective",
    "options",
]
