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
    "names",
    "objective",
]


def names() -> tuple[str, ...]:
    """The registered methods, a user's own included; `METHODS[name].title` says what each is."""
    return tuple(sorted(METHODS))


for _module in pkgutil.walk_packages(__path__, f"{__name__}."):
    importlib.import_module(_module.name)
