"""A grid of runs: data sets × variants × arms × seeds, from a TOML file or from flags.

A *cell* is one run. An *arm* is what is compared: a method, or a pair of an objective and an
acquisition with options. A *variant* is a named change of settings that every arm gets (another
imbalance, another budget). A grid's file:

    base = "cpu"                          # the preset of `labelgap run` that cells start from
    datasets = ["fashion-mnist"]          # or {name = "cifar10", settings = {...}}; `variants` and
                                          # `seeds` in such a table are this data set's own
    methods = ["random", "daal", "cross-entropy+margin", "./mine.py",
               {name = "no DA", method = "daal", objective = {align = false}},
               {name = "spherical", method = "daal", mixture = {covariance = "spherical"}}]
    objectives = ["cross-entropy", {name = "Reg", objective = "daal", options = {align = false}}]
    acquisitions = ["random", "margin"]   # objectives × acquisitions are further arms
    cross = "diagonal"                    # or "full": see `_crossed`
    seeds = 5                             # or [0, 1, 2]
    variants = [{name = "balanced"}, {name = "imbalanced", settings = {data = {imbalance = 10}}}]
    [settings]                            # as in a configuration file of `labelgap run`
    loop = {initial = 100, budget = 100, rounds = 5}
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from labelgap.axes.registry import lookup
from labelgap.bench.grid.arms import CROSSES, arms_of, as_table, list_at, named_entry
from labelgap.core.config import TABLES, RunConfig, Settings, build, config_hash
from labelgap.core.errors import ConfigError, LabelgapError, UnknownName
from labelgap.data import names as data_names
from labelgap.data import one_name
from labelgap.loop import own
from labelgap.session.presets import PRESETS as RUN_PRESETS
from labelgap.session.presets import Tree, merge, pair_options, resolve

KEYS = (
    "base", "datasets", "methods", "objectives", "acquisitions", "cross", "seeds", "variants",
    "settings",
)  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """One run of the grid.

    development: so many training images, taken out of the pool, take the place of the test split
        (tuning); 0 is the real test split.
    place: the folder's name, where it was made under another name of the arm.
    """

    config: RunConfig
    arm: str
    variant: str = ""
    development: int = 0
    place: str = field(default="", compare=False)

    @property
    def identity(self) -> str:
        """Hash of everything that decides the cell's result."""
        if not self.development:
            return self.config.identity()
        return config_hash({"run": self.config.identity(), "development": self.development})

    @property
    def computation(self) -> str:
        """Equal for a method and its pair spelt out: one computation, whatever it is called."""
        config = self.config.model_dump(mode="json", exclude={"method"})
        return config_hash({"run": config, "development": self.development})

    @property
    def folder(self) -> str:
        """The name of the cell's folder: readable, and distinct by its hash."""
        if self.place:
            return self.place
        data = Path(self.config.data.name).name
        words = [data, self.variant, self.arm, f"s{self.config.seed}", self.identity[:8]]
        return re.sub(r"[^A-Za-z0-9._+-]+", "-", "-".join(w for w in words if w))


@dataclass(frozen=True)
class Grid:
    """Cells in the order in which they were named, and where they came from."""

    name: str
    cells: tuple[Cell, ...]


_COMMENT = re.compile(r"""("[^"]*"|'[^']*')|#.*""")


@dataclass(frozen=True)
class Source:
    """Where a grid's words stand, for messages with line numbers."""

    where: str
    text: str = field(default="", repr=False)
    folder: Path | None = None
    """What paths of methods' files in it are relative to; None: the current folder."""

    def at(self, *tokens: str) -> str:
        """ "grid.toml, line 7": where the last token found is, each sought from the one before."""
        lines = [_COMMENT.sub(lambda m: m[1] or "", line) for line in self.text.splitlines()]
        found, begin = None, 0
        for token in tokens:
            word = re.compile(rf"(?<![\w-]){re.escape(token)}(?![\w-])")
            places = [number for number, line in enumerate(lines) if word.search(line)]
            if places:
                found = begin = next((n for n in places if n >= begin), places[0])
        return self.where if found is None else f"{self.where}, line {found + 1}"

    def located(self, error: LabelgapError) -> LabelgapError:
        """The same error with its line in front."""
        if isinstance(error, UnknownName):
            tokens = [*re.findall(r"[\w-]+", error.where), error.name]
        elif " = " in error.cause:
            tokens = re.findall(r"[\w-]+", error.cause.split(" = ")[0])
        else:
            tokens = re.findall(r"'([^']+)'", error.cause)[::-1]
        place = self.at(*tokens)
        return ConfigError(f"{place}: {error.cause}", error.cure)


