"""The one rule for labels, whoever wrote them: folders, tables, manifests, data sets.

A label is a name or a whole number. Names are trimmed and compared in Unicode's form NFC. No
label: null, NaN, an empty cell, what pandas reads as missing, `unlabeled`; and −1 in a column of
whole numbers. 1.0 is 1. Numbers below −1, far too large ones, fractions, lists and dictionaries
are no labels; all of a column's are named at once.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Int64

from labelgap.core.errors import DataError, UnknownName
from labelgap.core.wording import counted

MISSING = frozenset(
    ("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
     "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null")
)  # fmt: skip
"""What `pandas.read_csv` takes for missing: most tables are written or read by it."""
_MISSING_IN_ANY_CASE = frozenset({"nan", "null", "unlabeled", "unlabelled"})
LARGEST = 999_999
"""A larger number is an id, a time or an overflow, and no class."""
SHOWN = 20
"""Bad rows that one error names."""
_WHOLE = re.compile(r"-?(?:0|[1-9]\d*)(?:\.0*)?")  # "007" is a name
_FRACTION = re.compile(r"-?\d*\.\d+(?:[eE][-+]?\d+)?")

Place = Callable[[int], str]


@dataclass(frozen=True)
class Labels:
    """The labels of a column.

    values: int64 [n], places in `names`, or the numbers themselves where there are no names; −1
        without a label.
    names: None for a column of numbers that nothing names.
    declared: whether the file gave the names and their order, and not only labels.
    """

    values: Int64[np.ndarray, " n"]
    names: tuple[str, ...] | None = None
    declared: bool = False

    def named(self) -> "Labels":
        """Numbers as names, in their order: of those that occur."""
        if self.names is not None:
            return self
        numbers, values = np.unique(self.values, return_inverse=True)
        unlabelled = int(numbers.size > 0 and numbers[0] < 0)
        names = tuple(str(k) for k in numbers[unlabelled:])
        return Labels(values.astype(np.int64) - unlabelled, names)

    def texts(self) -> list[str | None]:
        """The class name of each row; None without one."""
        made = self.named()
        names = np.array([*(made.names or ()), None], dtype=object)
        texts: list[str | None] = names[made.values].tolist()
        return texts


def plain_name(text: str) -> str:
    """A name as it is kept and compared: trimmed, NFC."""
    return unicodedata.normalize("NFC", text).strip()


def is_missing(text: str) -> bool:
    """Whether a text says that there is no label."""
    plain = text.strip()
    return plain in MISSING or plain.casefold() in _MISSING_IN_ANY_CASE


def class_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names in the order of their classes: by number where all are whole numbers, else by text."""
    kept = set(names)
    if all(name.isascii() and name.removeprefix("-").isdigit() for name in kept):
        return tuple(sorted(kept, key=lambda name: (int(name), name)))
    return tuple(sorted(kept))


def listed(some: Sequence[str], total: int | None = None) -> str:
    """Rows for an error: the first 20, and how many there are; `total` where `some` is cut."""
    number = len(some) if total is None else total
    more = f", … ({number} in all)" if number > SHOWN else ""
    return ", ".join(some[:SHOWN]) + more


def row_number(row: int) -> str:
    return f"row {row}"


def read_labels(
    column: Any, where: str, names: Sequence[str] | None = None, place: Place = row_number
) -> Labels:
    """The labels of an Arrow column of any type.

    column: Array or ChunkedArray [n].
    names: what a column of whole numbers means, where the file tells it; a column of text must
        keep to them.
    where: file, for errors. place: how a row is called there.

    Raises `DataError` with all bad rows. The column is encoded as a dictionary and the rule
    applied to its distinct values, so that a million rows take no loop.
    """
    codes, distinct = _encoded(column, where, place)
    declared = None if names is None else checked_names(names, where)
    read = _by_rule(distinct, declared)
    _refuse(codes, distinct, read, where, place)
    kept = [value for value in read if isinstance(value, (int, str))]
    if declared is None and not any(isinstance(value, str) for value in kept):
        return Labels(_look_up(codes, [v if isinstance(v, int) else -1 for v in read]))
    ordered = class_order(str(value) for value in kept) if declared is None else declared
    number = {name: k for k, name in enumerate(ordered)}
    return Labels(
        _look_up(codes, [_number_of(value, number) for value in read]),
        ordered,
        declared is not None,
    )


def known_labels(
    column: Any,
    classes: Sequence[str],
    where: str,
    place: Place = row_number,
    plain: Callable[[str], str] = str,
) -> Int64[np.ndarray, " n"]:
    """The labels of a column as places in `classes`, −1 without one.

    A class of that name comes before the rule: "None" can be one. plain: what undoes what a
    writer did to a text.

    Raises `DataError` for what is no label, `UnknownName` for names that are no class; with all
    their rows.
    """
    codes, distinct = _encoded(column, where, place)
    number = {plain_name(name): k for k, name in enumerate(classes)}
    found = [_class_of(value, number, plain) for value in distinct]
    rest = [value if k is None else None for value, k in zip(distinct, found, strict=True)]
    read = _by_rule(rest, None)
    _refuse(codes, distinct, read, where, place)
    wrong = {i: v for i, v in enumerate(read) if v is not None}
    if wrong:
        rows = np.flatnonzero(np.isin(codes, list(wrong)))
        bad = [f"{place(int(row))} ({str(wrong[int(codes[row])])!r})" for row in rows[:SHOWN]]
        first = str(wrong[int(codes[rows[0]])])
        raise UnknownName("class", first, classes, f"{where}, {listed(bad, len(rows))}")
    return _look_up(codes, [-1 if k is None else k for k in found])


