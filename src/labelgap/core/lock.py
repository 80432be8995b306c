"""One writer per ledger: the lock that names its holder, and where no lock can be trusted."""

import json
import os
import socket
import sys
import weakref
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from labelgap.core.disk import refused
from labelgap.core.errors import InUse

# Where SQLite's write-ahead log is unsafe (no shared memory between hosts) or where fsync and
# locks are promises of another machine.
# fmt: off
NETWORK_FILE_SYSTEMS = frozenset({
    "nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afs", "ncpfs", "davfs", "lustre",
    "ceph", "gpfs", "beegfs", "glusterfs", "fuse.sshfs", "fuse.rclone", "fuse.s3fs",
    "fuse.gcsfuse", "fuse.goofys", "fuse.mountpoint-s3", "fuse.glusterfs", "fuse.ceph",
    "fuse.davfs", "fuse.davfs2", "fuse.curlftpfs", "fuse.gvfsd-fuse", "fuse.smbnetfs",
    "fuse.juicefs",
})
# fmt: on


def network_file_system(path: Path, mounts: Path | None = None) -> str | None:
    """The type of the network file system that holds `path` ("nfs4"); None if it is local.

    Reads /proc/mounts; where there is none (not Linux) the answer is None.
    """
    table = Path("/proc/mounts") if mounts is None else mounts
    if not table.exists():
        return None
    here = path.resolve()
    best, kind = -1, ""
    for line in table.read_text(errors="surrogateescape").splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(_unescape(fields[1]))
        # ">=": of two mounts on one point the later one is what a program sees.
        if here.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), fields[2]
    return kind if kind in NETWORK_FILE_SYSTEMS else None


def _unescape(field: str) -> str:
    """Undo the kernel's octal escapes of blanks and backslashes in mount points."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field


class WriterLock:
    """One writer per file. The lock lives in `<file>.lock` and says who holds it.

    The kernel's lock decides, so the lock of a dead process is free at once and a reused process
    id misleads nobody; the text (pid, host, since) only names the holder for people.

    Raises `InUse` naming the holder when another process, or this one, has it; `DiskError`
    where the lock file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path: Path = path.with_name(path.name + ".lock")
        try:
            self._descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise refused(error, f"The lock file {self.path}") from error
        try:
            if not _try_lock(self._descriptor):
                raise InUse(
                    f"{path} is in use by {_holder(self._descriptor)}.",
                    "Close that program first, or open the ledger read-only.",
                )
        except BaseException:
            os.close(self._descriptor)
            raise
        _held.add(self)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": since}
        # On a full disk the lock holds all the same; only its text is missing.
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, json.dumps(holder).encode())

    def release(self) -> None:
        """Give the lock back. The file stays: removing it would race with the next holder."""
        if self._descriptor >= 0:
            with suppress(OSError):
                os.ftruncate(self._descriptor, 0)
            self.abandon()

    def abandon(self) -> None:
        """Close the descriptor and leave the file as it is (in a forked child)."""
        descriptor, self._descriptor = self._descriptor, -1
        _held.discard(self)
        if descriptor >= 0:
            os.close(descriptor)


def _holder(descriptor: int) -> str:
    """Who holds the lock, in words."""
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        text: dict[str, Any] = json.loads(os.read(descriptor, 4096))
        pid, host, since = text["pid"], text["host"], text["since"]
    except (ValueError, KeyError, TypeError, OSError):
        # The holder is between taking the lock and writing its name, or its disk was full.
        return "another program, which has not written its name into the lock file"
    who = "this process" if pid == os.getpid() else "another program"
    return f"{who}: pid {pid} on {host} since {since}"


if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        # A byte far behind the text, because locked bytes cannot be read by others.
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


_held: "weakref.WeakSet[WriterLock]" = weakref.WeakSet()


def _abandon_in_child() -> None:
    for lock in list(_held):
        lock.abandon()


# A forked worker (data loaders) shares the lock's descriptor and would keep the ledger locked
# after its parent was killed.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_abandon_in_child)
