"""Which labels of a table measure accuracy: its column held_out, as `export` writes it."""

from typing import Any

from labelgap.core.errors import DataError
from labelgap.core.wording import counted
from labelgap.data.labels import SHOWN, listed
from labelgap.project.images.columns import held_out_column
from labelgap.project.images.reading import Table

_MEANS = {"": False, "false": False, "no": False, "0": False, "true": True, "yes": True, "1": True}


def held_out_rows(table: Table) -> list[bool]:
    """Of each row whether its label is held out; no row is where there is no such column.

    Cells are true or false as truth values, numbers (1, 0) or words in any case; an empty one is
    false.

    Raises `DataError` with all rows that say something else: a label that measures accuracy must
    not be trained on by mistake.
    """
    column = held_out_column(table.columns)
    if column is None:
        return [False] * len(table.places)
    cells = [_said(cell) for cell in table.columns[column].to_pylist()]
    bad = [
        f"{table.place(i)} ({cell[:60]!r})" for i, cell in enumerate(cells) if cell not in _MEANS
    ]
    if bad:
        raise DataError(
            f"{table.file}: {column} is neither true nor false in {counted(len(bad), 'row')}: "
            f"{listed(bad[:SHOWN], len(bad))}.",
            "Write true for labels that only measure accuracy, false for the others.",
        )
    return [_MEANS[cell] for cell in cells]


def _said(cell: Any) -> str:
    if cell is None or cell != cell:  # pandas writes a missing value as NaN
        return ""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    return str(cell).strip().casefold()
