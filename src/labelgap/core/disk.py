"""What the disk refuses, told as such: full, quota, read-only, permission, input or output.

None of these is damage: what was stored before is whole, and the same goes on when there is room.
"""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from labelgap.core.errors import DiskError

_LITTLE = 64 << 10  # bytes; SQLite needs 32 kB beside a ledger before it says a word


@dataclass(frozen=True)
class Trouble:
    """What the disk refuses, as the end of a sentence, and what to do about it."""

    what: str
    cure: str


FULL = Trouble(
    "the disk is full",
    "Free some disk space and run the same again; what was stored before is safe.",
)
QUOTA = Trouble(
    "your quota on this disk is used up",
    "Remove files of yours there or ask for more, and run the same again; what was stored before"
    " is safe.",
)
READ_ONLY = Trouble(
    "the file system is read-only",
    "Mount it writable, or choose another place, and run the same again; what was stored before"
    " is safe.",
)
PERMISSION = Trouble(
    "permission denied",
    "Make the file and its folder writable (they may be another user's), or choose another place;"
    " what was stored before is safe.",
)
INPUT_OUTPUT = Trouble(
    "the disk reports an input/output error",
    "Check the disk or the connection to it (the system's log says more), and run the same again.",
)
TOO_LARGE = Trouble(
    "the file would be larger than this disk or `ulimit -f` allows", "Choose another place."
)
TOO_MANY = Trouble("too many files are open", "Close programs, or raise `ulimit -n`.")

_OF_ERRNO = {
    "ENOSPC": FULL,
    "EDQUOT": QUOTA,
    "EROFS": READ_ONLY,
    "EACCES": PERMISSION,
    "EPERM": PERMISSION,
    "EIO": INPUT_OUTPUT,
    "ENXIO": INPUT_OUTPUT,
    "ENODEV": INPUT_OUTPUT,
    "ESTALE": INPUT_OUTPUT,
    "EREMOTEIO": INPUT_OUTPUT,
    "ENOTCONN": INPUT_OUTPUT,  # a network file system's mount that is gone
    "EFBIG": TOO_LARGE,
    "EMFILE": TOO_MANY,
    "ENFILE": TOO_MANY,
}
_ERRNOS = {getattr(errno, name): found for name, found in _OF_ERRNO.items() if hasattr(errno, name)}
_SQLITE = {
    sqlite3.SQLITE_FULL: FULL,
    sqlite3.SQLITE_READONLY: READ_ONLY,
    sqlite3.SQLITE_PERM: PERMISSION,
    sqlite3.SQLITE_IOERR: INPUT_OUTPUT,
    sqlite3.SQLITE_CANTOPEN: INPUT_OUTPUT,
}


def trouble(error: BaseException, path: Path | None = None) -> Trouble | None:
    """What the disk refused, by an error's number; None for an error that is not the disk's.

    error: an `OSError`, SQLite's, or one that was raised from such.
    path: of what was written or read. SQLite says "disk I/O error" and "unable to open" for a
        full disk too, and numpy's errors have no number: its folder is asked then.
    """
    cause: BaseException | None = error
    while cause is not None:
        if (found := _one(cause, path)) is not None:
            return found
        cause = cause.__cause__
    return None


def _one(error: BaseException, path: Path | None) -> Trouble | None:
    if isinstance(error, DiskError):
        return error.trouble if isinstance(error.trouble, Trouble) else None
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        found = None if code is None else _SQLITE.get(code & 0xFF)
        if found in (INPUT_OUTPUT, READ_ONLY):  # the number alone does not say which
            return _of_place(path) or (PERMISSION if found == READ_ONLY else found)
        return found
    if isinstance(error, OSError):
        if error.errno is None:  # numpy: "1000 requested and 0 written"
            return FULL if "written" in str(error) and _of_place(path) == FULL else None
        return _ERRNOS.get(error.errno)
    return None


def _of_place(path: Path | None) -> Trouble | None:
    """What is wrong with the folder of a file that could not be written, if that can be seen."""
    if path is None:
        return None
    folder = next((p for p in (path, *path.parents) if p.is_dir()), None)
    if folder is None or not hasattr(os, "statvfs"):
        return None
    try:
        state = os.statvfs(folder)
    except OSError as error:
        return _ERRNOS.get(error.errno or 0)
    if state.f_flag & os.ST_RDONLY:
        return READ_ONLY
    if state.f_bavail * state.f_frsize < _LITTLE or (state.f_files and not state.f_favail):
        return FULL
    for place in (folder, path):
        if place.exists() and not os.access(place, os.W_OK):
            return PERMISSION
    return None


def disk_error(
    error: BaseException, path: Path | str, action: str = "written", cure: str = ""
) -> DiskError | None:
    """The error to raise where the disk refused; None where it is not the disk's.

    action: what was being done with `path`: "written", "read", "created".
    cure: in place of the trouble's own, where another goes on.
    """
    found = trouble(error, Path(path))
    if found is None:
        return None
    return DiskError(f"{path} could not be {action}: {found.what}.", cure or found.cure, found)


def not_the_disk(error: BaseException, path: Path | str, action: str = "read") -> None:
    """Raise `disk_error` where it is the disk's; else return: the caller says what is damaged."""
    if (made := disk_error(error, path, action)) is not None:
        raise made from error


@contextmanager
def told(path: Path | str, action: str = "written", cure: str = "") -> Iterator[None]:
    """Turn what the disk refuses inside into a `DiskError` that names `path`.

    Other errors of the system (no such file, not a folder) are `DiskError` too, with their text.
    """
    try:
        yield
    except OSError as error:
        raise refused(error, path, action, cure) from error


def refused(error: OSError, path: Path | str, action: str = "written", cure: str = "") -> DiskError:
    """As `disk_error`, for any error of the system."""
    if (made := disk_error(error, path, action, cure)) is not None:
        return made
    why = error.strerror or str(error)
    other = "Check the path, or choose another place."
    return DiskError(f"{path} could not be {action}: {why}.", cure or other, None)
