"""Presets and the resolution of a run's whole configuration.

Order, later wins: field defaults (the paper's values where it has them), the preset, what the
data set needs, what the method cannot do without, a configuration file, flags and `--set`.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.objective import Objective
from labelgap.axes.registry import lookup, options, tables_of, with_preset
from labelgap.core.config import TABLES, RunConfig, Settings, build, describe, nearest_key
from labelgap.core.errors import ConfigError, UnknownName
from labelgap.core.names import check_method_pair, check_network
from labelgap.methods import ACQUISITIONS, METHODS, OBJECTIVES
from labelgap.networks.weights_file import by_content, packaged_content

Tree = dict[str, Any]

PRESETS: dict[str, Tree] = {
    # A minute on a laptop, with the whole method at work.
    "smoke": {
        "network": {"width": 16, "blocks": [1, 1, 1]},
        "training": {
            "steps": 200,
            "batch_size": 32,
            "schedule": "cosine",
        },
        "loop": {"initial": 40, "budget": 40, "rounds": 5},
    },
    # Minutes on two cores for 28×28 or 32×32 images.
    "cpu": {
        "network": {"width": 16, "blocks": [1, 1, 1, 1]},
        "training": {
            "steps": 400,
            "batch_size": 64,
            "schedule": "cosine",
        },
        "loop": {"initial": 100, "budget": 100, "rounds": 9, "pool_subset": 10_000},
    },
    # The paper's numbers, which are the fields' defaults, but for those that `departures` names.
    "paper": {
        "training": {"epochs": 200},
        "loop": {"initial": 1000, "budget": 1000, "rounds": 9, "pool_subset": 10_000},
    },
    # What published comparisons on frozen features train: one linear layer, few labels at a time.
    # Start and budget are about one label a class: set them for other data sets than those below.
    "linear-probe": {
        "network": {"freeze": True, "adapter": 0},
        "training": {
            "epochs": 200,
            "batch_size": 64,
            "lr": 0.01,
            "nesterov": True,
            "schedule": "cosine",
        },
        "loop": {"initial": 10, "budget": 10, "rounds": 20},
    },
}

PER_DATA_SET: dict[tuple[str, str], Tree] = {
    ("paper", "cifar100"): {"loop": {"initial": 2000, "budget": 2000}},
    ("linear-probe", "cifar100"): {"loop": {"initial": 100, "budget": 100}},
}


_SECTIONS = ("data", "network", "training", "loop")  # these are the run's own
_PARTS = (*_SECTIONS, "objective", "acquisition", *TABLES)  # and these the method's


def merge(base: Tree, other: Mapping[str, Any]) -> Tree:
    """`other` laid over `base`, level by level; neither is changed."""
    result = deepcopy(base)
    for key, value in other.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), dict):
            result[key] = merge(result[key], value)
        else:
            result[key] = deepcopy(value)
    return result


def resolve(
    values: Mapping[str, Any],
    *,
    preset: str = "smoke",
    where: str = "configuration",
) -> RunConfig:
    """The whole configuration of a run, every option of its pair included.

    Parameters
    ----------
    values: a tree as in a configuration file: method or objective_name and acquisition_name,
        objective, acquisition, data, network, training, loop, seed, precision.
    where: the file or flags they came from, for messages.

    Raises
    ------
    UnknownName: preset, method, objective, acquisition or key, with the nearest name.
    ConfigError: a value out of range, or steps and epochs together.
    DataError: the file of weights is missing.
    """
    if preset not in PRESETS:
        raise UnknownName("preset", preset, PRESETS)
    known = set(RunConfig.model_fields) - {"preset"}
    for key in values:
        if key not in known:
            raise UnknownName("key", key, known, where, nearest_key(key, RunConfig))
    for part in _PARTS:
        if not isinstance(values.get(part, {}), Mapping):
            raise ConfigError(
                f"{where}.{part} = {values[part]!r}: a table of keys is needed.",
                "See `labelgap config`.",
            )
    tree = merge(PRESETS[preset], PER_DATA_SET.get((preset, _data_name(values)), {}))
    objective, acquisition = values.get("objective_name"), values.get("acquisition_name")
    method = values.get("method")
    if method is None and not (objective and acquisition):
        method = "daal"
    if method is not None:
        entry = lookup("method", method)
        tree = merge(tree, entry.settings)
        objective, acquisition = objective or entry.objective, acquisition or entry.acquisition
        if (objective, acquisition) != (entry.objective, entry.acquisition):
            method = None
    tree = merge(tree, values)
    # Steps and epochs exclude each other; whichever came last wins over the preset's.
    given = values.get("training", {})
    if "steps" in given and "epochs" in given:
        raise ConfigError(
            f"{where}: training.steps and training.epochs are both given.", "Choose one."
        )
    for one, other in (("steps", "epochs"), ("epochs", "steps")):
        if one in given:
            tree["training"].pop(other, None)
    objective_class = lookup("objective", str(objective))
    acquisition_class = lookup("acquisition", str(acquisition))
    tree["method"], tree["preset"] = method, preset
    tree["objective_name"], tree["acquisition_name"] = objective, acquisition
    tree.update(pair_options(objective_class, acquisition_class, tree, preset))
    for part in _SECTIONS:
        # Built on their own first, so that an unknown key is told with its nearest neighbour.
        model = type(getattr(RunConfig(), part))
        tree[part] = build(model, tree.get(part, {}), part).model_dump()
    network = tree["network"]
    check_network(network["name"])
    if network["freeze"] and network["weights"] is None:
        # By their content from here on, and not "whatever this machine has": it decides the result.
        network["weights"] = packaged_content(network["name"])
    network["weights"] = by_content(network["weights"])
    return build(RunConfig, tree, where)


def pair_options(
    objective: type[Objective],
    acquisition: type[Acquisition],
    tree: Mapping[str, Any],
    preset: str,
    where: str = "",
) -> Tree:
    """Every option of a pair: a table for each axis, and the tables that both of them read.

    Raises
    ------
    UnknownName, ConfigError: a bad key or value; a table that neither of the two reads, or that
        is written under one of them.
    """
    models = tables_of(objective, acquisition)
    for table in TABLES:
        if tree.get(table) and table not in models:
            raise ConfigError(
                f"{where}{table} = {tree[table]!r}: neither objective {objective.name!r} nor "
                f"acquisition {acquisition.name!r} reads this table.",
                f"Remove it, or choose one that does: {', '.join(_readers(table))}.",
            )
    found: Tree = {
        table: with_preset(model, tree.get(table, {}), preset, f"{where}{table}").model_dump(
            mode="json"
        )
        for table, model in models.items()
    }
    for axis, cls in (("objective", objective), ("acquisition", acquisition)):
        read = tables_of(cls)
        given = tree.get(axis, {})
        for table in read.keys() & given.keys():
            raise ConfigError(
                f"{where}{axis}.{table} = {given[table]!r}: {table} is one table of the run, "
                "which both axes read.",
                f"Write `{table}.KEY`.",
            )
        made = options(cls, {**given, **{t: found[t] for t in read}}, preset, f"{where}{axis}")
        found[axis] = made.model_dump(mode="json", exclude=set(read))
    return found


def _readers(table: str) -> list[str]:
    classes = {f"objective {n}": c for n, c in OBJECTIVES.items()} | {
        f"acquisition {n}": c for n, c in ACQUISITIONS.items()
    }
    return sorted(name for name, cls in classes.items() if table in tables_of(cls))


def _data_name(values: Mapping[str, Any]) -> str:
    return str(values.get("data", {}).get("name", "digits"))


@dataclass(frozen=True)
class Departure:
    """A key of the pair that is not the paper's, though the preset is."""

    key: str
    value: float
    paper: float
    reason: str

    def __str__(self) -> str:
        return f"{self.key} is {self.value:g}, the paper's is {self.paper:g}: {self.reason}"

    @property
    def switch(self) -> str:
        """What takes the paper's own value."""
        return f"--set {self.key}={self.paper:g}"


