"""The statistics of paired runs: pure functions on arrays, scipy where it has them.

Seeds pair runs; data sets do not repeat each other. So differences are taken seed by seed within
a data set, and ranks are taken over data sets, never over seeds (Demšar 2006).
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64
from scipy import stats

from labelgap.core.area import area, labels_to_reach

LEVEL = 0.95
FEWEST_FOR_BOOTSTRAP = 10
"""Below so many seeds resampling knows too little of the spread; Student's t is used."""
RESAMPLES = 19_999
"""The ends of an interval are then known to a tenth of its standard error, and the smallest p is
one of ten thousand."""
FEWEST_DATA_SETS = 6
"""For a critical-difference diagram; Friedman's χ² means little with fewer."""
POWER = 0.8
FEWEST_FOR_SAVED = 5
"""Fewer seeds have too few different resamples for the labels saved."""

Curve = Float[np.ndarray, " r"]
Seeds = Float[np.ndarray, " s"]


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval; NaN where one seed allows none.

    sd: standard deviation over seeds (ddof = 1).  kind: "t", "bootstrap" or "none".
    """

    mean: float
    sd: float
    low: float
    high: float
    n: int
    kind: str


@dataclass(frozen=True)
class Difference:
    """A difference paired by seed: its interval, and p by the same method (NaN if n < 2).

    p < α exactly where the interval at 1 − α leaves out 0, so the two cannot contradict each other.
    """

    interval: Interval
    p: float


# ---------------------------------------------------------------------- one curve


def t_interval(values: Seeds, level: float | int = LEVEL) -> Interval:
    """Mean, standard deviation and Student's t interval over seeds."""
    n, mean = len(values), float(np.mean(values))
    if n < 2:
        return Interval(mean, float("nan"), float("nan"), float("nan"), n, "none")
    sd = float(np.std(values, ddof=1))
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * sd / np.sqrt(n)
    return Interval(mean, sd, mean - half, mean + half, n, "t")


def halves(labels: Int64[np.ndarray, " r"], curve: Curve) -> tuple[float, float]:
    """AUBC of the early and of the late half of the labels; their mean is the AUBC."""
    first, last = float(labels[0]), float(labels[-1])
    middle = (first + last) / 2
    return area(labels, curve, first, middle), area(labels, curve, middle, last)


@dataclass(frozen=True)
class Saved:
    """Labels left, with the ends of their interval; NaN where nothing is left or known."""

    value: float
    low: float
    high: float


NOTHING_SAVED = Saved(float("nan"), float("nan"), float("nan"))


def labels_saved(
    labels: Int64[np.ndarray, " r"],
    curves: Float[np.ndarray, "s r"],
    reference: Float[np.ndarray, "s r"],
    rng: np.random.Generator,
    *,
    level: float | int = LEVEL,
    resamples: int = 4999,
) -> Saved:
    """Labels left when the mean curve first reaches the reference's final mean accuracy.

    On mean curves, since single runs cross by luck; the interval is that of resampled seeds, from
    five on. NaN where the mean does not reach it, or so many resamples do not that the interval
    has no lower end.
    """
    value = float(labels[-1]) - labels_to_reach(labels, curves.mean(0), reference[:, -1].mean())
    n = len(curves)
    if n < FEWEST_FOR_SAVED or np.isnan(value):
        return Saved(value, float("nan"), float("nan"))
    drawn = rng.integers(0, n, (resamples, n))
    found = np.array(
        [
            labels_to_reach(labels, curves[rows].mean(0), float(reference[rows, -1].mean()))
            for rows in drawn
        ]
    )
    if np.isnan(found).mean() > (1 - level) / 2:
        return NOTHING_SAVED
    left = np.where(np.isnan(found), 0.0, labels[-1] - found)
    low, high = np.quantile(left, [(1 - level) / 2, (1 + level) / 2])
    return Saved(value, float(low), float(high))


# ---------------------------------------------------------------------- pairs


