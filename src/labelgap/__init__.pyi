# The public names and where they live; "as" makes them public for type checkers too.

from ._version import __version__ as __version__
from .core.config import RunConfig as RunConfig
from .core.errors import LabelgapError as LabelgapError
from .core.types import Answer as Answer
from .core.types import Query as Query
from .data import Task as Task
from .data import load as load
from .gap.mixture import Mixture as Mixture
from .ledger.ledger import Ledger as Ledger
from .loop.oracle import Oracle as Oracle
from .loop.run import run as run
from .session.session import Session as Session
