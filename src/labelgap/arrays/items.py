"""Which items there are: the caller's own ids, and the rows that they stand for."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

from labelgap.arrays.reading import as_array, listed
from labelgap.core.errors import DataError
from labelgap.core.wording import counted

Rows = Int64[np.ndarray, " r"]


@dataclass(frozen=True)
class Items:
    """The ids of all rows, each once.

    Attributes
    ----------
    ids: [n], of any type that can be compared: numbers, text, a pandas index.
    given: False where they are just the rows' numbers.
    """

    ids: NDArray[Any]
    given: bool

    @classmethod
    def of(cls, size: int, ids: Any, tables: dict[str, Any]) -> "Items":
        """The ids given, else the index of the first table (pandas) that has one, else 0 … n − 1.

        Raises
        ------
        DataError: an id twice, another number of ids than rows, two tables of different indices.
        """
        source = "ids"
        if ids is None:
            indexed = {
                name: table.index
                for name, table in tables.items()
                if hasattr(table, "index") and hasattr(table, "iloc")
            }
            if not indexed:
                return cls(np.arange(size, dtype=np.int64), False)
            source, ids = next(iter(indexed.items()))
            for name, index in indexed.items():
                if len(index) != len(ids) or not bool((index == ids).all()):
                    raise DataError(
                        f"The index of {name} is not the index of {source}.",
                        f"Bring them into one order: `{name}.loc[{source}.index]`.",
                    )
            source = f"The index of {source}"
        found = as_array(ids, source)
        if found.ndim != 1 or len(found) != size:
            raise DataError(
                f"{source} has the shape {list(found.shape)}, and there are {size} items.",
                "Give one id for each row.",
            )
        refuse_twice(found, source)
        return cls(found, True)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def numbers(self) -> Int64[np.ndarray, " n"]:
        """What random draws belong to: the ids where they are whole numbers, else the rows."""
        whole = self.ids.dtype.kind in "iu" and len(self.ids) > 0
        if whole and int(self.ids.min()) >= 0 and int(self.ids.max()) <= np.iinfo(np.int64).max:
            return self.ids.astype(np.int64)
        return np.arange(len(self.ids), dtype=np.int64)

    def rows(self, wanted: Any, name: str) -> Rows:
        """The rows of some ids, in their order, or those that a mask [n] of bools marks.

        Raises
        ------
        DataError: a mask of another length, an id twice or that no item has.
        """
        given = as_array(wanted, name)
        if given.dtype.kind == "b":
            if given.shape != self.ids.shape:
                raise DataError(
                    f"The mask {name} has the shape {list(given.shape)}, and there are "
                    f"{len(self)} items.",
                    "Give one True or False for each item, or a list of ids.",
                )
            return np.flatnonzero(given).astype(np.int64)
        if given.ndim != 1:
            raise DataError(f"{name} has the shape {list(given.shape)}.", "Give a list of ids.")
        if len(given) == 0:
            return np.empty(0, dtype=np.int64)
        refuse_twice(given, name)
        place = {id: row for row, id in enumerate(self.ids.tolist())}
        asked = given.tolist()
        strange = [id for id in asked if id not in place]
        if strange:
            known = "the ids" if self.given else f"rows 0 … {len(self) - 1}"
            raise DataError(
                f"{name} has {counted(len(strange), 'id')} not among {known}: {listed(strange)}.",
                "Give ids of the rows of `features`; labelled items have a row too.",
            )
        return np.array([place[id] for id in asked], dtype=np.int64)


def refuse_twice(ids: NDArray[Any], name: str) -> None:
    """Raises `DataError` naming ids that are there more than once."""
    seen: set[Any] = set()
    twice: dict[Any, None] = {}
    for id in ids.tolist():
        if id in seen:
            twice[id] = None
        seen.add(id)
    if twice:
        raise DataError(f"{name} has ids twice: {listed(list(twice))}.", "Give each id once.")


def class_numbers(labels: Any, classes: Any, columns: int | None) -> Int64[np.ndarray, " l"]:
    """Labels as the numbers of their columns; −1 for "none of these".

    Parameters
    ----------
    classes: the names of the columns in order (`classifier.classes_`), or None where labels are
        numbers of columns already.
    columns: how many classes the predictions have; None without predictions.

    Raises `DataError` naming the label that has no column.
    """
    given = as_array(labels, "labels")
    if given.ndim != 1:
        raise DataError(
            f"labels have the shape {list(given.shape)}.", "Give one class for each labelled item."
        )
    values = given.tolist()
    if classes is not None:
        names = as_array(classes, "classes").tolist()
        if columns is not None and len(names) != columns:
            raise DataError(
                f"{len(names)} classes are given, and the predictions have {columns} columns.",
                "Give the name of each column in order, such as `classifier.classes_`.",
            )
        refuse_twice(as_array(classes, "classes"), "classes")
        column = {name: k for k, name in enumerate(names)}
        column.setdefault(-1, -1)
        strange = [value for value in values if value not in column]
        if strange:
            raise DataError(
                f"labels name classes that are not among {listed(names)}: "
                f"{listed(list(dict.fromkeys(strange)))}.",
                "Give the class of each column in `classes`.",
            )
        return np.array([column[value] for value in values], dtype=np.int64)
    if len(values) == 0:
        return np.empty(0, dtype=np.int64)
    if given.dtype.kind not in "iuf" or (given.dtype.kind == "f" and (given % 1 != 0).any()):
        raise DataError(
            f"labels are no whole numbers; the first is {values[0]!r}.",
            "Name the columns by `classes=`, such as `classifier.classes_`; leave unlabelled items "
            "out of `labelled` and `labels`.",
        )
    found = given.astype(np.int64)
    if int(found.min()) < -1 or (columns is not None and int(found.max()) >= columns):
        beyond = found[(found < -1) | (found >= (columns or np.inf))]
        raise DataError(
            f"The label {int(beyond[0])} has no column: there are "
            f"{'classes from 0' if columns is None else f'{columns}, 0 … {columns - 1}'}.",
            "Name the columns by `classes=`, such as `classifier.classes_`.",
        )
    return found
