"""One row per cell and round: the schema of `results.parquet`."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int64

from labelgap.bench.grid.grid import Cell, current_config
from labelgap.core.config import canonical
from labelgap.core.errors import DataError
from labelgap.core.files import write_atomically
from labelgap.loop.result import aubc

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
        return aubc(self.labels.tolist(), self.accuracy.tolist())

    @property
    def total_seconds(self) -> float:
        return float(sum(values.sum() for values in self.seconds.values()))


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
