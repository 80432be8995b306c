"""Which column of a table names images, and which labels: by names that are in use."""

from collections.abc import Iterable
from pathlib import Path

from labelgap.core.errors import DataError

# Letters and digits in small: "File_Name", "fileName" and "file name" are one.
_PATHS = ("path", "filename", "image", "imagepath", "filepath", "file", "img", "imgpath",
          "imagename", "imgname", "imagefile")  # fmt: skip
_IDS = ("id", "imageid", "imgid")
_LABELS = ("label", "class", "category", "choice", "classname", "labelname", "tag", "target")
_HASHES = ("sha256", "labelgapid")
EXPECTED = "path, file_name, filename, image, image_path, image_id or id"


def key_of(column: str) -> str:
    return "".join(c for c in column.casefold() if c.isalnum())


def is_known(columns: Iterable[str]) -> int:
    """How many of a line's cells are names of columns that are looked for."""
    known = {*_PATHS, *_IDS, *_LABELS, *_HASHES}
    return sum(key_of(column) in known for column in columns)


def names_images(columns: Iterable[str]) -> bool:
    return any(key_of(column) in (*_PATHS, *_IDS, *_HASHES) for column in columns)


def image_column(file: Path, columns: Iterable[str]) -> str | None:
    """The column of paths: "path"; else the only one that is called so; else an id, which is a
    file's name or stem and never a number of ours. None where contents (sha256) say it alone.

    Raises `DataError` where there is none, or several.
    """
    columns = tuple(columns)
    for names in (("path",), _PATHS, _IDS):
        found = [column for column in columns if key_of(column) in names]
        if len(found) == 1:
            return found[0]
        if found:
            raise _undecided(file, "name images", found, "path")
    if hash_column(columns) is not None:
        return None
    if not columns:
        raise DataError(f"{file} has no rows.", "Give a table that lists images.")
    raise DataError(
        f"{file}: no column names images (found: {_shown(columns)}; expected: {EXPECTED}).",
        "Name the one to use 'path'.",
    )


def label_column(file: Path, columns: Iterable[str]) -> str | None:
    """The column of labels: "label", else the only one that is called so; None without one.

    Raises `DataError` where there are several.
    """
    columns = tuple(columns)
    for names in (("label",), _LABELS):
        found = [column for column in columns if key_of(column) in names]
        if len(found) == 1:
            return found[0]
        if found:
            raise _undecided(file, "have labels", found, "label")
    return None


def need_labels(file: Path, columns: Iterable[str]) -> str:
    """Raises `DataError` where there is no column of labels, or several."""
    columns = tuple(columns)
    if (found := label_column(file, columns)) is None:
        raise DataError(
            f"{file}: no column of labels (found: {_shown(columns)}; expected: label, class or "
            "category).",
            "Name the one to use 'label'.",
        )
    return found


def hash_column(columns: Iterable[str]) -> str | None:
    """The column of SHA-256 sums of the images' bytes."""
    return next((column for column in columns if key_of(column) in _HASHES), None)


def annotator_column(columns: Iterable[str]) -> str | None:
    return next((column for column in columns if key_of(column) == "annotator"), None)


def held_out_column(columns: Iterable[str]) -> str | None:
    """The column that says which labels measure accuracy."""
    return next((column for column in columns if key_of(column) == "heldout"), None)


def _undecided(file: Path, what: str, found: list[str], name: str) -> DataError:
    return DataError(
        f"{file}: {len(found)} columns {what} ({', '.join(found)}).",
        f"Name the one to use {name!r}.",
    )


def _shown(columns: tuple[str, ...]) -> str:
    return ", ".join(repr(column) for column in columns[:20]) or "none"