def paired(
    a: Seeds, b: Seeds, rng: np.random.Generator, *, level: float | int = LEVEL
) -> Difference:
    """a − b over seeds: interval and p by studentised bootstrap from ten on, Student's t below.

    Parameters
    ----------
    a, b: one value a seed, in the same order of seeds.
    """
    if a.shape != b.shape:
        raise ValueError(f"{len(a)} and {len(b)} seeds are not pairs.")
    d = a - b
    if len(d) < 2:
        return Difference(t_interval(d, level), float("nan"))
    if np.ptp(d) < 1e-12:
        # Equal differences but for rounding: the interval is the value, and t is infinite.
        value = 0.0 if abs(d[0]) < 1e-12 else float(d[0])
        return Difference(Interval(value, 0.0, value, value, len(d), "t"), float(value == 0))
    if len(d) >= FEWEST_FOR_BOOTSTRAP:
        return studentised(d, rng, level)
    return Difference(t_interval(d, level), float(stats.ttest_1samp(d, 0.0).pvalue))


def studentised(
    d: Seeds, rng: np.random.Generator, level: float | int = LEVEL, resamples: int = RESAMPLES
) -> Difference:
    """A mean with its bootstrap-t interval (Efron & Tibshirani 1993, §12.5) and p by turning it.

    Student's t with its distribution taken from resamples, each by its own standard error. With
    ten values it covers 92 to 95 % of means of normal, exponential and t₃ differences, where
    percentile and BCa intervals, which take the spread for known, cover 85 to 91 %. So its p
    keeps to its level too: of exponential differences without effect 5 of 100 fall below 0.05,
    by the t test 10.

    Raises ValueError where so few resamples have no end at that level.
    """
    n, tail = len(d), (1 - level) / 2
    if tail * (resamples + 1) < 1 - 1e-9:
        raise ValueError(f"{resamples} resamples do not reach to a level of {level}.")
    drawn = d[rng.integers(0, n, (resamples, n))]
    error = drawn.std(axis=1, ddof=1) / np.sqrt(n)
    mean, sd = float(d.mean()), float(d.std(ddof=1))
    scale = sd / np.sqrt(n)
    varied = error > 1e-9 * scale  # a resample of one value alone has no t
    t = np.sort((drawn.mean(axis=1)[varied] - mean) / error[varied])
    # The k-th of m values is the quantile k / (m + 1): both ways, so that p turns the interval.
    quantiles = np.quantile(t, [1 - tail, tail], method="weibull")
    below = float(np.interp(mean / scale, t, np.arange(1, len(t) + 1) / (len(t) + 1)))
    low, high = (float(mean - quantile * scale) for quantile in quantiles)
    interval = Interval(mean, sd, low, high, n, "bootstrap")
    return Difference(interval, 2 * min(below, 1 - below))


def holm(p: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """Holm's adjusted p values; NaN (no test) stays NaN and counts as no test."""
    adjusted = np.full(len(p), np.nan)
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(steps)) if len(order) else steps
    return adjusted


def penalties(
    curves: Float[np.ndarray, "m s r"], alpha: float | int = 0.05
) -> Float[np.ndarray, "m m"]:
    """BADGE's pairwise penalties of one setting: P[i, j] = share of rounds at which i beats j.

    "Beats" is a two-sided paired t test over seeds (ddof = 1) at `alpha`, as in the published
    script; so is that it is not corrected. That script takes checkpoints at doubling budgets until
    random is nearly perfect, this every round given. Sum over settings; a column's mean says how
    often a method is beaten. Raises ValueError with fewer than two seeds.
    """
    if curves.shape[1] < 2:
        raise ValueError("Penalties need at least two seeds.")
    d = curves[:, None] - curves[None, :]
    mean, sd = d.mean(axis=2), d.std(axis=2, ddof=1)
    bound = stats.t.ppf(1 - alpha / 2, curves.shape[1] - 1) * sd / np.sqrt(curves.shape[1])
    beats: Bool[np.ndarray, "m m r"] = mean > np.maximum(bound, 0)
    shares: Float[np.ndarray, "m m"] = beats.mean(axis=2)
    return shares


