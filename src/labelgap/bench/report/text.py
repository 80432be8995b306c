"""The report in Markdown."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from labelgap.bench.evidence import audit
from labelgap.bench.evidence.collect import Collection
from labelgap.bench.evidence.compare import Comparison
from labelgap.bench.grid.store import Store
from labelgap.bench.report import tables
from labelgap.bench.report.part import EMBEDDING, PAGE, Part, Shown
from labelgap.core.wording import counted
from labelgap.session.presets import departing

# ---------------------------------------------------------------------- words


def state_lines(store: Store, collection: Collection, compared: Sequence[Comparison]) -> list[str]:
    """What a reader must know before the numbers."""
    lines = []
    if collection.missing:
        lines.append(
            f"Not finished and in no number, {len(collection.missing)} of "
            f"{counted(len(store.cells), 'cell')}: {_names(c.folder for c in collection.missing)}."
        )
    if collection.damaged:
        lines.append(
            f"Damaged, {counted(len(collection.damaged), 'folder')} (`--repair` runs the cells "
            "again; only what was recorded of them before is in the numbers): "
            f"{_names(d.cell.folder for d in collection.damaged)}."
        )
    lines += [
        f"{c.name}: not compared, with fewer than half of the others' seeds: {_names(c.aside)}."
        for c in compared
        if c.aside
    ]
    left = [r.cell.folder for c in compared for r in c.left_out if r.cell.arm not in c.aside]
    if left:
        lines.append(f"Not paired, since some arm lacks their seed: {_names(left)}.")
    lines += [
        f"{c.name}: one seed, so no interval and no test; the curves may be luck."
        for c in compared
        if len(c.seeds) < 2
    ]
    pairs = [row[0].cell.config.model_dump(mode="json") for c in compared for row in c.cells]
    lines += dict.fromkeys(filter(None, map(departing, pairs)))
    return lines


def _names(names: Any, most: int = 6) -> str:
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


HOW = (
    "Mean ± standard deviation over seeds (ddof = 1), in per cent. AUBC is the mean height of the "
    "curve over labels. Differences to random are paired by seed: interval and p by studentised "
    "bootstrap from ten seeds on (p no smaller than 0.0001, as its resamples go), by Student's t "
    "below; Holm's correction of p over the arms of the table. Labels saved: labels left when the "
    "mean curve first reaches random's final value, with the interval of resampled seeds from five "
    "on (of fewer seeds one low end of random's curve can save a lot). w/t/l: rounds won, tied and "
    "lost (paired t, 0.05). Seeds for 1 pt: seeds with which the observed spread of the difference "
    "shows 1 point of AUBC with power 0.8, uncorrected; of few seeds the spread itself is known "
    "badly. Round 0 precedes every query: arms of one training are equal there."
)


def audit_line(collection: Collection) -> str:
    first = collection.finished[0]
    versions = ", ".join(f"{k} {v}" for k, v in first.machine.get("versions", {}).items())
    where = f"{first.machine.get('device')}, {first.machine.get('precision')}"
    return (
        f"{counted(len(collection.finished), 'cell')} passed {len(audit.CHECKS)} checks: "
        + ", ".join(c.__name__.replace("_", " ") for c in audit.CHECKS)
        + f". Machine: {where}, {counted(first.machine['threads'], 'thread')} a cell; {versions}; "
        + _sources(collection)
    )


def _sources(collection: Collection) -> str:
    """The states of labelgap's code that computed the cells, by `labelgap.session.claim.source`."""
    cells = Counter(r.machine.get("source") for r in collection.finished)
    named = [f"{name or 'not recorded'} ({number})" for name, number in cells.most_common()]
    return f"state of labelgap's code: {', '.join(named)}."


def markdown(
    store: Store, collection: Collection, parts: Sequence[Part], across: Sequence[Shown]
) -> str:
    compared = [part.comparison for part in parts]
    text = ["# Benchmark report\n"]
    text += [f"> {line}\n" for line in state_lines(store, collection, compared)]
    for part in parts:
        text.append(f"## {part.comparison.name}\n")
        text.append(
            f"{counted(len(part.comparison.seeds), 'seed')}, "
            f"{counted(len(part.comparison.arms), 'arm')}.\n"
        )
        for title, headers, rows in part.written:
            text.append(f"### {title}\n\n{tables.markdown(headers, rows)}")
        text.append("### Figures\n\n" + "\n".join(map(_named, part.figures)))
    if across:
        text.append("## Over all settings\n\n" + "\n".join(map(_named, across)))
    text.append(f"## How to read it\n\n{HOW}\n\n{audit_line(collection)}\n")
    text.append(
        "Every number is in `summary.csv`, `rounds*.csv` (imbalanced settings apart) and "
        "`contrasts.csv` (any two arms); the column `cells` leads to the runs and their commands "
        "in `cells.csv`. `labelgap report` on the folder above this one makes these tables, the "
        f"figures and `{PAGE}`, which has them all, from its `results.parquet`. The benchmark's "
        "commands:\n"
    )
    text.append("```\n" + "\n".join(store.commands) + "\n```\n")
    return "\n".join(text)


def _named(shown: Shown) -> str:
    """A figure in Markdown: its file's name, and the picture where a report may not redraw it.

    Committed results have no other pictures, so the text shows no others either.
    """
    if shown.name.endswith(EMBEDDING):
        return f"![{shown.alt}]({shown.name}.png)\n\n{shown.caption}\n"
    return f"`{shown.name}.png`: {shown.caption}\n"


def range_said(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"
