"""What a ledger's lines hold, and how they are checked before they are written."""

import json
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, SupportsIndex

from labelgap.core.errors import LedgerError
from labelgap.core.types import QueryItem

ANSWERS = ("labelled", "corrected", "skipped")
KINDS = (*ANSWERS, "asked", "undone", "held-out", "set-aside", "classes", "reclassed")
COLUMNS = "seq, time, kind, id, round, person, label, request, data"


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the ledger. `seq` is the order; `time` (UTC, ISO 8601) only informs.

    label: in the log, the number that the class is stored under (`Meaning`); in what the ledger
        tells of answers, the class now.
    """

    seq: int
    time: str
    kind: str
    id: int | None
    round: int | None
    person: str
    label: int | None
    request: str | None
    data: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def event_of(row: Sequence[Any]) -> Event:
    *fields, data = row
    fields.append(json.loads(data) if data else {})
    return Event(*fields)


def item_of(row: Sequence[Any]) -> QueryItem:
    id, round, text = row
    return QueryItem(id=id, round=round, **json.loads(text))


def encode(data: Mapping[str, Any]) -> str:
    try:
        return json.dumps(data, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise LedgerError(
            f"The data of an event cannot be stored as JSON: {error}.",
            "Use text, finite numbers, lists and dictionaries.",
        ) from error


def integer(value: SupportsIndex, what: str) -> int:
    try:
        return operator.index(value)
    except TypeError as error:
        raise LedgerError(f"The {what} is {value!r}.", "Give a whole number.") from error


def whole(value: SupportsIndex, what: str) -> int:
    number = integer(value, what)
    if not 0 <= number < 1 << 62:
        raise LedgerError(f"The {what} {number} is out of range.", "Give 0 or more, below 2⁶².")
    return number


def finite(value: float | None, what: str, id: int) -> float | None:
    if value is None:
        return None
    if not math.isfinite(value):
        raise LedgerError(f"The {what} of item {id} is {value}.", "Scores must be finite.")
    return float(value)


def request_id(value: str | None) -> str | None:
    return None if value is None else text(value, "request id")


def text(value: str, what: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise LedgerError(f"The {what} {value!r} is not valid text.", "Use Unicode.") from error
    return value
