"""What a person tells: pairs of an id and a label in any clear form, as answers about known items.

Everything is checked before anything is written.
"""

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from labelgap.core.errors import DataError, LedgerError, UnknownName
from labelgap.core.types import Answer, Ids, Query
from labelgap.core.wording import counted
from labelgap.data.labels import is_missing, listed, plain_name
from labelgap.data.types import Task

_FORMS = (
    "Give `tell({id: label})`, `tell([(id, label), …])`, or `tell(query, labels)` with one label "
    "for each item of the query."
)


def as_answers(answers: Any, labels: Any, classes: Sequence[str]) -> list[Answer]:
    """Answers with whole numbers for ids and labels.

    answers: {id: label}, pairs (id, label), `Answer`s; with `labels` a query or ids [n].
    labels: [n], in the order of the ids; None where `answers` has them.
    classes: names of the classes: a label can be one of them, or its number.

    Raises `DataError` for anything else, naming the item; `UnknownName` for a name of no class.
    """
    entries = _entries(answers, labels)
    found = [_answer(entry, classes) for entry in entries]
    given = zip(entries, found, strict=True)
    # An `Answer` says who and when: several about one item are a history.
    _refuse_contradictions([a for entry, a in given if not isinstance(entry, Answer)])
    return found


def check_told(ids: Iterable[int], asked: Ids, task: Task, allow_unasked: bool) -> None:
    """Refuse ids that were never asked; `allow_unasked` takes those of the pool too.

    Raises `LedgerError` naming the first 20 of them and their number.
    """
    known = set(asked.tolist())
    if allow_unasked:
        known |= set(task.pool.tolist())
    strange = [id for id in dict.fromkeys(ids) if id not in known]
    if not strange:
        return
    pool = strange if allow_unasked else np.setdiff1d(strange, task.pool).tolist()
    if pool:
        raise LedgerError(
            f"{counted(len(pool), 'id')} that {'is' if len(pool) == 1 else 'are'} not in the pool "
            f"of {len(task.pool)} items: {listed([str(id) for id in pool])}. Nothing was stored.",
            "Give the ids of a query (`query.ids`).",
        )
    raise LedgerError(
        f"{counted(len(strange), 'id')} that {'was' if len(strange) == 1 else 'were'} never asked: "
        f"{listed([str(id) for id in strange])}. Nothing was stored.",
        "Give the ids of a query (`query.ids`), or `allow_unasked=True` if these items of the "
        "pool are meant.",
    )


# --------------------------------------------------------------------------------- forms


def _entries(answers: Any, labels: Any) -> list[Any]:
    """Answers, and pairs of an id and a label as they were given."""
    if labels is not None:
        ids = _listed(answers.ids if isinstance(answers, Query) else answers, "ids")
        values = _listed(labels, "labels")
        if len(ids) != len(values):
            raise DataError(
                f"{counted(len(ids), 'id')} and {counted(len(values), 'label')}.",
                "Give one label for each id, in the same order.",
            )
        return list(zip(ids, values, strict=True))
    if isinstance(answers, Mapping):
        return list(answers.items())
    if isinstance(answers, Query):
        raise DataError("A query was told without labels.", _FORMS)
    if isinstance(answers, (str, bytes, Answer)) or not isinstance(answers, Iterable):
        raise DataError(f"{answers!r} was told: no ids with labels.", _FORMS)
    if hasattr(answers, "dtype") or hasattr(answers, "iloc"):
        raise DataError(
            f"A {type(answers).__name__} was told: it is not clear which item each value is of.",
            _FORMS,
        )
    return list(answers)


def _listed(values: Any, what: str) -> list[Any]:
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise DataError(f"The {what} are {values!r}.", _FORMS)
    try:
        return list(values)
    except TypeError as error:  # an array without an axis
        raise DataError(f"The {what} are {values!r}.", _FORMS) from error


def _answer(entry: Any, classes: Sequence[str]) -> Answer:
    if isinstance(entry, Answer):
        id = _id(entry.id)
        label = None if entry.label is None else _label(entry.label, id, classes)
        return Answer(id, label, entry.skipped, entry.person, entry.request)
    if not isinstance(entry, (tuple, list)) or len(entry) != 2:
        raise DataError(f"{entry!r} was told: no pair of an id and a label.", _FORMS)
    id = _id(entry[0])
    return Answer(id, _label(entry[1], id, classes))


def _refuse_contradictions(found: Sequence[Answer]) -> None:
    first: dict[int, Answer] = {}
    for answer in found:
        before = first.setdefault(answer.id, answer)
        if before.label != answer.label:
            raise DataError(
                f"Item {answer.id} is told twice, as {before.label} and as {answer.label}.",
                "Give one answer for each item; a correction is told on its own.",
            )


# --------------------------------------------------------------------------------- values


def _plain(value: Any) -> Any:
    """A scalar of numpy or torch as one of Python's own."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    return value


def _whole(value: Any) -> int | None:
    """A whole number, of whatever type but bool; None for all else."""
    if isinstance(value, (bool, np.bool_)):
        return None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    try:
        return operator.index(value)
    except TypeError:
        return None


def _id(value: Any) -> int:
    id = _whole(_plain(value))
    if id is None:
        raise DataError(f"The id {value!r} is no whole number.", "Give the ids of a query.")
    return id


def _label(value: Any, id: int, classes: Sequence[str]) -> int:
    """The number of a class, or a class by its name (the rule of `labelgap.data.labels`)."""
    plain = _plain(value)
    if isinstance(plain, (bool, np.bool_)):
        plain = str(plain)  # as in a column: the name of a class, if one is called so
    if isinstance(plain, str):
        names = [plain_name(name) for name in classes]
        if (name := plain_name(plain)) in names:
            return names.index(name)
        if not is_missing(plain):
            raise UnknownName("class", plain, classes, f"the label of item {id}")
    if plain is None or isinstance(plain, str) or (isinstance(plain, float) and math.isnan(plain)):
        raise DataError(
            f"Item {id} is told without a label ({value!r}).",
            f'Leave it out until it has one, or skip it for good: `Answer({id}, None, "skip")`.',
        )
    label = _whole(plain)
    if label is None:
        raise DataError(
            f"The label of item {id} is {value!r}.",
            f"Give the number of a class, 0 to {len(classes) - 1}, or its name.",
        )
    return label
