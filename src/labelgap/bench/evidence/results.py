"""One row per cell and round: the schema of `results.parquet`."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int64

from labelgap.bench.grid.grid import Cell, current_config
from labelgap.core.area import area
from labelgap.core.config import canonical
from labelgap.core.disk import not_the_disk
from labelgap.core.errors import DataError
from labelgap.core.files import write_atomically

Count = Annotated[int, pa.int32()]
Rounds = Float[np.ndarray, " r"]


@dataclass(frozen=True)
class Row:
    """One round of one finished cell: the columns of `results.parquet`, in their order."""

    identity: str
    arm: str
    variant: str
    dataset: str
    method: str | None
    objective: str
    acquisition: str
    seed: int
    preset: str
    development: int
    round: Count
    labels: Count
    accuracy: float
    balanced_accuracy: float
    per_class: list[float]
    query_class_counts: list[Count]
    seconds_train: float
    seconds_align: float
    seconds_score: float
    seconds_select: float
    seconds_evaluate: float
    claimed_labels: Count
    distinct_labels: Count
    queried_distinct: Count
    task_fingerprint: str
    initial_set_sha256: str
    queried_initial_sha256: str
    pool_permutation_sha256: str
    initial_weights_sha256: str | None
    round0_weights_sha256: str | None
    begun_elsewhere: bool
    peak_memory: int | None
    classes: list[str]
    config: str
    machine: str
    pool_class_counts: list[Count] | None


COLUMNS = tuple(field.name for field in fields(Row))
STAGES = tuple(n.removeprefix("seconds_") for n in COLUMNS if n.startswith("seconds_"))
_RECORDED = COLUMNS[COLUMNS.index("claimed_labels") : COLUMNS.index("begun_elsewhere")]
AUDITED = tuple(n for n in _RECORDED if not n.startswith("queried_"))
"""What a run itself puts down for its audit."""


def _arrow(hint: Any) -> pa.DataType:
    known = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    if hint in known:
        return known[hint]
    if get_origin(hint) is UnionType:
        return _arrow(get_args(hint)[0])
    if get_origin(hint) is Annotated:
        return get_args(hint)[1]
    first = get_args(hint)[0]
    return pa.list_(_arrow(first)) if get_origin(hint) is list else _arrow(first)


_SCHEMA = pa.schema([(k, _arrow(h)) for k, h in get_type_hints(Row, include_extras=True).items()])


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
    pool_counts: Int64[np.ndarray, " k"] | None = None

    @property
    def config(self) -> dict[str, Any]:
        return self.cell.config.model_dump(mode="json")

    @property
    def aubc(self) -> float:
        """Area under the accuracy curve over labels, divided by the range of labels."""
        return area(self.labels, self.accuracy)

    @property
    def total_seconds(self) -> float:
        return float(sum(values.sum() for values in self.seconds.values()))


# ---------------------------------------------------------------------- the Parquet file


def rows_of(result: Result) -> list[Row]:
    """The rows of a result; `result_of` takes them back."""
    config = result.config
    return [
        Row(
            identity=result.cell.identity,
            arm=result.cell.arm,
            variant=result.cell.variant,
            dataset=config["data"]["name"],
            method=config["method"],
            objective=config["objective_name"],
            acquisition=config["acquisition_name"],
            seed=config["seed"],
            preset=config["preset"],
            development=result.cell.development,
            round=r,
            labels=int(result.labels[r]),
            accuracy=float(result.accuracy[r]),
            balanced_accuracy=float(result.balanced[r]),
            per_class=result.per_class[r].tolist(),
            query_class_counts=result.counts[r].tolist(),
            **_seconds(result, r),
            **result.recorded,
            begun_elsewhere=result.begun_elsewhere,
            peak_memory=result.peak_memory,
            classes=list(result.classes),
            config=canonical(config),
            machine=canonical(result.machine),
            pool_class_counts=None if result.pool_counts is None else result.pool_counts.tolist(),
        )
        for r in range(len(result.labels))
    ]


def _seconds(result: Result, r: int) -> dict[str, Any]:
    return {f"seconds_{stage}": float(result.seconds[stage][r]) for stage in STAGES}


def result_of(cell: Cell, rows: Sequence[Row]) -> Result:
    """The result whose rows these are, in order of rounds."""
    first = rows[0]
    return Result(
        cell=cell,
        classes=tuple(first.classes),
        labels=np.array([row.labels for row in rows], dtype=np.int64),
        accuracy=_column(rows, "accuracy"),
        balanced=_column(rows, "balanced_accuracy"),
        per_class=np.array([row.per_class for row in rows], dtype=np.float64),
        counts=np.array([row.query_class_counts for row in rows], dtype=np.int64),
        seconds={stage: _column(rows, f"seconds_{stage}") for stage in STAGES},
        recorded={key: getattr(first, key) for key in _RECORDED},
        machine=json.loads(first.machine),
        begun_elsewhere=first.begun_elsewhere,
        peak_memory=first.peak_memory,
        pool_counts=None
        if first.pool_class_counts is None
        else np.array(first.pool_class_counts, dtype=np.int64),
    )


def _column(rows: Sequence[Row], name: str) -> Rounds:
    return np.array([getattr(row, name) for row in rows], dtype=np.float64)


def write_results(path: Path, results: Iterable[Result]) -> None:
    """Write the compact file, whole or not at all; equal results are equal files."""
    ordered = sorted(results, key=lambda r: (r.cell.folder, r.cell.identity))
    rows = [vars(row) for result in ordered for row in rows_of(result)]
    table = pa.Table.from_pylist(rows, schema=_SCHEMA)
    write_atomically(
        path, lambda file: pq.write_table(table, file, compression="zstd", compression_level=12)
    )


def read_results(path: Path) -> dict[str, list[Row]]:
    """The rows of every cell, by identity, in order of rounds.

    Raises
    ------
    DataError: the file is damaged, has other columns, or lacks a round of a cell.
    """
    cure = "Restore it from version control; or remove it: finished folders are collected anew."
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        not_the_disk(error, path)
        raise DataError(f"{path} cannot be read: {error}.", cure) from error
    if table.schema.names == _SCHEMA.names[:-1]:
        # Of a version that did not record the pool's classes; nothing is guessed in their place.
        nothing = pa.nulls(len(table), _SCHEMA.types[-1])
        table = table.append_column(_SCHEMA.field(len(_SCHEMA) - 1), nothing)
    if table.schema.names != _SCHEMA.names:
        raise DataError(f"{path} has other columns than this version writes.", cure)
    grouped: dict[str, list[Row]] = {}
    for row in table.to_pylist():
        grouped.setdefault(row["identity"], []).append(Row(**row))
    cells = {}
    for recorded, rows in grouped.items():
        rows.sort(key=lambda row: row.round)
        config = current_config(json.loads(rows[0].config), str(path))
        whole = [row.round for row in rows] == list(range(config.loop.rounds + 1))
        values = [v for row in rows for v in (row.accuracy, row.balanced_accuracy)]
        if not whole or not all(map(math.isfinite, values)):
            raise DataError(f"{path}: the rows of cell {recorded[:8]} are not whole.", cure)
        first = rows[0]
        cell = Cell(config, first.arm, first.variant, first.development)
        cells[cell.identity] = rows
    return cells
