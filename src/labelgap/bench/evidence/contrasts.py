"""What one change adds: differences between any two arms, and the pairs that differ in one thing.

The table of arms compares each with random. That says what a whole method is worth, not what its
parts are: a query may owe its gain to the training beside it. A pair of arms that differ in their
query alone, their training alone or a single option says that.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from labelgap.bench.evidence import statistics as st
from labelgap.bench.evidence.compare import Comparison
from labelgap.bench.evidence.statistics import Difference
from labelgap.core.config import TABLES
from labelgap.core.streams import Streams
from labelgap.report.command import leaves

MEASURES = ("AUBC", "early half", "late half", "at the end")


@dataclass(frozen=True)
class Contrast:
    """`arm` minus `against`, paired by seed.

    change: "query", "training" or the one option's key where nothing else differs, else None.
    differences: one for each of `MEASURES`.  p_holm: of AUBC, over the contrasts shown together.
    """

    arm: str
    against: str
    change: str | None
    differences: tuple[Difference, ...]
    p_holm: float = float("nan")


def every(c: Comparison) -> list[Contrast]:
    """All pairs of arms, the one that changes more first."""
    areas, final = c.areas(c.main), c.main[:, :, -1]
    values = np.concatenate([areas, final[:, :, None]], axis=2)
    made = []
    for m, n in combinations(range(len(c.arms)), 2):
        a, b, change = _ordered(c, m, n)
        # A fresh stream each, so that an interval does not depend on which arms stand beside it.
        found = tuple(
            st.paired(values[a, :, k], values[b, :, k], Streams(0).numpy("bench/bootstrap"))
            for k in range(len(MEASURES))
        )
        made.append(Contrast(c.arms[a], c.arms[b], change, found))
    return made


def of_one_change(c: Comparison, pairs: list[Contrast]) -> list[Contrast]:
    """Those of `pairs` that say what a part adds to the rest, Holm's correction over them.

    A change of query is shown against random queries on the same training, a change of training
    against plain training with the same queries; against random itself the table of arms has it.
    """
    random = None if c.random is None else c.arms[c.random]
    kept = [pair for pair in pairs if pair.against != random and _telling(c, pair)]
    holm = st.holm(np.array([pair.differences[0].p for pair in kept]))
    return [replace(pair, p_holm=float(p)) for pair, p in zip(kept, holm, strict=True)]


def _telling(c: Comparison, pair: Contrast) -> bool:
    against = _config(c, c.arms.index(pair.against))
    if pair.change == "query":
        return bool(against["acquisition_name"] == "random")
    if pair.change == "training":
        return bool(against["objective_name"] == "cross-entropy")
    return pair.change is not None


def _ordered(c: Comparison, m: int, n: int) -> tuple[int, int, str | None]:
    """The two arms, the one with more to it first, and what alone they differ in."""
    one, other = _config(c, m), _config(c, n)
    if any(one[key] != other[key] for key in ("network", "training")):
        return m, n, None
    asks = [arm["acquisition_name"] for arm in (one, other)]
    trains = [arm["objective_name"] for arm in (one, other)]
    if asks[0] == asks[1] and trains[0] == trains[1]:
        keys = list(_options(one, other))
        if len(keys) != 1:
            return m, n, None
        # The arm in which the part is on.
        key, off, on = keys[0]
        return (n, m, key) if (off, on) == (False, True) else (m, n, key)
    if any(one[table] != other[table] for table in TABLES if table in one and table in other):
        return m, n, None
    if trains[0] == trains[1] and one["objective"] == other["objective"]:
        return (n, m, "query") if asks[0] == "random" else (m, n, "query")
    if asks[0] == asks[1] and one["acquisition"] == other["acquisition"]:
        return (n, m, "training") if trains[0] == "cross-entropy" else (m, n, "training")
    return m, n, None


def _options(one: dict[str, Any], other: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """(key, value, value) of each option in which two arms of one pair differ."""
    for axis in ("objective", "acquisition", *TABLES):
        theirs = dict(leaves(other.get(axis, {})))
        for key, value in leaves(one.get(axis, {})):
            if value != theirs.get(key):
                yield f"{axis}.{key}", value, theirs.get(key)


def _config(c: Comparison, arm: int) -> dict[str, Any]:
    return c.cells[arm][0].config
