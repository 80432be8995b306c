"""Files of weights, named by their content: no path of a machine enters a configuration.

A configuration holds "sha256:…"; which file of this machine that is, is kept in the cache folder,
or it is one of those that came with the installation.
"""

from functools import lru_cache
from pathlib import Path

from labelgap.core.errors import DataError
from labelgap.data.cache import cache_folder, file_digest, write_record
from labelgap.networks.packaged import packaged_files, packaged_weights

HUB = "hub"
CONTENT = "sha256:"


def pretrained(name: str, weights: str | None) -> str:
    """The weights of a frozen backbone: those that are set, else those that came with the
    installation, by their content, else the hub's.

    name: of the network, with or without "timm:".
    """
    return weights or packaged_content(name) or HUB


def packaged_content(name: str) -> str | None:
    """The weights that came with the installation as "sha256:…"; None where none of this network
    did."""
    path = packaged_weights(name)
    return None if path is None else f"{CONTENT}{_digest(path)}"


def by_content(weights: str | None) -> str | None:
    """A path as "sha256:…", remembered; the hub, None and what has that form stay.

    Raises
    ------
    DataError: the file is missing or cannot be read, or the cache folder cannot be written.
    """
    if weights is None or weights == HUB or weights.startswith(CONTENT):
        return weights
    path = existing(weights).resolve()
    digest = _digest(path)
    record = _record(digest)
    if not record.is_file() or record.read_text(encoding="utf-8") != str(path):
        write_record(record, str(path).encode())
    return f"{CONTENT}{digest}"


def weights_file(weights: str | None) -> Path | None:
    """The file that the setting names, by path or content; None for the hub and for no weights.

    Raises
    ------
    DataError: the file is missing, unknown on this machine, or no longer what it was.
    """
    if weights is None or weights == HUB:
        return None
    if not weights.startswith(CONTENT):
        return existing(weights)
    digest = weights.removeprefix(CONTENT)
    came = next((path for path in packaged_files() if _digest(path) == digest), None)
    if came is not None:
        return came
    record = _record(digest)
    if not record.is_file():
        raise DataError(
            f"No file of weights with the content {weights} is known on this machine.",
            "Give it by `--weights FILE`.",
        )
    path = existing(record.read_text(encoding="utf-8"))
    if _digest(path) != digest:
        raise DataError(f"{path} no longer has the content {weights}.", "Give `--weights FILE`.")
    return path


def existing(path: str) -> Path:
    """The path of a file that is there."""
    found = Path(path).expanduser()
    if not found.is_file():
        raise DataError(f"The weights file {found} does not exist.", "Correct `--weights FILE`.")
    return found


def _record(digest: str) -> Path:
    return cache_folder() / "weights" / digest


def _digest(path: Path) -> str:
    stat = path.stat()
    return _read(path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


@lru_cache(maxsize=16)
def _read(path: Path, *state: int) -> str:
    """Hashed once a process and state: a grid resolves one file hundreds of times."""
    return file_digest(path)
