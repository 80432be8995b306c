"""A copy of the labels in the ledger's place; what lay there is kept aside."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from labelgap.core.disk import told
from labelgap.core.errors import FolderError
from labelgap.core.files import rename_durably
from labelgap.core.lock import WriterLock
from labelgap.core.wording import counted
from labelgap.ledger import file as _sqlite
from labelgap.ledger.ledger import LEDGER, Ledger
from labelgap.project.keep.found_copies import (
    RESTORED,
    Copy,
    copies,
    current,
    look_into,
    sound_items,
    unpacked,
)
from labelgap.project.keep.replacing import clear, finish, replace_all, staging
from labelgap.project.keep.settings import HOME, ITEMS, SETTINGS, read_settings, save_settings


@dataclass(frozen=True)
class Restored:
    """What was put in the ledger's place.

    Attributes
    ----------
    aside: where the ledger is now that lay there; None where there was none.
    labels: how many the restored ledger has.
    left_out: labels of the newest other copy that it does not have.
    dropped: classes that the project had and the copy has not.
    parts: the files that were put in place; none where this copy was restored already.
    """

    snapshot: Path
    aside: Path | None
    labels: int
    left_out: int
    dropped: tuple[str, ...]
    parts: tuple[str, ...]


def restore(root: Path, file: Path | None = None, *, yes: bool = False) -> Restored:
    """Put a copy of the labels in the ledger's place: a snapshot, or a backup with its items.

    Parameters
    ----------
    root: the folder of the images; it may have no project yet, then a backup is wanted.
    file: the copy to take; None: the newest sound one of `copies`.
    yes: take it also where labels would be left out. A file that is named needs no yes.

    All files take their places together, also if this process is killed on the way: whoever
    opens the project next finishes it. The restored ledger has one event more, which says what
    it was restored from.

    Raises
    ------
    FolderError: there is no sound copy; labels would be left out and nobody said yes; the copy
        is of another project.
    LedgerError: a program uses the project; the disk refuses.
    """
    home = root / HOME
    finish(home)
    had = current(home)
    known = copies(root)
    broken = _broken_items(home)
    chosen = _named(file, home) if file is not None else _newest(known, root, had, broken)
    _same_project(chosen, known, had, home)
    newer = max((c for c in (*known, *([had] if had else ())) if c.sound),
                key=lambda c: c.age, default=chosen)  # fmt: skip
    left_out = chosen.left_out(newer)
    if had and had.sound and had.restored == (chosen.path.name, chosen.time) and not broken:
        # A command that was killed when all was done, and is repeated.
        clear(home)
        return Restored(chosen.path, None, len(had.labels), left_out, (), ())
    if left_out and file is None and not yes:
        raise FolderError(
            f"{chosen.path} does not have {counted(left_out, 'label')} that {newer.path} has.",
            "To go back to it all the same: `labelgap restore --yes`. To take another copy: "
            "`labelgap restore FILE`; `labelgap restore --list` shows them all.",
        )
    with told(home, "made"):
        home.mkdir(exist_ok=True)
    lock = WriterLock(home / LEDGER)
    try:
        return _put(home, chosen, left_out, broken)
    finally:
        lock.release()


def _newest(known: Sequence[Copy], root: Path, had: Copy | None, broken: str) -> Copy:
    """The newest sound copy; one with items where the folder's own are not whole."""
    sound = [c for c in known if c.sound and (not broken or c.kind == "backup")]
    if not sound:
        bad = "; ".join(c.problem.rstrip(".") for c in known[:3] if not c.sound)
        what = "sound backup with the list of the images" if broken else "sound snapshot or backup"
        raise FolderError(
            f"There is no {what} in {root / HOME}, in {root} or beside it"
            + (f" ({bad})." if bad else "."),
            "Give one: `labelgap restore FILE`, a .zip of `labelgap backup` or a ledger.sqlite.",
        )
    projects = {c.project for c in sound}
    if len(projects) > 1 and had is None:
        raise FolderError(
            "The backups here are of several projects: "
            f"{', '.join(str(c.path) for c in sound[:8])}.",
            "Say which: `labelgap restore FILE`.",
        )
    return sound[0]


