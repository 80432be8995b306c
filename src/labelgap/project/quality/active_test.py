"""Test images chosen where the network may err, and an estimate that is unbiased all the same.

An image's chance to be drawn is mixed: 70 % in proportion to √(1 − p), p the network's
confidence, which is the best there is for right or wrong (0/1 loss), and 30 % uniform, so that a
confidence that is wrong costs little. Each label then counts by its chance: LURE (Farquhar, Gal and
Rainforth 2021, "On Statistical Bias in Active Learning", eq. 10), which is unbiased for any
chances above 0. Simulations: `benchmarks/evaluate/coverage.md`.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64

from labelgap.project.quality.ppi import wilson

UNIFORM = 0.3
"""Share of the chances that asks alike everywhere: with useless confidences 1.25 times the labels
are needed, with calibrated ones a third fewer."""
LEAST_AREA = 0.6
"""Area under the curve of (confidence, right): below it the confidences do not rank errors, and
choosing by them costs labels instead of saving some."""
FEWEST = 5
"""Right and wrong test labels each, below which nothing is known of the ranking."""


def chances(
    confidence: Float[np.ndarray, " n"], uniform: float = UNIFORM
) -> Float[np.ndarray, " n"]:
    """The chance of each image to be drawn first, adding up to 1.

    confidence: the network's largest probability, 0..1.
    """
    doubt = np.sqrt(np.clip(1 - confidence.astype(np.float64), 0.0, 1.0))
    total = doubt.sum()
    even = np.full(len(doubt), 1 / len(doubt))
    return even if total <= 0 else uniform * even + (1 - uniform) * doubt / total


def draw(
    chance: Float[np.ndarray, " n"], m: int, rng: np.random.Generator
) -> tuple[Int64[np.ndarray, " m"], Float[np.ndarray, " m"]]:
    """Draw m of n images one after the other, without replacement.

    Returns their places and, of each, the chance that it had among those that were left: what
    `weights` needs. The chances are those of one network and stay as they are for the batch.
    Raises ValueError for more images than there are.
    """
    n = len(chance)
    if not 0 < m <= n:
        raise ValueError(f"{m} of {n} images cannot be drawn.")
    left = chance.astype(np.float64).copy()
    places, found = np.empty(m, dtype=np.int64), np.empty(m)
    for step in range(m):
        share = left / left.sum()
        place = int(rng.choice(n, p=share))
        places[step], found[step] = place, share[place]
        left[place] = 0.0
    return places, found


def weights(chance: Float[np.ndarray, " m"], n: int) -> Float[np.ndarray, " m"]:
    """LURE's weight of each label, in the order of drawing; all 1 for uniform chances and where
    all n images are labelled.

    chance: of each image among the n − i that were left when it was drawn.
    """
    m = len(chance)
    if m == n:
        return np.ones(m)
    i = np.arange(1, m + 1)
    made: Float[np.ndarray, " m"] = 1 + (n - m) / (n - i) * (1 / ((n - i + 1) * chance) - 1)
    return made


@dataclass(frozen=True)
class Tested:
    """The accuracy by an active test batch, and its interval at 95 %.

    labels: how many labels drawn uniformly would be as exact.  n: labels.  pool: images that the
        batch was drawn from.  variance: of the value.
    """

    value: float
    low: float
    high: float
    labels: float
    n: int
    pool: int
    variance: float


def estimate(
    right: Bool[np.ndarray, " m"],
    weight: Float[np.ndarray, " m"],
    n: int,
    *,
    whole: bool = True,
) -> Tested | None:
    """The share of right predictions among the n images that a batch was drawn from.

    right, weight: of each labelled image (`weights`).
    whole: every drawn image has a label. Else the weights are divided by their own mean, which
        takes those without a label as chance.

    The errors are what is counted, so that images that are right have no part in the spread. None
    where there is no error or nothing but errors: then no spread is known.
    """
    m, wrong = len(right), (~right).astype(np.float64)
    scale = weight if whole else weight / weight.mean()
    error = float((scale * wrong).mean())
    if m < 2 or not 0 < error < 1 or not wrong.any():
        return None
    variance = float((scale * wrong).var(ddof=1)) / m * max(0.0, 1 - m / n)
    if variance <= 0:
        return None
    labels = error * (1 - error) / variance
    low, high = wilson(error, labels, m - 1)
    return Tested(1 - error, 1 - high, 1 - low, labels, m, n, variance)


def surrogate(probabilities: Float[np.ndarray, "n k"]) -> float:
    """The accuracy that the network claims for itself: its mean confidence (Kossen et al. 2022,
    "Active Surrogate Estimators", eq. 5, with the network as its own surrogate).

    It has no error of sampling and no interval, and is off by as much as the confidences are:
    0.5 points for calibrated ones, 9 for overconfident ones in our simulation.
    """
    return float(probabilities.max(axis=1).mean())


def ranking(confidence: Float[np.ndarray, " m"], right: Bool[np.ndarray, " m"]) -> float | None:
    """How well the confidence tells right from wrong: area under the curve, 0.5 by chance.

    None where fewer than five are right or wrong.
    """
    if min(right.sum(), (~right).sum()) < FEWEST:
        return None
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(right, confidence))
