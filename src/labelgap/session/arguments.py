"""What a person hands to a session, checked."""

import operator
from typing import Any

from labelgap.core.errors import BudgetError, DataError
from labelgap.data.types import Task


def given_task(task: Any) -> Task:
    """The task; `DataError` for what is none, with the call that makes one of it."""
    if isinstance(task, Task):
        return task
    cure = "Make one: `labelgap.Task.from_arrays(x, y)`, `.from_dataset(…)` or `labelgap.load`."
    if isinstance(task, str):
        cure = f"Give `labelgap.load({task!r})`."
    raise DataError(f"A `Task` is needed; this is of type {type(task).__name__}.", cure)


def whole_budget(n: object) -> int:
    """A number of items as an int. Raises `BudgetError` for 0, −3, 2.5."""
    try:
        number = operator.index(n)  # type: ignore[arg-type]
    except TypeError:
        number = 0
    if number < 1:
        raise BudgetError(f"{n!r} items asked for.", "Ask for a whole number, 1 at least.")
    return number
