"""A project's settings: read, checked, saved."""

import json
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from labelgap.core.config import Settings, build
from labelgap.core.disk import not_the_disk
from labelgap.core.errors import ConfigError, DataError, FolderError
from labelgap.core.files import write_text
from labelgap.data.scales import Range, Rule

HOME = ".labelgap"
SETTINGS = "project.json"
ITEMS = "items.sqlite"
SCHEMA = 1
MAX_CLASSES = 10_000
NONE_LABEL = "(none of these)"
"""How the answer "none of the classes" is written in files; no class has this name."""
_CHANGES = {
    "image_size": "Leave it out: its images are packed at that size. Another one needs a new "
    "project, once the folder .labelgap is moved away.",
    "scaling": "Leave it out: its images are packed by the other rule. Another one needs a new "
    "project, once the folder .labelgap is moved away.",
    "method": "Leave it out; `labelgap ask N --method NAME` changes it from then on.",
}


DEFAULT_METHOD = "gap"
"""Of a new project (docs/methods/gap.md); each keeps the one that it began with."""


class ProjectSettings(Settings):
    """What a project is; fixed at `init` except where a command says that it changes it."""

    schema_: int = Field(SCHEMA, alias="schema")
    classes: tuple[str, ...] = ()
    image_size: int = Field(128, ge=4, le=1024)
    source: Literal["folder", "manifest", "tables"] = "folder"
    manifest: str | None = None
    folder_labels: bool = False
    holdout: float = Field(0.2, ge=0.0, lt=1.0)
    seed: int = 0
    method: str = DEFAULT_METHOD
    network: str | None = None
    weights: str | None = None
    flip: bool = True
    scaling: Rule = "type"
    """How `scales` are chosen. Projects of before it was asked have "type"."""
    scales: dict[str, Range] = Field(default_factory=dict)
    """The range of each kind of pixels other than 8-bit ones, chosen when the first came."""
    config: dict[str, Any] = Field(default_factory=dict)

    model_config: ClassVar[Any] = {**Settings.model_config, "populate_by_name": True}


def normal(name: str) -> str:
    """A class's name as it is kept: trimmed, its accents composed."""
    return unicodedata.normalize("NFC", name.strip())


def check_classes(names: Sequence[str]) -> tuple[str, ...]:
    """Class names as given, trimmed. Raises `ConfigError` for none, empty or repeated ones."""
    plain = tuple(normal(name) for name in names)
    if not plain:
        raise ConfigError(
            "The classes are not known.",
            "Give --classes a,b,c; or put images into sub-folders named by class.",
        )
    if len(plain) > MAX_CLASSES:
        raise ConfigError(f"{len(plain)} classes; at most {MAX_CLASSES} are allowed.")
    for name in plain:
        if not name or any(unicodedata.category(c)[0] == "C" for c in name) or len(name) > 200:
            raise ConfigError(
                f"The class name {name!r} is empty, too long or has control characters.",
                "Give each class a short name.",
            )
        if name.casefold() == NONE_LABEL:
            raise ConfigError(
                f"The class name {name!r} is how labelgap writes that an image is of no class.",
                "Leave it out: that answer is always there; or give the class another name.",
            )
    seen: dict[str, str] = {}
    for name in plain:
        other = seen.setdefault(name.casefold(), name)
        if other != name or plain.count(name) > 1:
            raise ConfigError(
                f"The classes {other!r} and {name!r} cannot be told apart.", "Rename one of them."
            )
    return plain


def read_settings(file: Path) -> ProjectSettings:
    """Raises `FolderError` for a damaged or newer file."""
    try:
        tree = json.loads(file.read_text(encoding="utf-8"))
        schema = int(tree.get("schema", 0))
    except (OSError, ValueError, AttributeError, TypeError) as error:
        not_the_disk(error, file)
        raise FolderError(
            f"{file} cannot be read: {error}.", "Restore it from a backup; the ledger is whole."
        ) from error
    if schema > SCHEMA:
        raise FolderError(f"{file} is of version {schema}.", "Update labelgap.")
    return build(ProjectSettings, field_names(tree), str(file))


def refuse_changes(
    file: Path, known: ProjectSettings, asked: ProjectSettings, given: Collection[str] | None
) -> None:
    """What is asked for and is otherwise in the project must not be ignored in silence."""
    names = asked.model_fields_set - {"classes"} if given is None else given
    for key in ProjectSettings.model_fields:
        before, now = getattr(known, key), getattr(asked, key)
        if key in names and now != before:
            raise FolderError(
                f"The project in {file.parent.parent} has {key} {before!r}, and now {now!r} is "
                "given.",
                _CHANGES.get(key, f"Leave it out, or change it in {file}."),
            )


def save_settings(file: Path, settings: ProjectSettings) -> None:
    text = json.dumps(settings.model_dump(by_alias=True, mode="json"), indent=1)
    write_text(file, text + "\n")


def field_names(tree: Mapping[str, Any]) -> dict[str, Any]:
    """`build` knows fields by their names; the file says "schema"."""
    return {("schema_" if key == "schema" else key): value for key, value in tree.items()}


def manifest_in(root: Path, manifest: Path) -> str:
    """The manifest's path relative to the folder, which must hold it."""
    real = manifest.expanduser().resolve()
    if not real.is_file():
        raise DataError(f"The manifest {manifest} does not exist.", "Check the path.")
    if not real.is_relative_to(root.resolve()):
        raise DataError(
            f"The manifest {manifest} is outside {root}.", "Put it into the folder of the images."
        )
    return real.relative_to(root.resolve()).as_posix()
