"""Labelled images as files in a folder for each class: copies, or links to the project's own."""

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Literal

from labelgap.core.disk import refused
from labelgap.core.errors import DataError, FolderError
from labelgap.data.apart import picture_apart
from labelgap.project.exchange.safe_names import safe_name
from labelgap.project.images.found import Unreadable
from labelgap.project.images.items import Item
from labelgap.project.images.tables import Row
from labelgap.project.keep.store import Project

How = Literal["copy", "symlink", "hardlink"]
QUALITY = 95
"""Of JPEGs made of other photographs: nothing that a person or a network could see is lost."""
_WHOLE = 1 << 16  # longer than any side that is read
_KINDS = (
    (b"\xff\xd8\xff", ".jpg"), (b"\x89PNG\r\n\x1a\n", ".png"), (b"BM", ".bmp"),
    (b"II*\0", ".tif"), (b"MM\0*", ".tif"), (b"GIF8", ".gif"),
)  # fmt: skip
_TAKEN = {".jpg": (".jpg", ".jpeg"), ".tif": (".tif", ".tiff")}
_READ = frozenset({".jpg", ".png", ".bmp", ".tif", ".webp"})
"""What torchvision's ImageFolder and Ultralytics both take for images."""


@dataclass(frozen=True)
class Placed:
    """A labelled image and the folder that it goes into, relative to the target."""

    row: Row
    folder: str


def need_empty(out: Path) -> None:
    """Raises `FolderError` where a file or anything in a folder is at that place."""
    if out.is_symlink() or (out.exists() and (not out.is_dir() or any(out.iterdir()))):
        raise FolderError(f"{out} is not an empty folder.", "Choose another --out.")


def need_outside(project: Project, out: Path) -> None:
    """Raises `FolderError` for a folder in the project's, whose copies would be new images."""
    if out.resolve().is_relative_to(project.root):
        raise FolderError(
            f"{out} is inside the project's folder, where `add` would take the copies for images.",
            "Choose a place outside for --out.",
        )


def write_folders(
    project: Project,
    placed: Sequence[Placed],
    folders: Sequence[str],
    out: Path,
    how: How = "copy",
    *,
    for_training: bool = False,
) -> int:
    """Write the images into their folders, as NUMBER-NAME; all of them or nothing.

    folders: all that are made, also those that stay empty.
    how: hard links share the bytes with the project's files, and need one disk; rows of tables
        and what is converted are always written.
    for_training: kinds that training programs do not open (HEIC, AVIF, GIF, PPM) are written as
        JPEG or PNG, and suffixes are those of the contents. Returns how many were converted.

    Raises
    ------
    DataError: the file of an image is gone or has other contents.
    FolderError: `out` is not empty, is in the project's folder, or cannot be written.
    """
    need_empty(out)
    need_outside(project, out)
    items = {item.id: item for item in project.items.all()}
    _refuse_missing(project, [p.row for p in placed], items)
    fresh, converted = not out.exists(), 0

    def fill() -> None:
        nonlocal converted
        for folder in folders:
            (out / folder).mkdir(parents=True, exist_ok=True)
        for one in placed:
            item = items[one.row["id"]]
            converted += _put(project, item, out / one.folder, how, for_training)

    try:
        fill()
    except BaseException as error:
        _clear(out, fresh)
        if isinstance(error, OSError):
            raise refused(error, out, cure="Free space, or give another --out.") from error
        raise
    return converted


def image_bytes(project: Project, item: Item, for_training: bool = True) -> tuple[bytes, str, bool]:
    """An item's file as others can open it: bytes, suffix, and whether they are converted.

    Raises `DataError` where the file is gone or has other contents.
    """
    try:
        data = project.reader.read(item.path)
    except Unreadable as error:
        raise DataError(f"{item.path}: {error.reason}.", "Run `labelgap add`.") from error
    if not item.has_content(data):
        raise DataError(f"{item.path} has other contents now.", "Run `labelgap add`.")
    kind = _kind(data)
    if not for_training or kind in _READ:
        return data, kind, False
    sink = BytesIO()
    image = picture_apart(data, _WHOLE, project.pixels.scales)
    if kind in (".gif", ".ppm"):
        image.save(sink, "PNG")
        return sink.getvalue(), ".png", True
    image.save(sink, "JPEG", quality=QUALITY)
    return sink.getvalue(), ".jpg", True


def _kind(data: bytes) -> str:
    """The suffix of what the bytes are, "" where it is none of these."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    if data[:1] == b"P" and data[1:2] in b"123456" and data[2:3].isspace():
        return ".ppm"
    return next((suffix for magic, suffix in _KINDS if data.startswith(magic)), "")


def _put(project: Project, item: Item, folder: Path, how: How, for_training: bool) -> bool:
    """One image into its folder; whether it was converted. Raises `DataError`, `OSError`."""
    data, suffix, converted = image_bytes(project, item, for_training)
    name = PurePosixPath(item.path).name
    in_table = _is_row(project, item)
    if in_table or (for_training and not _has(name, suffix)):
        stem = name if in_table else PurePosixPath(name).stem
        name = stem.replace("#", "-") + suffix
    target = folder / _numbered(item.id, name)
    source = (project.root / item.path).resolve()
    if converted or in_table:
        target.write_bytes(data)
    elif how == "symlink":
        os.symlink(source, target)
    elif how == "hardlink":
        _hard_link(source, target)
    else:
        shutil.copy2(source, target)
    return converted


def _hard_link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        raise FolderError(
            f"{target.parent} cannot have hard links to {source} "
            f"({error.strerror or error}): they need one disk that knows them.",
            "Leave out --link to copy, or give --out on the disk of the images.",
        ) from error


def _has(name: str, suffix: str) -> bool:
    return PurePosixPath(name).suffix.lower() in _TAKEN.get(suffix, (suffix,))


def _numbered(id: int, name: str) -> str:
    """A file's name: the number keeps files of one name apart."""
    path = PurePosixPath(name)
    suffix = f".{safe_name(path.suffix[1:], 16)}" if path.suffix else ""
    return f"{id:06d}-{safe_name(path.stem)}{suffix}"


def _refuse_missing(project: Project, rows: Sequence[Row], items: dict[int, Item]) -> None:
    """Before anything is copied: every labelled image must have its file."""
    lost = [
        r for r in rows
        if not (items[r["id"]].present and _file(project, items[r["id"]]).is_file())
    ]  # fmt: skip
    if lost:
        more = f", and so are {len(lost) - 1} more" if len(lost) > 1 else ""
        raise DataError(
            f"{lost[0]['path'] or 'The file'} of the labelled item {lost[0]['id']} is gone or has "
            f"other contents now{more}.",
            "Run `labelgap add`, which finds moved files; put back what is still missing, or "
            "export --format csv, which needs no files.",
        )


def _is_row(project: Project, item: Item) -> bool:
    """Whether an image is in the row of a table, "name#row", and no file of its own."""
    return "#" in item.path and not (project.root / item.path).exists()


def _file(project: Project, item: Item) -> Path:
    """The file that holds an image: its own, or the table."""
    path = item.path
    return project.root / (path.rpartition("#")[0] if _is_row(project, item) else path)


def _clear(out: Path, fresh: bool) -> None:
    """Remove what a half-filled folder holds, which the next export would refuse as not empty.

    It was empty, so that everything in it is ours. fresh: so is the folder.
    """
    if out.is_dir():
        for path in out.iterdir():
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
    if fresh:
        with suppress(OSError):
            out.rmdir()