def _class_of(value: Any, number: dict[str, int], plain: Callable[[str], str]) -> int | None:
    for text in (plain(value), value) if isinstance(value, str) else ():
        if (k := number.get(plain_name(text))) is not None:
            return k
    one = _one(value)
    if isinstance(one, str) and _WHOLE.fullmatch(one):
        one = _number(one)
    return number.get(str(one)) if isinstance(one, (int, str)) else None


def label_of(text: str) -> str | None:
    """One text as a class name, by the rule of names alone; None where it says no label."""
    return None if is_missing(text) else plain_name(text)


# ------------------------------------------------------------------------------- distinct values


class _Bad:
    """A value that is no label, and why."""

    def __init__(self, value: Any, why: str) -> None:
        self.text = f"{_short(value)}{why}"


_Value = str | int | None


def _encoded(column: Any, where: str, place: Place) -> tuple[Int64[np.ndarray, " n"], list[Any]]:
    """Each row's place among the column's distinct values, −1 for null; and those values."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
        if isinstance(column, pa.ChunkedArray):  # older Arrow
            column = column.chunk(0) if column.num_chunks else pa.array([], column.type)
    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), -1, np.int64), []
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if not (text or number or pa.types.is_boolean(kind)):
        rows = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))
        if len(rows):
            some = [f"{place(int(r))} ({_short(column[int(r)].as_py())})" for r in rows[:SHOWN]]
            raise _no_labels(where, some, len(rows), f" of type {kind}")
        return np.full(len(column), -1, np.int64), []
    if pa.types.is_decimal(kind) or pa.types.is_float16(kind):
        column = column.cast(pa.float64())
    encoded = pc.dictionary_encode(column)
    codes = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)
    return codes.astype(np.int64), encoded.dictionary.to_pylist()


def _by_rule(distinct: Sequence[Any], names: Sequence[str] | None) -> "list[_Value | _Bad]":
    read: list[_Value | _Bad] = [_one(value) for value in distinct]
    texts = [v for v in read if isinstance(v, str)]
    if (
        texts
        and names is None
        and all(_WHOLE.fullmatch(v) or _FRACTION.fullmatch(v) for v in texts)
    ):
        # A column of text that holds numbers only is one of numbers. "True" never is.
        read = [_number(v) if isinstance(v, str) else v for v in read]
    numbers = [v for v in read if isinstance(v, int)]
    # In files of ±1 the one number can be a class and the other none, or both classes.
    sides = names is None and set(numbers) == {-1, 1}
    return [_in_range(v, names, sides) if isinstance(v, (int, str)) else v for v in read]


def _one(value: Any) -> "_Value | _Bad":
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, float):
        if value != value:
            return None
        return int(value) if value.is_integer() else _Bad(value, ", a fraction")
    if is_missing(value):
        return None
    name = plain_name(value)
    return _Bad(value, ", several values") if _is_nested(name) else name


def _is_nested(text: str) -> bool:
    if not text.startswith(("[", "{")):
        return False
    try:
        return isinstance(json.loads(text.replace("'", '"')), (list, dict))
    except (ValueError, RecursionError):
        return False


def _number(text: str) -> "int | _Bad":
    if _WHOLE.fullmatch(text):
        return int(text.partition(".")[0])
    value = float(text)
    return int(value) if value.is_integer() else _Bad(text, ", a fraction")


def _in_range(value: int | str, names: Sequence[str] | None, sides: bool) -> "_Value | _Bad":
    if isinstance(value, str):
        if names is not None and value not in names:
            return _Bad(value, f", none of the file's classes {listed(names[:SHOWN])}")
        return value
    if sides:
        return _Bad(value, ", where −1 and 1 may be two classes, or none and one")
    if value == -1:
        return None
    if value < 0:
        return _Bad(value, "")
    if names is not None:
        return value if value < len(names) else _Bad(value, f", where {len(names)} are named")
    return value if value <= LARGEST else _Bad(value, "")


def _number_of(value: "_Value | _Bad", number: dict[str, int]) -> int:
    if value is None:
        return -1
    return value if isinstance(value, int) else number[str(value)]


def _refuse(
    codes: Int64[np.ndarray, " n"],
    distinct: Sequence[Any],
    read: "Sequence[_Value | _Bad]",
    where: str,
    place: Place,
) -> None:
    wrong = {i: v.text for i, v in enumerate(read) if isinstance(v, _Bad)}
    if not wrong:
        return
    rows = np.flatnonzero(np.isin(codes, list(wrong)))
    bad = [f"{place(int(row))} ({wrong[int(codes[row])]})" for row in rows[:SHOWN]]
    raise _no_labels(where, bad, len(rows))


def _no_labels(where: str, bad: Sequence[str], number: int, kind: str = "") -> DataError:
    return DataError(
        f"{where}: {counted(number, 'value')}{kind} that can be no label: {listed(bad, number)}.",
        f"Give each row one name or one whole number from 0 to {LARGEST}; an empty cell or "
        "-1 where there is no label.",
    )


def checked_names(names: Sequence[str], where: str) -> tuple[str, ...]:
    """Names of classes as they are kept. Raises `DataError` where two are one (trimmed, NFC)."""
    plain = tuple(plain_name(str(name)) for name in names)
    twice = sorted({name for name in plain if plain.count(name) > 1})
    if twice:
        raise DataError(
            f"{where}: names the class {twice[0]!r} twice.", "Give each class a name of its own."
        )
    return plain


def _look_up(codes: Int64[np.ndarray, " n"], values: Sequence[int]) -> Int64[np.ndarray, " n"]:
    found: Int64[np.ndarray, " n"] = np.array([*values, -1], dtype=np.int64)[codes]
    return found


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
