"""What a benchmark comes to, in a sentence or two a setting: the first thing on its page."""

from labelgap.bench.evidence.compare import Comparison, Row
from labelgap.bench.report import tables
from labelgap.core.wording import counted, shortened

ALPHA = 0.05
_NAMED = 5  # arms that a sentence names


def conclusion(c: Comparison, rows: list[Row]) -> str:
    """The best method, and which ones differ from random (Holm's p below 0.05).

    The upper line, where there is one, is named behind them: it is no method.
    """
    bounds = [row for row in rows if row.upper]
    rows = [row for row in rows if not row.upper] or rows
    best = tables.best_first(rows)[0]
    measure = "balanced AUBC" if c.imbalanced else "AUBC"
    said = f"{best.arm} is highest, {measure} {tables.spread(best.aubc)} %"
    if best.versus_random is not None:
        said += f", {tables.difference(best)} points to random"
    if c.random is None:
        return f"{said}; no arm is random, so nothing is compared with it."
    others = [row for row in tables.best_first(rows) if row.versus_random is not None]
    if bounds and bounds != rows:
        said += f" ({bounds[0].arm}: {tables.spread(bounds[0].aubc)} %)"
    if not others:
        return f"{said}; there is no other arm."
    if len(c.seeds) < 2:
        return f"{said}; one seed, so this may be luck."
    certain = [row for row in others if row.p_holm < ALPHA]
    above = [r.arm for r in certain if r.versus_random and r.versus_random.interval.mean > 0]
    below = [r.arm for r in certain if r.arm not in above]
    parts = []
    if above:
        parts.append(f"better than random (Holm p < 0.05): {shortened(above, _NAMED)}")
    if below:
        parts.append(f"worse: {shortened(below, _NAMED)}")
    rest = len(others) - len(certain)
    if rest:
        arms = counted(rest, "other arm" if certain else "arm")
        parts.append(f"no difference found for {arms}, of {counted(len(c.seeds), 'seed')}")
    return f"{said}; {'; '.join(parts)}."
