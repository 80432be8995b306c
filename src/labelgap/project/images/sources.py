"""Where a project's images are: files in its folder, a manifest's, or rows of tables.

A place is written as a path relative to the folder, with forward slashes; a row of a table as
`file#row`. Nothing outside the folder is ever read, by whatever link.
"""

from dataclasses import dataclass, field
from pathlib import Path

from labelgap.core.errors import DataError
from labelgap.data.labels import class_order
from labelgap.data.left_out import LeftOut
from labelgap.project.images.found import Found, Kind, left_out, walk_folder
from labelgap.project.images.manifest import from_manifest, from_tables


@dataclass(frozen=True)
class Places:
    """What a look at the folder found: places of images, what a person must know of how they were
    read, and what was left out."""

    found: list[Found]
    notes: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def look(root: Path, kind: Kind, manifest: Path | None = None) -> Places:
    """Every place of the project, by path. Raises `DataError` for a manifest or table that is
    no such thing."""
    if kind == "manifest":
        if manifest is None:
            raise DataError("A project of a manifest needs the manifest.", "Give --manifest FILE.")
        return Places(*from_manifest(root, manifest))
    if kind == "tables":
        return Places(*from_tables(root))
    return Places(list(walk_folder(root)), left_out=left_out(root))


def classes_of(found: list[Found]) -> tuple[str, ...]:
    """The names of the labels that came along, in the order of classes."""
    return class_order(f.label for f in found if f.label)
