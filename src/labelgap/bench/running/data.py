"""A benchmark knows its data: a folder of images has one name there, however its path was typed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from labelgap.bench.grid.grid import Cell
from labelgap.bench.grid.store import Store
from labelgap.core.config import config_hash
from labelgap.data import load, names, one_name
from labelgap.data.difference import difference
from labelgap.data.identity import Record, record_of
from labelgap.session.own_data import refusal


@dataclass(frozen=True)
class Settled:
    """Cells under the names of the benchmark.

    sources: name → where the data are now, for own folders.
    unrecorded: names whose data were not known until now, though cells are there.
    records: of data that are new, for `keep`.
    """

    cells: tuple[Cell, ...]
    sources: Mapping[str, str]
    unrecorded: tuple[str, ...]
    records: Mapping[Path, Record]

    def keep(self) -> None:
        """Record what the new data are, once the benchmark has their cells."""
        for file, record in self.records.items():
            record.save(file)


def settled(store: Store, cells: Sequence[Cell]) -> Settled:
    """The cells with the names that their data have in the benchmark already.

    Data are known by their content: the same by another path keep their name, so that finished
    cells stay finished. Hold the store's lock.

    Raises `FolderError` for other data under a known name, saying what differs; as `load`.
    """
    own = [c.config.data.name for c in store.cells if c.config.data.name not in names()]
    spelt = {one_name(name): name for name in own}
    chosen: dict[tuple[str, int | None], str] = {}
    sources: dict[str, str] = {}
    unrecorded: list[str] = []
    records: dict[Path, Record] = {}
    found: dict[str, Cell] = {}
    for cell in cells:
        data = cell.config.data
        if data.name not in names():
            key = (data.name, data.image_size)
            if key not in chosen:
                known = spelt.get(one_name(data.name))
                if known is not None and not _file(store, known, data.image_size).exists():
                    unrecorded.append(known)
                chosen[key] = _settle(store, records, *key, known, own)
                sources[chosen[key]] = str(Path(data.name).expanduser().resolve())
            named = data.model_copy(update={"name": chosen[key]})
            cell = replace(cell, config=cell.config.model_copy(update={"data": named}))
        found.setdefault(cell.identity, cell)
    return Settled(tuple(found.values()), sources, tuple(unrecorded), records)


def _settle(
    store: Store,
    records: dict[Path, Record],
    name: str,
    size: int | None,
    known: str | None,
    own: Sequence[str],
) -> str:
    """The name that the data have or get; a new record is added to `records`."""
    task = load(name, image_size=size)
    here = record_of(task)
    if known is None:
        for other in [*dict.fromkeys(own), *(r.name for r in records.values())]:
            before = _record(store, records, other, size)
            if before is not None and before.fingerprint == here.fingerprint:
                return other
    before = _record(store, records, known or name, size)
    if before is None:
        records[_file(store, known or name, size)] = replace(here, name=known or name)
    elif before.fingerprint != here.fingerprint:
        raise refusal(store.root, task, difference(before, here), grow=False)
    return known or name


def _record(
    store: Store, records: Mapping[Path, Record], name: str, size: int | None
) -> Record | None:
    file = _file(store, name, size)
    if file in records:
        return records[file]
    return Record.load(file) if file.exists() else None


def _file(store: Store, name: str, size: int | None) -> Path:
    return store.data / f"{config_hash({'name': name, 'image_size': size})[:16]}.npz"
