"""Files that are either whole or absent."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

from labelgap.core.disk import refused


def _umask() -> int:
    # It can only be read by setting it, which is not safe once there are threads: read it once.
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _umask()


def write_atomically(
    path: Path,
    write: Callable[[IO[bytes]], object],
    *,
    private: bool = False,
    cure: str = "",
) -> None:
    """Write to a temporary file beside `path`, fsync, rename, fsync the folder.

    Parameters
    ----------
    private: only the owner may read it (secrets); else whoever the umask allows.
    cure: for files whose cure is another than the disk's.

    Raises
    ------
    DiskError: the folder cannot be written or the disk is full; `path` is then as it was.
    """
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if not private:  # mkstemp made it 0600, which would hide reports from others
            os.chmod(temporary, 0o666 & ~_UMASK)
        rename_durably(Path(temporary), path)
        temporary = None
    except OSError as error:
        raise refused(error, path, cure=cure) from error
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)


def write_text(path: Path, text: str, *, private: bool = False) -> None:
    """Atomically write UTF-8 text."""
    write_atomically(path, lambda file: file.write(text.encode()), private=private)


def rename_durably(temporary: Path, path: Path) -> None:
    """Let a file whose content is on the disk take the place of `path`, for good when this
    returns. Raises `OSError`.
    """
    os.replace(temporary, path)
    if os.name == "nt":  # a folder cannot be opened there, and the rename is durable enough
        return
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
