"""Write the committed benchmarks' numbers into the methods' pages.

    python benchmarks/pages.py            # docs/methods/*.md, from benchmarks/results/*/
    python benchmarks/pages.py --check    # exit status 1 if a page says anything else

What stands between the two marks below is replaced; the rest of a page is written by hand.
"""

import argparse
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from labelgap.bench.evidence import compare
from labelgap.bench.evidence.collect import collect
from labelgap.bench.evidence.compare import Comparison, Row
from labelgap.bench.grid.store import GRID, Store
from labelgap.bench.report import tables

ROOT = Path(__file__).resolve().parents[1]
RESULTS, PAGES = ROOT / "benchmarks" / "results", ROOT / "docs" / "methods"
BEGIN, END = "<!-- measured: benchmarks/pages.py writes this -->", "<!-- measured ends -->"
HEADERS = ("setting", "network", "seeds", "AUBC", "random", "difference", "Holm p", "train s",
           "query s", "peak MB")  # fmt: skip


def network(c: Comparison) -> str:
    """What was trained, in a word or two."""
    settings = c.cells[0][0].cell.config.network
    if settings.freeze:
        return f"{settings.name}, frozen"
    stride = f", stride {settings.stem_stride}" if settings.stem_stride > 1 else ""
    return f"width {settings.width}{stride}"


def line(c: Comparison, row: Row, random: Row) -> list[str]:
    """What one setting says of one method, beside random."""
    labels = f"{c.labels[0]:,} → {c.labels[-1]:,} labels"
    peak = None if row.peak_memory is None else row.peak_memory >> 20
    # Seconds beside other work say more of that than of the method; of one seed nobody knows.
    shared = len(c.seeds) < 2 or compare.contention(c) is not None
    train = f"{row.train_seconds:.1f} (random {random.train_seconds:.1f})"
    return [
        f"{c.name}, {labels}",
        network(c),
        str(row.seeds),
        tables.spread(row.aubc),
        tables.spread(random.aubc),
        tables.difference(row),
        tables.probability(row.p_holm),
        tables.DASH if shared else train,
        tables.DASH if shared else f"{row.query_seconds:.2f}",
        tables.whole(peak),
    ]


class Shown(NamedTuple):
    """What one setting says of one method: its runs, its line, the benchmark's commands."""

    runs: frozenset[str]
    line: list[str]
    commands: list[str]


def measured(folders: list[Path]) -> dict[str, str]:
    """The block of every method that some benchmark ran."""
    found: dict[str, list[Shown]] = defaultdict(list)
    for folder in folders:
        store = Store(folder)
        for c in compare.comparisons(collect(store).finished):
            if c.random is None:
                continue
            rows = compare.table(c)
            for row, cells in zip(rows, c.cells, strict=True):
                runs = frozenset(r.cell.identity for r in cells)
                if not any(runs <= other.runs for other in found[row.arm]):
                    kept = [other for other in found[row.arm] if not other.runs < runs]
                    new = Shown(runs, line(c, row, rows[c.random]), store.commands)
                    found[row.arm] = [*kept, new]
    return {arm: block(shown) for arm, shown in found.items()}


def block(shown: list[Shown]) -> str:
    """The generated part of a page."""
    commands = dict.fromkeys(command for one in shown for command in one.commands)
    return (
        "Mean ± standard deviation over seeds in per cent; the difference to random is paired by "
        "seed, with its 95 % interval. Seconds are those of a whole run, left out where other work "
        "shared the cores; the cost of a round is in benchmarks/speed/rounds.md.\n\n"
        f"{tables.markdown(HEADERS, [one.line for one in shown])}\n"
        "By " + ", ".join(f"`{command}`" for command in commands) + " (benchmarks/results/).\n"
    )


def with_block(text: str, new: str) -> str:
    """The page with its generated part replaced, or put at the head of `## Measured`."""
    if BEGIN in text:
        before, _, generated = text.partition(BEGIN)
        after = generated.partition(END)[2]
    else:
        before, _, after = text.partition("## Measured\n")
        before += "## Measured\n\n"
    rest = after.lstrip("\n")
    return f"{before}{BEGIN}\n\n{new}\n{END}\n" + (f"\n{rest}" if rest else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; compare")
    check = parser.parse_args().check
    folders = sorted(grid.parent for grid in RESULTS.glob(f"*/{GRID}"))
    stale = []
    for arm, new in measured(folders).items():
        page = PAGES / f"{arm}.md"
        if not page.exists():
            continue
        text = page.read_text()
        wanted = with_block(text, new)
        if wanted != text:
            stale.append(page.name)
            if not check:
                page.write_text(wanted)
    print(f"{len(stale)} pages {'differ' if check else 'written'}: {', '.join(stale)}")
    sys.exit(bool(check and stale))


if __name__ == "__main__":
    main()
