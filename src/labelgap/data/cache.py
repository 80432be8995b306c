"""The cache folder, and digests of files' contents that are not computed twice."""

import hashlib
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from labelgap.core.disk import disk_error, refused
from labelgap.core.errors import DataError, DiskError
from labelgap.core.files import write_atomically
from labelgap.data.progress import late_progress

# A file changed within one tick of the file system's clock keeps its times; a record made this
# soon after the last change (seconds) is not kept. FAT has the coarsest clock, 2 s.
_RACY = 3.0
CURE = (
    "Make room there and run the same again, or set LABELGAP_CACHE to a folder that you may write,"
    " on a disk with room."
)
"""Of a cache folder that the disk refuses to write."""


def cache_folder(cache: Path | None = None) -> Path:
    """`cache`, else $LABELGAP_CACHE, else the platform's folder for a user's caches."""
    if cache is not None:
        return cache
    if "LABELGAP_CACHE" in os.environ:
        return Path(os.environ["LABELGAP_CACHE"])
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "labelgap"
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return (Path(local) if local else Path.home() / "AppData" / "Local") / "labelgap" / "cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "labelgap"


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Digest of a file's bytes. Raises `DataError` where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def content_digest(files: Sequence[Path], base: Path, cache: Path) -> str:
    """sha256 over the names (relative to `base`) and contents of `files`.

    So that a start does not read gigabytes, the digest is recorded under the files' paths, sizes,
    inodes and times of modification *and of change*. The last cannot be set by a program (on
    POSIX): a file rewritten at the same size with its old modification time is noticed. Records
    made within 3 s of the last change are not kept: a clock tick may hide a second change.
    """
    states = []
    newest = 0.0
    for path in files:
        try:
            stat = path.stat()
        except OSError as error:
            raise _unreadable(path, error) from error
        states.append((str(path), stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns))
        newest = max(newest, stat.st_mtime, stat.st_ctime)
    state = hashlib.sha256(json.dumps([str(base), states]).encode()).hexdigest()
    record = cache / "digests" / state
    if record.is_file() and len(known := record.read_text()) == 64:
        return known

    started = time.time()
    digest = hashlib.sha256()
    with late_progress("Hashing files", sum(s[1] for s in states)) as advance:
        for path, (_, size, *_) in zip(files, states, strict=True):
            name = path.relative_to(base).as_posix()
            digest.update(f"{name}\x1f{file_digest(path)}\x1e".encode())
            advance(size)
    if started - newest > _RACY:
        write_record(record, digest.hexdigest().encode())
    return digest.hexdigest()


def _unreadable(path: Path, error: OSError) -> DiskError | DataError:
    made = disk_error(error, path, "read")
    return made or DataError(f"{path}: cannot be read ({error.strerror}).")


def write_record(path: Path, content: bytes) -> None:
    """Write a small file of the cache. Raises `DiskError` where the folder cannot be written."""
    write_atomically(path, lambda file: file.write(content), cure=CURE)


def unwritable(folder: Path, error: OSError) -> DiskError:
    """The error of a cache folder that the disk refuses to write."""
    return refused(error, f"The cache folder {folder}", "written", CURE)
