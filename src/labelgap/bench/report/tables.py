"""The report's numbers as tables: the same rows become CSV, Markdown and HTML."""

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from labelgap.bench.evidence import statistics as st
from labelgap.bench.evidence.across import Penalties, Ranks
from labelgap.bench.evidence.compare import Comparison, Row
from labelgap.bench.evidence.contrasts import MEASURES, Contrast
from labelgap.bench.evidence.results import Result
from labelgap.bench.evidence.statistics import Difference, Interval, Saved
from labelgap.bench.grid.store import own_file
from labelgap.report.command import command

Cells = list[list[Any]]
Written = tuple[str, list[str], list[list[str]]]
"""Title, headers and rounded rows of a table for reading."""

DASH = "–"

NAMES = (
    SUMMARY, ROUNDS, ROUNDS_IMBALANCED, CELLS, CONTRASTS, PENALTIES, RANKS
) = (
    "summary", "rounds", "rounds-imbalanced", "cells", "contrasts", "penalties", "ranks"
)  # fmt: skip
"""Every table that a report may have, by the name of its file."""


@dataclass(frozen=True)
class Table:
    """Rows of raw values (numbers unrounded, None where there is none)."""

    name: str
    headers: tuple[str, ...]
    rows: Cells

    def csv(self) -> str:
        """As comma-separated values; None and NaN are empty."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(self.headers)
        for row in self.rows:
            writer.writerow(["" if _nothing(value) else value for value in row])
        return buffer.getvalue()


def markdown(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, its first column left and the others right."""
    lines = [headers, [":--", *["--:"] * (len(headers) - 1)], *rows]
    return "".join(f"| {' | '.join(str(v).replace('|', '/') for v in line)} |\n" for line in lines)


# ---------------------------------------------------------------------- raw tables


def group(c: Comparison, arm: str) -> str:
    """The key that leads from a number to its cells (`cells.csv`)."""
    return f"{c.name} / {arm}"


def measure(c: Comparison) -> str:
    """What the arms of a setting are judged by."""
    return "balanced accuracy" if c.imbalanced else "accuracy"


def summary(c: Comparison, rows: Sequence[Row]) -> Table:
    """One row an arm, every number of the page."""
    headers: list[str] = ["setting", "arm", "seeds", "judged by"]
    for name in ("aubc", "early", "late", "final"):
        headers += [f"{name} mean", f"{name} sd", f"{name} low", f"{name} high"]
    headers += [
        "difference to random", "difference sd", "difference low", "difference high",
        "interval", "p", "p holm", "labels saved", "saved low", "saved high", "seeds for 1 point",
        *(f"{kind} against {name}" for name in DUELS for kind in ("won", "tied", "lost")),
        "train seconds", "query seconds", "peak memory MB", "accuracy at the end",
        "minority recall at the end", "minority share of queries", "cells",
    ]  # fmt: skip
    lines = []
    for row in rows:
        d = row.versus_random
        line: list[Any] = [row.setting, row.arm, row.seeds]
        line.append(measure(c))
        for interval in (row.aubc, row.early, row.late, row.final):
            line += _numbers(interval)
        line += [*_numbers(d.interval), d.interval.kind, d.p] if d else [None] * 6
        saved = row.labels_saved
        line += [row.p_holm, saved.value, saved.low, saved.high, row.seeds_for_a_point]
        for name in DUELS:
            line += row.win_tie_loss.get(name, (None, None, None))
        line += [row.train_seconds, row.query_seconds]
        line.append(None if row.peak_memory is None else row.peak_memory >> 20)
        line.append(row.plain_accuracy.mean)
        line += [i.mean if i else None for i in (row.minority_recall, row.minority_share)]
        lines.append([*line, group(c, row.arm)])
    return Table(SUMMARY, tuple(headers), lines)


DUELS = ("random", "margin", "badge")


