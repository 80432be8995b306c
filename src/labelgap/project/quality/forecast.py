"""How accurate with more training labels? Curves through what fewer labels reach.

Random nested parts of the labels are trained on and judged on the held-out images. Through their
accuracies go curves a − b · n^(−c), the power law of learning curves (Hestness et al. 2017; Viering
and Loog 2023, § 4), of every c at once: four noisy points do not tell c, so each c counts by how
well its curve fits them (`expected`). Below c = 0.1 accuracy still rises as the logarithm or the
root of n, as it does where many classes have few labels each. A single best c between bounds would
be pushed by noise to the one side that is open, and the forecast with it.

Noise is of three kinds: which images are held out, which all sizes share; which labels were drawn,
which all sizes share too; and which part of them. The band is what 80 % of the curves say. How
often it held: `benchmarks/evaluate/forecast.md`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64

from labelgap.core.types import Ids

PARTS = (0.25, 0.5, 0.75, 1.0)
DRAWS = 5
RESAMPLES = 2000
EXPONENTS = np.linspace(-0.5, 1.0, 31)
"""From the root of n, which nothing follows for long but small parts of many classes do, over its
logarithm (0) to a curve that has all but ended."""
BAND = 0.8
WIDEST = 0.10
"""A band wider than ten points plans nothing."""
FEWEST_LABELS, FEWEST_HELD_OUT = 40, 30
FARTHEST = 3
"""A curve is not followed beyond three times the labels that it is of."""

Rows = Ids
Judge = Callable[[Rows], Bool[np.ndarray, " h"]]
"""Trains on some rows of the labels; which held-out images are then right."""


Spread = tuple[Float[np.ndarray, "s s"], float]


@dataclass(frozen=True)
class Forecast:
    """Accuracy now and with `more` labels, 0..1: the median and the ends of the 80 % band.

    refused: why nothing can be said, else "".
    """

    labels: int
    more: int
    now: float
    median: float
    low: float
    high: float
    refused: str = ""

    @property
    def sentence(self) -> str:
        """For people."""
        if self.refused:
            return f"what {self.more} more labels would give cannot be told: {self.refused}"
        low, high = round(100 * self.low), round(100 * self.high)
        span = f"about {low} %" if low == high else f"{low}–{high} %"
        return f"with {self.more} more labels {span} (in 4 of 5 cases; now {100 * self.now:.0f} %)"


def measure(
    judge: Judge, n: int, rng: np.random.Generator, draws: int = DRAWS
) -> tuple[Int64[np.ndarray, " s"], Bool[np.ndarray, "draws s h"]]:
    """Train on ¼, ½, ¾ and all of n labels, each part within the next, for several draws.

    Returns the sizes, and for each draw and size which held-out images are right.
    """
    sizes = np.array([max(1, round(part * n)) for part in PARTS], dtype=np.int64)
    whole = judge(np.arange(n, dtype=np.int64))
    found = []
    for _ in range(draws):
        order = rng.permutation(n).astype(np.int64)
        found.append([judge(np.sort(order[:size])) for size in sizes[:-1]] + [whole])
    return sizes, np.array(found, dtype=bool)


def forecast(
    sizes: Int64[np.ndarray, " s"],
    right: Bool[np.ndarray, "draws s h"],
    more: int,
    rng: np.random.Generator,
) -> Forecast:
    """Follow the curve to `more` labels than the largest size has.

    Refused, with the reason in words: with fewer than 40 labels or 30 held-out ones, to more than
    three times the labels, where the band is wider than 10 points, and where the parts do not get
    better with their size.
    """
    n, now = int(sizes[-1]), float(right[:, -1].mean())
    held = right.shape[2]

    def refuse(why: str) -> Forecast:
        return Forecast(n, more, now, np.nan, np.nan, np.nan, why)

    if n < FEWEST_LABELS:
        return refuse(f"the curve of {n} labels is too short; it takes {FEWEST_LABELS}")
    if held < FEWEST_HELD_OUT:
        return refuse(f"{held} held-out labels are too few; it takes {FEWEST_HELD_OUT}")
    if n + more > FARTHEST * n:
        return refuse(f"{n} labels tell of {(FARTHEST - 1) * n} more at most")
    values = right.mean(axis=(0, 2))
    if values[-1] <= values[0]:
        return refuse(
            f"all {n} labels are no better than a quarter of them on the {held} held-out images"
        )
    ends = expected(sizes, values, spread(sizes, right), n + more, rng)
    tail = (1 - BAND) / 2
    low, median, high = (float(q) for q in np.quantile(ends, [tail, 0.5, 1 - tail]))
    if high - low > WIDEST:
        return refuse(
            f"anything from {100 * low:.0f} to {100 * high:.0f} % fits; more held-out labels or a "
            "nearer goal would tell"
        )
    return Forecast(n, more, now, median, low, high)


def spread(sizes: Int64[np.ndarray, " s"], right: Bool[np.ndarray, "draws s h"]) -> Spread:
    """Covariance of the sizes' mean accuracies, and the variance of a training on n labels.

    Of the held-out images: of the shares of draws in which each is right. Of the labels: parts of
    m of n labels differ by (1 − m/n) of what fresh draws of m would, and the variance of those is
    taken to fall as 1/m; what all of the n have in common is in every size.
    """
    draws, _, held = right.shape
    n = sizes[-1]
    images = np.cov(right.mean(axis=0), bias=True) / max(1, held - 1)
    part = sizes[:-1] / n
    between = np.zeros(len(part))
    if draws > 1:
        # Images that are right in some draws only move a draw's share too: that is of these
        # images, is in `images` already, and says nothing of the labels.
        own = right[:, :-1].var(axis=0, ddof=1).mean(axis=1) / held
        between = right.mean(axis=2)[:, :-1].var(axis=0, ddof=1) - own
    whole = max(0.0, float(np.mean(between * part / (1 - part))))
    # Nested: the smaller part is in the larger one, and shares what that one has of its own.
    fresh = np.minimum.outer(1 / part - 1, 1 / part - 1) * whole / draws
    labels = np.full((len(sizes), len(sizes)), whole)
    labels[:-1, :-1] += fresh
    return images + labels, whole


def expected(
    sizes: Int64[np.ndarray, " s"],
    values: Float[np.ndarray, " s"],
    noise: Spread,
    at: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, " b"]:
    """Draws of the accuracy at `at` labels, 0..1, given the sizes' accuracies.

    For each c: generalised least squares for a and the rise b ≥ 0 from the smallest to the
    largest size, flat priors on both and on c (so c counts by its marginal likelihood); then one
    more training, whose labels differ from the law's mean too.
    """
    covariance, whole = noise
    # A covariance of images that are all right or all wrong has no inverse; half an image has.
    covariance = covariance + np.eye(len(sizes)) * 1e-6
    inverse = np.linalg.inv(covariance)
    weights, means, factors = [], [], []
    for c in EXPONENTS:
        level = np.append(sizes, at).astype(np.float64)
        law = np.log(level) if abs(c) < 1e-9 else -np.sign(c) * level**-c
        law = (law - law[0]) / (law[-2] - law[0])
        x = np.stack([np.ones(len(sizes)), law[:-1]], axis=1)
        precision = x.T @ inverse @ x
        best = np.linalg.solve(precision, x.T @ inverse @ values)
        rest = values - x @ best
        cov = np.linalg.inv(precision)
        rises = 0.5 * (1 + math.erf(best[1] / math.sqrt(2 * cov[1, 1])))
        fit = -0.5 * (rest @ inverse @ rest) - 0.5 * np.linalg.slogdet(precision)[1]
        weights.append(fit + math.log(max(rises, 1e-300)))
        means.append((best, law[-1]))
        factors.append(np.linalg.cholesky(cov))
    chance = np.exp(np.array(weights) - max(weights))
    found: list[Float[np.ndarray, " k"]] = []
    for k, number in enumerate(rng.multinomial(RESAMPLES, chance / chance.sum())):
        (best, ahead), drawn = means[k], np.empty(0)
        while len(drawn) < number:  # those with b ≥ 0
            both = best + rng.standard_normal((2 * number + 8, 2)) @ factors[k].T
            some = both[both[:, 1] >= 0]
            drawn = np.concatenate([drawn, some[:, 0] + ahead * some[:, 1]])
        found.append(drawn[:number])
    later = math.sqrt(whole * sizes[-1] / at)
    ends = np.concatenate(found) + later * rng.standard_normal(RESAMPLES)
    return np.clip(ends, 0.0, 1.0)
