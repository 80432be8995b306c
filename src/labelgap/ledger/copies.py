"""Copies of a ledger: whole and durable, or not there."""

import sqlite3
from pathlib import Path

from labelgap.core.errors import LedgerError, StorageError
from labelgap.ledger import file as _sqlite
from labelgap.ledger.events import COLUMNS, encode, event_of
from labelgap.ledger.standing import Standing


class Copies(Standing):
    """Snapshots, which are ledgers, and lines of JSON."""

    def snapshot(self, path: Path | str, *, beside: bool = False) -> Path:
        """Write a copy of the ledger, itself a ledger; it appears whole and durable, or not.

        An older snapshot of this ledger is replaced; any other file is refused with
        `LedgerError`, or with `beside` left alone: the copy then takes a free name next to it.
        """
        target = Path(path).resolve()
        with self._reading() as database, _sqlite.named_errors(target, "written"):
            stranger = target.exists() and not self._continues(database, target)
            if stranger and beside:
                target = _sqlite.unused(target)
            elif stranger:
                raise LedgerError(
                    f"{target} exists and is not an older snapshot of {self._name}.",
                    "Give the snapshot another path.",
                )
            _sqlite.copy(database, target)
        return target

    def _continues(self, database: sqlite3.Connection, target: Path) -> bool:
        """Whether `target` is a ledger whose last event is also here, and not this file."""
        if target == self.path:
            return False
        try:
            with type(self).open(target, read_only=True) as other:
                last = list(other.events(other.seq - 1))
        except StorageError:  # the disk's, and says nothing of what the file is
            raise
        except LedgerError:
            return False
        query = f"SELECT {COLUMNS} FROM events WHERE seq = ?"
        rows = [database.execute(query, (event.seq,)).fetchone() for event in last]
        return [event_of(row) for row in rows if row is not None] == last

    def export_jsonl(self, path: Path | str) -> Path:
        """Write every event as a line of JSON, oldest first; replaces `path` at once."""
        target = Path(path).resolve()
        with (
            _sqlite.named_errors(target, "written"),
            _sqlite.replacing(target) as new,
            open(new, "w", encoding="utf-8", newline="\n") as stream,
        ):
            stream.writelines(f"{encode(event.as_dict())}\n" for event in self.events())
        return target