def rounds(c: Comparison) -> Table:
    """One row an arm and round: what the curves are drawn from."""
    values = {"accuracy": c.accuracy, "balanced accuracy": c.balanced}
    if c.imbalanced:
        values["minority recall"] = c.minority_recall
        values["minority share of query"] = c.minority_share
    headers = ["setting", "arm", "round", "labels", "seeds"]
    headers += [f"{v} {part}" for v in values for part in ("mean", "sd", "low", "high")]
    lines = []
    for m, arm in enumerate(c.arms):
        for r, labels in enumerate(c.labels):
            line: list[Any] = [c.name, arm, r, int(labels), len(c.seeds)]
            for found in values.values():
                line += _numbers(st.t_interval(found[m, :, r]))
            lines.append([*line, group(c, arm)])
    return Table(ROUNDS, (*headers, "cells"), lines)


def cells(results: Sequence[Result], compared: Sequence[Comparison]) -> Table:
    """One row a cell: where it is, what it says, and the command that repeats it."""
    used = {r.cell.identity: group(c, r.cell.arm) for c in compared for row in c.cells for r in row}
    judged = {name: area for c in compared for name, area in _areas(c).items()}
    headers = (
        "cells", "arm", "dataset", "variant", "seed", "judged by", "aubc", "final accuracy",
        "labels", "seconds", "folder", "identity", "command",
    )  # fmt: skip
    lines = [
        [
            used.get(r.cell.identity),
            r.cell.arm,
            r.cell.config.data.name,
            r.cell.variant,
            r.cell.config.seed,
            *judged.get(r.cell.identity, ("accuracy", r.aubc)),
            float(r.accuracy[-1]),
            int(r.labels[-1]),
            r.total_seconds,
            r.cell.folder,
            r.cell.identity,
            command(r.config, r.machine["threads"], own_file(r.cell)),
        ]
        for r in results
    ]
    return Table(CELLS, headers, lines)


def _areas(c: Comparison) -> dict[str, tuple[str, float]]:
    """By cell: what the setting is judged by, and the area whose mean the summary has."""
    found = {}
    for r in [*(r for row in c.cells for r in row), *c.left_out]:
        curve = r.balanced if c.imbalanced else r.accuracy
        found[r.cell.identity] = measure(c), float(c.areas(curve[None, None])[0, 0, 0])
    return found


def penalties(p: Penalties) -> Table:
    """The matrix; the last row is the column's mean over the others."""
    lines: Cells = [[arm, *map(float, p.matrix[m])] for m, arm in enumerate(p.arms)]
    foot = p.matrix.sum(axis=0) / max(1, len(p.arms) - 1)
    return Table(PENALTIES, ("beats", *p.arms), [*lines, ["is beaten", *map(float, foot)]])


def contrasts(c: Comparison, pairs: Sequence[Contrast]) -> Table:
    """Any two arms: `arm` minus `against`, paired by seed; `change` where they differ in one."""
    headers = ["setting", "arm", "against", "change", "seeds", "interval"]
    for name in MEASURES:
        headers += [f"{name} {part}" for part in ("mean", "sd", "low", "high", "p")]
    lines = []
    for pair in pairs:
        line: list[Any] = [c.name, pair.arm, pair.against, pair.change, len(c.seeds)]
        line.append(pair.differences[0].interval.kind)
        for d in pair.differences:
            line += [*_numbers(d.interval), d.p]
        lines.append([*line, f"{group(c, pair.arm)}; {group(c, pair.against)}"])
    return Table(CONTRASTS, (*headers, "cells"), lines)


def ranks(r: Ranks) -> Table:
    """Mean ranks, best first."""
    order = np.argsort(r.ranks)
    lines: Cells = [[r.arms[k], float(r.ranks[k]), r.data_sets] for k in order]
    return Table(RANKS, ("arm", "mean rank", "data sets"), lines)


def _numbers(i: Interval) -> list[float]:
    return [i.mean, i.sd, i.low, i.high]


def _nothing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


# ---------------------------------------------------------------------- for reading


def best_first(rows: Sequence[Row]) -> list[Row]:
    """Rows by mean AUBC."""
    return sorted(rows, key=lambda row: -row.aubc.mean)


