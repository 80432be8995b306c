"""The ledger: an append-only log of what was asked and answered, which is the state of a run.

Weights and caches can be rebuilt; labels cannot. So every fact is an event in one SQLite table,
committed to the disk before the call returns, and nothing ever changes or removes an event: a
correction and an undo are events too. The state in memory is a replay of the events
(`labelgap.ledger.state`), in the order of `seq`; wall-clock times are for people only.
"""

import json
import operator
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, SupportsIndex

import numpy as np
from jaxtyping import Int64

from labelgap.core.errors import LedgerError, UnknownName
from labelgap.core.lock import WriterLock, network_file_system
from labelgap.core.types import NONE_OF_THESE
from labelgap.ledger import file as _sqlite
from labelgap.ledger.events import (
    ANSWERS,
    COLUMNS,
    KINDS,
    Event,
    QueryItem,
    encode,
    event_of,
    finite,
    item_of,
    request_id,
    text,
    whole,
)
from labelgap.ledger.log import REPLAY
from labelgap.ledger.state import BAD_IMAGE, State

LEDGER = "ledger.sqlite"
"""Its name in the folder of a run or a project."""
SKIP_REASONS = ("skip", "unsure", BAD_IMAGE)


class Ledger:
    """The events of one run or labelling project, and the state they add up to.

    Open with `Ledger.open`; use as a context manager or `close()`. All methods may be called
    from several threads. Every writing method is one transaction: when it returns, its events
    are on the disk; when it raises `LedgerError` (disk full, file read-only, refused event),
    none of them is stored, earlier ones are safe, and the ledger stays usable.
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
        self._leases: dict[int, tuple[str, float]] = {}
        self._order: tuple[int, list[int]] = (-1, [])
        self._now: Callable[[], datetime] = lambda: datetime.now(UTC)
        self._monotonic: Callable[[], float] = time.monotonic

    # ------------------------------------------------------------------ opening and closing

    @classmethod
    def open(
        cls,
        path: Path | str = ":memory:",
        *,
        lock: bool = True,
        read_only: bool = False,
        allow_network: bool = False,
    ) -> "Ledger":
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
    def _start(cls, file: Path, lock: WriterLock | None, mode: str, *, wal: bool) -> "Ledger":
        with _sqlite.named_errors(file, "opened"):
            database = _sqlite.connect(file, read_only=mode == "read", wal=wal)
        ledger = cls(database, file, lock, mode)
        try:
            with ledger._reading():
                return ledger
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

    def __enter__(self) -> "Ledger":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --------------------------------------------------------------------------- transactions

    def _open_database(self) -> sqlite3.Connection:
        if self._database is None:
            raise LedgerError(f"The ledger {self._name} is closed.", "Open it again.")
        if os.getpid() != self._process:
            raise LedgerError(
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
            raise LedgerError(
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
                raise LedgerError(f"{self._name} is open read-only.", "Open it for writing.")
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

    # ---------------------------------------------------------------------------- writing

    def set_classes(
        self,
        num_classes: int,
        *,
        none_of_these: bool = False,
        names: Sequence[str] | None = None,
    ) -> None:
        """Fix the labels: 0 … num_classes − 1, and −1 too if `none_of_these`. Once for ever.

        names: what the labels mean; a ledger without names takes them once.

        Saying the same again is harmless; anything else raises `LedgerError`.
        """
        wanted: dict[str, Any] = {"num_classes": num_classes, "none_of_these": none_of_these}
        if num_classes < 1:
            raise LedgerError(f"num_classes is {num_classes}.", "There must be one at least.")
        if names is not None:
            wanted["names"] = list(names)
        with self._writing() as database:
            known = dict(self._state.classes or {})
            if names is None:
                known.pop("names", None)
            nameless = "names" not in known and {**known, "names": wanted.get("names")} == wanted
            if not known or nameless:
                self._append(database, "classes", data=wanted)
            elif known != wanted:
                raise LedgerError(
                    f"{self._name} has {known}, and now {wanted} is given.",
                    "Labels of one ledger are fixed; begin another one.",
                )

    def add_classes(self, names: Sequence[str]) -> None:
        """Further classes behind the others, whose labels keep their meaning.

        Raises `LedgerError` where the ledger does not know its classes by name.
        """
        with self._writing() as database:
            known = self._state.classes
            if known is None or "names" not in known:
                raise LedgerError(
                    f"{self._name} does not know its classes by name.",
                    "Call set_classes with names first.",
                )
            all_names = [*known["names"], *names]
            data = {**known, "num_classes": len(all_names), "names": all_names}
            self._append(database, "classes", data=data)

    def asked(self, round: int, items: Sequence[QueryItem]) -> None:
        """Record a query, all of it or nothing, in rank order.

        `round` is 0 for the initial set and k for the k-th query; several calls of one round
        continue its ranks. Raises `LedgerError` for a round before the latest one, an item that
        was asked, labelled or skipped before or comes twice, and scores that are not finite.
        """
        round = whole(round, "round")
        with self._writing() as database:
            state = self._state
            if round < state.round:
                raise LedgerError(
                    f"Round {round} cannot be asked after round {state.round}.",
                    "Ask in the latest round or a later one.",
                )
            new: set[int] = set()
            for rank, item in enumerate(items, state.ranks.get(round, 0) + 1):
                id = whole(item.id, "item id")
                self._refuse_asking(id, new)
                new.add(id)
                data = {
                    "rank": rank,
                    "score": finite(item.score, "score", id),
                    "parts": {k: finite(v, f"score {k!r}", id) for k, v in item.parts.items()},
                    "pseudo_label": item.pseudo_label,
                    "explanation": item.explanation,
                }
                if item.probability is not None:
                    data["probability"] = finite(item.probability, "probability", id)
                self._append(database, "asked", id=id, round=round, data=data)

    def _refuse_asking(self, id: int, new: Collection[int]) -> None:
        state = self._state
        if id in new:
            problem = "is twice in the query"
        elif id in state.labels:
            problem = "has a label"
        elif id in state.skipped:
            problem = f"was skipped ({state.skipped[id]})"
        elif id in state.asked:
            problem = f"was asked in round {state.place[id][0]} and is outstanding"
        else:
            return
        raise LedgerError(
            f"Item {id} {problem}.",
            "Ask for items that were never asked, each once; outstanding ones stay asked.",
        )

    def answer(
        self,
        id: SupportsIndex,
        label: SupportsIndex,
        *,
        person: str = "",
        request: str | None = None,
        round: int | None = None,
    ) -> Event:
        """Store a person's label of an item, asked or not.

        The event is "labelled", or "corrected" when the item had a label, anybody's. A retry
        with the same `request` is stored once and returns the same event. `round` defaults to
        the item's own, for an item that was never asked to the latest.

        Raises `LedgerError` for a label outside the classes (`set_classes` comes first), and for
        a request id that was used for another answer.
        """
        with self._writing() as database:
            return self._answer(database, id, label, person, request, round)

    def answers(
        self,
        labels: Mapping[int, int],
        *,
        person: str = "",
        request: str | None = None,
        round: int | None = None,
    ) -> list[Event]:
        """Store many labels, all of them or none; `request` becomes "request#id" for each."""
        with self._writing() as database:
            return [
                self._answer(
                    database,
                    id,
                    label,
                    person,
                    None if request is None else f"{request}#{id}",
                    round,
                )
                for id, label in labels.items()
            ]

    def _answer(
        self,
        database: sqlite3.Connection,
        id: SupportsIndex,
        label: SupportsIndex,
        person: str,
        request: str | None,
        round: int | None,
    ) -> Event:
        item, value = whole(id, "item id"), operator.index(label)
        self._check_label(item, value)
        person = text(person, "person")
        stored = self._repeated(
            database, request, kind=ANSWERS[:2], id=item, label=value, person=person
        )
        if stored is not None:
            return stored
        return self._append(
            database,
            "corrected" if item in self._state.labels else "labelled",
            id=item,
            round=self._round_of(item, round),
            person=person,
            label=value,
            request=request,
        )

    def _check_label(self, id: int, label: int) -> None:
        classes = self._state.classes
        if classes is None:
            raise LedgerError(
                f"{self._name} does not know its classes yet.", "Call set_classes first."
            )
        least = NONE_OF_THESE if classes["none_of_these"] else 0
        if not least <= label < classes["num_classes"]:
            raise LedgerError(
                f"Label {label} of item {id} is not one of {least} … {classes['num_classes'] - 1}.",
                "Give the number of a class.",
            )

    def _round_of(self, id: int, round: int | None) -> int:
        if round is not None:
            return whole(round, "round")
        place = self._state.place.get(id)
        return max(self._state.round, 0) if place is None else place[0]

    def skip(
        self,
        id: SupportsIndex,
        reason: str = "skip",
        *,
        person: str = "",
        request: str | None = None,
        round: int | None = None,
    ) -> Event:
        """Store that a person gave no label: "skip", "unsure" or "bad image".

        It hides this person's own earlier label; others' labels stay. An item that is skipped
        and not labelled is not outstanding any more.
        """
        if reason not in SKIP_REASONS:
            raise UnknownName("reason", reason, SKIP_REASONS)
        with self._writing() as database:
            item, person = whole(id, "item id"), text(person, "person")
            data = {"reason": reason}
            return self._repeated(
                database, request, kind="skipped", id=item, person=person, data=data
            ) or self._append(
                database,
                "skipped",
                id=item,
                round=self._round_of(item, round),
                person=person,
                request=request,
                data=data,
            )

    def undo(
        self,
        id: SupportsIndex | None = None,
        *,
        seq: int | None = None,
        person: str = "",
        request: str | None = None,
    ) -> Event:
        """Revert an answer or a skip; the undo is an event, and what was there before returns.

        With `id`: this person's last answer about that item. With `seq`: that very event,
        anybody's. With neither: this person's last answer of all. Raises `LedgerError` when
        there is nothing (left) to undo.
        """
        person = text(person, "person")
        with self._writing() as database:
            item = None if id is None else whole(id, "item id")
            expected = {} if item is None else {"id": item}
            stored = self._repeated(database, request, kind="undone", person=person, **expected)
            if stored is not None:
                return stored
            target = self._undoable(database, item, seq, person)
            return self._append(
                database,
                "undone",
                id=target.id,
                round=target.round,
                person=person,
                request=request,
                data={"undoes": target.seq},
            )

    def _undoable(
        self, database: sqlite3.Connection, id: int | None, seq: int | None, person: str
    ) -> Event:
        query = "seq = ?"
        value: int | str
        if seq is not None:
            value = seq
            what = f"Event {seq}"
        elif id is not None:
            opinion = self._state.latest(id).get(person)
            value = opinion[0] if opinion else -1
            what = f"An answer about item {id} by {person!r}"
        else:
            query, value = "person = ? ORDER BY seq DESC", person
            what = f"An answer by {person!r}"
        for row in database.execute(f"SELECT {COLUMNS} FROM events WHERE {query}", (value,)):
            event = event_of(row)
            opinions = () if event.id is None else self._state.opinions.get(event.id, ())
            if any(event.seq == opinion[0] for opinion in opinions):
                if id is not None and event.id != id:
                    raise LedgerError(f"Event {seq} is about item {event.id}, not {id}.")
                return event
        raise LedgerError(
            f"{what} cannot be undone: there is none, or it is undone already.",
            "The history shows what stands.",
        )

    def hold_out(self, ids: Iterable[SupportsIndex]) -> None:
        """Mark items as held out, for ever: their labels estimate accuracy, never train.

        Marking one again is harmless.
        """
        with self._writing() as database:
            for id in dict.fromkeys(whole(id, "item id") for id in ids):
                if id not in self._state.held_out:
                    self._append(database, "held-out", id=id, round=max(self._state.round, 0))

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

    # ------------------------------------------------------------------------------ reading

    @property
    def classes(self) -> Mapping[str, Any] | None:
        """{"num_classes": …, "none_of_these": …}, and "names" where they were given; None before
        `set_classes`."""
        with self._reading():
            return None if self._state.classes is None else dict(self._state.classes)

    @property
    def seq(self) -> int:
        """The latest event's number: equal numbers mean equal states."""
        with self._reading():
            return self._state.seen

    @property
    def round(self) -> int:
        """The latest round asked; −1 before the first."""
        with self._reading():
            return self._state.round

    @property
    def labels(self) -> dict[int, int]:
        """Item -> label in force, held-out items and −1 included (a copy).

        Of several persons' labels the latest is in force; `conflicts` shows the others.
        """
        with self._reading():
            return dict(self._state.labels)

    @property
    def skipped(self) -> dict[int, str]:
        """Item without a label -> reason of the latest skip (a copy)."""
        with self._reading():
            return dict(self._state.skipped)

    @property
    def held_out(self) -> frozenset[int]:
        """The items marked by `hold_out`, labelled or not."""
        with self._reading():
            return frozenset(self._state.held_out)

    def held_out_late(self) -> dict[int, tuple[int, int]]:
        """Held-out item -> (seq of its first label, seq of the mark), where the label came first.

        A training between the two may have learned the label, also one that is undone now.
        """
        with self._reading() as database:
            if not self._state.held_out:
                return {}
            rows = database.execute(
                "SELECT id, min(CASE WHEN kind != 'held-out' THEN seq END) AS labelled,"
                " min(CASE WHEN kind = 'held-out' THEN seq END) AS marked FROM events"
                " WHERE kind IN ('labelled', 'corrected', 'held-out')"
                " GROUP BY id HAVING labelled < marked"
            )
            return {id: (labelled, marked) for id, labelled, marked in rows}

    def asked_ids(self) -> Int64[np.ndarray, " n"]:
        """Every item ever asked, in the order of asking."""
        with self._reading():
            return np.fromiter(self._state.asked, np.int64, len(self._state.asked))

    def labelled_ids(
        self, which: Literal["train", "held-out", "all"] = "train"
    ) -> Int64[np.ndarray, " n"]:
        """Labelled items in the order (round, rank), whenever and by whomever they were labelled.

        Items that were never asked follow their round's, by id. "train" leaves out held-out
        items, "held-out" gives only those; both leave out the label −1, "all" has everything.
        """
        with self._reading():
            state = self._state
            if self._order[0] != state.changes:
                place = state.place
                order = sorted(state.labels, key=lambda id: (*place[id], id))
                self._order = (state.changes, order)
            chosen = self._order[1]
            if which != "all":
                kept, labels = state.held_out, state.labels
                wanted = which == "held-out"
                chosen = [i for i in chosen if (i in kept) is wanted and labels[i] >= 0]
            return np.array(chosen, dtype=np.int64)

    def labelled_in_round(self, round: int) -> Int64[np.ndarray, " n"]:
        """The labelled items of one round, in rank order (held-out ones and −1 included)."""
        ids = self.labelled_ids("all")
        with self._reading():
            place = self._state.place
            chosen = [id for id in ids.tolist() if place[id][0] == round]
            return np.array(chosen, dtype=np.int64)

    def queries(self, round: int) -> list[QueryItem]:
        """What was asked in a round, in rank order, whatever became of it."""
        with self._reading() as database:
            rows = database.execute(
                "SELECT id, round, data FROM events WHERE kind = 'asked' AND round = ?"
                " ORDER BY seq",
                (round,),
            )
            return [item_of(row) for row in rows]

    def outstanding_ids(self, person: str | None = None) -> Int64[np.ndarray, " n"]:
        """Asked and neither labelled nor skipped, in the order (round, rank).

        With `person`, without the items that others have on lease.
        """
        with self._reading():
            place = self._state.place
            ids = sorted(self._state.outstanding, key=place.__getitem__)
            if person is not None:
                taken = self._taken()
                ids = [id for id in ids if taken.get(id, person) == person]
            return np.array(ids, dtype=np.int64)

    def outstanding(self, person: str | None = None, limit: int | None = None) -> list[QueryItem]:
        """The items of `outstanding_ids`, with their scores; `limit` takes the first ones."""
        with self._reading() as database:
            return self._items(database, self.outstanding_ids(person)[:limit].tolist())

    def lease(self, n: int, person: str, seconds: float | int = 600.0) -> list[QueryItem]:
        """Up to n outstanding items for one person that nobody else gets for `seconds`.

        First those that the person has on lease already (renewed), then free ones, in rank
        order. Leases are in memory: after a restart all items are free again, and if two
        persons then label one item both labels are kept. The default of ten minutes is long for
        a batch and short for a person who left.
        """
        with self._reading() as database:
            taken = self._taken()
            mine = [id for id in taken if taken[id] == person]
            place = self._state.place
            mine.sort(key=place.__getitem__)
            if len(mine) < n:
                free = self._state.outstanding - taken.keys()
                mine += sorted(free, key=place.__getitem__)[: n - len(mine)]
            until = self._monotonic() + seconds
            for id in mine[:n]:
                self._leases[id] = (person, until)
            return self._items(database, mine[:n])

    def _taken(self) -> dict[int, str]:
        """Outstanding item -> holder of its lease; forgets leases that are over."""
        now, outstanding = self._monotonic(), self._state.outstanding
        self._leases = {
            id: (person, until)
            for id, (person, until) in self._leases.items()
            if until > now and id in outstanding
        }
        return {id: person for id, (person, _) in self._leases.items()}

    def _items(self, database: sqlite3.Connection, ids: Iterable[int]) -> list[QueryItem]:
        query = "SELECT id, round, data FROM events WHERE seq = ?"
        asked = self._state.asked
        return [item_of(database.execute(query, (asked[id],)).fetchone()) for id in ids]

    def opinions(self, id: SupportsIndex) -> dict[str, int | str]:
        """Person -> their standing answer about an item: a label, or the reason of a skip."""
        with self._reading():
            return {p: o[2] for p, o in self._state.latest(operator.index(id)).items()}

    def conflicts(self) -> dict[int, list[Event]]:
        """Items on which persons disagree -> each person's standing answer, the latest last.

        Two labels disagree, or a label and a "bad image"; the latest label is in force.
        """
        query = f"SELECT {COLUMNS} FROM events WHERE seq = ?"
        with self._reading() as database:
            return {
                id: [event_of(database.execute(query, (seq,)).fetchone()) for seq in seqs]
                for id, seqs in self._state.contested().items()
            }

    def history(
        self, limit: int = 10, *, person: str | None = None, id: SupportsIndex | None = None
    ) -> list[Event]:
        """The latest answers, skips and undos, newest first; of one person or item if given."""
        query = f"SELECT {COLUMNS} FROM events WHERE kind IN (?, ?, ?, ?)"
        values: list[Any] = [*ANSWERS, "undone"]
        if person is not None:
            query, values = query + " AND person = ?", [*values, person]
        if id is not None:
            query, values = query + " AND id = ?", [*values, operator.index(id)]
        with self._reading() as database:
            rows = database.execute(query + " ORDER BY seq DESC LIMIT ?", [*values, limit])
            return [event_of(row) for row in rows]

    def notes(self, kind: str) -> list[Event]:
        """All notes of one kind, oldest first."""
        query = f"SELECT {COLUMNS} FROM events WHERE kind = ? AND id IS NULL ORDER BY seq"
        with self._reading() as database:
            return [event_of(row) for row in database.execute(query, (kind,))]

    def events(self, after: int = 0) -> Iterator[Event]:
        """Every event with `seq` > `after`, up to the latest one at the time of the call.

        Since events never change, this is consistent without holding writers up.
        """
        last = self.seq
        query = f"SELECT {COLUMNS} FROM events WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT 5000"
        while after < last:
            with self._reading() as database:
                rows = database.execute(query, (after, last)).fetchall()
            yield from map(event_of, rows)
            after = rows[-1][0]

    # ------------------------------------------------------------------------------- copies

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
