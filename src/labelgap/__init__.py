"""labelgap: which images should I label next?"""

from lazy_loader import attach_stub

from labelgap._version import __version__  # noqa: F401  (the stub makes it public)

# The stub beside this file is the list of public names, for type checkers and for this line.
# Torch is imported when a name first needs it, so that the command line starts at once.
__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
