"""labelgap: which images should I label next?"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from labelgap._version import __version__

if TYPE_CHECKING:
    from labelgap.config import RunConfig
    from labelgap.data import Task, load
    from labelgap.errors import LabelgapError
    from labelgap.ledger import Ledger
    from labelgap.loop import run
    from labelgap.mixture import Mixture
    from labelgap.oracle import Oracle
    from labelgap.session import Session
    from labelgap.types import Answer, Query

_HOMES = {
    "Answer": "labelgap.types",
    "LabelgapError": "labelgap.errors",
    "Ledger": "labelgap.ledger",
    "Mixture": "labelgap.mixture",
    "Oracle": "labelgap.oracle",
    "Query": "labelgap.types",
    "RunConfig": "labelgap.config",
    "Session": "labelgap.session",
    "Task": "labelgap.data",
    "load": "labelgap.data",
    "run": "labelgap.loop",
}

__all__ = [
    "Answer",
    "LabelgapError",
    "Ledger",
    "Mixture",
    "Oracle",
    "Query",
    "RunConfig",
    "Session",
    "Task",
    "__version__",
    "load",
    "run",
]


def __getattr__(name: str) -> Any:
    # Torch is imported when it is first needed, so that the command line starts at once.
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'labelgap' has no attribute {name!r}")
