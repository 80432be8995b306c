"""The ledger: an append-only log of what was asked and answered, which is the state of a run.

Weights and caches can be rebuilt; labels cannot. So every fact is an event in one SQLite table,
committed to the disk before the call returns, and nothing ever changes or removes an event: a
correction and an undo are events too. The state in memory is a replay of the events
(`labelgap.ledger.state`), in the order of `seq`; wall-clock times are for people only.
"""

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, SupportsIndex

from labelgap.core.errors import LedgerError, UnknownName
from labelgap.core.types import Answer, QueryItem
from labelgap.ledger.copies import Copies
from labelgap.ledger.events import (
    ANSWERS,
    Event,
    finite,
    integer,
    text,
    whole,
)
from labelgap.ledger.state import BAD_IMAGE
from labelgap.ledger.undoing import Undoing

LEDGER = "ledger.sqlite"
"""Its name in the folder of a run or a project."""
TESTED = "test-batch"
"""Kind of the note about items that were asked to measure accuracy, drawn with unequal chances."""
SKIP_REASONS = ("skip", "unsure", BAD_IMAGE)


class Ledger(Undoing, Copies):
    """The events of one run or labelling project, and the state they add up to.

    Open with `Ledger.open`; use as a context manager or `close()`. All methods may be called
    from several threads. Every writing method is one transaction: when it returns, its events
    are on the disk; when it raises `LedgerError` (disk full, file read-only, refused event),
    none of them is stored, earlier ones are safe, and the ledger stays usable.
    """

    def asked(
        self,
        round: int,
        items: Sequence[QueryItem],
        *,
        unless_answered: bool = False,
        to_test: Mapping[str, Any] | None = None,
    ) -> list[QueryItem]:
        """Record a query, all of it or nothing, in rank order; returns it with round and rank.

        `round` is 0 for the initial set and k for the k-th query; several calls of one round
        continue its ranks. Raises `LedgerError` for a round before the latest one, an item that
        was asked, labelled or skipped before or comes twice, and scores that are not finite.

        unless_answered: leave out the items that were labelled or skipped before (by people who
            answer while a query is made), instead of refusing the whole query.
        to_test: the items are held out, and these facts noted of them (kind `TESTED`, with their
            ids), in the same transaction: no crash leaves a test item that could be trained on.
        """
        round = whole(round, "round")
        stored: list[QueryItem] = []
        with self._writing() as database:
            state = self._state
            if round < state.round:
                raise LedgerError(
                    f"Round {round} cannot be asked after round {state.round}.",
                    "Ask in the latest round or a later one.",
                )
            if unless_answered:
                done = state.labels.keys() | state.skipped.keys()
                items = [item for item in items if item.id not in done]
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
                stored.append(replace(item, round=round, rank=rank))
                if to_test is not None and id not in state.held_out:
                    self._append(database, "held-out", id=id, round=round)
            if to_test is not None:
                facts = {**to_test, "ids": [item.id for item in stored]}
                self._append(database, TESTED, round=round, data=facts)
        return stored

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
        as_of: int | None = None,
    ) -> Event:
        """Store a person's label of an item, asked or not.

        The event is "labelled", or "corrected" when the item had a label, anybody's. A retry
        with the same `request` is stored once and returns the same event. `round` defaults to
        the item's own, for an item that was never asked to the latest.

        as_of: an event's number (`seq`): the label is a place among the classes of that time,
            for programs that may not know the classes of now. Default: among those of now.

        Raises `LedgerError` for a label outside the classes (`set_classes` comes first), and for
        a request id that was used for another answer.
        """
        with self._writing() as database:
            return self._answer(database, id, label, person, request, round, as_of)

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

    def tell(self, answers: Iterable[Answer], *, as_of: int | None = None) -> list[Event]:
        """Store labels and skips, all of them or none, each with its person and request.

        as_of: as for `answer`. Raises as `answer` and `skip`.
        """
        given = list(answers)
        with self._writing() as database:
            return [
                self._skip(database, a.id, a.skipped or "skip", a.person, a.request, None)
                if a.label is None
                else self._answer(database, a.id, a.label, a.person, a.request, None, as_of)
                for a in given
            ]

    def _answer(
        self,
        database: sqlite3.Connection,
        id: SupportsIndex,
        label: SupportsIndex,
        person: str,
        request: str | None,
        round: int | None,
        as_of: int | None = None,
    ) -> Event:
        item = whole(id, "item id")
        number = self._number(item, integer(label, f"label of item {item}"), as_of)
        person = text(person, "person")
        stored = request and self._repeated(
            database, request, kind=ANSWERS[:2], id=item, label=self._alike(number), person=person
        )
        return self._event_now(
            stored
            or self._append(
                database,
                "corrected" if item in self._state.labels else "labelled",
                id=item,
                round=self._round_of(item, round),
                person=person,
                label=self._in_use(item, number),
                request=request,
            )
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
        with self._writing() as database:
            return self._skip(database, id, reason, person, request, round)

    def _skip(
        self,
        database: sqlite3.Connection,
        id: SupportsIndex,
        reason: str,
        person: str,
        request: str | None,
        round: int | None,
    ) -> Event:
        if reason not in SKIP_REASONS:
            raise UnknownName("reason", reason, SKIP_REASONS)
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

    def hold_out(self, ids: Iterable[SupportsIndex]) -> None:
        """Mark items as held out, for ever: their labels estimate accuracy, never train.

        Marking one again is harmless.
        """
        with self._writing() as database:
            for id in dict.fromkeys(whole(id, "item id") for id in ids):
                if id not in self._state.held_out:
                    self._append(database, "held-out", id=id, round=max(self._state.round, 0))

    def set_aside(self, ids: Iterable[SupportsIndex], reason: str) -> None:
        """Take items out of the state, with all that was asked and answered about them so far.

        For ids that stand for no item. Every event stays in the log, as for an undo; what comes
        later counts again. `reason` is kept. An id that the state does not know is left alone.
        """
        with self._writing() as database:
            for id in dict.fromkeys(whole(id, "item id") for id in ids):
                if id in self._state.known():
                    facts = {"reason": reason}
                    round = max(self._state.round, 0)
                    self._append(database, "set-aside", id=id, round=round, data=facts)
