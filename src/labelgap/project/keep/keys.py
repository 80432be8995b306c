"""The keys of the page: what each does, which one chooses which class, and a class's own key.

A key never moves by itself: it depends on the list of classes and on nothing that is labelled.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from labelgap.core.errors import ConfigError, UnknownName
from labelgap.ledger.ledger import Ledger

KEYS = "class-keys"
"""The note with all own keys; the last one counts."""
FEW = 10
"""Classes up to which letters are keys; with more of them letters type a class's name."""
SIGNS = {
    " ": "skip", ".": "unsure", "!": "bad", "-": "none", "=": "trained",
    "?": "keys", "#": "grid", "+": "zoom", "/": "search",
}  # fmt: skip
LETTERS = {
    "s": "skip", "u": "unsure", "b": "bad", "n": "none", "v": "trained", "g": "grid", "z": "zoom",
}  # fmt: skip
DIGITS = "1234567890"


def page_keys(names: Sequence[str], own: Mapping[int, str]) -> dict[str, Any]:
    """What the page needs: `typing`, whether letters type a name; `acts`, key -> what it does;
    `classes`, the keys of each class, its own first."""
    typing = len(names) > FEW
    acts = dict(SIGNS) if typing else {**SIGNS, **LETTERS}
    return {"typing": typing, "acts": acts, "classes": class_keys(names, own)}


def class_keys(names: Sequence[str], own: Mapping[int, str]) -> list[list[str]]:
    """The keys that choose each class, its own first; [] where none is left.

    A name that is a digit has that digit; the others take the rest in order, 1 … 9, 0. Where
    there are more classes than digits and longer names begin with one, digits type the name.

    own: class -> its own key.
    """
    if len(names) > FEW and any(len(name) > 1 and name[0] in DIGITS for name in names):
        return [[own[k]] if k in own else [] for k in range(len(names))]
    taken = {name for name in names if len(name) == 1 and name in DIGITS} | set(own.values())
    rest = iter(key for key in DIGITS if key not in taken)
    keys = []
    for k, name in enumerate(names):
        digit = name if len(name) == 1 and name in DIGITS else next(rest, "")
        keys.append(list(dict.fromkeys(key for key in (own.get(k, ""), digit) if key)))
    return keys


def own_keys(ledger: Ledger) -> dict[int, str]:
    """Class -> the key that somebody gave it. It stays with a class that is renamed or merged."""
    notes = ledger.notes(KEYS)
    if not notes:
        return {}
    meaning, found = ledger.meaning(), dict[int, str]()
    for number, key in notes[-1].data["keys"].items():
        place = meaning.of(int(number))
        if place is not None and place >= 0:
            found.setdefault(place, key)
    return found


def set_key(ledger: Ledger, name: str, key: str) -> bool:
    """Give a class a key of its own, or take it away with ""; False where nothing changes.

    Raises `UnknownName` for what is no class, `ConfigError` for more than one character, a key
    that does something else on the page, or one that another class has.
    """
    meaning = ledger.meaning()
    names = meaning.names or ()
    if name not in names:
        raise UnknownName("class", name, names, "--key")
    place, own, key = names.index(name), own_keys(ledger), key.strip().casefold()
    if key:
        _check(names, own, place, key)
    if own.get(place, "") == key:
        return False
    own = {k: kept for k, kept in own.items() if k != place} | ({place: key} if key else {})
    ledger.note(KEYS, {"keys": {str(meaning.number(k)): kept for k, kept in own.items()}})
    return True


def _check(names: Sequence[str], own: Mapping[int, str], place: int, key: str) -> None:
    keys = class_keys(names, own)
    if len(key) != 1 or unicodedata.category(key)[0] in "CMZ":
        raise ConfigError(
            f"--key {names[place]}={key}: {key!r} is not one character.",
            f"Give one letter or digit that is free: {_free(keys)}.",
        )
    if does := (SIGNS | LETTERS).get(key):
        raise ConfigError(
            f"--key {names[place]}={key}: on the page {key!r} means {does!r}.",
            f"Give one that is free: {_free(keys)}.",
        )
    for k, taken in enumerate(keys):
        if k != place and key in taken:
            raise ConfigError(
                f"--key {names[place]}={key}: {key!r} is the key of {names[k]}.",
                f"Give one that is free: {_free(keys)}.",
            )


def _free(keys: Sequence[Sequence[str]]) -> str:
    taken = {key for some in keys for key in some} | set(LETTERS)
    return ", ".join(letter for letter in "abcdefghijklmnopqrstuvwxyz" if letter not in taken)
