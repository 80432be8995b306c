"""The classes of a project: the ledger knows them, the settings have them to be read."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from labelgap.core.errors import ConfigError, FolderError, UnknownName
from labelgap.ledger.classes import changed
from labelgap.ledger.ledger import Ledger
from labelgap.project.keep.settings import NONE_LABEL, normal

_FORMS = {"--key": "CLASS=KEY", "--merge": "A,B=C"}


def agreed(
    ledger: Ledger, names: tuple[str, ...], file: Path, mode: Literal["write", "read"]
) -> tuple[str, ...]:
    """The names of the classes, by the ledger. Labels are numbers: no edit of the settings
    changes what they mean.

    names: those in the settings. They may be ones of before, where a command that changed the
        classes was killed; then the ledger's are right.
    file: the settings.

    Raises `FolderError` where they were edited.
    """
    known = ledger.classes
    had = None if known is None else known.get("names")
    if had is None and (known is None or known["num_classes"] == len(names)):
        # New, or of a version that kept the names in the settings alone.
        if mode == "write":
            # Always there: a person must be able to say that an image is none of these.
            none = known is None or known["none_of_these"]
            ledger.set_classes(len(names), none_of_these=none, names=names)
        return names
    if had is not None and names in {then.names for _, then in ledger.class_versions()}:
        return tuple(had)
    assert known is not None
    of_ledger = f"{known['num_classes']} classes" if had is None else ", ".join(had)
    cure = "back as they were" if had is None else json.dumps(had, ensure_ascii=False)
    raise FolderError(
        f"The ledger has {of_ledger}; {file} has {', '.join(names)}.",
        f'Put "classes" there {cure}: labels are places in this list. Then `labelgap classes` '
        "adds, renames, merges and removes classes.",
    )


def after_change(ledger: Ledger, what: str, names: Sequence[str], to: str | None) -> list[str]:
    """The names of the classes after a change (`Ledger.change_classes`, and as it raises)."""
    change = {"what": what, "classes": names, "to": to}
    return list(changed(ledger.meaning(), change).names or ())


def repeated(ledger: Ledger, what: str, names: Sequence[str], to: str | None) -> bool:
    """Whether this is the last change of classes, made already: what it begins with is gone."""
    last, now = ledger.last_class_change(), ledger.meaning().names or ()
    if last is None or last[1] != {"what": what, "classes": list(names), "to": to}:
        return False
    return all(n in now for n in names) if what == "add" else any(n not in now for n in names)


def asked(ledger: Ledger, what: str, text: str) -> tuple[str, list[str], str | None]:
    """A change as it is typed -> (what, names, to) of `Ledger.change_classes`.

    what: "add", "rename", "merge", "remove"; text: "A,B", or "A=B". A merge into "(none of
        these)" is what="none".

    Raises `ConfigError` without a "=" or a name, `UnknownName` for what is no class.
    """
    known, flag, to = ledger.meaning().names or (), f"--{what}", None
    if what == "add":
        return what, [normal(name) for name in text.split(",")], None
    if what != "remove":
        text, to = _sides(text, known, flag)
        if what == "merge" and to.casefold() == NONE_LABEL:
            what, to = "none", None
    names = [normal(name) for name in text.split(",")]
    return what, names if repeated(ledger, what, names, to) else _named(text, known, flag), to


def key_asked(ledger: Ledger, text: str) -> tuple[str, str]:
    """A key as it is typed, "CLASS=KEY" -> (class, key); the key is "" to take it away.

    Raises `ConfigError` without a "=" or a name, `UnknownName` for what is no class.
    """
    known = ledger.meaning().names or ()
    left, key = _sides(text, known, "--key")
    names = _named(left, known, "--key")
    if len(names) > 1:
        raise ConfigError(f"--key {text!r} names {len(names)} classes.", "Name one.")
    return names[0], key


def _named(text: str, known: Sequence[str], flag: str) -> list[str]:
    """Classes in a list with commas, where a name may have commas itself."""
    parts = [part for part in text.split(",") if part.strip()]
    if not parts:
        raise ConfigError(f"{flag} names no class.", f"Name one: {', '.join(known[:12])}.")
    found: list[str] = []
    while parts:
        # The longest name that the next parts make.
        for end in range(len(parts), 0, -1):
            name = normal(",".join(parts[:end]))
            if name in known:
                found.append(name)
                parts = parts[end:]
                break
        else:
            raise UnknownName("class", normal(parts[0]), known, flag)
    return found


def _sides(text: str, known: Sequence[str], flag: str) -> tuple[str, str]:
    """The two sides of "A=B". Names may have a "=" themselves: the left side is what is known."""
    ends = [place for place, letter in enumerate(text) if letter == "="]
    if not ends:
        raise ConfigError(
            f"{flag} {text!r} has no “=”.", f"Write it as {flag} {_FORMS.get(flag, 'OLD=NEW')}."
        )
    for end in reversed(ends):
        try:
            _named(text[:end], known, flag)
        except (UnknownName, ConfigError):
            continue
        return text[:end], normal(text[end + 1 :])
    return text[: ends[0]], normal(text[ends[0] + 1 :])


def class_change_is_last(ledger: Ledger) -> bool:
    """Whether a change of classes came after the last answer that stands."""
    last = ledger.last_class_change()
    return last is not None and last[0] > ledger.last_answer()
