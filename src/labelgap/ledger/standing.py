"""What the events add up to: labels in force, what is outstanding, who said what."""

import json
import operator
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, SupportsIndex

import numpy as np
from jaxtyping import Int64

from labelgap.core.lock import WriterLock
from labelgap.core.types import QueryItem
from labelgap.ledger.events import ANSWERS, COLUMNS, Event, event_of, item_of
from labelgap.ledger.leases import Leases
from labelgap.ledger.log import Log
from labelgap.ledger.meaning import class_now


class Standing(Log):
    """The readings of a ledger: each is of one moment, also while others write."""

    def __init__(
        self, database: sqlite3.Connection, path: Path | None, lock: WriterLock | None, mode: str
    ) -> None:
        super().__init__(database, path, lock, mode)
        self._leases = Leases()
        self._order: tuple[int, list[int]] = (-1, [])

    @property
    def classes(self) -> Mapping[str, Any] | None:
        """{"num_classes": …, "none_of_these": …}, and "names" where they were given; None before
        `set_classes`."""
        with self._reading():
            meaning = self._state.meaning
        kept = ("num_classes", "none_of_these", "names")
        if meaning is None:
            return None
        return {k: v for k, v in meaning.data().items() if k in kept}

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

    def beyond(self, items: int) -> list[int]:
        """Ids that were asked, answered or held out (and not set aside) and are `items` or more:
        of nothing, where there are so many items. Ascending."""
        with self._reading():
            return sorted(id for id in self._state.known() if id >= items)

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
            kept = self._state.held_out
            return {id: (labelled, marked) for id, labelled, marked in rows if id in kept}

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
                "SELECT seq, id, round, data FROM events WHERE kind = 'asked' AND round = ?"
                " ORDER BY seq",
                (round,),
            )
            return [self._item_now(row) for row in rows]

    def outstanding_ids(self, person: str | None = None) -> Int64[np.ndarray, " n"]:
        """Asked and neither labelled nor skipped, in the order (round, rank).

        With `person`, without the items that others have on lease.
        """
        with self._reading():
            place = self._state.place
            ids = sorted(self._state.outstanding, key=place.__getitem__)
            if person is not None:
                taken = self._leases.holders(self._state.outstanding)
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
            taken = self._leases.holders(self._state.outstanding)
            mine = [id for id in taken if taken[id] == person]
            place = self._state.place
            mine.sort(key=place.__getitem__)
            if len(mine) < n:
                free = self._state.outstanding - taken.keys()
                mine += sorted(free, key=place.__getitem__)[: n - len(mine)]
            self._leases.take(mine[:n], person, seconds)
            return self._items(database, mine[:n])

    def _items(self, database: sqlite3.Connection, ids: Iterable[int]) -> list[QueryItem]:
        wanted = list(ids)
        seqs = json.dumps([self._state.asked[id] for id in wanted])
        rows = database.execute(
            "SELECT seq, id, round, data FROM events WHERE seq IN (SELECT value FROM json_each(?))",
            (seqs,),
        )
        found = {row[1]: self._item_now(row) for row in rows}
        return [found[id] for id in wanted]

    def _item_now(self, row: Sequence[Any]) -> QueryItem:
        """(seq, id, round, data) as a query's item; its class is that of now."""
        seq, *fields = row
        item, now = item_of(fields), self._state.meaning
        then = self._state.meaning_at(seq)
        if item.pseudo_label is None or now is None or then is None or then.own == now.own:
            return item
        return replace(item, pseudo_label=class_now(item.pseudo_label, then, now))

    def _event_now(self, event: Event) -> Event:
        """An answer with the class that its label means now, or the reason why it is not used."""
        meaning = self._state.meaning
        if event.label is None or meaning is None:
            return event
        label = meaning.of(event.label)
        if label is not None:
            return replace(event, label=label)
        names = [m.names[m.own.index(event.label)] for _, m in self._state.versions
                 if m.names is not None and event.label in m.own]  # fmt: skip
        gone = f"{names[-1] if names else event.label} (a class that was removed)"
        return replace(event, label=None, data={**event.data, "reason": gone})

    def opinions(self, id: SupportsIndex) -> dict[str, int | str]:
        """Person -> their standing answer about an item: a label, or the reason of a skip."""
        with self._reading():
            state = self._state
            said = {o[1]: state.value_of(o) for o in state.standing(operator.index(id))}
            return {person: value for person, value in said.items() if value is not None}

    def answers_of_all(self) -> dict[int, list[tuple[int, str, int | str]]]:
        """Item -> (seq, person, a label or the reason of a skip) of each person's standing
        answer, the latest last: of all items at once, where `opinions` is of one."""
        with self._reading():
            state = self._state
            found = {}
            for id in state.opinions:
                valued = [(o[0], o[1], state.value_of(o)) for o in state.standing(id)]
                known = [(seq, who, value) for seq, who, value in valued if value is not None]
                if known:
                    found[id] = known
            return found

    def conflicts(self) -> dict[int, list[Event]]:
        """Items on which persons disagree -> each person's standing answer, the latest last.

        Two labels disagree, or a label and a "bad image"; the latest label is in force.
        """
        query = f"SELECT {COLUMNS} FROM events WHERE seq = ?"
        with self._reading() as database:
            return {
                id: [
                    self._event_now(event_of(database.execute(query, (seq,)).fetchone()))
                    for seq in seqs
                ]
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
            return [self._event_now(event_of(row)) for row in rows]

    def last_answer(self) -> int:
        """Number of the latest answer or skip that is not undone; 0 where there is none."""
        with self._reading():
            opinions = self._state.opinions.values()
            return max((o[0] for said in opinions for o in said), default=0)

    def unused(self) -> int:
        """How many standing answers are of a class that is gone."""
        with self._reading():
            state = self._state
            latest = (o for id in state.opinions for o in state.latest(id).values())
            return sum(state.value_of(opinion) is None for opinion in latest)

    def notes(self, kind: str) -> list[Event]:
        """All notes of one kind, oldest first."""
        query = f"SELECT {COLUMNS} FROM events WHERE kind = ? AND id IS NULL ORDER BY seq"
        with self._reading() as database:
            return [event_of(row) for row in database.execute(query, (kind,))]

    def events(self, after: int = 0) -> Iterator[Event]:
        """Every event with `seq` > `after`, as it was written, up to the latest one at the time of
        the call. Labels are stored numbers: `meaning().of` says which class each is now.

        Since events never change, this is consistent without holding writers up.
        """
        last, after = self.seq, max(after, 0)
        query = f"SELECT {COLUMNS} FROM events WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT 5000"
        while after < last:
            with self._reading() as database:
                rows = database.execute(query, (after, last)).fetchall()
            yield from map(event_of, rows)
            after = rows[-1][0]
