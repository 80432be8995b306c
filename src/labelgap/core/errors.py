"""Errors that name the cause, the item and the cure.

Every error that a user can meet derives from `LabelgapError`; the command line prints it
without a traceback and exits with status 2.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


class LabelgapError(Exception):
    """Something the user can put right: what happened, and what to do about it.

    Parameters
    ----------
    cause: one sentence that names the item (file, id, flag, key) and what is wrong with it.
    cure: one sentence that says what to do. Empty where the cause says it already.
    """

    def __init__(self, cause: str, cure: str = "") -> None:
        self.cause = cause
        self.cure = cure
        super().__init__(f"{cause} {cure}".strip())


class UnknownName(LabelgapError):
    """A name that is not one of the valid choices; lists them, the nearest first.

    near: the nearest, where more is known of it than the choices' spelling.
    """

    def __init__(
        self, kind: str, name: str, choices: Iterable[str], where: str = "", near: str = ""
    ) -> None:
        self.kind: str = kind
        self.name: str = name
        self.choices: tuple[str, ...] = tuple(sorted(choices))
        self.where: str = where
        near = near or next(iter(get_close_matches(name, self.choices, n=1, cutoff=0.5)), "")
        place = f" in {where}" if where else ""
        hint = f"Did you mean {near!r}? " if near else ""
        super().__init__(
            f"Unknown {kind} {name!r}{place}.", f"{hint}Valid: {', '.join(self.choices)}."
        )


class ConfigError(LabelgapError):
    """A setting that is malformed, contradictory or out of range."""


class DataError(LabelgapError):
    """A file of a data set that is missing, damaged or not what its name says."""


class BudgetError(LabelgapError):
    """More items asked for than the pool holds, or none left to ask for."""


class PairError(LabelgapError):
    """An objective and an acquisition that do not fit together."""


class NumericalError(LabelgapError):
    """NaN or infinity in a loss or a score."""


class LedgerError(LabelgapError):
    """A label ledger that cannot be opened or that refuses an event."""


class StorageError(LedgerError):
    """A ledger that can neither be read nor written now, whatever the event: the disk or the
    database refuses, it is damaged, closed or open read-only. What was to be stored is not at
    fault and can be sent again; any other `LedgerError` refuses the event for good."""


class InUse(LedgerError):
    """A label ledger that another program writes in; names that program."""


class FolderError(LabelgapError):
    """An output folder that belongs to something else or cannot be written."""


class DiskError(StorageError, FolderError):
    """The disk refuses: full, over quota, read-only, no permission, an input/output error.

    Nothing is damaged and nobody's input is at fault; `core.disk` makes them.

    trouble: which of these it is (`core.disk.FULL` …); None for another error of the system.
    """

    def __init__(self, cause: str, cure: str = "", trouble: Any = None) -> None:
        super().__init__(cause, cure)
        self.trouble = trouble


class DeviceError(LabelgapError):
    """A device or precision that this machine does not have."""
