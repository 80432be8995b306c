"""The self-contained page of a benchmark: what `bench.html` shows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from labelgap.bench.evidence.collect import Collection
from labelgap.bench.evidence.compare import Comparison
from labelgap.bench.evidence.results import Result
from labelgap.bench.grid.store import Store
from labelgap.bench.report import tables
from labelgap.bench.report.conclusion import conclusion
from labelgap.bench.report.part import Part, Shown, slug
from labelgap.bench.report.text import HOW, audit_line, range_said, state_lines
from labelgap.core.wording import counted, duration
from labelgap.report import page
from labelgap.report.page import Picture, Table


def page_of(
    store: Store,
    collection: Collection,
    compared: Sequence[Comparison],
    parts: Sequence[Part],
    across: Sequence[Shown],
) -> str:
    """The whole page as text."""
    seconds = sum(r.total_seconds for r in collection.finished)
    cells = cells_table(collection.finished, compared)
    return page.render(
        "bench.html",
        package=__package__,
        title="labelgap bench: " + ", ".join(c.name for c in compared),
        heading=" · ".join(c.name for c in compared[:3]) + (" · …" if len(compared) > 3 else ""),
        tiles=[
            ("Cells", f"{len(collection.finished)}", f"of {len(store.cells)}, all audited"),
            ("Arms", f"{len({a for c in compared for a in c.arms})}", None),
            ("Seeds", range_said([len(c.seeds) for c in compared]), "that pair the arms"),
            ("Time", duration(seconds), "of cells, one after the other"),
        ],
        state=state_lines(store, collection, compared),
        settings=[_setting(part) for part in parts],
        across=[_picture(shown) for shown in across],
        how=HOW,
        audit=audit_line(collection),
        commands="\n".join(store.commands),
        cells=cells,
        cells_said=f"All {counted(len(cells.rows), 'cell')} with their commands",
    )


def _setting(part: Part) -> dict[str, Any]:
    c = part.comparison
    lead = (
        f"{counted(len(c.seeds), 'seed')}, {counted(len(c.arms), 'arm')}, "
        f"{c.labels[0]:,} to {c.labels[-1]:,} labels"
    )
    if c.imbalanced:
        lead += "; all columns but the plain accuracy are of balanced accuracy"
    first, *others = part.figures
    return {
        "name": c.name,
        "id": f"setting-{slug(c.name)}",
        "conclusion": conclusion(c, part.rows),
        "lead": lead,
        "curves": _picture(first),
        "tables": [
            Table(f"{c.name}: {title}", headers, rows, text_columns=(0,), title=title)
            for title, headers, rows in part.written
        ],
        "small": [_picture(shown) for shown in others if not shown.wide],
        "wide": [_picture(shown) for shown in others if shown.wide],
    }


def cells_table(results: Sequence[Result], compared: Sequence[Comparison]) -> Table:
    """From every number to its runs: the groups that the tables name, and each cell's command."""
    listed = tables.cells(results, compared)
    keep = [listed.headers.index(h) for h in ("cells", "seed", "aubc", "folder", "command")]
    rows = [
        [f"{row[k]:.4f}" if listed.headers[k] == "aubc" else row[k] or tables.DASH if
         listed.headers[k] != "seed" else row[k] for k in keep]
        for row in listed.rows
    ]  # fmt: skip
    return Table(
        "Cells", ["cells", "seed", "AUBC", "folder", "command"], rows, text_columns=(0, 3, 4)
    )


def _picture(shown: Shown) -> Picture:
    if isinstance(shown.draw, Path):
        return page.picture_file(shown.draw, shown.alt, shown.caption)
    return page.picture(shown.draw, shown.alt, shown.caption)
