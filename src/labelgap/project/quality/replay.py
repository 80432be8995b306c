"""Would random questions have done as well? The method and random, replayed on the labels at hand.

The labels are the folder of the replay: both begin with the same few, ask for more batch by batch
until half of the labels are asked for, and are judged on the held-out images. What it cannot
know: images that nobody has labelled. The labels are mostly those that the method chose, so
random draws from the method's choice too, and the difference is less than in a folder.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64

from labelgap.core.types import Ids
from labelgap.project.quality.linear import logits_of
from labelgap.project.quality.quality import LEVEL

FEWEST_LABELS, FEWEST_HELD_OUT = 100, 30
"""Below these a replay would show luck: half of the labels make four batches of ten or so."""
SEEDS, ROUNDS = 6, 4

Rows = Ids
Choose = Callable[[Rows, Rows, Float[np.ndarray, "n k"], int, int, int], Rows]
"""(labelled rows, free rows, logits of all rows, number, seed, round) -> the rows asked for."""


@dataclass(frozen=True)
class Data:
    """The labels and the held-out ones: standardised features and classes."""

    x: Float[np.ndarray, "n d"]
    y: Int64[np.ndarray, " n"]
    held_x: Float[np.ndarray, "h d"]
    held_y: Int64[np.ndarray, " h"]
    classes: int


@dataclass(frozen=True)
class Replay:
    """Mean accuracy along the way of both, and their difference with its interval at 95 %."""

    method: str
    labels: int
    held_out: int
    seeds: int
    chosen: float
    random: float
    low: float
    high: float

    @property
    def sentence(self) -> str:
        """For people."""
        difference = 100 * (self.chosen - self.random)
        points = f"{difference:+.1f} points, 95 %: {100 * self.low:+.1f} to {100 * self.high:+.1f}"
        if self.low > 0:
            said = f"{self.method} does better than random questions"
        elif self.high < 0:
            said = f"random questions would have done better than {self.method}"
        else:
            said = f"random questions may have done as well as {self.method}: it cannot be told"
        return (
            f"replayed on {self.labels} labels, {self.seeds} starts, {self.held_out} held-out "
            f"images: {said} ({points})".replace("-", "−")
        )


def replay(data: Data, choose: Choose, method: str, seeds: int = SEEDS) -> Replay:
    """Replay `choose` against random, paired by start.

    The interval adds what the start and what the held-out images leave open: the variance of the
    difference between starts over their number, and between images over theirs, by Student's t.

    Raises ValueError with fewer than 100 labels, 30 held-out ones, or 2 seeds.
    """
    n, held = len(data.y), len(data.held_y)
    if n < FEWEST_LABELS or held < FEWEST_HELD_OUT or seeds < 2:
        raise ValueError(f"{n} labels, {held} held-out ones and {seeds} starts are too few.")
    right = np.array(
        [[_way(data, ask, seed) for ask in (choose, _random)] for seed in range(seeds)]
    )  # [seeds, 2, rounds, h]
    along = right.mean(axis=2)
    difference = along[:, 0] - along[:, 1]
    mean = float(difference.mean())
    variance = difference.mean(axis=1).var(ddof=1) / seeds + difference.mean(axis=0).var() / held
    from scipy import stats

    half = float(stats.t.ppf((1 + LEVEL) / 2, seeds - 1) * np.sqrt(variance))
    chosen, random = (float(along[:, arm].mean()) for arm in (0, 1))
    return Replay(method, n, held, seeds, chosen, random, mean - half, mean + half)


def _way(data: Data, choose: Choose, seed: int) -> Bool[np.ndarray, "r h"]:
    """Which held-out images are right after each batch but the first, which nobody chose."""
    n = len(data.y)
    number = max(1, n // (2 * (ROUNDS + 1)))
    labelled = np.sort(np.random.default_rng(seed).permutation(n)[:number]).astype(np.int64)
    both = np.concatenate([data.x, data.held_x])
    found = []
    for round in range(ROUNDS + 1):
        logits = logits_of(data.x[labelled], data.y[labelled], both, data.classes)
        if round:
            found.append(logits[n:].argmax(axis=1) == data.held_y)
        if round < ROUNDS:
            free = np.setdiff1d(np.arange(n, dtype=np.int64), labelled)
            new = choose(labelled, free, logits[:n], number, seed, round + 1)
            labelled = np.sort(np.concatenate([labelled, new]))
    return np.array(found)


def _random(
    labelled: Rows, free: Rows, logits: Float[np.ndarray, "n k"], n: int, seed: int, round: int
) -> Rows:
    chosen: Rows = np.random.default_rng([seed, round]).permutation(free)[:n]
    return chosen