def win_tie_loss(curves: Float[np.ndarray, "m s r"], reference: int) -> Int64[np.ndarray, "m 3"]:
    """Rounds won, tied and lost by each method against the reference (tests as `penalties`)."""
    share, rounds = penalties(curves), curves.shape[2]
    wins = np.rint(share[:, reference] * rounds).astype(np.int64)
    losses = np.rint(share[reference] * rounds).astype(np.int64)
    return np.stack([wins, rounds - wins - losses, losses], axis=1)


def seeds_needed(
    sd: float | int,
    effect: float | int = 0.01,
    alpha: float | int = 0.05,
    power: float | int = POWER,
) -> int:
    """Seeds with which a paired t test finds a true difference of `effect` with that power.

    sd: standard deviation over seeds of the paired difference, in the unit of `effect`.
    """
    if not (sd >= 0 and effect > 0):
        raise ValueError(f"sd {sd} and effect {effect} must be positive.")
    if sd == 0:
        return 2
    low, high = 2, 4
    while _power(high, effect / sd, alpha) < power:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        if _power(middle, effect / sd, alpha) < power:
            low = middle + 1
        else:
            high = middle
    return high


def _power(n: int, ratio: float | int, alpha: float | int) -> float:
    """Power of the two-sided paired t test; by the normal law where n makes them one."""
    shift = ratio * np.sqrt(n)
    if n > 1000:
        bound = float(stats.norm.ppf(1 - alpha / 2))
        return float(stats.norm.sf(bound - shift) + stats.norm.cdf(-bound - shift))
    bound = float(stats.t.ppf(1 - alpha / 2, n - 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # underflow in the far tail
        tails = stats.nct.sf(bound, n - 1, shift), stats.nct.cdf(-bound, n - 1, shift)
    return float(np.nansum(tails))


# ---------------------------------------------------------------------- data sets


def average_ranks(scores: Float[np.ndarray, "e m"]) -> Float[np.ndarray, " m"]:
    """Mean rank of each method over data sets; 1 is best, ties share their ranks.

    scores: one row a data set (already averaged over its seeds), higher is better.
    """
    ranks: Float[np.ndarray, " m"] = stats.rankdata(-scores, axis=1).mean(axis=0)
    return ranks


def friedman(scores: Float[np.ndarray, "e m"]) -> float:
    """p of Friedman's test that all methods rank alike; needs three methods."""
    return float(stats.friedmanchisquare(*scores.T).pvalue)


def critical_difference(methods: int, data_sets: int, alpha: float | int = 0.05) -> float:
    """Nemenyi's critical difference of mean ranks.

    Raises ValueError with fewer than six data sets.
    """
    if data_sets < FEWEST_DATA_SETS:
        raise ValueError(f"{data_sets} data sets; a critical difference needs {FEWEST_DATA_SETS}.")
    q = float(stats.studentized_range.ppf(1 - alpha, methods, np.inf)) / np.sqrt(2)
    return float(q * np.sqrt(methods * (methods + 1) / (6 * data_sets)))


def cliques(ranks: Float[np.ndarray, " m"], difference: float | int) -> list[tuple[int, int]]:
    """Maximal runs of methods, in the order of their ranks, that lie within the difference.

    As (first, last) positions in the sorted order; runs of one are left out.
    """
    ordered = np.sort(ranks)
    found: list[tuple[int, int]] = []
    for first in range(len(ordered)):
        last = int(np.searchsorted(ordered, ordered[first] + difference, side="right")) - 1
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def common_seeds(seeds: Sequence[Sequence[int]]) -> list[int]:
    """Seeds that every arm has, ascending: what can be paired."""
    shared = set(seeds[0]).intersection(*map(set, seeds[1:])) if seeds else set()
    return sorted(shared)
