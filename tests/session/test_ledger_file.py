"""The ledger's file: what it is made of, what its copies leave behind, what its errors advise."""

import errno
import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from labelgap.core.disk import FULL
from labelgap.core.errors import DiskError, LedgerError, StorageError
from labelgap.core.lock import WriterLock
from labelgap.ledger import file as _sqlite
from labelgap.ledger import log as log_module
from labelgap.ledger.ledger import LEDGER, Ledger
from labelgap.ledger.log import Log

PAGE = 4096


def begun(path: Path, labels: int = 2) -> Path:
    """A closed ledger with some labels."""
    with Ledger.open(path) as ledger:
        ledger.set_classes(3)
        ledger.answers({id: id % 3 for id in range(labels)})
    return path


def names(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir()}


def setting(ledger: Log, pragma: str) -> object:
    database = ledger._database
    assert database is not None
    return database.execute(f"PRAGMA {pragma}").fetchone()[0]


# ---------------------------------------------------------------------- what it is


def test_the_file_says_what_it_is_to_every_later_version(tmp_path: Path) -> None:
    """Name and bytes are those of every ledger that people have: they may not change."""
    head = begun(tmp_path / LEDGER).read_bytes()[:100]
    assert names(tmp_path) == {"ledger.sqlite", "ledger.sqlite.lock"}
    assert head[68:72] == b"lgap"
    assert int.from_bytes(head[60:64]) == 1


