"""Files as they are found: kind, size, place."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from labelgap.core.errors import DataError
from labelgap.data.folder import _SUFFIXES
from labelgap.data.labels import label_of
from labelgap.data.left_out import LINKED, LeftOut, of_files

Kind = Literal["folder", "manifest", "tables"]
SUFFIXES = _SUFFIXES | {".avif", ".jfif", ".mpo"}
MAX_BYTES = 256 << 20
"""A larger file is no photograph."""
MANIFEST_BYTES = 1 << 30
KEPT = 4  # row groups in memory


@dataclass(frozen=True)
class Found:
    """A place where an image should be. `refused` is the reason why it must not be read."""

    path: str
    size: int
    mtime_ns: int
    label: str | None = None
    refused: str = ""
    held_out: bool = False
    """The label measures accuracy and is never trained on, as its manifest says."""


class Unreadable(Exception):
    """Why a place could not be read, in two or three words, and the details."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason: str = reason
        self.detail: str = detail
        super().__init__(f"{reason}: {detail}")


def kind_of(root: Path) -> Kind:
    """Tables if the folder is a Hugging Face data set on disk, or has Parquet files only."""
    if (root / "state.json").is_file() or (root / "dataset_dict.json").is_file():
        return "tables"
    if next(root.glob("*.parquet"), None) and next(walk_folder(root), None) is None:
        return "tables"
    return "folder"


# ------------------------------------------------------------------------------- folders


def walk_folder(root: Path) -> Iterator[Found]:
    for folder, _, names in _walk(root):
        for name in names:
            if Path(name).suffix.lower() not in SUFFIXES:
                continue
            path = Path(folder, name).relative_to(root)
            top = path.parts[0] if len(path.parts) > 1 else None
            label = None if top is None else label_of(top)
            yield stat_file(root, path.as_posix(), label)


def left_out(root: Path) -> list[LeftOut]:
    """What lies in the folder and is not read: links to folders, and files by their kind."""
    found: list[LeftOut] = []
    for folder, folders, names in _walk(root):
        links = (Path(folder, name) for name in folders)
        found += [(LINKED, p.relative_to(root).as_posix()) for p in links if p.is_symlink()]
        found += of_files((Path(folder, name) for name in names), root, SUFFIXES)
    return found


def _walk(root: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Folders, their sub-folders and files, sorted; nothing whose name begins with a dot."""

    def complain(error: OSError) -> None:
        raise DataError(
            f"{error.filename}: cannot be read ({error.strerror}).", "Change its permissions."
        ) from error

    # Links to folders are not followed: they lead out of the folder, or round in a circle.
    for folder, folders, names in os.walk(root, onerror=complain):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        yield folder, folders, sorted(n for n in names if not n.startswith("."))


def stat_file(root: Path, path: str, label: str | None) -> Found:
    """A file of the folder, and whether it may be read."""
    shown = os.fsencode(path).decode("utf-8", "backslashreplace")
    if shown != path:
        return Found(shown, -1, -1, label, "name is not valid text")
    if (refused := outside(root, path)) is not None:
        return Found(path, -1, -1, label, refused)
    try:
        state = (root / path).stat()
    except OSError as error:
        refused = "missing" if isinstance(error, FileNotFoundError) else "unreadable"
        return Found(path, -1, -1, label, refused)
    return Found(path, state.st_size, state.st_mtime_ns, label)


def outside(root: Path, path: str) -> str | None:
    """Why a relative path must not be followed; None where it stays in the folder."""
    try:
        real = (root / path).resolve()
    except (OSError, RuntimeError, ValueError):
        return "unreadable"
    return None if real.is_relative_to(root.resolve()) else "outside the folder"
