"""A user's own method: one Python file that registers a pair.

Such a file runs where somebody names it, in a command or a grid. Reading results never runs one.
"""

import hashlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labelgap.axes.registry import TABLES, Method, NameTaken
from labelgap.core.errors import ConfigError
from labelgap.core.place import RUN_ONCE


@dataclass(frozen=True)
class _Loaded:
    """A file as it was when it ran, and what it registered, by (kind, name)."""

    path: Path
    source: bytes
    sha256: str
    entries: Mapping[tuple[str, str], Any]

    def stands(self) -> bool:
        """Whether nothing has replaced it since."""
        return all(TABLES[kind].get(name) is made for (kind, name), made in self.entries.items())

    @property
    def methods(self) -> list[Method]:
        return [made for (kind, _), made in self.entries.items() if kind == "method"]


_LOADED: dict[str, _Loaded] = {}  # by SHA-256 of the source, the latest last


def load_methods(file: Path) -> list[Method]:
    """Import a file and return the methods that it registered.

    A source that has been imported is not run again; a file that was edited meanwhile replaces
    what it had registered, and nothing else.

    Raises
    ------
    ConfigError: no such file, an error while it runs (with its line), nothing registered, or the
        name of something that is not its own. Nothing is registered then.
    """
    return _load(file).methods


def settings(file: Path) -> dict[str, Any]:
    """What `resolve` needs to run the one method of a file: its name and the file's SHA-256.

    Raises
    ------
    ConfigError: as `load_methods`, or the file registers several methods.
    """
    made = _load(file)
    if len(made.methods) > 1:
        names = ", ".join(m.name for m in made.methods)
        raise ConfigError(f"{file} registers {names}.", "Keep one method in a file.")
    return {"method": made.methods[0].name, "method_sha256": made.sha256}


def source(sha256: str) -> bytes:
    """The text of a file that this program has loaded, as it was when it ran."""
    return _LOADED[sha256].source


def is_own(kind: str, name: str) -> bool:
    """Whether a name is a user's: registered by a file, or by one that this program never ran."""
    return name not in TABLES[kind] or any(
        (kind, name) in loaded.entries for loaded in _LOADED.values()
    )


def _load(file: Path) -> _Loaded:
    import labelgap.methods  # noqa: F401  (the built-in names are taken first)

    if not file.is_file():
        raise ConfigError(f"The file {str(file)!r} of a method does not exist.", "Check the path.")
    path, text = file.resolve(), file.read_bytes()
    sha256 = hashlib.sha256(text).hexdigest()
    known = _LOADED.get(sha256)
    if known and known.stands():
        return known
    before = {kind: dict(table) for kind, table in TABLES.items()}
    earlier = _registered_by(path)
    try:
        for kind, name in earlier:
            del TABLES[kind][name]  # an edited file may register its own names anew
        _execute(file, text, sha256)
        made = _Loaded(path, text, sha256, dict(_new(before)))
        if not made.methods:
            raise ConfigError(
                f"{file} registers no method.",
                'End it with `method("mine", "cross-entropy", "mine", title=…, citation=…)`.',
            )
        for (kind, name), entry in earlier.items():
            TABLES[kind].setdefault(name, entry)
    except BaseException:
        for kind, table in TABLES.items():
            table.clear()
            table.update(before[kind])
        raise
    _LOADED.pop(sha256, None)
    _LOADED[sha256] = made
    return made


def _registered_by(path: Path) -> dict[tuple[str, str], Any]:
    """What stands in the tables and came from an earlier state of a file, by (kind, name)."""
    return {
        (kind, name): made
        for loaded in _LOADED.values()
        for (kind, name), made in loaded.entries.items()
        if loaded.path == path and TABLES[kind].get(name) is made
    }


def _execute(file: Path, source: bytes, sha256: str) -> None:
    spec = importlib.util.spec_from_file_location(f"{RUN_ONCE}{file.stem}_{sha256[:8]}", file)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        # What is hashed is what runs, whatever an editor does to the file meanwhile.
        exec(compile(source, str(file), "exec"), module.__dict__)
    except NameTaken:
        raise  # it names the file and the line already
    except (Exception, SystemExit) as error:
        line = None if isinstance(error, SyntaxError) else error.__traceback__  # it says its own
        while line and line.tb_next:
            line = line.tb_next
        where = f" (line {line.tb_lineno} of {line.tb_frame.f_code.co_filename})" if line else ""
        raise ConfigError(
            f"{file} cannot be imported: {type(error).__name__}: {error}{where}.",
            "Correct the file; see docs/own-method.md.",
        ) from error


def _new(before: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[tuple[str, str], Any]]:
    for kind, table in TABLES.items():
        for name, made in table.items():
            if before[kind].get(name) is not made:
                yield (kind, name), made
