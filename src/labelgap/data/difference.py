"""What differs between the data of a folder and others: rows added, removed, changed, relabelled.

Rows are matched by their content, wherever they stand; of equal rows the k-th with the k-th.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int64

from labelgap.core.errors import DataError
from labelgap.core.wording import counted
from labelgap.data.identity import Record, Rows, record_of
from labelgap.data.types import Split, Task, fingerprint

Places = Int64[np.ndarray, "_"]
_NAMED = 5  # rows named of each kind: enough to look at the data


@dataclass(frozen=True, eq=False)
class Change:
    """One split, before and now.

    same: [k, 2], row before and row now of what is equal.
    relabelled: [k, 2], the same where the content is equal and the label is not.
    changed: rows whose place has another content now.
    removed, added: rows before without one now, and the other way round.
    """

    same: Int64[np.ndarray, "_ 2"]
    relabelled: Int64[np.ndarray, "_ 2"]
    changed: Places
    removed: Places
    added: Places

    @property
    def grew(self) -> bool:
        """Whether all that was there is there as it was."""
        return not (len(self.relabelled) or len(self.changed) or len(self.removed))

    @property
    def moved(self) -> bool:
        """Whether rows that stayed follow each other otherwise."""
        order = self.same[np.argsort(self.same[:, 0]), 1]
        return bool((np.diff(order) < 0).any())


@dataclass(frozen=True, eq=False)
class Difference:
    """Two data sets."""

    before: Record
    now: Record
    train: Change
    test: Change

    @property
    def only_grew(self) -> bool:
        """Whether training rows were added, or stand elsewhere, and nothing else is different."""
        same_test = self.test.grew and not len(self.test.added)
        same_classes = set(self.before.classes) == set(self.now.classes)
        return self.train.grew and same_test and same_classes

    def __str__(self) -> str:
        return "; ".join(self._parts()) or "the fingerprints differ"

    def _parts(self) -> Iterator[str]:
        old, new = self.before, self.now
        if old.shape != new.shape:
            yield f"items of {_shape(old.shape)} there, of {_shape(new.shape)} here"
            return
        for sign, some, other in (("new", new, old), ("missing", old, new)):
            names = [name for name in some.classes if name not in other.classes]
            if names:
                more = ", …" if len(names) > _NAMED else ""
                noun = "class" if len(names) == 1 else "classes"
                yield f"{sign} {noun} {', '.join(map(repr, names[:_NAMED]))}{more}"
        if set(old.classes) == set(new.classes) and old.classes != new.classes:
            yield "the classes are in another order"
        for what, change, before, now in (
            ("training", self.train, old.train, new.train),
            ("test", self.test, old.test, new.test),
        ):
            yield from self._of_split(what, change, before, now)

    def _of_split(self, what: str, change: Change, before: Rows, now: Rows) -> Iterator[str]:
        row = f"{what} row"
        if len(change.added):
            yield f"{counted(len(change.added), row)} added ({_named(change.added)} here)"
        if len(change.removed):
            yield f"{counted(len(change.removed), row)} removed ({_named(change.removed)} there)"
        if len(change.changed):
            yield f"{counted(len(change.changed), row)} with other contents " + (
                f"({_named(change.changed)})"
            )
        if len(change.relabelled):
            shown = [
                f"{new}: {_label(self.before.classes, int(before.labels[old]))} → "
                f"{_label(self.now.classes, int(now.labels[new]))}"
                for old, new in change.relabelled[:_NAMED].tolist()
            ]
            more = ", …" if len(change.relabelled) > _NAMED else ""
            yield f"{counted(len(change.relabelled), row)} with another label " + (
                f"({', '.join(shown)}{more})"
            )
        if change.moved and change.grew and not len(change.added):
            yield f"the {what} rows are in another order"


def difference(before: Record, now: Record) -> Difference:
    """What was added, removed and changed between two records; labels compared by name."""
    names = list(dict.fromkeys([*before.classes, *now.classes]))
    number = {name: k for k, name in enumerate(names)}

    def labels(record: Record, rows: Rows) -> Places:
        places = np.array([*(number[name] for name in record.classes), -1], dtype=np.int64)
        found: Places = places[rows.labels]
        return found

    def change(old: Rows, new: Rows) -> Change:
        return _change(old, new, labels(before, old), labels(now, new), len(names))

    return Difference(before, now, change(before.train, now.train), change(before.test, now.test))


def _change(old: Rows, new: Rows, old_labels: Places, new_labels: Places, classes: int) -> Change:
    _, codes = np.unique(np.concatenate([old.inputs, new.inputs]), return_inverse=True)
    a, b = codes[: len(old)].astype(np.int64), codes[len(old) :].astype(np.int64)
    width = classes + 1
    same = _pairs(a * width + old_labels, b * width + new_labels)
    left_a = np.setdiff1d(np.arange(len(old)), same[:, 0])
    left_b = np.setdiff1d(np.arange(len(new)), same[:, 1])
    found = _pairs(a[left_a], b[left_b])
    relabelled = np.stack([left_a[found[:, 0]], left_b[found[:, 1]]], axis=1)
    left_a = np.setdiff1d(left_a, relabelled[:, 0])
    left_b = np.setdiff1d(left_b, relabelled[:, 1])
    changed = np.intersect1d(left_a, left_b)
    return Change(
        same,
        relabelled,
        changed,
        np.setdiff1d(left_a, changed),
        np.setdiff1d(left_b, changed),
    )


def _pairs(a: Places, b: Places) -> Int64[np.ndarray, "_ 2"]:
    """Places of equal values in both, by the first's; of equal ones the k-th with the k-th."""
    most = len(a) + len(b) + 1
    _, i, j = np.intersect1d(_numbered(a, most), _numbered(b, most), return_indices=True)
    found = np.stack([i, j], axis=1).astype(np.int64)
    return found[np.argsort(found[:, 0])]


