"""Accuracy and recall from few labels and the network's confidence on many images: PPI++.

Right answers are counted on the labelled images alone, so the estimate is unbiased however wrong
the confidences are. Where they do tell right from wrong they explain a part of the chance that
lies in the draw of the labelled images, and the interval is shorter by that part. Source:
Angelopoulos, Duchi and Zrnic 2023, "PPI++", §§ 2 and 6; the weight is fitted on the other folds.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from labelgap.project.quality.quality import LEVEL

FOLDS = 5
"""Parts of the labels; the weight of each comes from the others, so that no label sets its own."""
FEWEST_RIGHT = FEWEST_WRONG = 5
"""Below so many right or wrong answers the spread itself is not known; see
`benchmarks/evaluate/coverage.md`."""

Values = Float[np.ndarray, " m"]


@dataclass(frozen=True)
class Improved:
    """A share of 0..1 with its interval at 95 %.

    weight: of the confidences, 0 (no help) to 1.  labels: how many labels alone would be as
        exact.  noise, pool_noise: variance of the estimate times the number of labels, and the
        part of it that comes of the finite number of images with a confidence alone; for a plan
        (`labelgap.project.quality.plan`).
    """

    value: float
    low: float
    high: float
    weight: float
    labels: float
    noise: float
    pool_noise: float


@dataclass(frozen=True)
class Terms:
    """What a share top/bottom is made of, for labelled images: what is true, and what the network
    expects of it by itself. Of the accuracy `bottom` is 1 everywhere; of the recall of class k
    it is whether the image is of k, and p(k) is expected.

    top, bottom, expected_top, expected_bottom: [m], labelled images.
    pool_top, pool_bottom: [n], the same expectations of images without a label.
    """

    top: Values
    bottom: Values
    expected_top: Values
    expected_bottom: Values
    pool_top: Float[np.ndarray, " n"]
    pool_bottom: Float[np.ndarray, " n"]


def accuracy_terms(
    truth: Int64[np.ndarray, " m"],
    probabilities: Float[np.ndarray, "m k"],
    pool: Float[np.ndarray, "n k"],
) -> Terms:
    """For the share of right predictions; the network expects it to be its largest probability.

    truth: classes of the labelled images, a uniform sample of the same images as `pool`.
    probabilities, pool: the network's, of the labelled images and of others, rows summing to 1.
    """
    ones, others = np.ones(len(truth)), np.ones(len(pool))
    right = (probabilities.argmax(axis=1) == truth).astype(np.float64)
    best = probabilities.max(axis=1).astype(np.float64)
    return Terms(right, ones, best, ones, pool.max(axis=1).astype(np.float64), others)


def recall_terms(
    truth: Int64[np.ndarray, " m"],
    probabilities: Float[np.ndarray, "m k"],
    pool: Float[np.ndarray, "n k"],
    k: int,
) -> Terms:
    """For the share of class k's images that are called k; shapes as in `accuracy_terms`."""

    def expected(p: Float[np.ndarray, "a b"]) -> tuple[Values, Values]:
        of_class = p[:, k].astype(np.float64)
        return of_class * (p.argmax(axis=1) == k), of_class

    of_class = (truth == k).astype(np.float64)
    return Terms(
        of_class * (probabilities.argmax(axis=1) == k),
        of_class,
        *expected(probabilities),
        *expected(pool),
    )


def improve(terms: Terms, rng: np.random.Generator) -> Improved | None:
    """The share with the help of the confidences, or None where too little is known.

    rng: deals the labels into the folds.

    A recall is a share of a random number of images, so the spread is that of the residuals
    top − share · bottom (the delta method). The interval is Wilson's for as many labels as would
    have this variance, by Student's t: it keeps inside 0..1 and covers with 50 labels too.
    """
    m, n = len(terms.top), len(terms.pool_top)
    of, right = float(terms.bottom.sum()), float(terms.top.sum())
    if n < 2 or right < FEWEST_RIGHT or of - right < FEWEST_WRONG:
        return None
    share = right / of
    residual = terms.top - share * terms.bottom
    expected = terms.expected_top - share * terms.expected_bottom
    weights = _weights(residual, expected, m / n, rng)
    weight = float(weights.mean())
    top = (terms.top - weights * terms.expected_top).mean() + weight * terms.pool_top.mean()
    bottom = terms.bottom - weights * terms.expected_bottom
    below = float(bottom.mean() + weight * terms.pool_bottom.mean())
    if below <= 0:
        return None
    value = float(np.clip(top / below, 0.0, 1.0))
    left = terms.top - value * terms.bottom
    left = left - weights * (terms.expected_top - value * terms.expected_bottom)
    pool = (terms.pool_top - value * terms.pool_bottom).var(ddof=1) / n
    pool_noise = weight**2 * float(pool) / below**2
    noise = float(left.var(ddof=1)) / below**2
    variance = noise / m + pool_noise
    if variance <= 0 or not 0 < value < 1:
        return None
    labels = value * (1 - value) / variance
    low, high = wilson(value, labels, m - 1)
    return Improved(value, low, high, weight, labels, noise, pool_noise)


def _weights(residual: Values, expected: Values, ratio: float, rng: np.random.Generator) -> Values:
    """Each label's weight of the confidences, from the other folds: cov / var, less where the
    images with a confidence are few themselves (PPI++, eq. 9); never below 0 or above 1."""
    fold = rng.permutation(np.arange(len(residual)) % FOLDS)
    weights = np.zeros(len(residual))
    for k in range(FOLDS):
        other = fold != k
        spread = expected[other].var(ddof=1)
        if spread > 1e-12:  # of a constant it is rounding
            both = np.cov(residual[other], expected[other])[0, 1]
            weights[fold == k] = np.clip(both / spread / (1 + ratio), 0.0, 1.0)
    return weights


def wilson(
    share: float | int, labels: float | int, freedom: int | None = None
) -> tuple[float, float]:
    """Wilson's interval at 95 % of a share from so many labels, which need not be whole.

    freedom: degrees of freedom of an estimated variance; None where it is known.
    """
    from scipy import stats

    tail = (1 + LEVEL) / 2
    z = float(stats.norm.ppf(tail) if freedom is None else stats.t.ppf(tail, freedom))
    centre = (share + z**2 / (2 * labels)) / (1 + z**2 / labels)
    half = z * np.sqrt(share * (1 - share) / labels + z**2 / (4 * labels**2)) / (1 + z**2 / labels)
    return float(max(0.0, centre - half)), float(min(1.0, centre + half))


def better(found: Improved | None, right: int, total: int) -> bool:
    """Whether the confidences are worth telling: their interval is shorter than Wilson's of the
    labels alone. Clopper and Pearson's would be a weak rival, since it covers with more than it
    promises."""
    if found is None:
        return False
    low, high = wilson(right / total, total)
    return found.high - found.low < high - low
