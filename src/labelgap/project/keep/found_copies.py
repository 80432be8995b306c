"""Every copy of a project's labels that can be found: snapshots, backups, ledgers kept aside."""

import sqlite3
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from labelgap.core.disk import told
from labelgap.core.errors import FolderError, LedgerError, StorageError
from labelgap.ledger import file as _sqlite
from labelgap.ledger.ledger import LEDGER, Ledger
from labelgap.ledger.meaning import Meaning
from labelgap.project.keep.settings import HOME, ITEMS

RESTORED = "restored"
"""The kind of the note that says what a ledger was restored from."""
Kind = Literal["snapshot", "backup", "kept aside", "ledger"]
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError)


@dataclass(frozen=True)
class Copy:
    """One copy of the labels, and whether it is whole.

    Attributes
    ----------
    time: of its last event (UTC, ISO 8601); of the file where it is not whole.
    problem: what is wrong with it; "" where it is whole.
    project: what tells its project from others (the ledger's first event).
    labels: item -> the number that its label is stored under.
    restored: what it was itself restored from, where nothing came after that: (file name, time).
    """

    path: Path
    kind: Kind
    time: str
    problem: str = ""
    events: int = 0
    project: tuple[str, ...] = ()
    labels: dict[int, int] = field(default_factory=dict, repr=False)
    meaning: Meaning | None = None
    restored: tuple[str, str] | None = None

    @property
    def sound(self) -> bool:
        return not self.problem

    @property
    def age(self) -> tuple[bool, str, int]:
        """Ascending: the newest sound one has the largest."""
        return self.sound, self.time, self.events

    def left_out(self, newer: "Copy") -> int:
        """How many labels of a newer copy this one does not have, or has another for."""
        return sum(self.labels.get(item) != label for item, label in newer.labels.items())


def copies(root: Path, here: Path | None = None) -> list[Copy]:
    """All copies of one project's labels, the newest sound one first.

    root: the folder of the images. Backups that lie in it, beside it or in the folder `here`
        (default: the current one) are found too, where they are of the same project. Where the
        folder has no project, those of all projects are.
    """
    home = root / HOME
    inside = [look_into(path) for path in _files(home)]
    known = {c.project for c in [*inside, *_current(home)] if c.sound}
    beside = [look_into(path) for path in _beside(root, here or Path.cwd())]
    found = [*inside, *(c for c in beside if not known or c.project in known)]
    return sorted(found, key=lambda c: c.age, reverse=True)


def current(home: Path) -> Copy | None:
    """The ledger in its place, whole or not; None where there is none."""
    return next(_current(home), None)


def _current(home: Path) -> Iterator[Copy]:
    if (home / LEDGER).exists():
        yield look_into(home / LEDGER)


def _files(home: Path) -> Iterator[Path]:
    for pattern in ("snapshots/*.sqlite", "backups/*.zip", "ledger.*.sqlite"):
        yield from sorted(home.glob(pattern))


def _beside(root: Path, here: Path) -> list[Path]:
    """Backups in the folder, beside it and where one stands, by what is in them."""
    found: dict[Path, Path] = {}
    for folder in (root, root.resolve().parent, here):
        for path in sorted(folder.glob("*.zip")):
            if is_backup(path):
                found.setdefault(path.resolve(), path)
    return list(found.values())


def is_backup(path: Path) -> bool:
    """Whether a file is a zip with a ledger in the place where `labelgap backup` puts it."""
    try:
        with zipfile.ZipFile(path) as archive:
            return f"{HOME}/{LEDGER}" in archive.namelist()
    except (OSError, *_DAMAGE):  # a stranger's file says nothing about this project
        return False


def look_into(path: Path) -> Copy:
    """Read a snapshot, a ledger or a backup, changing nothing.

    Raises `StorageError` where the disk refuses, which says nothing of what the file is.
    """
    kind = _kind(path)
    inside = ""
    try:
        with unpacked(path) as parts:
            inside = f"{parts}/"
            if kind == "backup":
                sound_items(parts / ITEMS)
            return _read(parts / LEDGER if kind == "backup" else path, path, kind)
    except StorageError:
        raise
    except (LedgerError, FolderError) as error:
        when = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="microseconds")
        return Copy(path, kind, when, _named(error.cause, inside, path))


def _named(cause: str, inside: str, path: Path) -> str:
    """A trouble by the name of the backup, not by that of the folder where it was unpacked."""
    return cause.replace(inside, f"{path}: ") if inside else cause


def _kind(path: Path) -> Kind:
    if path.suffix == ".zip" or zipfile.is_zipfile(path):
        return "backup"
    if path.name == LEDGER:
        return "ledger"
    return "snapshot" if path.parent.name == "snapshots" else "kept aside"


def _read(ledger: Path, path: Path, kind: Kind) -> Copy:
    _sqlite.check(ledger)
    with Ledger.open(ledger, read_only=True) as opened:
        first = next(iter(opened.events()), None)
        last = list(opened.events(opened.seq - 1))
        known = opened.class_versions()
        meaning = known[-1][1] if known else None
        labels = opened.labels
        numbers = {i: y if meaning is None else meaning.number(y) for i, y in labels.items()}
        note = last[-1] if last and last[-1].kind == RESTORED else None
        return Copy(
            path,
            kind,
            last[-1].time if last else "",
            "",
            opened.seq,
            () if first is None else (first.time, first.kind, str(dict(first.data))),
            numbers,
            meaning,
            None if note is None else (note.data["from"], note.data["of"]),
        )


def sound_items(file: Path) -> list[str]:
    """The SHA-256 of every item, by id. Raises `FolderError` where the file is not whole."""
    try:
        with closing(_sqlite.readable(file)) as database:
            found = str(database.execute("PRAGMA quick_check(1)").fetchone()[0])
            if found != "ok":
                raise FolderError(f"{file} is damaged: {found}.")
            rows = database.execute("SELECT sha256 FROM items ORDER BY id").fetchall()
    except sqlite3.Error as error:
        raise FolderError(f"{file} is damaged or missing: {error}.") from error
    return [sha256 for (sha256,) in rows]


@contextmanager
def unpacked(path: Path, into: Path | None = None) -> Iterator[Path]:
    """A folder with the files of a backup, gone afterwards; of no backup, an empty one.

    into: the folder to make it in; default: the system's for temporary files.

    Raises `FolderError` for a zip that is damaged or is no backup.
    """
    with tempfile.TemporaryDirectory(dir=into, prefix=".restore-") as name:
        if _kind(path) == "backup":
            with told(path, "read"):
                _extract(path, Path(name), _MEMBERS)
        yield Path(name)


_MEMBERS = (LEDGER, ITEMS, "project.json")


def _extract(path: Path, folder: Path, members: Iterable[str]) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            for member in members:
                # By name, so that nothing of the archive lands anywhere else.
                with archive.open(f"{HOME}/{member}") as source, open(folder / member, "wb") as to:
                    while block := source.read(1 << 20):
                        to.write(block)
    except _DAMAGE as error:
        raise FolderError(
            f"{path} is damaged, or no backup of labelgap: {error}.", "Give another file."
        ) from error
