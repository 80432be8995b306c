"""`DIR/report/`: figures, tables and one self-contained page of an audited benchmark."""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from labelgap.bench.evidence import audit, compare, contrasts
from labelgap.bench.evidence.collect import Collection, Result, collect, write_results
from labelgap.bench.evidence.compare import Comparison, Row
from labelgap.bench.evidence.contrasts import Contrast
from labelgap.bench.grid.store import Store
from labelgap.bench.report import figures, tables
from labelgap.bench.report.tables import Table
from labelgap.core.errors import FolderError, InUse
from labelgap.core.files import write_text
from labelgap.core.wording import counted
from labelgap.loop.estimate import duration
from labelgap.report import page
from labelgap.report import style as looks
from labelgap.report.markup import Markup, join, tag
from labelgap.report.scatter import embedding_figure, panels
from labelgap.report.style import Theme

PAGE, TEXT = "index.html", "report.md"
OF_A_SETTING = (
    CURVES, MINORITY, DIFFERENCES, ONE_CHANGE, TIME, EMBEDDING
) = (
    "-curves", "-minority", "-differences", "-one-change", "-time", "-embedding"
)  # fmt: skip
"""Every figure that a setting may have: how the names of its files end."""
ACROSS = PENALTIES, RANKS = "penalties", "ranks"
"""Every figure over all settings, by the name of its files."""


@dataclass(frozen=True)
class Shown:
    """A figure: the name of its files, how it is drawn, and what it says without eyes.

    draw: or the file that an earlier report has drawn, which is shown as it is.
    wide: needs the whole width of the page.
    """

    name: str
    draw: Callable[[Theme], Figure] | Path
    alt: str
    caption: str
    wide: bool = False


@dataclass(frozen=True)
class Part:
    """One setting's share of the report."""

    comparison: Comparison
    rows: list[Row]
    pairs: list[Contrast]
    one_change: list[Contrast]
    figures: list[Shown]

    @property
    def written(self) -> list[tables.Written]:
        """The part's tables for reading."""
        made = tables.readable(self.comparison, self.rows)
        return made + ([tables.one_change(self.one_change)] if self.one_change else [])


def write_report(store: Store) -> Path:
    """Audit, then write everything; returns the page.

    Raises
    ------
    AuditError: results that must not be compared, their cells named; nothing is written then.
    FolderError: there is nothing finished, or nothing that pairs.
    """
    collection = collect(store)
    if not collection.finished:
        raise FolderError(
            f"{store.root} has no finished cell.", "Run `labelgap bench` into it first."
        )
    audit.require(collection.finished)
    _record(store, collection.finished)
    compared = compare.comparisons(collection.finished)
    parts = [_part(store, c) for c in compared]
    across = _across(compared)
    folder = store.root / "report"
    drawn = [*(s for part in parts for s in part.figures), *across]
    made = _tables(collection, compared, parts)
    for shown in drawn:
        if not isinstance(shown.draw, Path):
            looks.save(shown.draw, folder / f"{shown.name}.png")
    for table in made:
        write_text(folder / f"{table.name}.csv", table.csv())
    _remove_former(folder, {shown.name for shown in drawn} | {table.name for table in made})
    write_text(folder / TEXT, _markdown(store, collection, parts, across))
    write_text(folder / PAGE, _page(store, collection, compared, parts, across))
    return folder / PAGE


def _record(store: Store, finished: Sequence[Result]) -> None:
    """Write the compact results, unless a running benchmark does: it may know of newer cells."""
    try:
        lock = store.lock()
    except InUse:
        return
    try:
        write_results(store.results, finished)
    finally:
        lock.release()


def _remove_former(folder: Path, names: set[str]) -> None:
    """Figures and tables of an earlier report that this one does not have would contradict it.

    Other files in the folder are somebody's own.
    """
    for file in folder.iterdir():
        if _is_made(file) and file.stem not in names:
            file.unlink()


def _is_made(file: Path) -> bool:
    """Whether a report makes files of this name."""
    if file.suffix == ".csv":
        return file.stem in tables.NAMES
    drawn = file.stem in ACROSS or file.stem.endswith(OF_A_SETTING)
    return drawn and file.suffix in (".png", ".svg")


