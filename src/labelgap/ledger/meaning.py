"""What the labels of a ledger mean now: classes are renamed, merged and removed, events never are.

An answer is stored under a number that is its class's own for ever. `Meaning` says which class
each number stands for at present. So a change of classes rewrites no label, and taking it back
brings every label's meaning back.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from labelgap.core.types import NONE_OF_THESE


@dataclass(frozen=True)
class Meaning:
    """The classes at one moment, and what each stored number means.

    Attributes
    ----------
    own: class -> the number that new labels of it are stored under; no two are equal. A network
        trained for these classes has its columns in this order.
    stored: number -> class, −1 for "none of these", None for a label that is not used. It is as
        long as numbers were ever given out, so that none is given out twice.
    none_of_these: whether −1 is a label.
    names: of the classes; None where the ledger knows only how many there are.
    """

    own: tuple[int, ...]
    stored: tuple[int | None, ...]
    none_of_these: bool
    names: tuple[str, ...] | None = None

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> "Meaning":
        """From an event's data. Raises KeyError, TypeError or ValueError where it is none."""
        number, names = int(data["num_classes"]), data.get("names")
        plain = list(range(number))
        own, stored = data.get("own", plain), data.get("stored", plain)
        if len(own) != number or not set(own) <= set(range(len(stored))):
            raise ValueError("its classes and their numbers do not fit")
        return cls(
            tuple(own),
            tuple(stored),
            bool(data["none_of_these"]),
            None if names is None else tuple(names),
        )

    def data(self) -> dict[str, Any]:
        """As an event keeps it; without the numbers where each class has its place's."""
        facts: dict[str, Any] = {
            "num_classes": len(self.own),
            "none_of_these": self.none_of_these,
        }
        if self.names is not None:
            facts["names"] = list(self.names)
        if not self.plain:
            facts |= {"own": list(self.own), "stored": list(self.stored)}
        return facts

    @property
    def plain(self) -> bool:
        """Whether every label is stored as the place of its class."""
        return self.own == self.stored == tuple(range(len(self.own)))

    def of(self, number: int) -> int | None:
        """The class that a stored number means; None where it is not used."""
        if number == NONE_OF_THESE:
            return number
        return self.stored[number] if 0 <= number < len(self.stored) else None

    def number(self, label: int) -> int:
        """What a class is stored as."""
        return label if label == NONE_OF_THESE else self.own[label]

    def numbers(self, label: int | None) -> tuple[int, ...]:
        """All numbers that mean this class; None: those that are not used."""
        alike = tuple(n for n, now in enumerate(self.stored) if now == label)
        return (NONE_OF_THESE, *alike) if label == NONE_OF_THESE else alike

    # ------------------------------------------------------------------------------ changes

    def added(self, names: Sequence[str]) -> "Meaning":
        """Further classes behind the others."""
        first, place = len(self.stored), len(self.own)
        return replace(
            self,
            own=(*self.own, *range(first, first + len(names))),
            stored=(*self.stored, *range(place, place + len(names))),
            names=(*(self.names or ()), *names),
        )

    def renamed(self, label: int, name: str) -> "Meaning":
        """Another name for a class; its labels and its place stay."""
        names = list(self.names or ())
        names[label] = name
        return replace(self, names=tuple(names))

    def merged(self, labels: Iterable[int], name: str) -> "Meaning":
        """Several classes become one, in the place of the first of them.

        Where the name is that of one of them, its number is kept: labels given after the merge
        are still of that class when the merge is taken back. Else the new class has a number of
        its own.
        """
        places = sorted(set(labels))
        old = self.names or ()
        kept = [self.own[k] for k in places if old[k] == name]
        own, stored = list(self.own), list(self.stored)
        if kept:
            own[places[0]] = kept[0]
        else:
            own[places[0]] = len(stored)
            stored.append(places[0])
        gone = dict.fromkeys(places[1:], places[0])
        wider = replace(self, own=tuple(own), stored=tuple(stored))
        return wider.renamed(places[0], name)._without(gone)

    def removed(self, label: int) -> "Meaning":
        """Without a class: its labels are kept and not used."""
        return self._without({label: None})

    def as_none(self, label: int) -> "Meaning":
        """Without a class, whose labels mean "none of these" from now on."""
        return self._without({label: NONE_OF_THESE})

    def back(self, before: "Meaning") -> "Meaning":
        """As it was before; numbers given out since are not used, and not given out again."""
        since = len(self.stored) - len(before.stored)
        return replace(before, stored=(*before.stored, *[None] * since))

    def _without(self, gone: Mapping[int, int | None]) -> "Meaning":
        """Drop classes; their numbers mean another class, -1 or nothing."""
        left = [k for k in range(len(self.own)) if k not in gone]
        place = {k: position for position, k in enumerate(left)}
        place[NONE_OF_THESE] = NONE_OF_THESE

        def now(label: int | None) -> int | None:
            target = gone.get(label, label) if label is not None else None
            return None if target is None else place[target]

        return Meaning(
            tuple(self.own[k] for k in left),
            tuple(now(label) for label in self.stored),
            self.none_of_these,
            None if self.names is None else tuple(self.names[k] for k in left),
        )


def class_now(place: int, then: Meaning, now: Meaning) -> int | None:
    """The class that the place `place` among the classes of another time is now; None if none."""
    return now.of(then.number(place)) if place < len(then.own) else None
