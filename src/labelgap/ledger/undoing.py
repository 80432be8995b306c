"""Answers taken back: one, or many at once. An undo is an event too."""

import sqlite3
from collections.abc import Mapping
from typing import SupportsIndex

from labelgap.core.errors import LedgerError
from labelgap.ledger.classes import Classes
from labelgap.ledger.events import COLUMNS, Event, event_of, text, whole


class Undoing(Classes):
    """The undos of a ledger; each call is one transaction."""

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
            return self._undo(database, target, person, request)

    def undo_all(self, requests: Mapping[str, str], *, person: str = "") -> list[Event]:
        """Revert several answers, all of them or none: {the answer's request: the undo's own}.

        What was undone already is passed over, and a retry returns the same events. Raises
        `LedgerError` for a request that stored no answer of this person.
        """
        person, query = text(person, "person"), f"SELECT {COLUMNS} FROM events WHERE request = ?"
        undone = []
        with self._writing() as database:
            for answer, request in requests.items():
                stored = self._repeated(database, request, kind="undone", person=person)
                target = next(map(event_of, database.execute(query, (answer,)).fetchall()), None)
                if target is None or target.id is None or target.person != person:
                    raise LedgerError(
                        f"Request {answer!r} stored no answer by {person!r}: nothing is undone.",
                        "The history shows what stands.",
                    )
                standing = self._state.opinions.get(target.id, ())
                if stored is None and any(target.seq == opinion[0] for opinion in standing):
                    stored = self._undo(database, target, person, request)
                if stored is not None:
                    undone.append(stored)
        return undone

    def _undo(
        self, database: sqlite3.Connection, target: Event, person: str, request: str | None
    ) -> Event:
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
