"""Where a project's images are: files in its folder, a manifest's, or rows of tables.

A place is written as a path relative to the folder, with forward slashes; a row of a table as
`file#row`. Nothing outside the folder is ever read, by whatever link.
"""

from pathlib import Path

from labelgap.core.errors import DataError
from labelgap.project.images.found import Found, Kind, walk_folder
from labelgap.project.images.manifest import from_manifest, from_tables


def find(root: Path, kind: Kind, manifest: Path | None = None) -> list[Found]:
    """Every place of the project, by path. Raises `DataError` for a manifest or table that is
    no such thing."""
    if kind == "manifest":
        if manifest is None:
            raise DataError("A project of a manifest needs the manifest.", "Give --manifest FILE.")
        return from_manifest(root, manifest)
    if kind == "tables":
        return list(from_tables(root))
    return list(walk_folder(root))


def classes_of(found: list[Found]) -> tuple[str, ...]:
    """The names of the labels that came along, sorted."""
    return tuple(sorted({f.label for f in found if f.label}))
