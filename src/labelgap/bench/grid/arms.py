"""The arms of a grid: methods, pairs, crossed settings."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from labelgap.core.config import TABLES
from labelgap.core.errors import ConfigError, UnknownName
from labelgap.loop import own
from labelgap.session.presets import Tree, merge

UPPER = "oracle"
"""Not a method; an arm of this name says so in every table."""
CROSSES = ("full", "diagonal")
_TABLES = ("settings", "options", "network", "training", *TABLES)
_ARM_KEYS = (
    "name", "method", "objective_name", "acquisition_name", "objective", "acquisition", "network",
    "training", *TABLES,
)  # fmt: skip


def list_at(tree: Tree, key: str, default: list[Any]) -> list[Any]:
    value = tree.get(key, default)
    if not isinstance(value, list) or not value:
        raise ConfigError(f"{key} = {value!r}: a list with at least one entry is needed.")
    return value


def as_table(value: Any, what: str) -> Tree:
    if not isinstance(value, dict):
        raise ConfigError(f"{what} = {value!r}: a table is needed, as {{key = value}}.")
    return value


def named_entry(entry: Any, kind: str, keys: Sequence[str]) -> Tree:
    if isinstance(entry, str):
        return {"name": entry}
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str):
        raise ConfigError(f"{entry!r} is no {kind}: it needs a name.")
    for key, value in entry.items():
        if key not in keys:
            raise UnknownName("key", key, keys, f"{kind} {entry['name']!r}")
        if key in _TABLES:
            as_table(value, f"{key} of {kind} {entry['name']!r}")
    return entry


def arms_of(tree: Tree, folder: Path | None = None) -> Iterator[tuple[str, Tree]]:
    """(name, values for `resolve`) of every arm, in order; names are distinct.

    folder: what paths of methods' files are relative to; None: the current one.
    """
    made = (
        [_arm(entry, folder) for entry in list_at(tree, "methods", [])] if "methods" in tree else []
    )
    listed = {name for name, _ in made}
    if "objectives" in tree or "acquisitions" in tree:
        # A method that is listed takes the place of the crossed pair of its name.
        made += [(name, values) for name, values in _crossed(tree) if name not in listed]
    if not made:
        raise ConfigError("The grid has no methods.", "Name some: `methods = [...]`.")
    names = [name for name, _ in made]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"Two arms are called {name!r}.", "Give one of them another name.")
    yield from made


def _arm(entry: Any, folder: Path | None) -> tuple[str, Tree]:
    if isinstance(entry, str):
        if entry == UPPER:
            pair = {"objective_name": "cross-entropy", "acquisition_name": UPPER}
            return f"{UPPER} (upper line, no method)", pair
        if "+" in entry and not entry.endswith(".py"):
            one, _, other = entry.partition("+")
            return entry, {"objective_name": one.strip(), "acquisition_name": other.strip()}
        values = method_values(entry, folder)
        return str(values["method"]), values
    made = named_entry(entry, "method", _ARM_KEYS)
    values = {key: value for key, value in made.items() if key != "name"}
    for axis in ("objective", "acquisition"):
        as_table(values.get(axis, {}), f"{axis} of method {made['name']!r}")
    return made["name"], {
        **values,
        **(method_values(made["method"], folder) if "method" in made else {}),
    }


def method_values(name: str, folder: Path | None = None) -> Tree:
    """A method by its name, or by a user's file, whose content is part of the cell's identity.

    folder: what the file's path is relative to; None: the current one.
    """
    if not name.endswith(".py"):
        return {"method": name}
    return own.settings((folder or Path()) / Path(name).expanduser())


def _crossed(tree: Tree) -> list[tuple[str, Tree]]:
    """Objectives × acquisitions, or the two rows through the first of each ("diagonal").

    The diagonal answers "what does this objective add" (each with the first acquisition) and
    "what does this acquisition add" (each on the first objective) for a tenth of the cells.
    """
    cross = tree.get("cross", CROSSES[0])
    objectives = [_part(e, "objective") for e in list_at(tree, "objectives", ["cross-entropy"])]
    acquisitions = [_part(e, "acquisition") for e in list_at(tree, "acquisitions", ["random"])]
    return [
        (f"{one} + {other}", merge(values, others))
        for i, (one, values) in enumerate(objectives)
        for j, (other, others) in enumerate(acquisitions)
        if cross == "full" or i == 0 or j == 0
    ]


def _part(entry: Any, axis: str) -> tuple[str, Tree]:
    if isinstance(entry, str):
        return entry, {f"{axis}_name": entry}
    made = named_entry(entry, axis, ("name", axis, "options", *TABLES))
    return made["name"], {
        **{table: made[table] for table in TABLES if table in made},
        f"{axis}_name": made.get(axis, made["name"]),
        axis: made.get("options", {}),
    }
