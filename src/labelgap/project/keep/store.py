"""A project on the disk: `FOLDER/.labelgap/`, found from anywhere below the folder."""

import re
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from labelgap.core.config import build
from labelgap.core.disk import told
from labelgap.core.errors import FolderError, InUse, LabelgapError
from labelgap.core.types import QueryItem
from labelgap.core.wording import shortened
from labelgap.data.progress import late_progress
from labelgap.data.scales import Scales
from labelgap.ledger.events import Event
from labelgap.ledger.ledger import LEDGER, Ledger
from labelgap.project.images import sources
from labelgap.project.images.found import Found
from labelgap.project.images.ingest import Report, ingest
from labelgap.project.images.items import Items
from labelgap.project.images.naming import Finder
from labelgap.project.images.pixels import Pixels
from labelgap.project.images.readers import Reader
from labelgap.project.images.scaling import choose_scales
from labelgap.project.keep.classes import after_change, agreed, repeated
from labelgap.project.keep.replacing import finish, pending
from labelgap.project.keep.settings import (
    HOME,
    ITEMS,
    SETTINGS,
    ProjectSettings,
    check_classes,
    field_names,
    normal,
    read_settings,
    refuse_changes,
    save_settings,
)

_SNAPSHOTS = 10
_HASH = re.compile(r"[0-9a-f]{8,64}")
_NEAR = 5  # paths that an error names
BESIDE = (
    "If that is `labelgap label`: its page asks for more images (the button “more images”), and "
    "Ctrl-C in its terminal ends it. Meanwhile status, predict, export and backup work."
)
_NAMES = "Give a path in the project's folder, or a file's name alone."
Mode = Literal["write", "read"]


