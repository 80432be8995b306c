"""The two axes: an objective (what is optimised) and an acquisition (how items are chosen).

A method is a named pair with a citation. Every ablation and every control is another pair.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from labelgap.axes.acquisition import Acquisition
from labelgap.axes.objective import Objective
from labelgap.core.config import Settings, build
from labelgap.core.errors import PairError, UnknownName


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


OBJECTIVES: dict[str, type[Objective]] = {}
ACQUISITIONS: dict[str, type[Acquisition]] = {}
METHODS: dict[str, Method] = {}


def objective(name: str) -> Callable[[type[Objective]], type[Objective]]:
    """Register an objective class under a name."""

    def register(cls: type[Objective]) -> type[Objective]:
        cls.name = name
        OBJECTIVES[name] = cls
        return cls

    return register


def acquisition(name: str) -> Callable[[type[Acquisition]], type[Acquisition]]:
    """Register an acquisition class under a name."""

    def register(cls: type[Acquisition]) -> type[Acquisition]:
        cls.name = name
        ACQUISITIONS[name] = cls
        return cls

    return register


def method(name: str, objective: str, acquisition: str, **facts: Any) -> Method:
    """Register a method: a pair with a name."""
    METHODS[name] = Method(name, objective, acquisition, **facts)
    return METHODS[name]


def options(
    cls: type[Objective] | type[Acquisition], values: Mapping[str, Any], preset: str, where: str
) -> Settings:
    """The options of a class: its defaults, its own values for the preset, then `values`."""
    own = cls.Options.presets.get(preset, {})
    return build(cls.Options, {**own, **values}, where)


def lookup(kind: str, name: str) -> Any:
    """The registered objective, acquisition or method of that name, or the nearest names."""
    tables: dict[str, Mapping[str, Any]] = {
        "objective": OBJECTIVES,
        "acquisition": ACQUISITIONS,
        "method": METHODS,
    }
    table = tables[kind]
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
        makers = [n for n, c in OBJECTIVES.items() if missing & c.outputs]
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