def _named(file: Path, home: Path) -> Copy:
    if not file.is_file():
        raise FolderError(f"{file} is not a file.", "Give a .zip of `labelgap backup`, or a "
                          "snapshot; `labelgap restore --list` shows them.")  # fmt: skip
    if file.resolve() == (home / LEDGER).resolve():
        raise FolderError(f"{file} is the ledger itself.", "Give a snapshot or a backup of it.")
    found = look_into(file)
    if not found.sound:
        raise FolderError(found.problem, "`labelgap restore --list` shows which copies are sound.")
    return found


def _broken_items(home: Path) -> str:
    """What is wrong with the list of the images; "" where it is whole."""
    try:
        sound_items(home / ITEMS)
    except FolderError as error:
        return error.cause
    return ""


def _same_project(chosen: Copy, known: Sequence[Copy], had: Copy | None, home: Path) -> None:
    """Raises `FolderError` for a copy of another project: its items are other images."""
    inside = [c for c in known if c.sound and home in c.path.parents and c.path != chosen.path]
    here = {c.project for c in (*inside, *([had] if had and had.sound else ()))}
    if not here or chosen.project in here:
        return
    names = chosen.meaning.names if chosen.meaning else None
    try:
        ours = read_settings(home / SETTINGS).classes
    except FolderError:
        ours = ()
    raise FolderError(
        f"{chosen.path} has the classes {', '.join(names or ('(not named)',))}; the project has "
        f"{', '.join(ours)}, and was begun at another time: it is another project's.",
        "Give a snapshot or a backup of this project.",
    )


def _put(home: Path, chosen: Copy, left_out: int, broken: str) -> Restored:
    """Make everything ready, then put it in place."""
    ready = staging(home)
    put = [LEDGER]
    with unpacked(chosen.path, ready) as parts:
        backup = chosen.kind == "backup"
        ledger = parts / LEDGER if backup else chosen.path
        with _sqlite.named_errors(ledger, "read"), closing(_sqlite.readable(ledger)) as database:
            _sqlite.copy(database, ready / LEDGER)
        if backup and _wants_items(home, parts, broken, chosen):
            rename_durably(parts / ITEMS, ready / ITEMS)
            put.append(ITEMS)
        theirs = read_settings(parts / SETTINGS) if backup else None
        try:
            before = settings = read_settings(home / SETTINGS)
        except FolderError:
            if theirs is None:
                raise
            before, settings = None, theirs
        if theirs is not None and ITEMS in put:  # how its images are to be packed again
            scales = {**settings.scales, **theirs.scales}
            settings = settings.model_copy(update={"scales": scales})
    with Ledger.open(ready / LEDGER) as copy:
        copy.note(RESTORED, {"from": chosen.path.name, "of": chosen.time, "left_out": left_out})
        names = (copy.classes or {}).get("names")
        labels = len(copy.labels)
    settings = settings.model_copy(update={"classes": tuple(names or settings.classes)})
    if settings != before:
        save_settings(ready / SETTINGS, settings)
        put.append(SETTINGS)
    aside = replace_all(home, put)
    had = () if before is None else before.classes
    dropped = tuple(name for name in had if name not in settings.classes)
    return Restored(chosen.path, aside.get(LEDGER), labels, left_out, dropped, tuple(put))


def _wants_items(home: Path, parts: Path, broken: str, chosen: Copy) -> bool:
    """Whether the backup's list of the images is to be put in place: the folder's own goes on
    where it begins with all of them.

    Raises `FolderError` where the two are of other images: a label would be of another one.
    """
    if broken:
        return True
    ours, theirs = sound_items(home / ITEMS), sound_items(parts / ITEMS)
    if ours[: len(theirs)] == theirs:
        return False
    if theirs[: len(ours)] == ours:
        return True
    raise FolderError(
        f"{chosen.path} is of other images than {home / ITEMS}.",
        "Give a backup of this project; or restore it in an empty folder.",
    )
