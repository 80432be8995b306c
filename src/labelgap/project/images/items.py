"""The items of a project: id ↔ content ↔ path, in the project's own SQLite file.

An item is a content (SHA-256 of the file's bytes), not a path: identical files are one item, and
a file that moves keeps its item. Ids are rows of the packed pixels, given in order, never reused
and never removed. A file that cannot be an item is kept too, with the reason.
"""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from labelgap.core.errors import DataError
from labelgap.ledger.file import connect, named_errors, readable

Status = Literal["ok", "quarantined", "missing"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS items (
    id INTEGER PRIMARY KEY,
    sha256 TEXT NOT NULL UNIQUE,
    width INTEGER NOT NULL,
    height INTEGER NOT NULL,
    added TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY,
    status TEXT NOT NULL,
    item INTEGER REFERENCES items (id),
    reason TEXT NOT NULL DEFAULT '',
    detail TEXT NOT NULL DEFAULT '',
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS files_item ON files (item);
CREATE TABLE IF NOT EXISTS former (
    item INTEGER PRIMARY KEY REFERENCES items (id),
    path TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS unpacked (
    item INTEGER PRIMARY KEY REFERENCES items (id)
);
CREATE TRIGGER IF NOT EXISTS items_never_change BEFORE UPDATE ON items
    BEGIN SELECT RAISE(ABORT, 'items are for ever'); END;
CREATE TRIGGER IF NOT EXISTS items_never_go BEFORE DELETE ON items
    BEGIN SELECT RAISE(ABORT, 'items are for ever'); END;
"""
_VERSION = 1
"""Still 1 with the tables `former` and `unpacked`: programs that do not know them can go on."""


@dataclass(frozen=True)
class Item:
    """One content. `path` is a present file that has it, else one that went with it, else the
    last one that was given other contents; "" if that was before such paths were kept."""

    id: int
    sha256: str
    width: int
    height: int
    path: str
    present: bool

    def has_content(self, data: bytes) -> bool:
        """Whether these bytes of a file are this item, and not what replaced it."""
        return hashlib.sha256(data).hexdigest() == self.sha256


@dataclass(frozen=True)
class File:
    """One file that was seen: an item's, a quarantined one (with the reason), or gone."""

    path: str
    status: Status
    item: int | None
    reason: str
    detail: str
    size: int
    mtime_ns: int


class Items:
    """The tables of items and files. Raises `StorageError` where the disk refuses."""

    def __init__(self, file: Path, *, read_only: bool = False) -> None:
        self.file = file
        if read_only and not file.exists():
            raise DataError(f"{file} is missing.", "Run `labelgap doctor`, or restore a backup.")
        with named_errors(file, "opened"):
            # One connection for all threads of a server; SQLite serialises its calls.
            self._database = readable(file) if read_only else connect(file, create=True)
            version = int(self._database.execute("PRAGMA user_version").fetchone()[0])
            if version > _VERSION:
                raise DataError(f"{file} is of a newer version.", "Update labelgap.")
            if not read_only:
                self._database.executescript(_SCHEMA)
                self._database.execute(f"PRAGMA user_version={_VERSION}")

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction, all of it or nothing."""
        with named_errors(self.file, "written"):
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    # ------------------------------------------------------------------ writing (in `writing`)

    def add(self, id: int, sha256: str, width: int, height: int) -> None:
        """A new item; its id must be the next one."""
        if id != self.count():
            raise DataError(f"Item {id} cannot follow {self.count()} items.")
        added = datetime.now(UTC).isoformat(timespec="seconds")
        self._database.execute(
            "INSERT INTO items VALUES (?, ?, ?, ?, ?)", (id, sha256, width, height, added)
        )

    def put(self, file: File) -> None:
        """What a file is now; replaces what was known of its path.

        An item whose file has other contents now keeps the path as its last one.
        """
        self._database.execute(
            "INSERT OR REPLACE INTO former SELECT item, path FROM files"
            " WHERE path = ? AND item IS NOT NULL AND item IS NOT ?",
            (file.path, file.item),
        )
        self._database.execute(
            "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)",
            (file.path, file.status, file.item, file.reason, file.detail, file.size, file.mtime_ns),
        )

    def mark_missing(self, paths: Iterable[str]) -> None:
        self._database.executemany(
            "UPDATE files SET status = 'missing' WHERE path = ?", [(p,) for p in paths]
        )

    def mark_unpacked(self, ids: Iterable[int]) -> None:
        """Their row of pixels is blank: they were packed anew while their file was gone."""
        self._database.executemany("INSERT OR IGNORE INTO unpacked VALUES (?)", [(i,) for i in ids])

    def mark_packed(self, ids: Iterable[int]) -> None:
        self._database.executemany("DELETE FROM unpacked WHERE item = ?", [(i,) for i in ids])

    # ------------------------------------------------------------------------------- reading

    def _read(self, question: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """All rows of an answer; what SQLite or the disk refuses is named."""
        with named_errors(self.file, "read"):
            return self._database.execute(question, values).fetchall()

    def count(self) -> int:
        return int(self._read("SELECT count(*) FROM items")[0][0])

    def known_hashes(self) -> dict[str, int]:
        return dict(self._read("SELECT sha256, id FROM items"))

    def files(self, status: Status | None = None) -> list[File]:
        """Every file ever seen, by path; or those of one status."""
        where, values = ("WHERE status = ?", (status,)) if status else ("", ())
        rows = self._read(
            "SELECT path, status, item, reason, detail, size, mtime_ns FROM files"
            f" {where} ORDER BY path",
            values,
        )
        return [File(*row) for row in rows]

    def paths(self) -> dict[str, int]:
        """Path -> item, of all files that are an item or were one when they went."""
        rows = self._read("SELECT path, item FROM files WHERE item IS NOT NULL")
        return {str(path): int(item) for path, item in rows}

    def replaced(self) -> set[int]:
        """Items that no file has, or had when it went: another item is at their last path.

        So that path says nothing of them: whoever reads it finds other contents.
        """
        now = self.paths()
        kept = set(now.values())
        lost = [item for item in self.all() if item.id not in kept]
        return {item.id for item in lost if not item.path or item.path in now}

    def get(self, id: int) -> Item:
        """One item. Raises `DataError` for an id that no item has."""
        rows = []
        if 0 <= id < 1 << 62:  # SQLite's integers end soon after
            rows = self._read("SELECT id, sha256, width, height FROM items WHERE id = ?", (id,))
        if not rows:
            raise DataError(f"There is no item {id}.", f"Ids are 0 … {self.count() - 1}.")
        return _item(rows[0], self._place(id))

    def _place(self, id: int) -> tuple[str, bool]:
        rows = self._read(
            "SELECT path, status FROM files WHERE item = ?"
            " ORDER BY status = 'ok' DESC, path LIMIT 1",
            (id,),
        )
        return (rows[0][0], rows[0][1] == "ok") if rows else (self._former().get(id, ""), False)

    def _former(self) -> dict[int, str]:
        """Item -> its last path that has other contents now."""
        return dict(self._rows("former", "item, path"))

    def unpacked(self) -> frozenset[int]:
        """Items without pixels: nobody can see them or learn from them until their file is back."""
        return frozenset(id for (id,) in self._rows("unpacked", "item"))

    def _rows(self, table: str, columns: str) -> list[Any]:
        # A project that was only read since it was made by an older version has no such table.
        if not self._read("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)):
            return []
        return self._read(f"SELECT {columns} FROM {table}")

    def all(self) -> list[Item]:
        """All items by id, each with its path."""
        places: dict[int, tuple[str, bool]] = {}
        for file in self.files():
            if file.item is not None:
                present = file.status == "ok"
                if file.item not in places or (present and not places[file.item][1]):
                    places[file.item] = (file.path, present)
        former = self._former()
        rows = self._read("SELECT id, sha256, width, height FROM items ORDER BY id")
        return [_item(r, places.get(r[0]) or (former.get(r[0], ""), False)) for r in rows]

    def check(self) -> str:
        """ "ok", or what SQLite finds wrong with the file."""
        with named_errors(self.file, "checked"):
            return str(self._database.execute("PRAGMA quick_check(1)").fetchone()[0])

    def copy(self, path: Path) -> None:
        """A consistent copy of the file."""
        with named_errors(path, "written"):
            target = sqlite3.connect(path)
            try:
                self._database.backup(target)
            finally:
                target.close()


def _item(row: tuple[int, str, int, int], place: tuple[str, bool]) -> Item:
    id, sha256, width, height = row
    return Item(id, sha256, width, height, *place)
