"""Pools as they are in life: imbalanced, with strangers, noisy labels, near-duplicates.

Each function is pure, takes its own generator, and keeps every item's id: items are withheld by
leaving them out of `Task.pool`, new ones are appended, none is renumbered.
"""

from dataclasses import replace

import numpy as np
from jaxtyping import Int64, UInt8

from labelgap.core.errors import ConfigError
from labelgap.core.types import NONE_OF_THESE
from labelgap.data.types import Split, Task, fingerprint

_CHUNK = 4096  # images at a time: bounds the temporary arrays


def imbalance(task: Task, ratio: float | int, rng: np.random.Generator) -> Task:
    """Alternate classes (0, 2, 4, …) keep 1/ratio of their training images.

    The paper's §3 (ratio 10: 500 and 5,000 images of CIFAR-10's classes in turn). The kept ones
    are drawn by `rng`, not the first in the file; at least one stays. The test split, the mean
    and the deviation are untouched. Raises `ConfigError` for a ratio below 1.
    """
    if not 1 <= ratio < np.inf:
        raise ConfigError(f"The imbalance ratio is {ratio}.", "Give at least 1: --imbalance 10.")
    labels = task.train.labels[task.pool]
    keep = np.ones(len(task.pool), dtype=bool)
    for k in range(0, task.num_classes, 2):
        members = rng.permutation(np.flatnonzero(labels == k))
        keep[members[max(1, round(len(members) / ratio)) :]] = False
    return replace(task, pool=task.pool[keep])


def development_split(task: Task, n: int, rng: np.random.Generator) -> Task:
    """A task for choosing settings: its test split is `n` training images, taken out of the pool.

    The real test split is not in it, so nothing can be tuned on it. Raises `ConfigError` where
    the pool holds no more than `n` items of known class.
    """
    known = task.pool[task.train.labels[task.pool] >= 0]
    if not 1 <= n < len(known):
        raise ConfigError(
            f"A development split of {n} out of a pool of {len(known)}.",
            "Give at least 1 and leave some to train on.",
        )
    held = np.sort(rng.permutation(known)[:n])
    pool = task.pool[~np.isin(task.pool, held)]
    return _with(task, task.classes, task.train, task.train.subset(held), pool)


def open_set(task: Task, held_out: float | int, rng: np.random.Generator) -> Task:
    """A pool with strangers: a fraction of the classes is no longer part of the task.

    Their training images stay in the pool with label −1, to which an oracle answers "none of
    these"; their test images leave. The other classes are numbered anew in their old order.
    At least one class is held out and two are kept; raises `ConfigError` where that is impossible.
    """
    out = round(held_out * task.num_classes)
    if not 1 <= out <= task.num_classes - 2:
        raise ConfigError(
            f"Holding out {held_out:g} of {task.num_classes} classes takes {out}.",
            "At least one class must go and two must stay.",
        )
    kept = np.sort(rng.permutation(task.num_classes)[out:])
    # Its last entry is what label −1 becomes.
    number = np.full(task.num_classes + 1, NONE_OF_THESE, dtype=np.int64)
    number[kept] = np.arange(len(kept))
    train = Split(task.train.inputs, number[task.train.labels])
    test = number[task.test.labels]
    inside = np.flatnonzero(test >= 0)
    classes = tuple(task.classes[k] for k in kept)
    return _with(task, classes, train, Split(task.test.inputs[inside], test[inside]), task.pool)


def label_noise(
    labels: Int64[np.ndarray, " n"], num_classes: int, rate: float | int, rng: np.random.Generator
) -> Int64[np.ndarray, " n"]:
    """What a careless oracle answers: round(rate·n) of the labels replaced by another class.

    The other class is uniform over the num_classes − 1 others (symmetric noise); labels of −1
    are left alone and not counted. Give the result to the oracle; a task's own labels stay true.
    Raises `ConfigError` for a rate outside [0, 1] and for fewer than two classes.
    """
    if not 0 <= rate <= 1 or num_classes < 2:
        raise ConfigError(
            f"Label noise of {rate} over {num_classes} classes.",
            "The rate is within 0..1 and there are at least two classes.",
        )
    known = np.flatnonzero(labels >= 0)
    wrong = rng.permutation(known)[: round(rate * len(known))]
    noisy = labels.copy()
    noisy[wrong] = (labels[wrong] + rng.integers(1, num_classes, size=len(wrong))) % num_classes
    return noisy


def redundancy(
    task: Task, copies: int, rng: np.random.Generator, *, shift: int = 1, noise: float | int = 4.0
) -> Task:
    """Near-duplicates of every pool item appended, `copies` each, as in a burst of photographs.

    shift: a duplicate is moved by up to so many pixels each way, its edge repeated; 1 is less
        than the crops of the augmentation, so that a duplicate teaches next to nothing.
    noise: standard deviation of Gaussian noise in grey levels of 255; 4 is barely visible.

    The new ids follow the old ones. Raises `ConfigError` for vectors and for copies below 1.
    """
    if copies < 1 or shift < 0 or noise < 0:
        raise ConfigError(
            f"Redundancy of {copies} copies, shift {shift}, noise {noise}.",
            "Give at least one copy, and no negative shift or noise.",
        )
    if not task.train.is_images:
        raise ConfigError("Redundancy copies images; this task has vectors.")
    n, extra = len(task.train), copies * len(task.pool)
    origins = np.tile(task.pool, copies)
    inputs = np.empty((n + extra, *task.input_shape), dtype=np.uint8)
    inputs[:n] = task.train.inputs
    for start in range(0, extra, _CHUNK):
        rows = origins[start : start + _CHUNK]
        block = _nearly(task.train.inputs[rows], shift, noise, rng)
        inputs[n + start : n + start + len(rows)] = block
    labels = np.concatenate([task.train.labels, task.train.labels[origins]])
    pool = np.concatenate([task.pool, np.arange(n, n + extra, dtype=np.int64)])
    return _with(task, task.classes, Split(inputs, labels), task.test, pool)


def _nearly(
    images: UInt8[np.ndarray, "k h w c"], shift: int, noise: float | int, rng: np.random.Generator
) -> UInt8[np.ndarray, "k h w c"]:
    k, h, w, _ = images.shape
    move = rng.integers(-shift, shift + 1, size=(2, k))
    rows = np.clip(np.arange(h) + move[0][:, None], 0, h - 1)
    columns = np.clip(np.arange(w) + move[1][:, None], 0, w - 1)
    moved = images[np.arange(k)[:, None, None], rows[:, :, None], columns[:, None, :]]
    noisy = moved + noise * rng.standard_normal(moved.shape, dtype=np.float32)
    packed: UInt8[np.ndarray, "k h w c"] = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    return packed


def _with(
    task: Task, classes: tuple[str, ...], train: Split, test: Split, pool: Int64[np.ndarray, " m"]
) -> Task:
    """The task with other contents, hence another fingerprint; mean and deviation stay."""
    digest = fingerprint(train, test, classes)
    return replace(task, classes=classes, train=train, test=test, pool=pool, fingerprint=digest)
