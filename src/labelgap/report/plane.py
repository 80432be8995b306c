"""Features laid out in the plane by t-SNE (van der Maaten and Hinton 2008)."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float

PERPLEXITY = 30
"""Neighbours a point listens to: t-SNE's usual value (van der Maaten and Hinton 2008)."""
ITERATIONS = 500
"""The layout hardly moves after them. With 750 as many of the ten nearest stay neighbours (0.585 of
1,797 digits in either case; 0.496 and 0.497 of 6,000 of Fashion-MNIST), for a third to a half more
time."""
TOGETHER = 250
"""Of them, those in which clusters are pulled together: both libraries' own number."""
_FEWEST_FOR_TSNE = 8
_EVERY = 10

Features = Float[np.ndarray, "n d"]
Layout = Float[np.ndarray, "n 2"]


def layout(
    features: Features,
    start: Layout,
    seed: int,
    *,
    progress: Callable[[int, int], None] | None = None,
    threads: int = 1,
) -> Layout:
    """t-SNE from a start in the plane; the start itself where there are too few points.

    progress: called as (iterations done, iterations); what it raises ends the computation. Only
        openTSNE tells how far it is: where it has no wheels, scikit-learn draws a picture of the
        same kind and is silent meanwhile.
    """
    n = len(features)
    spread = float(start[:, 0].std()) if n else 0.0
    if n < _FEWEST_FOR_TSNE or spread == 0:
        return start
    perplexity = min(PERPLEXITY, (n - 1) / 3)
    small = start / spread * 1e-4  # the scale from which early exaggeration works
    try:
        from openTSNE import TSNE as OpenTSNE
    except ImportError:
        from sklearn.manifold import TSNE

        made = TSNE(
            perplexity=perplexity, init=small.astype(np.float32), max_iter=ITERATIONS,
            random_state=seed % (1 << 32), n_jobs=threads,
        ).fit_transform(features)  # fmt: skip
    else:
        made = OpenTSNE(
            perplexity=perplexity,
            initialization=small,
            random_state=seed % (1 << 32),
            n_jobs=threads,
            early_exaggeration_iter=TOGETHER,
            n_iter=ITERATIONS - TOGETHER,
            callbacks=None if progress is None else _Told(progress),
            callbacks_every_iters=_EVERY,
        ).fit(features)
    return np.asarray(made, dtype=np.float64)


class _Told:
    """openTSNE calls with the iteration of its phase; two phases add up."""

    def __init__(self, progress: Callable[[int, int], None]) -> None:
        self.progress, self.done = progress, 0

    def __call__(self, iteration: int, error: float, embedding: np.ndarray) -> None:
        self.done = min(self.done + _EVERY, ITERATIONS)
        self.progress(self.done, ITERATIONS)
