"""What a ledger's events add up to: a pure fold, with no file and no clock in it."""

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from sys import intern
from typing import Any

from labelgap.ledger.meaning import Meaning

Opinion = tuple[int, str, int | str]
"""(seq, person, a stored number or the reason of a skip): one answer that nobody has undone."""

BAD_IMAGE = "bad image"
_UNASKED = 1 << 62
CLASSES, RECLASSED = "classes", "reclassed"
"""Kinds of events that say which classes there are. RECLASSED is for those of which some labels
are stored under other numbers than their places: a program that knows only CLASSES passes it by,
and then refuses the project, whose settings have other names."""


class State:
    """The state after the events up to `seen`; `apply` takes the next ones.

    Rules: a person's opinion of an item is their last answer about it that is not undone. An
    item's label is the latest label among the persons' opinions; a skip hides its own person's
    earlier label and nobody else's. An item with opinions but no label is skipped. A label whose
    class was removed is no opinion while the class is away.
    """

    def __init__(self) -> None:
        self.seen = 0
        self.round = -1
        self.meaning: Meaning | None = None
        self.versions: list[tuple[int, Meaning]] = []  # seq, and what labels meant from there on
        self.reclassed: list[tuple[int, Mapping[str, Any]]] = []  # changes that can be undone
        self.labels: dict[int, int] = {}
        self.skipped: dict[int, str] = {}
        self.held_out: set[int] = set()
        self.outstanding: set[int] = set()
        self.asked: dict[int, int] = {}  # id -> seq of its "asked" event
        self.place: dict[int, tuple[int, int]] = {}  # id -> (round, rank): the order of training
        self.opinions: dict[int, tuple[Opinion, ...]] = {}
        self.shared: set[int] = set()  # ids on which several persons have an opinion
        self.ranks: dict[int, int] = {}  # round -> items asked so far
        self.changes = 0  # counts changes of labels, places or held-out marks: for caches

    def apply(self, rows: Iterable[Sequence[Any]]) -> None:
        """Add events (seq, kind, id, round, person, label, data as JSON), in order.

        `data` is read for skipped, undone and the classes only. An event that contradicts those
        before it raises KeyError, TypeError or ValueError, and `seen` is its number.
        """
        for seq, kind, id, round, person, label, data in rows:
            self.seen = seq
            if id is None:
                if kind in (CLASSES, RECLASSED):
                    self._reclass(seq, json.loads(data))
                continue
            self.changes += 1
            if kind == "asked":
                rank = self.ranks[round] = self.ranks.get(round, 0) + 1
                self.round = max(self.round, round)
                self.asked[id] = seq
                self.place[id] = (round, rank)
                self.outstanding.add(id)
            elif kind == "labelled" or kind == "corrected":
                before = self.opinions.get(id)
                self.opinions[id] = (*(before or ()), (seq, intern(person), int(label)))
                self.place.setdefault(id, (round, _UNASKED))
                if before is None and (self.meaning is None or self.meaning.plain):
                    # The common case, without a walk over the item's opinions.
                    self.labels[id] = label
                    self.outstanding.discard(id)
                else:
                    self._derive(id)
            elif kind == "skipped":
                opinion = (seq, intern(person), str(json.loads(data)["reason"]))
                self.opinions[id] = (*self.opinions.get(id, ()), opinion)
                self.place.setdefault(id, (round, _UNASKED))
                self._derive(id)
            elif kind == "undone":
                undone = json.loads(data)["undoes"]
                self.opinions[id] = tuple(o for o in self.opinions[id] if o[0] != undone)
                self._derive(id)
            elif kind == "held-out":
                self.held_out.add(id)
            elif kind == "set-aside":
                self._forget(id)

    def known(self) -> set[int]:
        """Every id that was asked, answered or held out, and is not set aside."""
        return self.place.keys() | self.held_out

    def latest(self, id: int) -> dict[str, Opinion]:
        """Each person's opinion of an item, the earliest person first."""
        return {opinion[1]: opinion for opinion in self.opinions.get(id, ())}

    def _forget(self, id: int) -> None:
        """Take an item out of every standing. A round's ranks go on behind its own."""
        for held in (self.labels, self.skipped, self.asked, self.place, self.opinions):
            held.pop(id, None)
        for marked in (self.held_out, self.outstanding, self.shared):
            marked.discard(id)

    def _reclass(self, seq: int, data: Mapping[str, Any]) -> None:
        """Other classes from here on. What stands is derived anew where labels mean others."""
        before, now = self.meaning, Meaning.read(data)
        if "undoes" in data:
            if not self.reclassed or self.reclassed.pop()[0] != data["undoes"]:
                raise ValueError("it undoes another change than the last one")
        elif "change" in data:
            self.reclassed.append((seq, data["change"]))
        else:
            self.reclassed = []
        self.meaning = now
        self.versions.append((seq, now))
        if before is not None and before.stored != now.stored:
            self.changes += 1
            for id in list(self.opinions):
                self._derive(id)

    def meaning_at(self, seq: int) -> Meaning | None:
        """What labels meant when an event was written."""
        at = bisect_right(self.versions, seq, key=itemgetter(0))
        return self.versions[at - 1][1] if at else None

    def value_of(self, opinion: Opinion) -> int | str | None:
        """What an opinion says now: a class, the reason of a skip, or None (its class is gone)."""
        value = opinion[2]
        if isinstance(value, str) or self.meaning is None:
            return value
        return self.meaning.of(value)

    def standing(self, id: int) -> list[Opinion]:
        """Each person's opinion of an item that says something now, in the order of time."""
        opinions = sorted(self.latest(id).values())
        return [opinion for opinion in opinions if self.value_of(opinion) is not None]

    def _derive(self, id: int) -> None:
        """Recompute one item's standing from its opinions."""
        self.labels.pop(id, None)
        self.skipped.pop(id, None)
        opinions = self.standing(id)
        (self.shared.add if len(opinions) > 1 else self.shared.discard)(id)
        if not self.opinions[id]:
            del self.opinions[id]
            if id not in self.asked:
                del self.place[id]
        if not opinions:
            if id in self.asked:
                self.outstanding.add(id)
            return
        self.outstanding.discard(id)
        values = [self.value_of(opinion) for opinion in opinions]
        for value in reversed(values):
            if isinstance(value, int):
                self.labels[id] = value
                return
        self.skipped[id] = str(values[-1])

    def contested(self) -> dict[int, list[int]]:
        """Items on which persons disagree -> seq of each person's opinion, in order.

        Two labels disagree, and so do a label and "bad image"; "skip" and "unsure" contradict
        nothing.
        """
        found = {}
        for id in sorted(self.shared):
            opinions = self.standing(id)
            values = {self.value_of(opinion) for opinion in opinions}
            stated = {value for value in values if isinstance(value, int) or value == BAD_IMAGE}
            if len(stated) > 1:
                found[id] = [seq for seq, _, _ in opinions]
        return found
