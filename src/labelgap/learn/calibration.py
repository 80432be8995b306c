"""How sure a network may be: one temperature for its logits, by labels it was not trained on.

A network that fits its few labels perfectly is surer of the rest than it is right. Dividing the
logits by a temperature T above 1 makes its probabilities true on average and changes no class
(Guo et al. 2017).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64
from torch import Tensor

PRIOR_WIDTH = 0.7
"""Standard deviation of log T before anything is known: T within 0.5 … 2 is two in three. It
decides where there are few labels; a hundred outweigh it."""
RANGE = (0.05, 20.0)
"""Temperatures that are sought."""
HALVINGS = 40
"""Of that range: log T to 1e-11."""


@dataclass(frozen=True)
class Calibration:
    """temperature: divides the logits. items: held-out labels that it is fitted to, 0 where there
    were too few and the prior's own is taken, 1."""

    temperature: float = 1.0
    items: int = 0


def fit_temperature(logits: Float[Tensor, "n k"], labels: Int64[Tensor, " n"]) -> float:
    """The T of greatest posterior: the likelihood of softmax(logits / T), and a prior on log T.

    logits: of items that the network was not trained on. Without items T is 1, the prior's mode.
    """
    if len(labels) == 0:
        return 1.0
    wide = logits.detach().cpu().double()  # in this order: MPS has no float64
    truth = labels.cpu()[:, None]

    def slope(log_t: float) -> float:
        """The derivative by log T: the prior's, and (z_y - E z) / T of every item."""
        scaled = wide / np.exp(log_t)
        lost = scaled.gather(1, truth)[:, 0] - (scaled.softmax(dim=1) * scaled).sum(dim=1)
        return float(lost.sum()) + log_t / PRIOR_WIDTH**2

    # The likelihood is convex in 1 / T, so that there is one least value and one change of sign.
    # Halved here: to load SciPy's optimisers takes longer than a round's training.
    low, high = np.log(RANGE)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(middle) > 0 else (middle, high)
    return float(np.exp((low + high) / 2))


def held_out(
    labels: Int64[np.ndarray, " n"], share: float, rng: np.random.Generator
) -> Bool[np.ndarray, " n"]:
    """A share of each class, chosen at random; of a class with one label nothing, of others at
    least one and never all."""
    chosen = np.zeros(len(labels), dtype=bool)
    for k in np.unique(labels):
        of_class = rng.permutation(np.flatnonzero(labels == k))
        number = min(len(of_class) - 1, max(1, round(share * len(of_class))))
        chosen[of_class[:number]] = True
    return chosen
