"""Transactions on the event log: open, read, write, replay what is new."""

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from labelgap.core.errors import LedgerError, StorageError
from labelgap.core.lock import WriterLock, network_file_system
from labelgap.ledger import file as _sqlite
from labelgap.ledger.events import COLUMNS, KINDS, Event, encode, event_of, request_id, text
from labelgap.ledger.state import State

# Only these kinds need their data for the state; reading the others' would double the time to
# open a ledger.
REPLAY = (
    "SELECT seq, kind, id, round, person, label,"
    " CASE WHEN kind IN ('skipped', 'undone', 'classes', 'reclassed') THEN data END"
    " FROM events WHERE seq > ? ORDER BY seq"
)

# Not typing.Self: the tests' type checks see methods one by one, without their class.
Kind = TypeVar("Kind", bound="Log")


class Log:
    """An append-only table of events in one file, and the state that they add up to.

    Alone it holds notes only; `Standing` reads, `Ledger` writes answers.
    """

    def __init__(
        self, database: sqlite3.Connection, path: Path | None, lock: WriterLock | None, mode: str
    ) -> None:
        self.path = path
        self._database: sqlite3.Connection | None = database
        self._lock = lock
        self._read_only = mode == "read"
        # Alone, the state in memory is always current; else others may have added events.
        self._alone = lock is not None or path is None
        self._process = os.getpid()
        self._mutex = threading.RLock()
        self._state = State()
        self._stale = True
        self._now: Callable[[], datetime] = lambda: datetime.now(UTC)

    @classmethod
    def open(
        cls: type[Kind],
        path: Path | str = ":memory:",
        *,
        lock: bool = True,
        read_only: bool = False,
        allow_network: bool = False,
    ) -> Kind:
        """Open a ledger, or begin one where there is no file; older versions are migrated.

        Parameters
        ----------
        path: a file in an existing folder, or ":memory:" for loops in a notebook.
        lock: hold the writer's lock (`<file>.lock`) until `close`. False is for short writes
            beside a holder that knows of them; the file stays sound and events stay ordered.
        read_only: no lock, no writes; sees what a writer adds meanwhile.
        allow_network: accept a network file system, without the write-ahead log. Its fsync and
            locks are another machine's promise, so a crash there can lose the last labels.

        Raises
        ------
        LedgerError: another writer has the file (named); the file is damaged, empty, not a
            ledger or of a newer version (it is left untouched); a network file system; a folder
            that is missing or cannot be written.
        """
        if str(path) == ":memory:":
            return cls(_sqlite.connect(None), None, None, "write")
        # Two symbolic links to one file must meet at one lock.
        file = Path(path).resolve()
        if not file.parent.is_dir():
            raise LedgerError(f"The folder of {file} does not exist.", "Make it first.")
        remote = network_file_system(file)
        if remote and not allow_network and not read_only:
            raise LedgerError(
                f"{file} is on a network file system ({remote}), where a crash can lose labels"
                " and two writers cannot be kept apart.",
                "Use a local disk, or pass allow_network=True to take the risk.",
            )
        if read_only:
            if not file.exists():
                raise LedgerError(f"There is no ledger {file}.", "Check the path.")
            if _sqlite.check(file) < len(_sqlite.MIGRATIONS):
                raise LedgerError(
                    f"{file} is of an older version.", "Open it once for writing to migrate it."
                )
            return cls._start(file, None, "read", wal=True)
        # Creation and migration replace the file, so they need the lock in any case.
        held = WriterLock(file) if lock or _sqlite.pending(file) else None
        try:
            if not file.exists():
                _sqlite.create(file)
            elif _sqlite.check(file) < len(_sqlite.MIGRATIONS):
                _sqlite.upgrade(file)
            if held is not None and not lock:
                held.release()
                held = None
            return cls._start(file, held, "write", wal=remote is None)
        except BaseException:
            if held is not None:
                held.release()
            raise

    @classmethod
    def _start(
        cls: type[Kind], file: Path, lock: WriterLock | None, mode: str, *, wal: bool
    ) -> Kind:
        with _sqlite.named_errors(file, "opened"):
            database = _sqlite.connect(file, read_only=mode == "read", wal=wal)
        log = cls(database, file, lock, mode)
        try:
            with log._reading():
                return log
        except BaseException:
            database.close()
            raise

    def close(self) -> None:
        """Close the file and give the lock back. Closing twice is harmless."""
        with self._mutex:
            if self._database is None:
                return
            database, self._database = self._database, None
            try:
                if os.getpid() == self._process:
                    database.close()
            finally:
                if self._lock is not None:
                    self._lock.release()

    def __enter__(self: Kind) -> Kind:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open_database(self) -> sqlite3.Connection:
        if self._database is None:
            raise StorageError(f"The ledger {self._name} is closed.", "Open it again.")
        if os.getpid() != self._process:
            raise StorageError(
                f"The ledger {self._name} was opened by process {self._process} and this one is"
                " its fork.",
                "Open it read-only in the fork.",
            )
        return self._database

    @property
    def _name(self) -> str:
        return str(self.path or ":memory:")

    def _catch_up(self) -> None:
        """Apply the events that the state has not seen."""
        state, self._stale = self._state, True
        try:
            state.apply(self._open_database().execute(REPLAY, (state.seen,)))
            self._stale = False
        except (KeyError, TypeError, ValueError) as error:
            raise StorageError(
                f"Event {state.seen} of {self._name} contradicts the events before it: {error!r}.",
                "Restore a snapshot.",
            ) from error
        finally:
            if self._stale:
                # Half an event may have been applied (an interrupt): replay all of them.
                self._state = State()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._mutex, _sqlite.named_errors(self.path, "read"):
            database = self._open_database()
            if self._stale or not self._alone:
                self._catch_up()
            yield database

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._mutex, _sqlite.named_errors(self.path, "written"):
            database = self._open_database()
            if self._read_only:
                raise StorageError(f"{self._name} is open read-only.", "Open it for writing.")
            try:
                database.execute("BEGIN IMMEDIATE")
                self._catch_up()
                yield database
                # Until the new events are read back: the commit may fail or be interrupted.
                self._stale = True
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.rollback()
                raise
            self._catch_up()

    def _append(
        self,
        database: sqlite3.Connection,
        kind: str,
        *,
        id: int | None = None,
        round: int | None = None,
        person: str = "",
        label: int | None = None,
        request: str | None = None,
        data: Mapping[str, Any] | None = None,
    ) -> Event:
        when = self._now().isoformat(timespec="microseconds")
        line = encode(data) if data else None
        cursor = database.execute(
            "INSERT INTO events (time, kind, id, round, person, label, request, data)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (when, kind, id, round, person, label, request, line),
        )
        assert cursor.lastrowid is not None
        # Through JSON, so that a retry's event read from the file equals the first one.
        stored = json.loads(line) if line else {}
        return Event(cursor.lastrowid, when, kind, id, round, person, label, request, stored)

    def _repeated(
        self, database: sqlite3.Connection, request: str | None, **expected: Any
    ) -> Event | None:
        """The event that a retried request stored; refuses a request id used for another."""
        if request_id(request) is None:
            return None
        row = database.execute(
            f"SELECT {COLUMNS} FROM events WHERE request = ?", (request,)
        ).fetchone()
        if row is None:
            return None
        event = event_of(row)
        for name, value in expected.items():
            found = getattr(event, name)
            if found not in value if isinstance(value, tuple) else found != value:
                raise LedgerError(
                    f"Request {request!r} was stored as event {event.seq} with {name} {found!r},"
                    f" and now comes with {value!r}.",
                    "Give every answer a request id of its own.",
                )
        return event

    def has_request(self, request: str) -> bool:
        """Whether an event with this request id is stored."""
        with self._reading() as database:
            query = "SELECT 1 FROM events WHERE request = ?"
            return database.execute(query, (request_id(request),)).fetchone() is not None

    def note(
        self,
        kind: str,
        data: Mapping[str, Any],
        *,
        round: int | None = None,
        person: str = "",
        request: str | None = None,
    ) -> Event:
        """Store another fact (a round started, a fit done, the configuration); see `notes`."""
        if kind in KINDS:
            raise LedgerError(f"The kind {kind!r} is the ledger's own.", "Choose another word.")
        text(kind, "kind")
        with self._writing() as database:
            return self._repeated(database, request, kind=kind, round=round) or self._append(
                database,
                kind,
                round=round,
                person=text(person, "person"),
                request=request,
                data=data,
            )
