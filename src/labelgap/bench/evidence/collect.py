"""Results: from the cells' folders into one compact Parquet file, a row a cell and round.

The file is the record that is committed: a cell whose rows are in it is finished. Where the cell's
folder is there too it is read again and holds, so that damage done to it since is noticed.
"""

import json
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from labelgap.bench.evidence.results import (
    AUDITED,
    STAGES,
    Result,
    read_results,
    result_of,
    write_results,
)
from labelgap.bench.grid.grid import Cell, current_config
from labelgap.bench.grid.store import Store
from labelgap.bench.running.cell import COST
from labelgap.core.disk import not_the_disk
from labelgap.core.errors import DataError, DiskError, LabelgapError
from labelgap.ledger.ledger import LEDGER, Ledger
from labelgap.loop.result import QUERIES, RESULT, SCHEMA
from labelgap.session.claim import CONFIG, differing, read_json
from labelgap.session.weights import ids_hash


@dataclass(frozen=True)
class Damage:
    """A cell whose files contradict each other or cannot be read."""

    cell: Cell
    reason: str


@dataclass(frozen=True)
class Collection:
    """The state of every cell of a benchmark."""

    finished: tuple[Result, ...]
    damaged: tuple[Damage, ...]
    missing: tuple[Cell, ...]


def collect(store: Store) -> Collection:
    """Read every cell: from its folder where it is finished there, else from the Parquet file.

    A folder that was damaged since its rows were written does not take them away.
    """
    recorded = read_results(store.results) if store.results.exists() else {}
    finished, damaged, missing = [], [], []
    for cell in store.cells:
        folder = store.folder(cell)
        if (folder / RESULT).exists():
            try:
                finished.append(read_cell(cell, folder))
                continue
            except DiskError:  # nothing is damaged
                raise
            except LabelgapError as error:
                damaged.append(Damage(cell, error.cause))
        if cell.identity in recorded:
            finished.append(result_of(cell, recorded[cell.identity]))
        elif not damaged or damaged[-1].cell is not cell:
            try:
                _check_begun(folder)
                missing.append(cell)
            except DiskError:
                raise
            except LabelgapError as error:
                damaged.append(Damage(cell, error.cause))
    return Collection(tuple(finished), tuple(damaged), tuple(missing))


def with_results(store: Store) -> list[Cell]:
    """The cells that have a result, which `collect` would read and check and this does not."""
    recorded = read_results(store.results) if store.results.exists() else {}
    return [
        cell
        for cell in store.cells
        if cell.identity in recorded or (store.folder(cell) / RESULT).exists()
    ]


class Record:
    """Keeps the compact file up with a running benchmark, so that finished cells can be committed.

    It is written once a minute at most; `write`, called last, writes the rest.
    """

    EVERY = 60.0

    def __init__(self, store: Store, finished: Iterable[Result]) -> None:
        self.store, self.finished = store, list(finished)
        self._written = -math.inf

    def __call__(self, cell: Cell) -> None:
        """Add a cell that is done. A damaged one is left to `collect`, which tells of it."""
        try:
            self.finished.append(read_cell(cell, self.store.folder(cell)))
        except DiskError:
            raise
        except LabelgapError:
            return
        if time.monotonic() - self._written >= self.EVERY:
            self.write()

    def write(self) -> None:
        """Write what is finished by now."""
        write_results(self.store.results, self.finished)
        self._written = time.monotonic()


def reuse(store: Store, others: Iterable[Store]) -> int:
    """Take what other benchmarks have finished of this one's missing cells; returns how many.

    A cell is taken where the computation is the same, whatever its arm is called there; the audit
    judges it with the rest.
    """
    found = {r.cell.computation: r for other in others for r in collect(other).finished}
    state = collect(store)
    taken = [
        replace(found[cell.computation], cell=cell)
        for cell in state.missing
        if cell.computation in found
    ]
    if taken:
        write_results(store.results, [*state.finished, *taken])
    return len(taken)


def repair(store: Store, damaged: Iterable[Damage]) -> list[Path]:
    """Put damaged folders into quarantine, so that their cells are run again."""
    moved = [store.quarantine(damage.cell) for damage in damaged]
    write_results(store.results, collect_kept(store, {d.cell.identity for d in damaged}))
    return moved


def collect_kept(store: Store, without: set[str]) -> list[Result]:
    """What is finished, but for the cells whose identities are named."""
    return [r for r in collect(store).finished if r.cell.identity not in without]


# ---------------------------------------------------------------------- a cell's folder


def read_cell(cell: Cell, folder: Path) -> Result:
    """The result of a finished folder, checked against itself.

    Raises
    ------
    DataError: what contradicts what. FolderError: a file that cannot be read.
    """
    result, begun = read_json(folder / RESULT), read_json(folder / CONFIG)
    try:
        return _checked(cell, folder, result, begun)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{folder}: result.json is damaged: {error!r}.") from error


