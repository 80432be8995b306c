"""The two axes: an objective (what is optimised) and an acquisition (how items are chosen).

A method is a named pair with a citation. Every ablation and every control is another pair.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.objective import Objective
from labelgap.core.config import TABLES as TABLE_NAMES
from labelgap.core.config import Settings, build
from labelgap.core.errors import ConfigError, PairError, UnknownName
from labelgap.core.names import built_in_places
from labelgap.core.place import Place, calling


@dataclass(frozen=True)
class Method:
    """A named pair, with its citation and the settings that it needs."""

    name: str
    objective: str
    acquisition: str
    title: str
    citation: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Overrides of the run's configuration that the method cannot do without."""
    training_cost: str = "1 × cross-entropy"
    query_cost: str = "N"
    place: Place | None = field(default=None, compare=False, repr=False)
    """Where it was registered."""


Axis = TypeVar("Axis", Objective, Acquisition)

OBJECTIVES: dict[str, type[Objective]] = {}
ACQUISITIONS: dict[str, type[Acquisition]] = {}
METHODS: dict[str, Method] = {}
TABLES: Mapping[str, dict[str, Any]] = {
    "objective": OBJECTIVES,
    "acquisition": ACQUISITIONS,
    "method": METHODS,
}
"""What is registered, by kind."""


def objective(name: str) -> Callable[[type[Objective]], type[Objective]]:
    """Register an objective class under a name; `NameTaken` if it is another's."""
    return _registering("objective", name, calling(__name__))


def acquisition(name: str) -> Callable[[type[Acquisition]], type[Acquisition]]:
    """Register an acquisition class under a name; `NameTaken` if it is another's."""
    return _registering("acquisition", name, calling(__name__))


def _registering(kind: str, name: str, place: Place) -> Callable[[type[Axis]], type[Axis]]:
    def register(cls: type[Axis]) -> type[Axis]:
        cls.name, cls.place = name, _free(kind, name, replace(place, of=cls.__qualname__))
        TABLES[kind][name] = cls
        return cls

    return register


def method(name: str, objective: str, acquisition: str, **facts: Any) -> Method:
    """Register a method: a pair with a name; `NameTaken` if it is another's."""
    place = _free("method", name, calling(__name__))
    METHODS[name] = Method(name, objective, acquisition, **facts, place=place)
    return METHODS[name]


class NameTaken(ConfigError):
    """A second registration of a name, from another place than the first."""


def _free(kind: str, name: str, place: Place) -> Place:
    """`place`, if it may register the name.

    The built-in names are taken from the start, whether or not their files have been imported.
    Running the same registration again is allowed: a notebook's cell, a module that is reloaded.

    Raises
    ------
    NameTaken: naming both places.
    """
    built_in = built_in_places(kind).get(name)
    first = TABLES[kind][name].place if name in TABLES[kind] else built_in
    if first is None or first.again(place) or (built_in and built_in.module == place.module):
        return place
    whose = "built-in:" if built_in else "that of"
    raise NameTaken(
        f"{place} registers the {kind} {name!r}, which is {whose} {first}.", "Choose another name."
    )


def options(
    cls: type[Objective] | type[Acquisition], values: Mapping[str, Any], preset: str, where: str
) -> Settings:
    """The options of a class: its defaults, its own values for the preset, then `values`."""
    return with_preset(cls.Options, values, preset, where)


def with_preset(
    model: type[Settings], values: Mapping[str, Any], preset: str, where: str
) -> Settings:
    """A settings model: its defaults, its own values for the preset, then `values`."""
    return build(model, {**model.presets.get(preset, {}), **values}, where)


def tables_of(*classes: type[Objective] | type[Acquisition]) -> dict[str, type[Settings]]:
    """The run's tables that these classes read, by name."""
    return {
        table: model
        for cls in classes
        for table in TABLE_NAMES
        if table in cls.Options.model_fields
        and isinstance(model := cls.Options.model_fields[table].annotation, type)
        and issubclass(model, Settings)
    }


def lookup(kind: str, name: str) -> Any:
    """The registered objective, acquisition or method of that name, or the nearest names."""
    table = TABLES[kind]
    if not isinstance(name, str):
        raise ConfigError(
            f"The {kind} is {name!r}, and is given by its name.",
            f"Give the name that it was registered with; built-in: {', '.join(sorted(table))}.",
        )
    if name not in table:
        raise UnknownName(kind, name, table)
    return table[name]


def check_pair(objective: Objective, acquisition: Acquisition, provided: frozenset[str]) -> None:
    """Refuse an acquisition whose needs neither the objective nor the session provides.

    Parameters
    ----------
    provided: outputs of the session itself (features, logits, and mc_logits or embedding
        where the network and the data allow them).
    """
    missing = acquisition.needs - objective.outputs - provided
    if missing:
        makers = [n for n, c in OBJECTIVES.items() if missing & c.provides.keys()]
        cure = f"Objectives that provide it: {', '.join(sorted(makers))}." if makers else ""
        if "mc_logits" in missing:
            cure = "Give the network dropout: `--set network.dropout=0.1`."
        elif "embedding" in missing:
            cure = "Use a frozen backbone (`--network timm:NAME --freeze`)."
        raise PairError(
            f"Acquisition {acquisition.name!r} needs {', '.join(sorted(missing))}, which objective "
            f"{objective.name!r} does not provide.",
            cure,
        )