def _part(store: Store, c: Comparison) -> Part:
    rows, pairs = compare.table(c), contrasts.every(c)
    parts = contrasts.of_one_change(c, pairs)
    name, best = _slug(c.name), max(rows, key=lambda row: row.aubc.mean)
    what = tables.measure(c)
    said = f"Highest area under the curve: {best.arm}, {tables.spread(best.aubc)} %."
    shown = [
        Shown(
            name + CURVES,
            lambda theme: figures.curves(c, c.main, f"test {what}", theme),
            f"{what} against labels on {c.name} for {', '.join(c.arms)}. {said}",
            f"Mean {what} on the test set over seeds. {said}",
        )
    ]
    if c.imbalanced:
        shown.append(
            Shown(
                name + MINORITY,
                lambda theme: figures.minority(c, rows, theme),
                f"Share of the minority classes in each query on {c.name}.",
                "Labels of the minority classes in each round's query; round 0 is the initial "
                "set. Dotted: their share of the pool.",
                wide=len(c.arms) > figures.MOST_TOGETHER,
            )
        )
    if any(row.versus_random for row in rows):
        shown.append(
            Shown(
                name + DIFFERENCES,
                lambda theme: figures.differences(c, rows, theme),
                "Differences to random in area under the curve: "
                + "; ".join(f"{r.arm} {tables.difference(r)}" for r in rows if r.versus_random),
                "What each arm's change, of training, queries or both, adds over plain training "
                "with random queries, seed by seed.",
            )
        )
    if parts:
        shown.append(
            Shown(
                name + ONE_CHANGE,
                lambda theme: figures.one_change(c, parts, theme),
                "What one change adds to the rest, in area under the curve: "
                + "; ".join(f"{p.arm} against {p.against} {tables.points(p.differences[0])}"
                            for p in parts),
                "Pairs of arms that differ in their queries alone, their training alone, or one "
                "option.",
            )
        )  # fmt: skip
    shown.append(
        Shown(
            name + TIME,
            lambda theme: figures.time_figure(c, theme),
            f"Time against final {what} on {c.name}.",
            "Evaluation is left out of the time; a shared first round counts in full for each. "
            + figures.NAMED
            + _contended(c),
        )
    )
    picture = _embedding(store, c)
    return Part(c, rows, pairs, parts, [*shown, *([picture] if picture else [])])


def _contended(c: Comparison) -> str:
    """A warning where the clock says more of the machine than of the arms."""
    ratio = compare.contention(c)
    if ratio is None:
        return ""
    return (
        f" The seeds of one arm differ by up to {ratio:.1f} times: other work shared the cores, "
        "and these seconds are no more than an order of magnitude."
    )


def _embedding(store: Store, c: Comparison) -> Shown | None:
    """Before and after alignment, of the first cell that has an alignment and its features.

    DAAL's before all others. Only the machine of its run has these: elsewhere the picture that
    is there already stays.
    """
    name = _slug(c.name) + EMBEDDING
    said = (
        "t-SNE does not keep distances; the figure under each panel is measured in the full "
        "feature space."
    )
    cells = [result for row in c.cells for result in row]
    for result in sorted(cells, key=lambda r: r.cell.config.method != "daal"):
        cache = store.folder(result.cell) / "cache"
        files = cache / "embedding-before.npz", cache / "embedding-after.npz"
        if all(file.exists() for file in files):
            laid = panels(*files, result.cell.config.seed)
            facts: dict[str, Any] = {
                "classes": list(result.classes),
                "rounds": [{"labels": int(result.labels[-1])}],
                "method": result.cell.arm,
                "dataset": c.data,
            }
            return Shown(
                name,
                partial(embedding_figure, laid, facts),
                f"t-SNE of features before and after alignment, {result.cell.arm} on {c.name}.",
                f"Last round of {result.cell.folder}. {said}",
                wide=True,
            )
    kept = store.root / "report" / f"{name}.png"
    if kept.exists():
        alt = f"t-SNE of features before and after alignment on {c.name}."
        return Shown(name, kept, alt, f"Drawn where these cells ran. {said}", wide=True)
    return None


def _across(compared: Sequence[Comparison]) -> list[Shown]:
    shown = []
    penalties, ranks = compare.penalties(compared), compare.ranks(compared)
    if penalties:
        shown.append(
            Shown(
                PENALTIES,
                lambda theme: figures.penalty_matrix(penalties, theme),
                "Matrix of pairwise penalties; the numbers are in penalties.csv.",
                "Share of rounds, round 0 included, at which the row's method beats the column's "
                "(two-sided paired t test over seeds, 0.05, not corrected), summed over "
                f"{'; '.join(penalties.settings)}. BADGE's matrix, at every round instead of its "
                "own checkpoints.",
            )
        )
    if ranks and ranks.difference is not None:
        shown.append(
            Shown(
                RANKS,
                lambda theme: figures.critical_difference(ranks, theme),
                "Critical-difference diagram of mean ranks over data sets.",
                f"Friedman p {tables.probability(ranks.p or 0.0)}.",
            )
        )
    return shown


def _tables(
    collection: Collection, compared: Sequence[Comparison], parts: Sequence[Part]
) -> list[Table]:
    summaries = [tables.summary(p.comparison, p.rows) for p in parts]
    rounds = [tables.rounds(c) for c in compared]
    made = [tables.cells(collection.finished, compared), _joined(summaries), *_by_headers(rounds)]
    paired = [tables.contrasts(p.comparison, p.pairs) for p in parts]
    made.append(_joined(paired))
    penalties, ranks = compare.penalties(compared), compare.ranks(compared)
    made += [tables.penalties(penalties)] if penalties else []
    made += [tables.ranks(ranks)] if ranks else []
    return made


