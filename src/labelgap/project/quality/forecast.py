"""How accurate with more training labels? A curve through what fewer labels reach.

Random nested parts of the labels are trained on and judged on the held-out images; through their
accuracies goes a − b · n^(−c), the power law of learning curves (Hestness et al. 2017; Viering and
Loog 2023, § 4: the best supported of the simple forms). What is not known, which labels were drawn
and which images are held out, is drawn again and again, and the band is what 80 % of these curves
say. How often it held: `benchmarks/evaluate/forecast.md`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64

from labelgap.core.types import Ids

PARTS = (0.25, 0.5, 0.75, 1.0)
DRAWS = 5
RESAMPLES = 2000
EXPONENTS = np.linspace(0.1, 1.0, 19)
"""Below 0.1 a curve still rises after a million labels, above 1 it has ended: both are said of
noise only."""
BAND = 0.8
WIDEST = 0.10
"""A band wider than ten points plans nothing."""
FEWEST_LABELS, FEWEST_HELD_OUT = 40, 30
FARTHEST = 3
"""A curve is not followed beyond three times the labels that it is of."""

Rows = Ids
Judge = Callable[[Rows], Bool[np.ndarray, " h"]]
"""Trains on some rows of the labels; which held-out images are then right."""


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
    three times the labels, where the band is wider than 10 points, where the parts do not get
    better with their size, and where c is at its bound: the curve is then of another law.
    """
    n, now = int(sizes[-1]), float(right[:, -1].mean())
    draws, _, held = right.shape

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
    _, (exponent,) = follow(sizes, values[None], n + more)
    if exponent in (EXPONENTS[0], EXPONENTS[-1]):
        bend = "has not bent yet" if exponent == EXPONENTS[0] else "ends too soon"
        return refuse(f"the curve through quarters of the labels {bend} for the law that it needs")
    counts = rng.multinomial(draws, np.full(draws, 1 / draws), RESAMPLES) / draws
    images = rng.multinomial(held, np.full(held, 1 / held), RESAMPLES) / held
    each = np.tensordot(images, right.astype(np.float64), axes=(1, 2))  # [b, draws, s]
    curves = (counts[:, :, None] * each).sum(axis=1)
    ends, _ = follow(sizes, curves, n + more)
    tail = (1 - BAND) / 2
    low, median, high = (float(q) for q in np.quantile(ends, [tail, 0.5, 1 - tail]))
    if high - low > WIDEST:
        return refuse(
            f"anything from {100 * low:.0f} to {100 * high:.0f} % fits; more held-out labels or a "
            "nearer goal would tell"
        )
    return Forecast(n, more, now, median, low, high)


def follow(
    sizes: Int64[np.ndarray, " s"], curves: Float[np.ndarray, "b s"], at: int
) -> tuple[Float[np.ndarray, " b"], Float[np.ndarray, " b"]]:
    """Each curve's value at `at` labels by a − b · n^(−c), least squares, b ≥ 0, and its c.

    c is one of `EXPONENTS`, and values are kept within 0..1.
    """
    best = np.full(len(curves), np.inf)
    ends, exponents = curves[:, -1].copy(), np.zeros(len(curves))
    mean = curves.mean(axis=1, keepdims=True)
    for c in EXPONENTS:
        x = -(sizes.astype(np.float64) ** -c)
        deviation = x - x.mean()
        slope = np.maximum(0.0, (curves - mean) @ deviation / (deviation @ deviation))
        fitted = mean + slope[:, None] * deviation
        loss = ((curves - fitted) ** 2).sum(axis=1)
        end = mean[:, 0] + slope * (-(float(at) ** -c) - x.mean())
        ends = np.where(loss < best, end, ends)
        exponents = np.where(loss < best, c, exponents)
        best = np.minimum(best, loss)
    return np.clip(ends, 0.0, 1.0), exponents
