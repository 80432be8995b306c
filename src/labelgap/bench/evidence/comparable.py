"""Which cells may be compared: equal in all but the method."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from labelgap.axes.registry import METHODS
from labelgap.bench.grid.grid import Cell
from labelgap.core.config import TABLES, RunConfig
from labelgap.report.command import leaves

_METHOD = (
    "objective_name", "acquisition_name", "objective", "acquisition", *TABLES, "method_sha256",
)  # fmt: skip
_OWN = ("method", *_METHOD, "seed")
"""What arms and seeds differ in; everything else is equal in a comparison."""


def unequal(cells: Iterable[Cell]) -> str | None:
    """What first forbids to compare these cells; None where nothing does.

    What the audit finds in their configurations afterwards, told before anything is computed.
    """
    known = [(cell, cell.config.model_dump(mode="json")) for cell in cells]
    needed = needed_settings(config for _, config in known)
    return (
        _unlike((table_of(cell), shared_settings(config, needed)) for cell, config in known)
        or _unlike(
            ((*table_of(cell), cell.arm), shared_settings(config, set())) for cell, config in known
        )
        or _unlike((arm_of(cell), method_of(cell)) for cell, _ in known)
        or next((f"{first.folder} and {second.folder} are of one arm and seed"
                 for first, second, *_ in claimed_twice(cell for cell, _ in known)), None)
        or _computed_twice(cell for cell, _ in known)
    )  # fmt: skip


def _computed_twice(cells: Iterable[Cell]) -> str | None:
    """Two arms that are one: their rows would be equal, and Holm's correction would count both."""
    names: dict[Hashable, Cell] = {}
    for cell in cells:
        other = names.setdefault((cell.variant, cell.computation), cell)
        if other.arm != cell.arm:
            return f"{other.arm!r} and {cell.arm!r} are the same run"
    return None


def _unlike(grouped: Iterable[tuple[Hashable, dict[str, str]]]) -> str | None:
    """The first key that has two values in one group."""
    usual: dict[Hashable, dict[str, str]] = {}
    for group, values in grouped:
        first = usual.setdefault(group, values)
        for key in {**first, **values}:
            if first.get(key) != values.get(key):
                return f"{key} is {first.get(key)} in some and {values.get(key)} in others"
    return None


def arm_of(cell: Cell) -> Hashable:
    """Equal for cells that a reader takes for one method."""
    return (cell.arm, cell.variant, cell.config.preset)


def method_of(cell: Cell) -> dict[str, str]:
    """The method itself. Many pairs have no options, so their names are compared too."""
    config = cell.config.model_dump(mode="json", include=set(_METHOD))
    return {f"{key} of the arm {cell.arm!r}": str(value) for key, value in leaves(config)}


def claimed_twice(cells: Iterable[Cell]) -> list[list[Cell]]:
    """Cells that claim one place of a table, where there are several."""
    places: dict[Hashable, list[Cell]] = defaultdict(list)
    for cell in cells:
        places[(*table_of(cell), cell.arm, cell.config.seed)].append(cell)
    return [claim for claim in places.values() if len(claim) > 1]


def table_of(cell: Cell) -> tuple[str, str, int]:
    """Equal for cells whose arms stand in one table."""
    return (cell.config.data.name, cell.variant, cell.development)


def shared_settings(config: Mapping[str, Any], needed: set[tuple[str, str]]) -> dict[str, str]:
    """The settings that all arms of a table have in common."""
    return {
        key: str(value)
        for key, value in leaves(config)
        if key.split(".")[0] not in _OWN and (key, str(value)) not in needed
    }


def needed_settings(configs: Iterable[Mapping[str, Any]]) -> set[tuple[str, str]]:
    """Settings that some method cannot do without (dropout), as (key, value).

    Arms may have them or the usual value, and no third: random beside mc-dropout may be shown on
    either network. What a user's own method needs its file would say, which is not run to read
    results: settings that some built-in method needs are taken for its need.
    """
    listed = list(configs)
    needed = {
        (key, str(value))
        for name in {config["method"] for config in listed}
        if name in METHODS
        for key, value in leaves(METHODS[name].settings)
    }
    kinds = {key for entry in METHODS.values() for key, _ in leaves(entry.settings)}
    needed |= {
        (key, str(value))
        for config in listed
        if config["method_sha256"]
        for key, value in leaves(config)
        if key in kinds
    }
    keys = {key for key, _ in needed}
    usual = {(k, str(v)) for k, v in leaves(RunConfig().model_dump()) if k in keys}
    return needed | usual