class Project:
    """A folder of images, its items, its labels and what was trained on them.

    Open with `Project.open` or `Project.create`; use as a context manager. One writer at a time:
    the ledger's lock names its holder.
    """

    def __init__(self, root: Path, settings: ProjectSettings, mode: Mode) -> None:
        self.root, self.home = root, root / HOME
        self.settings, self.mode = settings, mode
        try:
            self.ledger = Ledger.open(self.home / LEDGER, read_only=mode == "read")
        except InUse as error:
            raise InUse(error.cause, BESIDE) from error
        try:
            self._agree_on_classes()
            self.items = Items(self.home / ITEMS, read_only=mode == "read")
        except BaseException:
            self.ledger.close()
            raise
        self.pixels = Pixels(self.home / "pixels.u8", settings.image_size, Scales(settings.scales))
        self.reader = Reader(root)

    # --------------------------------------------------------------------- opening, making

    @classmethod
    def open(cls, start: Path | str | None = None, mode: Mode = "write") -> "Project":
        """The project of a folder or of one of its parents.

        start: a folder that has a project itself; None: the current folder or the nearest
            parent that has one.

        Raises
        ------
        FolderError: there is no project, a part of it is missing, or it is of a newer version.
        LedgerError: another program writes in it (named).
        """
        root = find_root(Path.cwd()) if start is None else Path(start).expanduser()
        if root is None or not is_project(root):
            where = "here or above" if start is None else f"in {start}"
            raise FolderError(
                f"There is no labelling project {where}.",
                "Begin one with `labelgap init FOLDER`, or name its folder with --project.",
            )
        finish(root / HOME)
        settings = read_settings(root / HOME / SETTINGS)
        need_ledger(root)
        return cls(root.resolve(), settings, mode)

    @classmethod
    def create(
        cls, root: Path, settings: ProjectSettings, given: Collection[str] | None = None
    ) -> "Project":
        """Begin a project in a folder of images; repeating it with the same settings continues.

        given: the settings that somebody asked for; the others give way to those of a project
            that is there. None: all that are set.

        Raises `FolderError` where the folder has a project of other classes or settings.
        """
        finish(root / HOME)
        file = root / HOME / SETTINGS
        fresh = not file.is_file()
        if not fresh:
            known = read_settings(file)
            if known.classes != settings.classes:
                raise FolderError(
                    f"{root} has a project already, with the classes "
                    f"{', '.join(known.classes[:12])}.",
                    "Use it (`labelgap status`), add a class (`labelgap classes --add NAME`), or "
                    "move its folder .labelgap away.",
                )
            refuse_changes(file, known, settings, given)
            settings = known
        else:
            save_settings(file, settings)
        try:
            return cls(root.resolve(), settings, "write")
        except BaseException:
            if fresh:  # a network file system: nothing is begun
                file.unlink()
            raise

    def close(self) -> None:
        self.items.close()
        self.ledger.close()

    def __enter__(self) -> "Project":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # ----------------------------------------------------------------------------- items

    @property
    def classes(self) -> tuple[str, ...]:
        return self.settings.classes

    def _agree_on_classes(self) -> None:
        """Take the classes from the ledger, which knows what labels mean.

        Raises `FolderError` where the settings were edited (`agreed`).
        """
        file = self.home / SETTINGS
        names = agreed(self.ledger, self.classes, file, self.mode)
        if names != self.classes:
            self.settings = self.settings.model_copy(update={"classes": names})
            if self.mode == "write":
                save_settings(file, self.settings)

    def change_classes(self, what: str, names: Sequence[str], to: str | None = None) -> bool:
        """Add, rename, merge or remove classes (`Ledger.change_classes`): ids and labels stay.

        Networks must be trained again, except after a mere renaming. False, and nothing is
        written, where it is the last change already (a command that was killed and is repeated).

        Raises `ConfigError` for a name that is none or cannot be told from another; else as
        `Ledger.change_classes`.
        """
        names, to = [normal(name) for name in names], None if to is None else normal(to)
        if repeated(self.ledger, what, names, to):
            return False
        check_classes(after_change(self.ledger, what, names, to))
        # The ledger first: it is what counts, and the settings follow when next opened if this
        # process dies in between.
        self.ledger.change_classes(what, names, to)
        self._agree_on_classes()
        return True

    def undo_classes(self) -> Event:
        """Take back the last change of classes (`Ledger.undo_classes`)."""
        event = self.ledger.undo_classes()
        self._agree_on_classes()
        return event

    def look(self) -> sources.Places:
        """Every place where the project's images should be, and what lies beside them."""
        s = self.settings
        manifest = self.root / s.manifest if s.manifest else None
        return sources.look(self.root, s.source, manifest)

    def find(self) -> list[Found]:
        """Every place where the project's images should be."""
        return self.look().found

    def add(self, found: list[Found] | None = None) -> Report:
        """Take in what is new in the folder, and note what moved or vanished."""
        places = self.find() if found is None else found
        self._choose_scales(places)
        with late_progress("Reading images", len(places)) as advance:
            return ingest(places, self.items, self.pixels, self.reader, advance)

    def _choose_scales(self, found: list[Found]) -> None:
        """Before the first image of a kind is packed: once, since others are packed like it."""
        chosen = choose_scales(
            found, self.items, self.reader, self.pixels.scales, self.settings.scaling
        )
        if chosen != self.pixels.scales:
            self.change(scales=dict(chosen.ranges))
            self.pixels.scales = chosen

    def waiting(self) -> list[QueryItem]:
        """What was asked and has no answer yet, but for images whose pixels are lost: nobody can
        see them until their file is back."""
        lost = self.items.unpacked()
        return [item for item in self.ledger.outstanding() if item.id not in lost]

    def item_of(self, name: str, among: Collection[int] | None = None) -> int:
        """The item of a path, of a file's name or stem, or of the first 8 or more digits of its
        contents' SHA-256; never of a number of ours.

        among: the items that can be meant: of several that the name fits, the only one of them.

        Raises `LabelgapError` with the nearest paths, or with those that the name fits.
        """
        paths = self.items.paths()
        finder = Finder(self.root, paths)
        finder.learn([name])
        found = finder.find(name)
        if not found and _HASH.fullmatch(name):
            hashes = self.items.known_hashes()
            found = {item for digest, item in hashes.items() if digest.startswith(name)}
        if len(found) > 1 and among is not None:
            found = (found & set(among)) or found
        if len(found) == 1:
            return found.pop()
        if found:
            several = sorted(path for path, item in paths.items() if item in found)
            raise LabelgapError(
                f"{len(found)} images are meant by {name!r}: {shortened(several, _NEAR)}.",
                "Give more of the path.",
            )
        near = get_close_matches(name, paths, n=_NEAR, cutoff=0.5)
        if not near:
            last = {_last(path): path for path in paths}
            near = [last[n] for n in get_close_matches(_last(name), last, n=_NEAR, cutoff=0.5)]
        raise LabelgapError(
            f"No image of this project is named {name!r}.",
            f"Did you mean {shortened(near, _NEAR)}?" if near else _NAMES,
        )

    # -------------------------------------------------------------------------- settings

    def change(self, **values: Any) -> None:
        """Keep other settings from now on (never the image size; classes by `change_classes`)."""
        tree = self.settings.model_dump(by_alias=True) | values
        self.settings = build(ProjectSettings, field_names(tree), "project")
        save_settings(self.home / SETTINGS, self.settings)

    # ------------------------------------------------------------------------- snapshots

    def snapshot(self, name: str) -> Path:
        """A copy of the ledger in `.labelgap/snapshots`; the newest ten are kept."""
        folder = self.home / "snapshots"
        with told(folder, "made"):
            folder.mkdir(exist_ok=True)
        # After going back to an older state, what comes of the rounds until then is kept too.
        kept = self.ledger.snapshot(folder / f"{name}.sqlite", beside=True)
        for path in snapshots(self.home)[_SNAPSHOTS:]:
            path.unlink()
        return kept

    def last_note(self, kind: str) -> Event | None:
        notes = self.ledger.notes(kind)
        return notes[-1] if notes else None


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def snapshots(home: Path) -> list[Path]:
    """The ledger's snapshots, the newest first."""
    found = (home / "snapshots").glob("*.sqlite")
    return sorted(found, key=lambda p: p.stat().st_mtime_ns, reverse=True)


def find_root(start: Path) -> Path | None:
    """The nearest folder at or above `start` that has a project."""
    return next((folder for folder in (start, *start.parents) if is_project(folder)), None)


def is_project(root: Path) -> bool:
    """Whether a folder has a project, be it one that lost its settings or its ledger."""
    home = root / HOME
    return any((home / name).is_file() for name in (SETTINGS, LEDGER)) or pending(home)


def need_pixels(root: Path) -> bool:
    """Whether images of a project are not packed, as after a backup was put into a folder."""
    with Project.open(root, "read") as p:
        file, wanted = p.pixels.file, p.items.count() * p.pixels.row
        return wanted > (file.stat().st_size if file.exists() else 0)


def need_ledger(root: Path) -> None:
    """Raises `FolderError` for a project without its ledger; one must not be begun in its place."""
    if (root / HOME / LEDGER).exists():
        return
    if (root / HOME / ITEMS).exists():
        raise FolderError(
            f"{root / HOME / LEDGER} is missing, and with it the labels.",
            "`labelgap restore` takes the newest backup or snapshot; without any `labelgap init` "
            "with the same options begins a new one.",
        )
    raise FolderError(
        f"The project in {root} was begun and has no ledger yet.",
        "Run `labelgap init` again, with the same options.",
    )
