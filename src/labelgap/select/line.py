"""Items on a line, one line a class: thresholds, their doubt, and runs between labels.

GALAXY (Zhang et al. 2022) and DIRECT (Nuggehalli et al. 2025) order the pool by how much more
probable a class is than any other, and look for where its labels end on this line.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

_TIE = 1e-8


def lead(logits: Float[Tensor, "n k"], of: int) -> Float[np.ndarray, " n"]:
    """p_k − max_{j≠k} p_j, and 1e-8 of the largest probability to tell equals apart; float64."""
    p = torch.softmax(logits.detach().double(), dim=1)
    best = p.amax(1)
    others = p.clone()
    others[:, of] = 0.0
    return (p[:, of] - others.amax(1) + _TIE * best).cpu().numpy()


def balance(signs: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " t"]:
    """For each threshold t in 0..n: labels +1 before it and −1 from it on, minus those wrong.

    Σ_{i<t} w_i − Σ_{i≥t} w_i with w = ±1 where there is a label, else 0.
    """
    before = np.concatenate([[0], np.cumsum(signs)])
    return np.asarray(2 * before - before[-1], dtype=np.int64)


def border(signs: Int64[np.ndarray, " n"]) -> tuple[int, int]:
    """First and last position of where the class may end.

    From the end of the leading run of positive labels to the begin of the trailing run of
    negative ones; positions without a label interrupt no run. Without any label it is all.
    """
    labelled = np.flatnonzero(signs)
    low, high = 0, len(signs) - 1
    for i in labelled:
        if signs[i] < 0:
            break
        low = int(i)
    for i in labelled[::-1]:
        if signs[i] > 0:
            break
        high = int(i)
    return min(low, high), max(low, high)


def shrink(
    low: int,
    high: int,
    free: Bool[np.ndarray, " n"],
    value: Int64[np.ndarray, " t"],
    width: int,
    rng: np.random.Generator,
) -> tuple[int, int]:
    """The interval with at most `width` free positions: ends of lower balance move inwards.

    Ends of equal balance move by lot.
    """
    held = int(free[low : high + 1].sum())
    while held > width and low < high:
        left, right = int(value[low]), int(value[high])
        if left < right or (left == right and rng.random() < 0.5):
            held -= int(free[low])
            low += 1
        else:
            held -= int(free[high])
            high -= 1
    return low, high


def runs(
    signs: Int64[np.ndarray, " n"],
) -> list[tuple[int, int]]:
    """Stretches between neighbouring labels of unlike sign: (position, position) of the labels."""
    labelled = np.flatnonzero(signs)
    unlike = np.flatnonzero(signs[labelled[:-1]] != signs[labelled[1:]])
    return [(int(labelled[i]), int(labelled[i + 1])) for i in unlike]
