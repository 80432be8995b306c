"""labelgap: which images should I label next?"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from labelgap._version import __version__

if TYPE_CHECKING:
    from labelgap.core.config import RunConfig
    from labelgap.core.errors import LabelgapError
    from labelgap.core.types import Answer, Query
    from labelgap.data import Task, load
    from labelgap.gap.mixture import Mixture
    from labelgap.ledger.ledger import Ledger
    from labelgap.loop.oracle import Oracle
    from labelgap.loop.run import run
    from labelgap.session.session import Session

_HOMES = {
    "Answer": "labelgap.core.types",
    "LabelgapError": "labelgap.core.errors",
    "Ledger": "labelgap.ledger.ledger",
    "Mixture": "labelgap.gap.em",
    "Oracle": "labelgap.loop.oracle",
    "Query": "labelgap.core.types",
    "RunConfig": "labelgap.core.config",
    "Session": "labelgap.session.session",
    "Task": "labelgap.data",
    "load": "labelgap.data",
    "run": "labelgap.loop.run",
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
