"""The self-contained page of a benchmark."""

from collections.abc import Sequence
from pathlib import Path

from labelgap.bench.evidence.collect import Collection
from labelgap.bench.evidence.compare import Comparison
from labelgap.bench.grid.store import Store
from labelgap.bench.report.part import Part, Shown
from labelgap.bench.report.text import HOW, audit_line, range_said, state_lines, trace_of
from labelgap.core.wording import counted
from labelgap.loop.estimate import duration
from labelgap.report import page
from labelgap.report.markup import Markup, join, tag


def page_of(
    store: Store,
    collection: Collection,
    compared: Sequence[Comparison],
    parts: Sequence[Part],
    across: Sequence[Shown],
) -> str:
    state = state_lines(store, collection, compared)
    seconds = sum(r.total_seconds for r in collection.finished)
    head = tag(
        "header",
        tag("p", "labelgap bench", class_="kind"),
        tag("h1", " · ".join(c.name for c in compared[:3]) + (" · …" if len(compared) > 3 else "")),
        page.tiles(
            [
                ("Cells", f"{len(collection.finished)}", f"of {len(store.cells)}, all audited"),
                ("Arms", f"{len({a for c in compared for a in c.arms})}", None),
                ("Seeds", range_said([len(c.seeds) for c in compared]), "that pair the arms"),
                ("Time", duration(seconds), "of cells, one after the other"),
            ]
        ),
    )
    warnings = (
        page.section(
            "Before you read on", tag("ul", *(tag("li", s) for s in state)), class_="alarm"
        )
        if state
        else None
    )
    body = [_section(part) for part in parts]
    if across:
        body.append(page.section("Over all settings", _beside(across)))
    return page.document(
        "labelgap bench: " + ", ".join(c.name for c in compared),
        head,
        warnings,
        *body,
        page.section(
            "How to read it",
            tag("p", HOW, class_="note"),
            tag("p", audit_line(collection), class_="note"),
        ),
        trace_of(store, collection.finished, compared),
        footer="This file is complete: it loads nothing and can be archived or mailed.",
    )


def _section(part: Part) -> Markup:
    c = part.comparison
    lead = (
        f"{counted(len(c.seeds), 'seed')}, {counted(len(c.arms), 'arm')}, "
        f"{c.labels[0]:,} to {c.labels[-1]:,} labels"
    )
    if c.imbalanced:
        lead += "; all columns but the plain accuracy are of balanced accuracy"
    first, *others = part.figures
    small = [shown for shown in others if not shown.wide]
    wide = [shown for shown in others if shown.wide]
    written = [
        join(tag("h3", title), page.table(f"{c.name}: {title}", headers, rows, text_columns=(0,)))
        for title, headers, rows in part.written
    ]
    return page.section(
        c.name,
        _picture(first),
        *written,
        tag("h3", "What each change adds, and what it takes"),
        _beside(small),
        *map(_picture, wide),
        lead=lead,
    )


def _beside(shown: Sequence[Shown]) -> Markup:
    if len(shown) == 1:
        return _picture(shown[0])
    return tag("div", *map(_picture, shown), class_="pair")


def _picture(shown: Shown) -> Markup:
    if isinstance(shown.draw, Path):
        return page.picture_file(shown.draw, shown.alt, shown.caption)
    return page.picture(shown.draw, shown.alt, shown.caption)
