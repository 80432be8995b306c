"""Contents before they are packed: the classes asked for, and every row one of them."""

from dataclasses import replace

import numpy as np

from labelgap.core.errors import DataError
from labelgap.data.labels import plain_name
from labelgap.data.source import Contents, Raw


def checked(found: Contents, classes: tuple[str, ...] | None) -> tuple[Contents, tuple[str, ...]]:
    """The contents with every label a place in the names, and the names.

    Raises `DataError` for other classes than those asked for, for rows without a label, for
    labels outside the classes and for a class without images.
    """
    if classes and found.classes:
        number = in_order(found.classes, classes)
        if number is None:
            raise DataError(
                f"{found.train.where}: its classes are {', '.join(found.classes[:12])}; those of "
                f"the data set asked for are {', '.join(classes[:12])}.",
                "Correct --data-root, or pass the folder itself as the data set.",
            )
        moved = (_renumbered(raw, number) for raw in (found.train, found.test))
        found = Contents(classes, *moved)
    for raw in (found.train, found.test):
        _refuse_unlabelled(raw)
    names = classes or found.classes
    if names is None:
        names = _numbered(found.train)
    if len(names) < 2:
        raise DataError(
            f"{found.train.where}: only {len(names)} class(es).", "A task needs at least two."
        )
    for raw in (found.train, found.test):
        _check_range(raw, len(names))
        counts = np.bincount(raw.labels, minlength=len(names))
        if counts.min() == 0:
            raise DataError(
                f"{raw.where}: class {names[int(counts.argmin())]!r} has no image.",
                "Every class needs at least one in each split; remove the class or add images.",
            )
    return found, names


def _numbered(train: Raw) -> tuple[str, ...]:
    """Names for files that do not tell them: as many classes as the training labels show."""
    top = int(train.labels.max(initial=-1))
    if top >= len(train.labels):
        # Before a name is made for each: that many classes cannot all have an image.
        row = int(train.labels.argmax())
        raise DataError(
            f"{train.place(row)} has label {top}, and {len(train.labels)} images cannot be of "
            f"{top + 1} classes.",
            "Number the classes 0, 1, 2, … without gaps, or write their names.",
        )
    return tuple(str(k) for k in range(top + 1))


def _refuse_unlabelled(raw: Raw) -> None:
    rows = np.flatnonzero(raw.labels < 0)
    if len(rows):
        raise DataError(
            f"{raw.place(int(rows[0]))} has no label ({len(rows)} such rows).",
            "A benchmark answers from the file: remove these rows or label them; `labelgap init` "
            "makes a project of images without labels.",
        )


def _check_range(raw: Raw, classes: int) -> None:
    rows = np.flatnonzero(raw.labels >= classes)
    if len(rows):
        raise DataError(
            f"{raw.place(int(rows[0]))} has label {raw.labels[rows[0]]}, outside "
            f"0..{classes - 1} ({len(rows)} such rows).",
            "Every item needs the number of one of the classes; remove or correct those rows.",
        )


def in_order(found: tuple[str, ...], known: tuple[str, ...]) -> list[int] | None:
    """The place among the known names of each that a file has, spelling aside; None where they
    are not the same classes.

    Published copies contain a misspelling or two: up to a tenth of the names may be no known one,
    if they stand in the place of one that is missing.
    """

    def plain(name: str) -> str:
        return "".join(c for c in plain_name(name).lower() if c.isalnum())

    if len(found) != len(known):
        return None
    place = {plain(name): k for k, name in enumerate(known)}
    number = [place.get(plain(name), k) for k, name in enumerate(found)]
    misspelt = sum(plain(name) not in place for name in found)
    alike = len(set(number)) == len(known) and misspelt <= 0.1 * len(known)
    return number if alike else None


def _renumbered(raw: Raw, number: list[int]) -> Raw:
    return replace(raw, labels=np.array([*number, -1], dtype=np.int64)[raw.labels])
