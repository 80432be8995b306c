"""labelgap: which images should I label next?"""

import warnings
from importlib import import_module
from typing import Any

from lazy_loader import attach_stub

from labelgap._version import __version__  # noqa: F401  (the stub makes it public)

# The stub beside this file is the list of public names, for type checkers and for this line.
# Torch is imported when a name first needs it, so that the command line starts at once.
_lazy, __dir__, __all__ = attach_stub(__name__, __file__)

_INSIDE = {
    "Ledger": "labelgap.ledger",
    "Mixture": "labelgap.mixtures.mixture",
    "RunConfig": "labelgap.core.config",
}


def __getattr__(name: str) -> Any:
    if name in _INSIDE:
        home = _INSIDE[name]
        warnings.warn(
            f"labelgap.{name} is no public name any more; import it from {home}.",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(import_module(home), name)
    return _lazy(name)
