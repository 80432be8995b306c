"""One setting of a benchmark: what is shown of it."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from labelgap.bench.evidence import across, compare, contrasts
from labelgap.bench.evidence.collect import Collection
from labelgap.bench.evidence.compare import Comparison, Row
from labelgap.bench.evidence.contrasts import Contrast
from labelgap.bench.grid.store import Store
from labelgap.bench.report import figures, tables
from labelgap.bench.report.forest import differences, one_change
from labelgap.bench.report.tables import Table
from labelgap.core.wording import counted
from labelgap.report.scatter import embedding_figure, panels
from labelgap.report.style import Theme

PAGE, TEXT = "index.html", "report.md"
OF_A_SETTING = (
    CURVES, MINORITY, DIFFERENCES, ONE_CHANGE, TIME, EMBEDDING
) = (
    "-curves", "-minority", "-differences", "-one-change", "-time", "-embedding"
)  # fmt: skip
"""Every figure that a setting may have: how the names of its files end."""
ACROSS = PENALTIES, RANKS, RANKS_OF_SETTINGS = "penalties", "ranks", "ranks-of-settings"
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


def part_of(store: Store, c: Comparison) -> Part:
    rows, pairs = compare.table(c), contrasts.every(c)
    parts = contrasts.of_one_change(c, pairs)
    name, best = slug(c.name), max(rows, key=lambda row: row.aubc.mean)
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
                lambda theme: differences(c, rows, theme),
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
                lambda theme: one_change(c, parts, theme),
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
    is there already stays, and so does what the text says of it.
    """
    name = slug(c.name) + EMBEDDING
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
        words = _words(kept) or (alt, f"Drawn where these cells ran. {said}")
        return Shown(name, kept, *words, wide=True)
    return None


def _words(picture: Path) -> tuple[str, str] | None:
    """Alternative text and caption that an earlier report's text gave to a picture."""
    text = picture.with_name(TEXT)
    shown = re.escape(f"]({picture.name})")
    former = text.read_text("utf-8") if text.exists() else ""
    found = re.search(rf"^!\[(.*){shown}\n\n(.+)$", former, re.MULTILINE)
    return (found[1], found[2]) if found else None


def shown_across(compared: Sequence[Comparison]) -> list[Shown]:
    shown = []
    penalties, ranks = across.penalties(compared), across.ranks(compared)
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
    by_setting = across.ranks_of_settings(compared)
    if by_setting is not None:
        shown.append(
            Shown(
                RANKS_OF_SETTINGS,
                lambda theme: figures.critical_difference(by_setting, theme),
                "Critical-difference diagram of mean ranks over settings.",
                f"Friedman p {tables.probability(by_setting.p or 0.0)}. Settings of one data set "
                f"share its images, so these {by_setting.settings} settings of "
                f"{counted(by_setting.data_sets, 'data set')} are not independent: the critical "
                "difference and p are smaller than they should be. Read it as a summary, not as "
                "a test.",
            )
        )
    return shown


def tables_of(
    collection: Collection, compared: Sequence[Comparison], parts: Sequence[Part]
) -> list[Table]:
    summaries = [tables.summary(p.comparison, p.rows) for p in parts]
    rounds = [tables.rounds(c) for c in compared]
    made = [tables.cells(collection.finished, compared), _joined(summaries), *_by_headers(rounds)]
    paired = [tables.contrasts(p.comparison, p.pairs) for p in parts]
    made.append(_joined(paired))
    penalties, ranks = across.penalties(compared), across.ranks(compared)
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


def slug(text: str) -> str:
    """A name for files and for places of the page."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-").lower()