def test_another_programs_transaction_is_waited_for(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        assert setting(ledger, "busy_timeout") == 1000 * _sqlite.TIMEOUT >= 5000


def test_a_ledger_in_memory_is_for_all_threads() -> None:
    errors: list[BaseException] = []

    def answer(ledger: Ledger) -> None:
        try:
            ledger.answer(1, 2)
        except BaseException as error:  # noqa: BLE001  (handed to the main thread)
            errors.append(error)

    with Ledger.open() as ledger:
        ledger.set_classes(3)
        thread = threading.Thread(target=answer, args=(ledger,))
        thread.start()
        thread.join()
        assert errors == []
        assert ledger.labels == {1: 2}


def test_a_reader_that_came_first_sees_a_later_writer(tmp_path: Path) -> None:
    path = begun(tmp_path / "ledger.sqlite")
    with Ledger.open(path, read_only=True) as reader:
        assert reader.labels == {0: 0, 1: 1}
        with Ledger.open(path) as writer:
            writer.answer(7, 2)
            assert reader.labels == {0: 0, 1: 1, 7: 2}


def test_on_a_medium_that_takes_no_file_only_the_ledger_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = begun(tmp_path / "ledger.sqlite")
    (tmp_path / "ledger.sqlite.lock").unlink()
    monkeypatch.setattr(os, "access", lambda *_: False)
    for _ in range(2):
        with Ledger.open(path, read_only=True) as reader:
            assert reader.labels == {0: 0, 1: 1}
            assert names(tmp_path) == {"ledger.sqlite"}
    # A log beside it holds what the file does not: then that is read too.
    with Ledger.open(path) as writer:
        writer.answer(7, 2)
        with Ledger.open(path, read_only=True) as reader:
            assert reader.labels == {0: 0, 1: 1, 7: 2}


def test_a_path_may_have_any_signs(tmp_path: Path) -> None:
    folder = tmp_path / "a ?mode=ro&#%20é"
    folder.mkdir()
    path = begun(folder / "my %41?.sqlite")
    with Ledger.open(path, read_only=True) as reader:
        assert reader.labels == {0: 0, 1: 1}
    assert names(folder) <= {f"my %41?.sqlite{end}" for end in ("", ".lock", "-wal", "-shm")}


def test_a_ledger_of_a_network_file_system_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = begun(tmp_path / "ledger.sqlite")
    monkeypatch.setattr(log_module, "network_file_system", lambda path: "nfs4")
    with Ledger.open(path, read_only=True) as reader:
        assert reader.labels == {0: 0, 1: 1}


# ---------------------------------------------------------------------- beginning


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_a_log_that_may_hold_labels_is_kept_and_an_empty_one_is_no_log(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / "ledger.sqlite"
    log = tmp_path / f"ledger.sqlite{suffix}"
    log.write_bytes(b"x")
    with pytest.raises(LedgerError, match=rf"its log ledger\.sqlite{suffix} is there"):
        Ledger.open(path)
    assert log.read_bytes() == b"x"
    assert not path.exists()
    log.write_bytes(b"")
    with Ledger.open(path) as ledger:
        assert ledger.seq == 0


def test_what_is_not_there_yet_is_made_under_the_lock_also_without_asking_for_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger.sqlite"
    held = WriterLock(path)
    with pytest.raises(LedgerError, match="in use by this process"):
        Ledger.open(path, lock=False)
    assert not path.exists()
    held.release()
    with Ledger.open(path, lock=False), Ledger.open(path) as second:  # its lock is free again
        second.set_classes(3)
    with Ledger.open(path), Ledger.open(path, lock=False) as beside:
        assert beside.classes == {"num_classes": 3, "none_of_these": False}


def test_a_ledger_is_pending_until_it_is_there_and_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.sqlite"
    assert _sqlite.pending(path)
    begun(path)
    assert not _sqlite.pending(path)
    monkeypatch.setattr(_sqlite, "MIGRATIONS", (*_sqlite.MIGRATIONS, "CREATE TABLE t (x);"))
    assert _sqlite.pending(path)


def test_all_steps_that_are_missing_are_taken_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = begun(tmp_path / "ledger.sqlite")
    steps = ("CREATE TABLE a (x);", "ALTER TABLE a RENAME TO b;", "INSERT INTO b VALUES (7);")
    monkeypatch.setattr(_sqlite, "MIGRATIONS", (*_sqlite.MIGRATIONS, *steps))
    for opened in (path, tmp_path / "new.sqlite"):  # an old one, and one that begins
        with Ledger.open(opened) as ledger:
            database = ledger._database
            assert database is not None
            assert database.execute("SELECT x FROM b").fetchall() == [(7,)]
            assert _sqlite.version_of(database) == len(_sqlite.MIGRATIONS)
    with Ledger.open(path, read_only=True) as ledger:
        assert ledger.labels == {0: 0, 1: 1}
    assert (tmp_path / "ledger.v1.sqlite").exists()
    assert not (tmp_path / "new.v1.sqlite").exists()


# ---------------------------------------------------------------------- checked


@pytest.mark.parametrize("lost", [1, 512, PAGE - 512])
def test_a_last_page_that_is_cut_anywhere_is_found(tmp_path: Path, lost: int) -> None:
    path = begun(tmp_path / "ledger.sqlite")
    whole = path.read_bytes()
    assert len(whole) % PAGE == 0
    path.write_bytes(whole[:-lost])
    with pytest.raises(LedgerError, match="its last page is cut"):
        Ledger.open(path)
    # With a log beside it the rest may be in there: then SQLite is the judge.
    (tmp_path / "ledger.sqlite-wal").write_bytes(b"")
    said = ""
    try:
        _sqlite.check(path)
    except LedgerError as error:
        said = error.cause
    assert "its last page is cut" not in said


def test_a_file_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = begun(tmp_path / "ledger.sqlite")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(DiskError) as caught:
        _sqlite.check(path)
    assert caught.value.cause == f"{path} could not be read: permission denied."


def test_a_check_tells_the_version(tmp_path: Path) -> None:
    path = begun(tmp_path / "ledger.sqlite")
    before = path.read_bytes()
    assert _sqlite.check(path) == len(_sqlite.MIGRATIONS)
    assert path.read_bytes() == before


# ---------------------------------------------------------------------- copies


def test_a_copy_takes_a_free_name_beside_a_stranger(tmp_path: Path) -> None:
    stranger = tmp_path / "copy.sqlite"
    stranger.write_text("mine")
    with Ledger.open() as ledger:
        ledger.set_classes(3)
        for number in (2, 3):
            made = ledger.snapshot(stranger, beside=True)
            assert made == tmp_path / f"copy-{number}.sqlite"
            made.write_text("a stranger too")
        assert ledger.snapshot(tmp_path / "new.sqlite", beside=True).name == "new.sqlite"
        with pytest.raises(LedgerError, match="not an older snapshot") as caught:
            ledger.snapshot(stranger)
        assert str(stranger) in caught.value.cause
    assert stranger.read_text() == "mine"


def test_a_copy_is_one_file_that_any_program_can_read(tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir()
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        ledger.set_classes(3)
        for label in (1, 2):  # the second replaces the first
            ledger.answer(5, label)
            copy = ledger.snapshot(tmp_path / "copies" / "copy.sqlite")
            assert names(copy.parent) == {"copy.sqlite"}
            assert copy.read_bytes()[18:20] == b"\x01\x01"  # no write-ahead log
    with closing(sqlite3.connect(copy)) as database:
        rows = database.execute("SELECT label FROM events WHERE id = 5 ORDER BY seq")
        assert rows.fetchall() == [(1,), (2,)]


def test_an_empty_ledgers_copy_is_replaced_by_a_fuller_one(tmp_path: Path) -> None:
    with Ledger.open() as ledger:
        copy = ledger.snapshot(tmp_path / "copy.sqlite")
        ledger.set_classes(3)
        assert ledger.snapshot(copy) == copy
    with Ledger.open(copy, read_only=True) as again:
        assert again.seq == 1


def test_names_are_free_in_their_order_and_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.sqlite"
    found = []
    for _ in range(3):
        found.append(_sqlite.unused(path).name)
        (tmp_path / found[-1]).touch()
    assert found == ["a.sqlite", "a-2.sqlite", "a-3.sqlite"]
    assert _sqlite.unused(path, ".v1").name == "a.v1.sqlite"
    seen: list[str] = []

    def taken(self: Path) -> bool:
        seen.append(self.name)
        return len(seen) < 9_999

    monkeypatch.setattr(Path, "exists", taken)
    assert _sqlite.unused(path).name == "a-9999.sqlite"
    seen.clear()
    monkeypatch.setattr(Path, "exists", lambda self: not seen.append(self.name))
    with pytest.raises(LedgerError, match="Ten thousand"):
        _sqlite.unused(path)
    assert seen[0] == "a.sqlite"
    assert seen[-1] == "a-9999.sqlite"


def test_what_a_killed_writer_left_is_in_nobodys_way(tmp_path: Path) -> None:
    target = tmp_path / "copy.sqlite"
    temporary = f".copy.sqlite.{os.getpid()}.tmp"
    for suffix in ("", "-journal", "-wal", "-shm"):
        (tmp_path / f"{temporary}{suffix}").write_bytes(b"half of something" * 100)
    with Ledger.open() as ledger:
        ledger.set_classes(3)
        ledger.snapshot(target)
    assert names(tmp_path) == {"copy.sqlite"}
    with Ledger.open(target, read_only=True) as copy:
        assert copy.seq == 1
    left = [tmp_path / f"{temporary}{suffix}" for suffix in ("", "-journal", "-wal", "-shm")]
    for file in left:
        file.touch()
    with _sqlite.replacing(target) as new:
        assert new == left[0]
        assert not any(file.exists() for file in left)
        new.touch()


def test_a_copy_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        done.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        fsync(descriptor)

    def renamed(old: Path, new: Path) -> None:
        done.append("rename")
        replace(old, new)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    with _sqlite.replacing(tmp_path / "file") as new:
        assert new.parent == tmp_path
        new.write_bytes(b"content")
        assert not (tmp_path / "file").exists()
    assert done == ["file", "rename", "folder"]
    assert (tmp_path / "file").read_bytes() == b"content"


# ---------------------------------------------------------------------- advice


def failing(error: Exception, path: Path | None = Path("x.sqlite")) -> StorageError:
    with pytest.raises(StorageError) as caught, _sqlite.named_errors(path, "written"):
        raise error
    return caught.value


def numbered(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("so it is")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "cure"),
    [
        (sqlite3.SQLITE_BUSY, "Another program is writing or reading; close it and try again."),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, "Another program is writing or reading; close it and"),
        (sqlite3.SQLITE_LOCKED, "Another program is writing or reading; close it and try again."),
        (sqlite3.SQLITE_CORRUPT, "Restore a snapshot."),
        (sqlite3.SQLITE_CORRUPT_INDEX, "Restore a snapshot."),
        (sqlite3.SQLITE_NOTADB, "Restore a snapshot."),
        (sqlite3.SQLITE_ERROR, "Check the disk and the folder; what was stored before is safe."),
        (0, "Check the disk and the folder; what was stored before is safe."),
    ],
)
def test_the_cure_is_that_of_the_databases_number(code: int, cure: str) -> None:
    error = failing(numbered(code))
    assert error.cause == "x.sqlite could not be written: so it is."
    assert error.cure.startswith(cure)
    assert not isinstance(error, DiskError)
    plain = failing(sqlite3.ProgrammingError("it is closed"), None)
    assert plain.cause == "The ledger in memory could not be written: it is closed."
    assert plain.cure.startswith("Check the disk and the folder")


def test_the_place_is_asked_where_the_database_does_not_say_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = SimpleNamespace(f_flag=0, f_bavail=0, f_frsize=4096, f_files=0, f_favail=0)
    monkeypatch.setattr(os, "statvfs", lambda place: full)
    error = failing(numbered(sqlite3.SQLITE_IOERR), tmp_path / "x.sqlite")
    assert error.cause.endswith("could not be written: the disk is full (so it is).")


def test_what_the_disk_refuses_is_told_as_such() -> None:
    full = failing(numbered(sqlite3.SQLITE_FULL))
    assert isinstance(full, DiskError)
    assert full.cause == "x.sqlite could not be written: the disk is full (so it is)."
    assert (full.cure, full.trouble) == (FULL.cure, FULL)
    full = failing(OSError(errno.ENOSPC, "No space left on device"))
    assert isinstance(full, DiskError)
    assert full.cause == "x.sqlite could not be written: the disk is full."
    assert failing(OSError("odd"), None).cause == "The ledger in memory could not be written: odd."


# ---------------------------------------------------------------------- opened, closed, forked


def test_a_ledger_that_cannot_be_opened_lets_its_lock_and_its_file_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = begun(tmp_path / "ledger.sqlite")
    made: list[sqlite3.Connection] = []
    connect = _sqlite.connect

    def watched(*arguments: Any, **options: Any) -> sqlite3.Connection:
        made.append(connect(*arguments, **options))
        return made[-1]

    def fails(*arguments: Any, **options: Any) -> sqlite3.Connection:
        if options == {"read_only": True}:  # the check before
            return connect(*arguments, **options)
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(_sqlite, "connect", fails)
    with pytest.raises(StorageError, match=r"could not be opened: disk I/O error"):
        Ledger.open(path)
    monkeypatch.setattr(_sqlite, "connect", connect)
    with closing(sqlite3.connect(path)) as database:
        database.execute(
            "INSERT INTO events (time, kind, id, round, person, data)"
            " VALUES ('', 'undone', 77, 0, '', '{\"undoes\": 1}')"
        )
        database.commit()
    monkeypatch.setattr(_sqlite, "connect", watched)
    for _ in range(2):  # the lock is free again, or the second would say so
        with pytest.raises(StorageError, match="contradicts the events before it"):
            Ledger.open(path)
    for database in made:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            database.execute("SELECT 1")


def test_another_process_may_neither_read_nor_close_what_this_one_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = begun(tmp_path / "ledger.sqlite")
    ledger = Ledger.open(path)
    database, this = ledger._database, os.getpid()
    assert database is not None
    monkeypatch.setattr(os, "getpid", lambda: this + 1)  # as in a forked worker
    said = f"was opened by process {this} and this one is its fork"
    with pytest.raises(StorageError, match=said):
        ledger.note("fit", {})
    with pytest.raises(StorageError, match=said):
        _ = ledger.labels
    ledger.close()
    assert database.execute("SELECT count(*) FROM events").fetchone() == (3,)
    monkeypatch.undo()
    database.close()
    again = Ledger.open(path)
    database = again._database
    assert database is not None
    again.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        database.execute("SELECT 1")


class Stubborn(sqlite3.Connection):
    """Reads nothing, as SQLite where a killed writer's log must be mended before."""

    said = "attempt to write a readonly database"

    def execute(self, *_: Any) -> sqlite3.Cursor:
        raise sqlite3.OperationalError(self.said)


def test_a_log_that_must_be_mended_is_opened_for_writing_and_nothing_else_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = begun(tmp_path / "ledger.sqlite")
    connect, made = _sqlite.connect, []

    def first(path: Path, *, read_only: bool = False) -> sqlite3.Connection:
        if not read_only:
            return connect(path)
        made.append(sqlite3.connect(path, factory=Stubborn))
        return made[-1]

    monkeypatch.setattr(_sqlite, "connect", first)
    assert _sqlite.check(path) == 1
    with closing(_sqlite.readable(path)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert database.execute("PRAGMA synchronous").fetchone() == (2,)
        assert database.execute("SELECT count(*) FROM events").fetchone() == (3,)
    monkeypatch.setattr(Stubborn, "said", "disk I/O error")
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        _sqlite.readable(path)
    assert len(made) == 3
    for database in made:  # closed
        with pytest.raises(sqlite3.ProgrammingError):
            database.total_changes  # noqa: B018


def test_a_ledger_that_cannot_be_begun_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(database: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(_sqlite, "_migrate", fails)
    path = tmp_path / "ledger.sqlite"
    with pytest.raises(StorageError, match=r"ledger\.sqlite could not be created: .* is full"):
        Ledger.open(path)
    assert names(tmp_path) == {"ledger.sqlite.lock"}


def test_a_disk_that_fails_says_nothing_of_whose_the_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.open() as ledger:
        copy = ledger.snapshot(tmp_path / "copy.sqlite")

        def fails(path: Path) -> int:
            raise DiskError(f"{path} could not be read: so it is.", "", None)

        monkeypatch.setattr(_sqlite, "check", fails)
        with pytest.raises(DiskError, match="could not be read: so it is"):
            ledger.snapshot(copy)


def test_a_database_is_made_where_that_is_asked_for_alone(tmp_path: Path) -> None:
    path = tmp_path / "new.sqlite"
    with pytest.raises(sqlite3.OperationalError):
        _sqlite.connect(path)
    assert not path.exists()
    _sqlite.connect(path, create=True).close()
    assert path.exists()


def test_a_check_tells_what_the_disk_refuses_from_what_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = begun(tmp_path / "ledger.sqlite")

    def fails(code: int) -> None:
        def readable(path: Path) -> sqlite3.Connection:
            raise numbered(code)

        monkeypatch.setattr(_sqlite, "readable", readable)

    fails(sqlite3.SQLITE_FULL)
    with pytest.raises(DiskError) as refused:
        _sqlite.check(path)
    assert refused.value.cause == f"{path} could not be read: the disk is full."
    fails(sqlite3.SQLITE_CORRUPT)
    with pytest.raises(LedgerError) as damaged:
        _sqlite.check(path)
    assert damaged.value.cause == f"{path} is damaged: so it is."
    assert not isinstance(damaged.value, StorageError)


def test_a_database_that_cannot_be_set_up_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database at all, but long enough to be looked at" * 20)
    made: list[sqlite3.Connection] = []
    open_ = sqlite3.connect

    def watched(*arguments: Any, **options: Any) -> sqlite3.Connection:
        made.append(open_(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(sqlite3, "connect", watched)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        _sqlite.connect(path)
    (database,) = made
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        database.execute("SELECT 1")