def _numbered(values: Places, most: int) -> Places:
    """Each value and how many equal ones come before it, as one number."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1))
    before = np.arange(len(values)) - np.repeat(starts, np.diff(starts, append=len(values)))
    numbered = np.empty(len(values), dtype=np.int64)
    numbered[order] = ordered * most + before
    return numbered


def in_order(record: Record, task: Task) -> Task:
    """The data as they come, their training rows in the order of the record's ids."""
    split = task.train.subset(record.order)
    place = np.empty(len(record.order), dtype=np.int64)
    place[record.order] = np.arange(len(record.order))
    pool = np.sort(place[task.pool])
    number = np.array([*(record.classes.index(c) for c in task.classes), -1], dtype=np.int64)
    return replace(
        task,
        classes=record.classes,
        train=Split(split.inputs, number[split.labels]),
        test=Split(task.test.inputs, number[task.test.labels]),
        pool=pool,
        fingerprint=record.fingerprint,
    )


def extended(found: Difference, task: Task) -> tuple[Record, Task]:
    """The record with the new rows behind the old ones, and the task in that order.

    Raises `DataError` where anything but new training rows makes the difference.
    """
    if not found.only_grew:
        raise DataError(
            f"{task.name}: {found}.",
            "Only training rows can be added to what was begun: put back what was there, or "
            "choose another folder.",
        )
    before = found.before
    order = np.concatenate([found.train.same[:, 1], found.train.added])
    ordered = in_order(replace(before, order=order), task)
    digest = fingerprint(ordered.train, ordered.test, before.classes)
    ordered = replace(ordered, fingerprint=digest)
    rows = (*before.rows, len(order))
    return replace(record_of(ordered), given=task.fingerprint, order=order, rows=rows), ordered


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _named(rows: Places) -> str:
    more = ", …" if len(rows) > _NAMED else ""
    return f"{'row' if len(rows) == 1 else 'rows'} {', '.join(map(str, rows[:_NAMED]))}{more}"


def _label(classes: tuple[str, ...], label: int) -> str:
    return classes[label] if label >= 0 else "none"
