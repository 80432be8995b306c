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
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int64

from labelgap.bench.grid.grid import Cell, current_config
from labelgap.bench.grid.store import Store
from labelgap.bench.running.cell import COST
from labelgap.core.config import canonical
from labelgap.core.errors import DataError, LabelgapError
from labelgap.core.files import write_atomically
from labelgap.ledger.ledger import LEDGER, Ledger
from labelgap.loop import run as loop
from labelgap.session.claim import CONFIG, differing, read_json
from labelgap.session.session import ids_hash

STAGES = ("train", "align", "score", "select", "evaluate")
AUDITED = (
    "claimed_labels", "distinct_labels", "task_fingerprint", "initial_set_sha256",
    "pool_permutation_sha256", "initial_weights_sha256", "round0_weights_sha256",
)  # fmt: skip

Rounds = Float[np.ndarray, " r"]


@dataclass(frozen=True, eq=False)
class Result:
    """A finished cell, as the statistics see it; arrays have one entry a round.

    per_class: recall of each class.  counts: labels asked for of each class in the round.
    seconds: by stage.  recorded: what the run itself put down for its audit, and what its
    queries.jsonl says (`queried_distinct`, `queried_initial_sha256`).
    """

    cell: Cell
    classes: tuple[str, ...]
    labels: Int64[np.ndarray, " r"]
    accuracy: Rounds
    balanced: Rounds
    per_class: Float[np.ndarray, "r k"]
    counts: Int64[np.ndarray, "r k"]
    seconds: Mapping[str, Rounds]
    recorded: Mapping[str, Any]
    machine: Mapping[str, Any]
    begun_elsewhere: bool
    peak_memory: int | None

    @property
    def config(self) -> dict[str, Any]:
        return self.cell.config.model_dump(mode="json")

    @property
    def aubc(self) -> float:
        """Area under the accuracy curve over labels, divided by the range of labels."""
        return loop.aubc(self.labels.tolist(), self.accuracy.tolist())

    @property
    def total_seconds(self) -> float:
        return float(sum(values.sum() for values in self.seconds.values()))


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
        if (folder / loop.RESULT).exists():
            try:
                finished.append(read_cell(cell, folder))
                continue
            except LabelgapError as error:
                damaged.append(Damage(cell, error.cause))
        if cell.identity in recorded:
            finished.append(result_of(cell, recorded[cell.identity]))
        elif not damaged or damaged[-1].cell is not cell:
            try:
                _check_begun(folder)
                missing.append(cell)
            except LabelgapError as error:
                damaged.append(Damage(cell, error.cause))
    return Collection(tuple(finished), tuple(damaged), tuple(missing))


