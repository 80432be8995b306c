"""One file per method; importing this package registers them all."""

import importlib
import pkgutil

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.objective import Objective
from labelgap.axes.registry import (
    ACQUISITIONS,
    METHODS,
    OBJECTIVES,
    Method,
    acquisition,
    lookup,
    method,
    objective,
)

__all__ = [
    "ACQUISITIONS",
    "METHODS",
    "OBJECTIVES",
    "Acquisition",
    "Method",
    "Objective",
    "acquisition",
    "lookup",
    "method",
    "objective",
]

for _module in pkgutil.walk_packages(__path__, f"{__name__}."):
    importlib.import_module(_module.name)
