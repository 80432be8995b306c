"""Arms over several settings: who beats whom, and mean ranks."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from labelgap.bench.evidence import statistics as st
from labelgap.bench.evidence.compare import Comparison


@dataclass(frozen=True, eq=False)
class Penalties:
    """BADGE's matrix, summed over the named settings, those with two seeds or more."""

    arms: tuple[str, ...]
    matrix: Float[np.ndarray, "m m"]
    settings: tuple[str, ...]


def penalties(compared: Sequence[Comparison]) -> Penalties | None:
    """Over the arms that all settings share; None with one seed or fewer than two arms."""
    usable = [c for c in compared if len(c.seeds) > 1]
    arms = _shared_arms(usable)
    if len(arms) < 2:
        return None
    total = np.zeros((len(arms), len(arms)))
    for c in usable:
        places = [c.arms.index(arm) for arm in arms]
        total += st.penalties(c.main[places])
    return Penalties(arms, total, tuple(c.name for c in usable))


@dataclass(frozen=True, eq=False)
class Ranks:
    """Mean ranks over data sets; the critical difference only with enough of them.

    settings: the ranks are over so many settings (data set and variant) instead, 0 for none.
    """

    arms: tuple[str, ...]
    ranks: Float[np.ndarray, " m"]
    data_sets: int
    p: float | None
    difference: float | None
    settings: int = 0


def ranks(compared: Sequence[Comparison]) -> Ranks | None:
    """Over the arms that all data sets share; variants of one data set are averaged first."""
    arms = _shared_arms(compared)
    by_data: dict[str, list[Float[np.ndarray, " m"]]] = {}
    for c in compared:
        places = [c.arms.index(arm) for arm in arms]
        by_data.setdefault(c.data, []).append(c.areas(c.main[places])[:, :, 0].mean(axis=1))
    if len(arms) < 2 or len(by_data) < 2:
        return None
    scores = np.array([np.mean(rows, axis=0) for rows in by_data.values()])
    enough = len(scores) >= st.FEWEST_DATA_SETS and len(arms) > 2
    return Ranks(
        arms,
        st.average_ranks(scores),
        len(scores),
        st.friedman(scores) if enough else None,
        st.critical_difference(len(arms), len(scores)) if enough else None,
    )


def ranks_of_settings(compared: Sequence[Comparison]) -> Ranks | None:
    """Over settings, where six or more of them are of fewer than six data sets; else None.

    Settings of one data set share its images, so they are not the independent blocks that
    Friedman's test takes them for: p and the critical difference come out too small.
    """
    arms, data_sets = _shared_arms(compared), len({c.data for c in compared})
    few = data_sets < st.FEWEST_DATA_SETS <= len(compared)
    if not few or len(arms) < 3:
        return None
    scores = np.array(
        [c.areas(c.main[[c.arms.index(a) for a in arms]])[:, :, 0].mean(axis=1) for c in compared]
    )
    return Ranks(
        arms,
        st.average_ranks(scores),
        data_sets,
        st.friedman(scores),
        st.critical_difference(len(arms), len(scores)),
        len(scores),
    )


def _shared_arms(compared: Sequence[Comparison]) -> tuple[str, ...]:
    """Arms of every setting; the upper line has no rank among methods."""
    if not compared:
        return ()
    methods = (arm for m, arm in enumerate(compared[0].arms) if not compared[0].upper(m))
    return tuple(arm for arm in methods if all(arm in c.arms for c in compared))