def with_results(store: Store) -> list[Cell]:
    """The cells that have a result, which `collect` would read and check and this does not."""
    recorded = read_results(store.results) if store.results.exists() else {}
    return [
        cell
        for cell in store.cells
        if cell.identity in recorded or (store.folder(cell) / loop.RESULT).exists()
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
    return result_of(cell, _rows_of_folder(cell, folder))


def _check_begun(folder: Path) -> None:
    """Raise what a run that continues in this folder would raise; an absent folder is fine."""
    if (folder / CONFIG).exists():
        read_json(folder / CONFIG)
    if (folder / LEDGER).exists():
        Ledger.open(folder / LEDGER, read_only=True, allow_network=True).close()


def _rows_of_folder(cell: Cell, folder: Path) -> list[dict[str, Any]]:
    result, begun = read_json(folder / loop.RESULT), read_json(folder / CONFIG)
    try:
        if result["schema"] != loop.SCHEMA:
            raise DataError(f"{folder}: result.json has schema {result['schema']}.")
        ran = current_config(result["config"], str(folder / loop.RESULT))
        difference = differing(cell.config.model_dump(mode="json"), ran.model_dump(mode="json"))
        if difference:
            raise DataError(f"{folder}: result.json is of another {next(iter(difference))}.")
        asked = _queries(folder / loop.QUERIES)
        rounds, wanted = result["rounds"], cell.config.loop.rounds + 1
        if [entry["round"] for entry in rounds] != list(range(wanted)):
            raise DataError(f"{folder}: result.json has {len(rounds)} rounds of {wanted}.")
        ids = np.array([line["id"] for line in asked], dtype=np.int64)
        first = np.array([line["id"] for line in asked if line["round"] == 0], dtype=np.int64)
        for entry in rounds:
            _check_round(entry, asked, folder)
        whole = loop.aubc([e["labels"] for e in rounds], [e["accuracy"] for e in rounds])
        if not math.isclose(whole, result["aubc"], abs_tol=1e-12):
            raise DataError(f"{folder}: the area {result['aubc']} is not that of the rounds.")
        _check_ledger(rounds, folder)
        cost = read_json(folder / COST) if (folder / COST).exists() else {}
        shared = {
            "identity": cell.identity,
            "arm": cell.arm,
            "variant": cell.variant,
            "dataset": result["dataset"],
            "method": result["method"],
            "objective": result["objective"],
            "acquisition": result["acquisition"],
            "seed": result["seed"],
            "preset": result["preset"],
            "config": canonical(result["config"]),
            "development": cell.development,
            "classes": list(result["classes"]),
            **{key: result["audit"][key] for key in AUDITED},
            "queried_distinct": len(np.unique(ids)),
            "queried_initial_sha256": ids_hash(first),
            "machine": canonical(
                {
                    **result["machine"],
                    "versions": result["versions"],
                    "source": result.get("source"),
                }
            ),
            "begun_elsewhere": begun["machine"] != result["machine"],
            "peak_memory": cost.get("peak_memory"),
        }
        return [{**shared, **_round_columns(entry)} for entry in rounds]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{folder}: result.json is damaged: {error!r}.") from error


def _queries(file: Path) -> list[dict[str, Any]]:
    try:
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        return [{"id": int(line["id"]), "round": int(line["round"])} for line in lines]
    except (OSError, ValueError, KeyError, TypeError) as error:
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


def _round_columns(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "round": entry["round"],
        "labels": entry["labels"],
        "accuracy": entry["accuracy"],
        "balanced_accuracy": entry["balanced_accuracy"],
        "per_class": [float(v) for v in entry["per_class"]],
        "query_class_counts": list(entry["query_class_counts"]),
        **{f"seconds_{stage}": float(entry["seconds"][stage]) for stage in STAGES},
    }


# ---------------------------------------------------------------------- the Parquet file

_SCHEMA = pa.schema(
    [
        ("identity", pa.string()), ("arm", pa.string()), ("variant", pa.string()),
        ("dataset", pa.string()), ("method", pa.string()), ("objective", pa.string()),
        ("acquisition", pa.string()), ("seed", pa.int64()), ("preset", pa.string()),
        ("development", pa.int64()), ("round", pa.int32()), ("labels", pa.int32()),
        ("accuracy", pa.float64()), ("balanced_accuracy", pa.float64()),
        ("per_class", pa.list_(pa.float64())), ("query_class_counts", pa.list_(pa.int32())),
        *((f"seconds_{stage}", pa.float64()) for stage in STAGES),
        ("claimed_labels", pa.int32()), ("distinct_labels", pa.int32()),
        ("queried_distinct", pa.int32()), ("task_fingerprint", pa.string()),
        ("initial_set_sha256", pa.string()), ("queried_initial_sha256", pa.string()),
        ("pool_permutation_sha256", pa.string()), ("initial_weights_sha256", pa.string()),
        ("round0_weights_sha256", pa.string()), ("begun_elsewhere", pa.bool_()),
        ("peak_memory", pa.int64()), ("classes", pa.list_(pa.string())),
        ("config", pa.string()), ("machine", pa.string()),
    ]
)  # fmt: skip


def rows_of(result: Result) -> list[dict[str, Any]]:
    """The rows of a result; `result_of` takes them back."""
    config = result.config
    shared = {
        "identity": result.cell.identity,
        "arm": result.cell.arm,
        "variant": result.cell.variant,
        "dataset": config["data"]["name"],
        "method": config["method"],
        "objective": config["objective_name"],
        "acquisition": config["acquisition_name"],
        "seed": config["seed"],
        "preset": config["preset"],
        "development": result.cell.development,
        "classes": list(result.classes),
        "config": canonical(config),
        "machine": canonical(result.machine),
        "begun_elsewhere": result.begun_elsewhere,
        "peak_memory": result.peak_memory,
        **result.recorded,
    }
    return [
        {
            **shared,
            "round": r,
            "labels": int(result.labels[r]),
            "accuracy": float(result.accuracy[r]),
            "balanced_accuracy": float(result.balanced[r]),
            "per_class": result.per_class[r].tolist(),
            "query_class_counts": result.counts[r].tolist(),
            **{f"seconds_{stage}": float(result.seconds[stage][r]) for stage in STAGES},
        }
        for r in range(len(result.labels))
    ]


def result_of(cell: Cell, rows: Sequence[Mapping[str, Any]]) -> Result:
    """The result whose rows these are, in order of rounds."""
    first = rows[0]
    recorded = (*AUDITED, "queried_distinct", "queried_initial_sha256")
    return Result(
        cell=cell,
        classes=tuple(first["classes"]),
        labels=np.array([row["labels"] for row in rows], dtype=np.int64),
        accuracy=_column(rows, "accuracy"),
        balanced=_column(rows, "balanced_accuracy"),
        per_class=np.array([row["per_class"] for row in rows], dtype=np.float64),
        counts=np.array([row["query_class_counts"] for row in rows], dtype=np.int64),
        seconds={stage: _column(rows, f"seconds_{stage}") for stage in STAGES},
        recorded={key: first[key] for key in recorded},
        machine=json.loads(first["machine"]),
        begun_elsewhere=bool(first["begun_elsewhere"]),
        peak_memory=first["peak_memory"],
    )


def _column(rows: Sequence[Mapping[str, Any]], name: str) -> Rounds:
    return np.array([row[name] for row in rows], dtype=np.float64)


def write_results(path: Path, results: Iterable[Result]) -> None:
    """Write the compact file, whole or not at all; equal results are equal files."""
    ordered = sorted(results, key=lambda r: (r.cell.folder, r.cell.identity))
    rows = [row for result in ordered for row in rows_of(result)]
    table = pa.Table.from_pylist(rows, schema=_SCHEMA)
    write_atomically(
        path, lambda file: pq.write_table(table, file, compression="zstd", compression_level=12)
    )


def read_results(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of every cell, by identity, in order of rounds.

    Raises
    ------
    DataError: the file is damaged, has other columns, or lacks a round of a cell.
    """
    cure = "Restore it from version control; or remove it: finished folders are collected anew."
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read: {error}.", cure) from error
    if table.schema.names != _SCHEMA.names:
        raise DataError(f"{path} has other columns than this version writes.", cure)
    grouped: dict[str, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        grouped.setdefault(row["identity"], []).append(row)
    cells = {}
    for recorded, rows in grouped.items():
        rows.sort(key=lambda row: row["round"])
        config = current_config(json.loads(rows[0]["config"]), str(path))
        whole = [row["round"] for row in rows] == list(range(config.loop.rounds + 1))
        values = [row[name] for row in rows for name in ("accuracy", "balanced_accuracy")]
        if not whole or not all(map(math.isfinite, values)):
            raise DataError(f"{path}: the rows of cell {recorded[:8]} are not whole.", cure)
        first = rows[0]
        cell = Cell(config, first["arm"], first["variant"], first["development"])
        cells[cell.identity] = rows
    return cells
