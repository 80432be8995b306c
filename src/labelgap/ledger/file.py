"""The ledger's file: created whole, checked before it is touched, migrated on a copy."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from labelgap.core.disk import disk_error, refused, trouble
from labelgap.core.errors import DiskError, LedgerError, StorageError
from labelgap.core.files import rename_durably

APPLICATION_ID = 0x6C676170  # "lgap": tells a ledger from any other SQLite file

DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
"""SQLite's numbers for a file that is no whole database; any other is not damage."""

TIMEOUT = 10.0  # seconds to wait for another program's transaction

# Step k makes version k + 1 out of version k; steps are only ever added. The triggers make the
# table append-only for every program, not only for this one.
MIGRATIONS: tuple[str, ...] = (
    f"""
    PRAGMA application_id = {APPLICATION_ID};
    CREATE TABLE events (
        seq INTEGER PRIMARY KEY,
        time TEXT NOT NULL,
        kind TEXT NOT NULL,
        id INTEGER,
        round INTEGER,
        person TEXT NOT NULL,
        label INTEGER,
        request TEXT,
        data TEXT
    );
    CREATE UNIQUE INDEX events_request ON events (request) WHERE request IS NOT NULL;
    CREATE INDEX events_asked ON events (round, seq) WHERE kind = 'asked';
    CREATE INDEX events_notes ON events (kind, seq) WHERE id IS NULL;
    CREATE TRIGGER events_never_change BEFORE UPDATE ON events
        BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
    CREATE TRIGGER events_never_go BEFORE DELETE ON events
        BEGIN SELECT RAISE(ABORT, 'events are append-only'); END;
    """,
)


def connect(
    path: Path | None, *, read_only: bool = False, wal: bool = True, create: bool = False
) -> sqlite3.Connection:
    """Open the database for use from any thread; `None` is a database in memory.

    Every commit is on the disk when it returns (synchronous=FULL). `wal=False` is for network
    file systems, where the write-ahead log's shared memory does not work.
    """
    if path is None:
        database = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        _migrate(database)
        return database
    mode = "rwc" if create else "rw"
    if read_only:
        # Without a log beside it a file on a read-only medium can only be read as immutable.
        alone = not path.with_name(path.name + "-wal").exists()
        mode = "ro" if not alone or os.access(path.parent, os.W_OK) else "ro&immutable=1"
    database = sqlite3.connect(
        f"file:{quote(str(path))}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=TIMEOUT,
    )
    try:
        if not read_only:
            database.execute(f"PRAGMA journal_mode={'WAL' if wal else 'DELETE'}")
            # EXTRA also syncs the folder after the rollback journal is deleted.
            database.execute(f"PRAGMA synchronous={'FULL' if wal else 'EXTRA'}")
    except sqlite3.Error:
        database.close()
        raise
    return database


