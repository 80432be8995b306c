"""One file per method; importing this package registers them all."""

import importlib
import pkgutil

from labelgap.axes.registry import (
    ACQUISITIONS,
    METHODS,
    OBJECTIVES,
    Acquisition,
    Method,
    Objective,
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

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
