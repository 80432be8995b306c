# The public names and where they live; "as" makes them public for type checkers too.

from . import methods as methods
from ._version import __version__ as __version__
from .arrays.choose import choose as choose
from .arrays.difference import gap as gap
from .axes.acquisition import Acquisition as Acquisition
from .axes.objective import Objective as Objective
from .core.errors import LabelgapError as LabelgapError
from .core.types import Answer as Answer
from .core.types import Query as Query
from .data import Task as Task
from .data import load as load
from .loop.oracle import Oracle as Oracle
from .loop.plain import run as run
from .session.session import Session as Session