def version_of(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def _migrate(database: sqlite3.Connection) -> None:
    """Bring an open database to the newest version, all steps in one transaction."""
    steps = MIGRATIONS[version_of(database) :]
    script = "\n".join(steps)
    database.executescript(f"BEGIN;{script};PRAGMA user_version={len(MIGRATIONS)};COMMIT;")


def create(path: Path) -> None:
    """Make an empty ledger: the file appears whole or not at all.

    Raises `LedgerError` when a log of a vanished ledger lies there, since that log may hold
    labels.
    """
    for suffix in ("-wal", "-journal"):
        log = path.with_name(path.name + suffix)
        if log.exists() and log.stat().st_size > 0:
            raise LedgerError(
                f"{path} is missing, but its log {log.name} is there and may hold labels.",
                "Put the ledger back beside its log, or move the log away to begin anew.",
            )
    with named_errors(path, "created"), replacing(path) as new, closing(_plain(new)) as database:
        _migrate(database)


def readable(path: Path) -> sqlite3.Connection:
    """A read-only connection; a writable one where a killed writer's log must be mended first.

    SQLite then answers every read with "attempt to write a readonly database".
    """
    database = connect(path, read_only=True)
    try:
        database.execute("PRAGMA application_id").fetchone()
    except sqlite3.OperationalError as error:
        database.close()
        if "readonly" not in str(error):
            raise
        return connect(path)
    return database


def check(path: Path) -> int:
    """Refuse what is not a whole ledger of a known version, without changing a byte of it.

    Returns the version.
    """
    cure = "Restore a snapshot of it, or give another path."
    if not path.is_file():
        raise LedgerError(f"{path} is not a file.", cure)
    try:
        with open(path, "rb") as stream:
            head = stream.read(18)
    except OSError as error:
        raise refused(error, path, "read") from error
    if not head:
        raise LedgerError(f"{path} is empty, which a ledger never is.", cure)
    if head[:16] != b"SQLite format 3\0":
        raise LedgerError(f"{path} is not a ledger (not an SQLite file).", cure)
    # SQLite reads a cut last page as if zeros followed. With a log beside the file that may be
    # an interrupted checkpoint, which the log mends.
    log = path.with_name(path.name + "-wal")
    if not log.exists() and path.stat().st_size % (int.from_bytes(head[16:]) or 512):
        raise LedgerError(f"{path} is damaged: its last page is cut.", cure)
    try:
        with closing(readable(path)) as database:
            owner = int(database.execute("PRAGMA application_id").fetchone()[0])
            if owner != APPLICATION_ID:
                raise LedgerError(f"{path} is an SQLite file of another program.", cure)
            version = version_of(database)
            found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        if (made := disk_error(error, path, "read")) is not None:
            raise made from error
        raise LedgerError(f"{path} is damaged: {error}.", cure) from error
    if found != "ok":
        raise LedgerError(f"{path} is damaged: {found}.", cure)
    if version > len(MIGRATIONS):
        raise LedgerError(
            f"{path} has version {version}, and this program knows up to {len(MIGRATIONS)}.",
            "Update labelgap.",
        )
    return version


def pending(path: Path) -> bool:
    """Whether opening `path` would create or migrate it."""
    return not path.exists() or check(path) < len(MIGRATIONS)


def upgrade(path: Path) -> Path:
    """Migrate a ledger to the newest version on a copy, which then takes its place.

    A snapshot of the old version stays beside it; its path is returned. When a step fails, the
    ledger is as it was.
    """
    # wal=False folds the log into the file: a log left behind would be replayed over the new one.
    with named_errors(path, "migrated"), closing(connect(path, wal=False)) as database:
        kept = unused(path, f".v{version_of(database)}")
        copy(database, kept)
        with replacing(path) as new, closing(_plain(new)) as target:
            database.backup(target)
            _migrate(target)
            sound = target.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
            if not sound or _count(target) < _count(database):
                raise LedgerError(
                    f"Migrating {path} would lose events, so it is as it was.",
                    f"Please report this, with {kept}.",
                )
    return kept


def unused(path: Path, mark: str = "") -> Path:
    """A name beside `path` that no file has. Raises `LedgerError` after ten thousand."""
    for number in range(1, 10_000):
        name = f"{path.stem}{mark}{f'-{number}' if number > 1 else ''}{path.suffix}"
        if not path.with_name(name).exists():
            return path.with_name(name)
    raise LedgerError(f"Ten thousand snapshots lie beside {path}.", "Move some of them away.")


def _count(database: sqlite3.Connection) -> int:
    return int(database.execute("SELECT count(*) FROM events").fetchone()[0])


def copy(database: sqlite3.Connection, path: Path) -> None:
    """Write a consistent copy, one file without a log, that replaces `path` at once."""
    with replacing(path) as new, closing(_plain(new)) as target:
        database.backup(target)
        target.execute("PRAGMA journal_mode=DELETE")


def _plain(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it becomes `path`, durably and at once.

    On any error the temporary file is removed and `path` is as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    _remove(temporary)  # a killed process of the same id may have left one
    try:
        yield temporary
        with open(temporary, "rb+") as stream:
            os.fsync(stream.fileno())
        rename_durably(temporary, path)
    finally:
        _remove(temporary)


def _remove(temporary: Path) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            temporary.with_name(temporary.name + suffix).unlink()


@contextmanager
def named_errors(path: Path | None, action: str) -> Iterator[None]:
    """Turn the database's and the system's errors into `StorageError`, with the likely cure."""
    name = "The ledger in memory" if path is None else str(path)
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        if (found := trouble(error, path)) is not None:
            # SQLite's own words are for whoever searches for them.
            why = f"{found.what} ({error})" if isinstance(error, sqlite3.Error) else found.what
            raise DiskError(f"{name} could not be {action}: {why}.", found.cure, found) from error
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            cure = "Another program is writing or reading; close it and try again."
        elif code in DAMAGE:
            cure = "Restore a snapshot."
        else:
            cure = "Check the disk and the folder; what was stored before is safe."
        raise StorageError(f"{name} could not be {action}: {error}.", cure) from error
