"""labelgap: which images should I label next?"""

from labelgap._version import __version__

__all__ = ["__version__"]