def _check_begun(folder: Path) -> None:
    """Raise what a run that continues in this folder would raise; an absent folder is fine."""
    if (folder / CONFIG).exists():
        read_json(folder / CONFIG)
    if (folder / LEDGER).exists():
        Ledger.open(folder / LEDGER, read_only=True, allow_network=True).close()


def _checked(
    cell: Cell, folder: Path, result: Mapping[str, Any], begun: Mapping[str, Any]
) -> Result:
    if result["schema"] != SCHEMA:
        raise DataError(f"{folder}: result.json has schema {result['schema']}.")
    ran = current_config(result["config"], str(folder / RESULT))
    difference = differing(cell.config.model_dump(mode="json"), ran.model_dump(mode="json"))
    if difference:
        raise DataError(f"{folder}: result.json is of another {next(iter(difference))}.")
    asked = _queries(folder / QUERIES)
    rounds, wanted = result["rounds"], cell.config.loop.rounds + 1
    if [entry["round"] for entry in rounds] != list(range(wanted)):
        raise DataError(f"{folder}: result.json has {len(rounds)} rounds of {wanted}.")
    for entry in rounds:
        _check_round(entry, asked, folder)
    made = _result(cell, result, asked, begun["machine"] != result["machine"], _cost(folder))
    if not math.isclose(made.aubc, result["aubc"], abs_tol=1e-12):
        raise DataError(f"{folder}: the area {result['aubc']} is not that of the rounds.")
    _check_ledger(rounds, folder)
    return made


def _cost(folder: Path) -> Mapping[str, Any]:
    return read_json(folder / COST) if (folder / COST).exists() else {}


def _result(
    cell: Cell,
    result: Mapping[str, Any],
    asked: Sequence[Mapping[str, Any]],
    begun_elsewhere: bool,
    cost: Mapping[str, Any],
) -> Result:
    rounds = result["rounds"]
    ids = np.array([line["id"] for line in asked], dtype=np.int64)
    first = np.array([line["id"] for line in asked if line["round"] == 0], dtype=np.int64)

    def column(name: str) -> Float[np.ndarray, "r ..."]:
        return np.array([entry[name] for entry in rounds], dtype=np.float64)

    return Result(
        cell=cell,
        classes=tuple(result["classes"]),
        labels=np.array([entry["labels"] for entry in rounds], dtype=np.int64),
        accuracy=column("accuracy"),
        balanced=column("balanced_accuracy"),
        per_class=column("per_class"),
        counts=np.array([entry["query_class_counts"] for entry in rounds], dtype=np.int64),
        seconds={
            stage: np.array([entry["seconds"][stage] for entry in rounds], dtype=np.float64)
            for stage in STAGES
        },
        recorded={
            **{key: result["audit"][key] for key in AUDITED},
            "queried_distinct": len(np.unique(ids)),
            "queried_initial_sha256": ids_hash(first),
        },
        machine={
            **result["machine"],
            "versions": result["versions"],
            "source": result.get("source"),
        },
        begun_elsewhere=begun_elsewhere,
        peak_memory=cost.get("peak_memory"),
        pool_counts=None
        if result.get("pool_class_counts") is None
        else np.array(result["pool_class_counts"], dtype=np.int64),
    )


def _queries(file: Path) -> list[dict[str, Any]]:
    try:
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        return [{"id": int(line["id"]), "round": int(line["round"])} for line in lines]
    except (OSError, ValueError, KeyError, TypeError) as error:
        not_the_disk(error, file)
        raise DataError(f"{file} cannot be read: {error!r}.") from error


def _check_round(
    entry: Mapping[str, Any], asked: Sequence[Mapping[str, Any]], folder: Path
) -> None:
    number = entry["round"]
    upto = sum(line["round"] <= number for line in asked)
    if upto != entry["labels"]:
        raise DataError(
            f"{folder}: round {number} has {entry['labels']} labels, queries.jsonl {upto}."
        )
    for name in ("accuracy", "balanced_accuracy"):
        if not (isinstance(entry[name], float) and 0 <= entry[name] <= 1):
            raise DataError(f"{folder}: {name} of round {number} is {entry[name]!r}.")


def _check_ledger(rounds: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """What the run noted while it ran is what result.json says of it."""
    with Ledger.open(folder / LEDGER, read_only=True, allow_network=True) as ledger:
        noted = {note.round: note.data["accuracy"] for note in ledger.notes("evaluated")}
    for entry in rounds:
        if noted.get(entry["round"]) != entry["accuracy"]:
            raise DataError(
                f"{folder}: round {entry['round']} has accuracy {entry['accuracy']}, its ledger "
                f"{noted.get(entry['round'])}."
            )