def current_config(tree: Mapping[str, Any], where: str) -> RunConfig:
    """A stored configuration, keys that were added to labelgap since at their defaults, and those
    that have moved where they stand now.

    So a committed result stays that of its cell as long as new keys default to what was. A user's
    own method is what its file says, and is taken as it is stored: no file is run to read.
    """
    config = build(RunConfig, tree, where)
    if config.method_sha256:
        return config
    objective = lookup("objective", config.objective_name)
    acquisition = lookup("acquisition", config.acquisition_name)
    moved = _moved(config, objective.Options, acquisition.Options)
    if moved is None:
        return config
    whole = pair_options(objective, acquisition, moved, config.preset, f"{where}: ")
    return config.model_copy(update=whole)


def _moved(
    config: RunConfig, objective: type[Settings], acquisition: type[Settings]
) -> Tree | None:
    """The options of a stored pair, keys that have moved into the run's tables moved there.

    None where the two axes had two values for what is one key now: no configuration of today says
    that, and the stored one is taken as it is.
    """
    tree: Tree = {table: dict(getattr(config, table)) for table in TABLES}
    for axis, model in (("objective", objective), ("acquisition", acquisition)):
        tree[axis] = {}
        for key, value in getattr(config, axis).items():
            table, _, name = model.moved.get(key, "").rpartition(".")
            place = tree[table or axis]
            if place.setdefault(name or key, value) != value:
                return None
    return tree


def presets() -> dict[str, str]:
    """The text of every preset grid, by name."""
    folder = files("labelgap.bench") / "presets"
    found = [entry for entry in folder.iterdir() if entry.name.endswith(".toml")]
    return {e.name.removesuffix(".toml"): e.read_text("utf-8") for e in found}


def preset_grid(name: str, overrides: Mapping[str, Any] | None = None) -> Grid:
    """A grid that comes with the package; `overrides` replaces its top-level keys."""
    known = presets()
    if name not in known:
        raise UnknownName("preset", name, known)
    return grid_of(known[name], Source(f"preset {name}", known[name]), name, overrides)


def file_grid(path: Path, overrides: Mapping[str, Any] | None = None) -> Grid:
    """The grid of a TOML file.

    Raises
    ------
    ConfigError: no such file, no TOML, an unknown name or key, a bad value: each with its line.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The grid {path} cannot be read: {error}.", "Check the path.") from error
    return grid_of(text, Source(str(path), text, path.parent), path.stem, overrides)


def grid_of(
    text: str, source: Source, name: str, overrides: Mapping[str, Any] | None = None
) -> Grid:
    """The grid of a TOML text; `overrides` come from flags and replace top-level keys."""
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source.where}: {error}.", "Correct the file.") from error
    if "methods" in (overrides or {}):
        source = replace(source, folder=None)  # a path of the command line
    for key, value in (overrides or {}).items():
        tree[key] = merge(tree.get(key, {}), value) if key == "settings" else value
    if any(key in (overrides or {}) for key in ("methods", "objectives", "acquisitions")):
        # Arms given by flags replace the preset's, crossed ones too.
        for key in ("methods", "objectives", "acquisitions"):
            if key not in (overrides or {}):
                tree.pop(key, None)
    if "seeds" in (overrides or {}):  # a flag is for every data set
        for entry in tree.get("datasets", []):
            if isinstance(entry, dict):
                entry.pop("seeds", None)
    try:
        return Grid(name, tuple(_cells(tree, source)))
    except LabelgapError as error:
        if source.text and not error.cause.startswith(source.where):
            raise source.located(error) from error
        raise


def _cells(tree: Tree, source: Source) -> Iterator[Cell]:
    for key in tree:
        if key not in KEYS:
            raise UnknownName("key", key, KEYS)
    base = tree.get("base", "smoke")
    if not isinstance(base, str) or base not in RUN_PRESETS:
        raise UnknownName("preset", str(base), RUN_PRESETS)
    if tree.get("cross", CROSSES[0]) not in CROSSES:
        raise UnknownName("cross", str(tree["cross"]), CROSSES)
    common = _settings(tree, "settings")
    datasets = [_data_set(entry, tree) for entry in list_at(tree, "datasets", ["digits"])]
    arms = list(arms_of(tree, source.folder))
    seen: dict[str, Cell] = {}
    for data in datasets:
        for variant in data.variants:
            for arm, values in arms:
                for seed in data.seeds:
                    whole = merge(merge(common, data.settings), variant["settings"])
                    whole = merge(merge(whole, values), {"data": {"name": data.name}, "seed": seed})
                    config = resolve(whole, preset=base, where="settings")
                    _carries_its_file(config, arm)
                    cell = Cell(config, arm, variant["name"])
                    _distinct(cell, seen)
                    yield cell


def _carries_its_file(config: RunConfig, arm: str) -> None:
    """Refuse a part of a user's file named without the file, which no worker would know."""
    for axis, name in (
        ("objective", config.objective_name),
        ("acquisition", config.acquisition_name),
    ):
        if config.method_sha256 is None and own.is_own(axis, name):
            raise ConfigError(
                f"The arm {arm!r} takes the {axis} {name!r} of a user's file without the file.",
                f'Write {{name = "{arm}", method = "FILE.py", …}} with objective_name or '
                "acquisition_name for the other half of the pair.",
            )