def departures(config: Mapping[str, Any]) -> list[Departure]:
    """What a run under the preset `paper` does not have from the paper, and why.

    config: a whole configuration, as in `config.json`; under other presets the answer is empty.
    """
    if config["preset"] != "paper":
        return []
    known: dict[str, Mapping[str, Any]] = {"objective": OBJECTIVES, "acquisition": ACQUISITIONS}
    classes = {a: c for a in known if (c := known[a].get(config[f"{a}_name"]))}
    models = tables_of(*classes.values()) | {axis: cls.Options for axis, cls in classes.items()}
    found = []
    for part, model in models.items():
        for row in describe(model):
            value = config.get(part, {}).get(row["key"])
            if row["paper"] and value not in (None, row["paper"][0]):
                found.append(Departure(f"{part}.{row['key']}", value, *row["paper"]))
    return found


def departing(config: Mapping[str, Any]) -> str | None:
    """`departures` as a few sentences; None where there are none."""
    found = departures(config)
    if not found:
        return None
    named = "; ".join(map(str, found))
    switches = " ".join(d.switch for d in found)
    return f"Not the paper's numbers: {named}. `{switches}` takes the paper's."


def pair_of(config: RunConfig) -> tuple[Any, Any]:
    """The objective and the acquisition that a configuration names, with their options."""
    objective = lookup("objective", config.objective_name)
    acquisition = lookup("acquisition", config.acquisition_name)
    entry = METHODS.get(config.method or "")
    if entry:
        pair = (config.objective_name, config.acquisition_name)
        check_method_pair(entry.name, (entry.objective, entry.acquisition), pair)
    return (
        objective(_options_of(objective, "objective", config)),
        acquisition(_options_of(acquisition, "acquisition", config)),
    )


def _options_of(cls: type[Objective] | type[Acquisition], axis: str, config: RunConfig) -> Settings:
    read = {table: getattr(config, table) for table in tables_of(cls)}
    return build(cls.Options, {**getattr(config, axis), **read}, axis)


def title_of(config: RunConfig) -> str:
    """ "daal", or "objective+acquisition" for a free pair."""
    if config.method and config.method in METHODS:
        return config.method
    return f"{config.objective_name}+{config.acquisition_name}"
