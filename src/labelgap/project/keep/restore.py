"""A snapshot in the ledger's place: what lay there is kept aside, its log with it.

A log left behind would be replayed over the file that comes in its place, and damage it.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from labelgap.core.errors import FolderError, LedgerError, StorageError
from labelgap.core.lock import WriterLock
from labelgap.ledger import file as _sqlite
from labelgap.ledger.ledger import LEDGER, Ledger
from labelgap.project.keep.settings import (
    HOME,
    SETTINGS,
    ProjectSettings,
    read_settings,
    save_settings,
)
from labelgap.project.keep.store import snapshots


@dataclass(frozen=True)
class Restored:
    """What was put in the ledger's place.

    Attributes
    ----------
    aside: where the ledger is now that lay there; None where there was none.
    labels: how many the restored ledger has.
    dropped: classes that were added after the snapshot, and are gone with the ledger.
    """

    snapshot: Path
    aside: Path | None
    labels: int
    dropped: tuple[str, ...]


def newest_sound(home: Path) -> Path | None:
    """The newest snapshot that is a whole ledger."""
    return next((path for path in snapshots(home) if _is_sound(path)), None)


def _is_sound(path: Path) -> bool:
    try:
        _sqlite.check(path)
    except StorageError:  # the disk's, and says nothing of what the file is
        raise
    except LedgerError:
        return False
    return True


def restore(root: Path, snapshot: Path | None = None) -> Restored:
    """Put a snapshot in the ledger's place; None: the newest sound one.

    Raises
    ------
    FolderError: there is no sound snapshot; it is of a project with other classes.
    LedgerError: the snapshot is damaged; a program uses the project; the disk refuses.
    """
    home = root / HOME
    ledger = home / LEDGER
    settings = read_settings(home / SETTINGS)
    chosen = snapshot or newest_sound(home)
    if chosen is None:
        raise FolderError(
            f"{home / 'snapshots'} has no sound snapshot.",
            "Unpack ledger.sqlite from a backup, and give it: `labelgap doctor --restore FILE`.",
        )
    if chosen.resolve() == ledger.resolve():
        raise FolderError(f"{chosen} is the ledger itself.", "Give a snapshot or a backup of it.")
    lock = WriterLock(ledger)
    try:
        with Ledger.open(chosen, read_only=True) as copy:
            labels = len(copy.labels)
            classes = _classes(copy, chosen, settings)
        with _sqlite.named_errors(ledger, "restored"), _sqlite.replacing(ledger) as new:
            shutil.copyfile(chosen, new)
            aside = _move_aside(ledger)
        if classes != settings.classes:
            save_settings(home / SETTINGS, settings.model_copy(update={"classes": classes}))
    finally:
        lock.release()
    return Restored(chosen, aside, labels, settings.classes[len(classes) :])


def _classes(copy: Ledger, file: Path, settings: ProjectSettings) -> tuple[str, ...]:
    """The classes at the time of the snapshot: the first ones of the project."""
    known = copy.classes or {"num_classes": len(settings.classes)}
    first = settings.classes[: known["num_classes"]]
    names = tuple(known.get("names", first))
    if names != first or len(first) < known["num_classes"]:
        raise FolderError(
            f"{file} has the classes {', '.join(names)}; the project has "
            f"{', '.join(settings.classes)}.",
            "Give a snapshot of this project.",
        )
    return first


def _move_aside(ledger: Path) -> Path | None:
    """The ledger and its log under a name that no file has, where both stay together."""
    kept = _sqlite.unused(ledger, ".replaced")
    # The file first: without it a log is refused, while a file without its log looks whole.
    for suffix in ("", "-wal", "-shm", "-journal"):
        part = ledger.with_name(ledger.name + suffix)
        if part.exists():
            os.rename(part, kept.with_name(kept.name + suffix))
    return kept if kept.exists() else None
