"""The second axis: how items are chosen."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from labelgap.core.config import Settings
from labelgap.core.errors import LabelgapError
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
    needs_head: of the network its last layer is enough.
    portion: a benchmark asks for at most so many at a time and answers them before it asks for
        the rest of the round (`PoolView.later`), with the same network; None for all at once.
    upper_line: no method but a bound: it reads the truth (`PoolView.judge`), which a benchmark's
        loop gives it and nobody else can.
    name, place: what it is registered as, and where.
    """

    name: ClassVar[str]
    place: ClassVar[Place]
    Options: ClassVar[type[Settings]] = Settings
    # A class states these; an acquisition made of others has what its parts have.
    needs: frozenset[str] = frozenset()
    uses: frozenset[str] = frozenset()
    kind: str = "score"
    deterministic: bool = True
    needs_network: bool = False
    needs_head: bool = False
    portion: int | None = None
    upper_line: ClassVar[bool] = False

    def __init__(self, options: Settings) -> None:
        self.options = options

    @abstractmethod
    def select(self, view: "PoolView", n: int) -> Query:
        """`n` distinct candidate ids of the view."""


def check_query(query: object, view: "PoolView", n: int, name: str) -> None:
    """A benchmark is worth what this is worth: n distinct candidates, always.

    Raises `LabelgapError` naming the acquisition.
    """
    if not isinstance(query, Query):
        raise LabelgapError(
            f"Acquisition {name!r} returned a {type(query).__name__}.",
            "Return `labelgap.Query(ids)`, its ids taken from `view.candidate_ids`.",
        )
    ids = np.asarray(query.ids)
    distinct, known = len(np.unique(ids)), np.isin(ids, view.candidate_ids)
    if len(ids) != n or distinct != n or not known.all():
        raise LabelgapError(
            f"Acquisition {name!r} returned {len(ids)} ids, {distinct} distinct, "
            f"{int(known.sum())} of them candidates; {n} distinct candidates were asked for.",
            "This is a defect of the acquisition.",
        )
