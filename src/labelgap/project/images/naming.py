"""From a name in somebody's table to a file of the folder: by its path, its name, its stem."""

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Generic, TypeVar
from urllib.parse import unquote

from labelgap.core.errors import DataError
from labelgap.project.images.found import SUFFIXES, Unreadable
from labelgap.project.images.tables import fused

T = TypeVar("T")

_ABSOLUTE = re.compile(r"[A-Za-z]:[\\/]|[\\/]|[A-Za-z][A-Za-z0-9+.-]+://")
_LOCAL_FILES = re.compile(r".*/data/local-files/\?d=(.+)")
_UPLOADED = re.compile(r"[0-9a-f]{8}-(.+)")  # what Label Studio puts before a file's name


def relative(root: Path, path: str) -> str:
    """A path of a table, relative to the folder; absolute ones inside it are accepted.

    Raises `Unreadable` for one that leads out of the folder.
    """
    given = Path(path)
    if given.is_absolute():
        for base in (root, root.resolve()):
            if given.is_relative_to(base):
                return given.relative_to(base).as_posix()
        raise Unreadable("outside the folder")
    plain = os.path.normpath(path).replace(os.sep, "/")
    if plain == ".." or plain.startswith("../"):
        raise Unreadable("outside the folder")
    return plain


class Finder(Generic[T]):
    """Finds what a name of a table means among the paths of a folder.

    The first of these that fits decides: the path itself; the same trimmed, with slashes of
    either kind, in either form of Unicode, in small or large letters; the end of one path; the
    same without a suffix. A number is a name like any other, and no place in a list. Absolute
    paths of another machine are taken from where they begin to be paths of this folder, and all
    from there: `learn` says so.
    """

    def __init__(self, root: Path, paths: Mapping[str, T], spreadsheet: bool = False) -> None:
        self.root, self.paths, self.spreadsheet = root, paths, spreadsheet
        self._foreign: tuple[str, ...] | None = None

    # Made when a name is no path: most tables name paths, and a million of them fill gigabytes.

    @cached_property
    def _full(self) -> dict[str, set[T]]:
        return _gathered((_key(path), what) for path, what in self.paths.items())

    @cached_property
    def _ends(self) -> dict[str, set[T]]:
        return _gathered(
            (end, what) for path, what in self.paths.items() for end in _ends_of(_key(path))
        )

    @cached_property
    def _stems(self) -> dict[str, set[T]]:
        return _gathered(
            (end, what) for path, what in self.paths.items() for end in _ends_of(_stem(_key(path)))
        )

    def learn(self, names: Iterable[str]) -> str:
        """Find out what absolute paths of elsewhere begin with; a word about it, "" without any.

        Raises `DataError` where they are of several folders: which is this one is not known.
        """
        # On Linux a file here may itself be called "A:\b.png".
        elsewhere = (n.strip() for n in names if self.paths.keys().isdisjoint((n, n.strip())))
        begins = {b for name in elsewhere for b in [self._beginning(name)] if b is not None}
        if len(begins) > 1:
            some = " and ".join(sorted("/".join(begin) for begin in begins)[:2])
            raise DataError(
                f"Paths of several folders, {some}, are names of files here: which of them is "
                f"{self.root} is not known.",
                "Write paths relative to the folder.",
            )
        if not begins:
            return ""
        self._foreign = begins.pop()
        return f"paths that begin with {'/'.join(self._foreign)} are taken for this folder's"

    def find(self, name: str) -> set[T]:
        """What a name means: nothing, one thing, or several where it is not clear."""
        readings = dict.fromkeys((fused(name), name)) if self.spreadsheet else {name: None}
        for look in (self._itself, self._alike, self._ending, self._uploaded):
            if found := {what for reading in readings for what in look(reading)}:
                return found
        return set()

    # ------------------------------------------------------------------- from near to far

    def _itself(self, name: str) -> set[T]:
        if name in self.paths:
            return {self.paths[name]}
        try:
            plain = relative(self.root, name)
        except (Unreadable, ValueError):
            return set()
        return {self.paths[plain]} if plain in self.paths else set()

    def _alike(self, name: str) -> set[T]:
        plain = self._plain(name)
        return self._full.get(plain, set()) if plain else set()

    def _ending(self, name: str) -> set[T]:
        plain = self._plain(name)
        if not plain:
            return set()
        if found := self._ends.get(plain):
            return found
        if _stem(plain) == plain and (found := self._stems.get(plain)):
            return found
        # "train/1.png" in the folder "train".
        parts, here = plain.split("/"), [_key(part) for part in self.root.resolve().parts]
        for k in range(1, len(parts)):
            if parts[:k] == here[-k:]:
                return self._full.get("/".join(parts[k:]), set())
        return set()

    def _uploaded(self, name: str) -> set[T]:
        plain = self._plain(name) or ""
        match = _UPLOADED.fullmatch(plain.rpartition("/")[2])
        return self._ends.get(match[1], set()) if match else set()

    # ---------------------------------------------------------------------------- absolute

    def _plain(self, name: str) -> str | None:
        """A path as it is compared; None where it leads out of the folder."""
        name = name.strip()
        if local := _LOCAL_FILES.fullmatch(name):
            name = unquote(local[1])
        elif _ABSOLUTE.match(name):
            parts = _parts(name)
            n = len(self._foreign or ())
            if self._foreign is None or parts[:n] != self._foreign:
                return None
            name = "/".join(parts[n:])
        plain = os.path.normpath(_key(name)).replace(os.sep, "/")
        return None if plain in (".", "..") or plain.startswith("../") else plain

    def _beginning(self, name: str) -> tuple[str, ...] | None:
        """The folders before what is a path here; None for other names.

        Not of a file that is there: then it is another file of this machine.
        """
        if not _ABSOLUTE.match(name) or _LOCAL_FILES.fullmatch(name) or os.path.exists(name):
            return None
        parts = _parts(name)
        for k in range(1, len(parts)):
            if _key("/".join(parts[k:])) in self._full:
                return parts[:k]
        last = _key(parts[-1])
        uploaded = _UPLOADED.fullmatch(last)
        known = last in self._ends or (uploaded is not None and uploaded[1] in self._ends)
        return parts[:-1] if known else None


def _gathered(pairs: Iterable[tuple[str, T]]) -> dict[str, set[T]]:
    found: dict[str, set[T]] = {}
    for key, what in pairs:
        found.setdefault(key, set()).add(what)
    return found


def _ends_of(path: str) -> Iterator[str]:
    """ "a/b/c", "b/c", "c"."""
    while path:
        yield path
        path = path.partition("/")[2]


def _parts(name: str) -> tuple[str, ...]:
    """Of an absolute path or an address, which may have been quoted."""
    scheme, mark, rest = name.partition("://")
    if mark:
        name = f"{scheme}:/{unquote(rest.partition('?')[0])}"
    return tuple(name.replace("\\", "/").split("/"))


def _key(path: str) -> str:
    return unicodedata.normalize("NFC", path.replace("\\", "/")).casefold()


def _stem(name: str) -> str:
    return name[: -len(suffix)] if (suffix := PurePosixPath(name).suffix) in SUFFIXES else name