def _distinct(cell: Cell, seen: dict[str, Cell]) -> None:
    """Refuse a second cell that would compute what another one computes."""
    key = cell.computation
    if key in seen:
        other = seen[key]
        raise ConfigError(
            f"{cell.arm!r} and {other.arm!r} on {cell.config.data.name}"
            f"{f' ({cell.variant})' if cell.variant else ''} with seed {cell.config.seed} have one "
            f"identity: they would be the same run.",
            "Remove one of them, or give them different options.",
        )
    seen[key] = cell


def _seeds(value: Any) -> Sequence[int]:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
        return range(value)
    if isinstance(value, list) and value and all(type(v) is int for v in value):
        return value
    raise ConfigError(
        f"seeds = {value!r}: neither a number of seeds nor a list of seeds.", "Write `seeds = 5`."
    )


@dataclass(frozen=True)
class _DataSet:
    name: str
    settings: Tree
    variants: Sequence[Tree]
    seeds: Sequence[int]


def _data_set(entry: Any, grid: Tree) -> _DataSet:
    """A data set with the grid's variants and seeds, or those of its own entry."""
    made = named_entry(entry, "data set", ("name", "settings", "variants", "seeds"))
    name = made["name"]
    if name not in data_names() and not (name and Path(name).expanduser().is_dir()):
        raise UnknownName("data set (nor is there such a folder)", name, data_names())
    variants = list_at({**grid, **made}, "variants", [""])
    seeds = made.get("seeds", grid.get("seeds", 1))
    settings = _settings(made, "settings", f"data set {name!r}")
    return _DataSet(one_name(name), settings, [_variant(v) for v in variants], _seeds(seeds))


def _variant(entry: Any) -> Tree:
    made = named_entry(entry, "variant", ("name", "settings"))
    return {**made, "settings": _settings(made, "settings", f"variant {made['name']!r}")}


def _settings(tree: Tree, key: str, of: str = "the grid") -> Tree:
    """Settings that all arms get: a table, and nothing in it that the grid's own keys say."""
    found = as_table(tree.get(key, {}), f"{key} of {of}")
    for own_key in ("method", "objective_name", "acquisition_name", "seed"):
        if own_key in found:
            raise ConfigError(
                f"{key} of {of} have '{own_key}', which arms and seeds decide.",
                "Give it by `methods` or `seeds`.",
            )
    if "name" in as_table(found.get("data", {}), f"data in {key} of {of}"):
        raise ConfigError(
            f"{key} of {of} have data.'name', which the data sets decide.", "Use `datasets`."
        )
    return found