Column = tuple[str, Callable[[Row], str]]

ACCURACY: tuple[Column, ...] = (
    ("AUBC", lambda row: spread(row.aubc)),
    ("early half", lambda row: spread(row.early)),
    ("late half", lambda row: spread(row.late)),
    ("at the end", lambda row: spread(row.final)),
    ("to random (AUBC)", lambda row: difference(row)),
    ("Holm p", lambda row: probability(row.p_holm)),
)
BALANCE: tuple[Column, ...] = (
    ("plain accuracy", lambda row: spread(row.plain_accuracy)),
    ("minority recall", lambda row: spread(row.minority_recall)),
    ("minority in queries", lambda row: spread(row.minority_share)),
)
COST: tuple[Column, ...] = (
    ("labels saved", lambda row: spared(row.labels_saved)),
    *((f"w/t/l {name}", lambda row, name=name: duel(row.win_tie_loss.get(name))) for name in DUELS),
    ("seeds for 1 pt", lambda row: whole(row.seeds_for_a_point)),
    ("train s", lambda row: f"{row.train_seconds:.0f}"),
    ("query s", lambda row: f"{row.query_seconds:.1f}"),
    ("peak MB", lambda row: whole(None if row.peak_memory is None else row.peak_memory >> 20)),
)


def readable(c: Comparison, rows: Sequence[Row]) -> list[Written]:
    """The tables of arms; columns without any entry are left out."""
    made: list[Written] = []
    for title, columns in (
        ("Accuracy", ACCURACY),
        ("Minority classes", BALANCE if c.imbalanced else ()),
        ("Against others, and the cost", COST),
    ):
        ordered = best_first(rows)
        lines = [[write(row) for _, write in columns] for row in ordered]
        kept = [k for k in range(len(columns)) if any(line[k] != DASH for line in lines)]
        if kept:
            headers = ["arm", *(columns[k][0] for k in kept)]
            named = zip(ordered, lines, strict=True)
            made.append(
                (title, headers, [[row.arm, *(line[k] for k in kept)] for row, line in named])
            )
    return made


def one_change(pairs: Sequence[Contrast]) -> Written:
    """What parts add to the rest, the largest first."""
    ordered = sorted(pairs, key=lambda pair: -pair.differences[0].interval.mean)
    headers = ["arm", "against", "change", *MEASURES, "Holm p"]
    lines = [
        [pair.arm, pair.against, str(pair.change), *map(points, pair.differences),
         probability(pair.p_holm)]
        for pair in ordered
    ]  # fmt: skip
    return "What one change adds to the rest", headers, lines


def spread(i: Interval | None) -> str:
    """ "74.31 ± 0.52": mean and standard deviation over seeds, in per cent."""
    if i is None or math.isnan(i.mean):
        return DASH
    sd = "" if math.isnan(i.sd) else f" ± {100 * i.sd:.2f}"
    return f"{100 * i.mean:.2f}{sd}"


def difference(row: Row) -> str:
    """An arm's difference to random; a dash for random itself."""
    return points(row.versus_random) if row.versus_random else DASH


def points(d: Difference) -> str:
    """ "+1.20 [+0.31, +2.09]" in percentage points."""
    i = d.interval
    inner = "" if math.isnan(i.low) else f" [{100 * i.low:+.2f}, {100 * i.high:+.2f}]"
    return f"{100 * i.mean:+.2f}{inner}"


def probability(p: float | int) -> str:
    if math.isnan(p):
        return DASH
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def whole(value: float | int | None) -> str:
    return DASH if value is None or math.isnan(value) else f"{value:,.0f}"


def spared(s: Saved) -> str:
    """ "57 [42, 72]": labels left, with the interval where there is one."""
    inner = "" if math.isnan(s.low) else f" [{s.low:,.0f}, {s.high:,.0f}]"
    return f"{whole(s.value)}{inner}"


def duel(found: tuple[int, int, int] | None) -> str:
    return DASH if found is None else "/".join(map(str, found))
