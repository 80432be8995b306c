"""What a grid will cost before it starts: real steps of each kind of cell, timed."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from labelgap.bench.grid.grid import Cell
from labelgap.bench.running.cell import task_of
from labelgap.core.config import config_hash
from labelgap.core.device import machine
from labelgap.loop.estimate import estimate


def costs(
    cells: Sequence[Cell], device: str, root: Path | None, sources: Mapping[str, str]
) -> dict[str, float]:
    """Estimated seconds of each cell, by identity; cells that differ in the seed cost the same.

    sources: where the data are, of those whose name does not say it.

    Also the place where data sets are decoded and packed, before workers would do it side by
    side, and where pairs that do not fit are refused.
    """
    known: dict[str, float] = {}
    found = {}
    for cell in cells:
        config = cell.config
        kind = config_hash(
            {**config.model_dump(mode="json", exclude={"seed"}), "dev": cell.development}
        )
        if kind not in known:
            where = machine(device, config.precision)
            task = task_of(config, root, device, cell.development, sources.get(config.data.name))
            known[kind] = estimate(config, task, where).total
        found[cell.identity] = known[kind]
    return found
