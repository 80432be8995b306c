"""The second axis: how items are chosen."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from labelgap.core.config import Settings
from labelgap.core.place import Place
from labelgap.core.types import Query

if TYPE_CHECKING:
    from labelgap.axes.view import PoolView


class Acquisition(ABC):
    """How items are chosen.

    Attributes
    ----------
    needs: outputs without which the pair is refused when it is made.
    uses: outputs that are taken if the objective has them.
    kind: "score" (each item has a value of its own), "cover" or "batch".
    deterministic: the same view gives the same ids whatever the stream (ties by id).
    needs_network: a view of arrays alone is refused.
    name, place: what it is registered as, and where.
    """

    name: ClassVar[str]
    place: ClassVar[Place]
    Options: ClassVar[type[Settings]] = Settings
    needs: ClassVar[frozenset[str]] = frozenset()
    uses: ClassVar[frozenset[str]] = frozenset()
    kind: ClassVar[str] = "score"
    deterministic: ClassVar[bool] = True
    needs_network: ClassVar[bool] = False

    def __init__(self, options: Settings) -> None:
        self.options = options

    @abstractmethod
    def select(self, view: "PoolView", n: int) -> Query:
        """`n` distinct candidate ids of the view."""