def _joined(found: Sequence[Table]) -> Table:
    return Table(found[0].name, found[0].headers, [row for table in found for row in table.rows])


def _by_headers(found: Sequence[Table]) -> list[Table]:
    """Tables of equal columns joined; imbalanced settings have more columns and a file apart."""
    plain = [t for t in found if len(t.headers) == min(len(u.headers) for u in found)]
    rest = [t for t in found if t not in plain]
    made = [_joined(plain)]
    if rest:
        joined = _joined(rest)
        made.append(Table(tables.ROUNDS_IMBALANCED, joined.headers, joined.rows))
    return made


# ---------------------------------------------------------------------- words


def _state(store: Store, collection: Collection, compared: Sequence[Comparison]) -> list[str]:
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
    return lines


def _names(names: Any, most: int = 6) -> str:
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more


HOW = (
    "Mean ± standard deviation over seeds (ddof = 1), in per cent. AUBC is the mean height of "
    "the curve over labels. Differences to random are paired by seed: studentised bootstrap "
    "intervals from ten seeds on, Student's t below; p by the paired t test, Holm's correction "
    "over the arms of the table. Labels saved: labels left when the mean curve first reaches "
    "random's final value, with the interval of resampled seeds from five on (of fewer seeds one "
    "low end of random's curve can save a lot). w/t/l: rounds won, tied and lost (paired t, "
    "0.05). Seeds for 1 pt: seeds with which the observed spread of the difference shows 1 point "
    "of AUBC with power 0.8, uncorrected; of few seeds the spread itself is known badly. Round 0 "
    "precedes every query: arms of one training are equal there."
)


def _audited(collection: Collection) -> str:
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


def _markdown(
    store: Store, collection: Collection, parts: Sequence[Part], across: Sequence[Shown]
) -> str:
    compared = [part.comparison for part in parts]
    text = ["# Benchmark report\n"]
    text += [f"> {line}\n" for line in _state(store, collection, compared)]
    for part in parts:
        text.append(f"## {part.comparison.name}\n")
        text.append(
            f"{counted(len(part.comparison.seeds), 'seed')}, "
            f"{counted(len(part.comparison.arms), 'arm')}.\n"
        )
        for title, headers, rows in part.written:
            text.append(f"### {title}\n\n{tables.markdown(headers, rows)}")
        text += [f"![{s.alt}]({s.name}.png)\n\n{s.caption}\n" for s in part.figures]
    if across:
        text.append("## Over all settings\n")
        text += [f"![{s.alt}]({s.name}.png)\n\n{s.caption}\n" for s in across]
    text.append(f"## How to read it\n\n{HOW}\n\n{_audited(collection)}\n")
    text.append(
        "Every number is in `summary.csv`, `rounds*.csv` (imbalanced settings apart) and "
        "`contrasts.csv` (any two arms); the column `cells` leads to the runs and their commands "
        "in `cells.csv`. The benchmark's commands:\n"
    )
    text.append("```\n" + "\n".join(store.commands) + "\n```\n")
    return "\n".join(text)


def _page(
    store: Store,
    collection: Collection,
    compared: Sequence[Comparison],
    parts: Sequence[Part],
    across: Sequence[Shown],
) -> str:
    state = _state(store, collection, compared)
    seconds = sum(r.total_seconds for r in collection.finished)
    head = tag(
        "header",
        tag("p", "labelgap bench", class_="kind"),
        tag("h1", " · ".join(c.name for c in compared[:3]) + (" · …" if len(compared) > 3 else "")),
        page.tiles(
            [
                ("Cells", f"{len(collection.finished)}", f"of {len(store.cells)}, all audited"),
                ("Arms", f"{len({a for c in compared for a in c.arms})}", None),
                ("Seeds", _range([len(c.seeds) for c in compared]), "that pair the arms"),
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
            tag("p", _audited(collection), class_="note"),
        ),
        _trace(store, collection.finished, compared),
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


def _trace(store: Store, results: Sequence[Result], compared: Sequence[Comparison]) -> Markup:
    """From every number to its runs: the groups that the tables name, and each cell's command."""
    listed = tables.cells(results, compared)
    keep = [listed.headers.index(h) for h in ("cells", "seed", "aubc", "folder", "command")]
    rows = [
        [f"{row[k]:.4f}" if listed.headers[k] == "aubc" else row[k] or tables.DASH if
         listed.headers[k] != "seed" else row[k] for k in keep]
        for row in listed.rows
    ]  # fmt: skip
    return page.section(
        "Where each number comes from",
        page.code("\n".join(store.commands)),
        page.fold(
            f"All {counted(len(rows), 'cell')} with their commands",
            page.table(
                "Cells",
                ["cells", "seed", "AUBC", "folder", "command"],
                rows,
                text_columns=(0, 3, 4),
            ),
        ),
        lead="The benchmark's commands; each cell can be repeated alone by its own.",
    )


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()
