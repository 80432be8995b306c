"""The labels that a ledger takes: which classes there are, and how they change."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from labelgap.core.errors import LedgerError, UnknownName
from labelgap.core.types import NONE_OF_THESE
from labelgap.ledger.events import Event
from labelgap.ledger.log import Log
from labelgap.ledger.meaning import Meaning
from labelgap.ledger.state import CLASSES, RECLASSED

Change = Mapping[str, Any]
"""{"what": "add" | "rename" | "merge" | "remove" | "none", "classes": names, "to": a name or None};
"none" makes the labels of classes mean "none of these"."""


class Classes(Log):
    """Classes are set once; further ones come behind them, and each can change."""

    def set_classes(
        self,
        num_classes: int,
        *,
        none_of_these: bool = False,
        names: Sequence[str] | None = None,
    ) -> None:
        """Fix the labels: 0 … num_classes − 1, and −1 too if `none_of_these`.

        names: what the labels mean; a ledger without names takes them once.

        Saying the same again is harmless; anything else raises `LedgerError`.
        """
        wanted: dict[str, Any] = {"num_classes": num_classes, "none_of_these": none_of_these}
        if num_classes < 1:
            raise LedgerError(f"num_classes is {num_classes}.", "There must be one at least.")
        if names is not None:
            wanted["names"] = list(names)
        with self._writing() as database:
            meaning = self._state.meaning
            known = {} if meaning is None else {k: meaning.data().get(k) for k in wanted}
            nameless = "names" in wanted and known == {**wanted, "names": None}
            if not known or nameless:
                self._append(database, CLASSES, data=wanted)
            elif known != wanted:
                raise LedgerError(
                    f"{self._name} has {known}, and now {wanted} is given.",
                    "Labels of one ledger are fixed; begin another one.",
                )

    def change_classes(
        self, what: str, classes: Sequence[str], to: str | None = None, *,
        person: str = "", request: str | None = None,
    ) -> Event:  # fmt: skip
        """Add, rename, merge or remove classes by their names: one event, which rewrites no label.

        what: "add"; "rename" of one class to `to`; "merge" of several into `to`, which may be one
            of them; "remove", whose labels are kept and not used; "none", whose labels mean "none
            of these" from now on.
        request: a retry with the same id is stored once.

        Labels by number shift with the places of the classes. Items whose only labels are of a
        removed class are not labelled: those that were asked are outstanding again.

        Raises `UnknownName` for a class that is not there, `LedgerError` for a name that another
        class has, for the last class of all, and where the ledger knows no names.
        """
        change = {"what": what, "classes": list(classes), "to": to}
        with self._writing() as database:
            stored = self._repeated(database, request, kind=(CLASSES, RECLASSED), person=person)
            if stored is not None:
                return self._same_change(stored, change)
            after = _distinct(changed(self._named(), change))
            data = {**after.data(), "change": change}
            kind = CLASSES if after.plain else RECLASSED
            return self._append(database, kind, person=person, request=request, data=data)

    def undo_classes(
        self, seq: int | None = None, *, person: str = "", request: str | None = None
    ) -> Event:
        """Take back the last change of classes that stands; the undo is an event too.

        Labels mean again what they meant. Those given since for a class that goes with it are
        kept and not used. seq: of the change, where it must be this one.

        Raises `LedgerError` where there is nothing (left) to take back.
        """
        with self._writing() as database:
            stored = self._repeated(database, request, kind=(CLASSES, RECLASSED), person=person)
            if stored is not None:
                return self._same_change(stored, None)
            changes, meaning = self._state.reclassed, self._named()
            if not changes or seq not in (None, changes[-1][0]):
                raise LedgerError(
                    "There is no change of classes to take back"
                    + ("." if seq is None else f" that is event {seq} and the last one."),
                    "`labelgap classes` shows the classes as they are.",
                )
            last, change = changes[-1]
            before = self._state.meaning_at(last - 1)
            assert before is not None
            after = meaning.back(before)
            data = {**after.data(), "undoes": last, "undone": change}
            kind = CLASSES if after.plain else RECLASSED
            return self._append(database, kind, person=person, request=request, data=data)

    def last_class_change(self) -> tuple[int, Change] | None:
        """Number and contents of the last change of classes that is not undone."""
        with self._reading():
            return self._state.reclassed[-1] if self._state.reclassed else None

    def meaning(self, seq: int | None = None) -> Meaning:
        """What labels mean now, or meant when event `seq` was written.

        Raises `LedgerError` before `set_classes`.
        """
        with self._reading():
            found = self._state.meaning if seq is None else self._state.meaning_at(seq)
        if found is None:
            raise self._unset()
        return found

    def class_versions(self) -> list[tuple[int, Meaning]]:
        """Every change of what labels mean, oldest first, with the number of its event."""
        with self._reading():
            return list(self._state.versions)

    def _named(self) -> Meaning:
        meaning = self._state.meaning
        if meaning is None or meaning.names is None:
            raise LedgerError(
                f"{self._name} does not know its classes by name.",
                "Call set_classes with names first.",
            )
        return meaning

    def _unset(self) -> LedgerError:
        return LedgerError(
            f"{self._name} does not know its classes yet.", "Call set_classes first."
        )

    @staticmethod
    def _same_change(stored: Event, change: Change | None) -> Event:
        if stored.data.get("change") != change:
            raise LedgerError(
                f"Request {stored.request!r} was stored as event {stored.seq}, another change of "
                "the classes.",
                "Give every change a request id of its own.",
            )
        return stored

    def _number(self, id: int, label: int, as_of: int | None) -> int:
        """What a label is stored as. as_of: the event whose classes the label is a place in.

        Raises `LedgerError` for what is no class.
        """
        state = self._state
        meaning = state.meaning if as_of is None else state.meaning_at(as_of)
        if meaning is None:
            raise self._unset()
        least = NONE_OF_THESE if meaning.none_of_these else 0
        if not least <= label < len(meaning.own):
            raise LedgerError(
                f"Label {label} of item {id} is not one of {least} … {len(meaning.own) - 1}.",
                "Give the number of a class.",
            )
        return meaning.number(label)

    def _alike(self, number: int) -> tuple[int, ...]:
        """The numbers that mean the same now: a retry may come after its class was merged."""
        meaning = self._state.meaning
        return (number,) if meaning is None else meaning.numbers(meaning.of(number))

    def _in_use(self, id: int, number: int) -> int:
        """The number for new labels of the class that this one means now.

        Raises `LedgerError` for a class that was removed.
        """
        meaning = self._state.meaning
        now = None if meaning is None else meaning.of(number)
        if meaning is None or now is None:
            raise LedgerError(
                f"The class of item {id}'s label was removed meanwhile.", "Give it another label."
            )
        return meaning.number(now)


def changed(meaning: Meaning, change: Change) -> Meaning:
    """The classes after a change. Raises as `Classes.change_classes`, but for equal names."""
    known = meaning.names or ()
    what, names, to = change["what"], list(change["classes"]), change["to"]
    if what not in ("add", "rename", "merge", "remove", "none"):
        raise UnknownName("change of classes", what, ("add", "rename", "merge", "remove", "none"))
    if what == "add":
        return meaning.added(names)
    for name in names:
        if name not in known:
            raise UnknownName("class", name, known)
    places = list(dict.fromkeys(known.index(name) for name in names))
    fewest = 2 if what == "merge" else 1
    if len(places) < fewest or (what == "rename" and len(places) > 1):
        raise LedgerError(
            f"{what} of {len(places)} classes: it takes "
            f"{'two or more' if what == 'merge' else 'one'}.",
            "Name each class once.",
        )
    if what == "rename":
        return meaning.renamed(places[0], str(to))
    if what == "merge":
        return meaning.merged(places, str(to))
    if len(places) == len(known):
        raise LedgerError(
            f"{', '.join(names)} would be removed, and no class be left.",
            "Add another class first.",
        )
    for place in sorted(places, reverse=True):
        meaning = meaning.removed(place) if what == "remove" else meaning.as_none(place)
    return meaning


def _distinct(meaning: Meaning) -> Meaning:
    counts = Counter(meaning.names)
    if twice := [name for name, number in counts.items() if number > 1]:
        raise LedgerError(
            f"Two classes would have the name {twice[0]!r}.",
            "Merge them, or choose another name.",
        )
    return meaning
