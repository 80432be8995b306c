"""What every data set becomes: two splits of packed arrays, class names and statistics."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Int64

from labelgap.core.errors import DataError
from labelgap.core.types import NONE_OF_THESE
from labelgap.data.arrays import checked, stacked
from labelgap.data.checks import Inputs, as_pool, check_finite, check_inputs, check_label_kind
from labelgap.data.labels import checked_names
from labelgap.data.scales import Scales

# Stands for "every training item" until the number of items is known; compared by identity.
_EVERY = np.empty(0, dtype=np.int64)
_CHUNK = 4096  # images at a time: bounds the temporary arrays of a pass over a memory map


@dataclass(frozen=True)
class Augment:
    """Random crop out of a border of `pad` zero pixels, then a mirror image half of the time.

    pad: pixels on each side; the crop takes one of (2·pad + 1)² places.
    flip: left to right with probability 1/2. Wrong for digits and house numbers.
    """

    pad: int = 0
    flip: bool = False


@dataclass(frozen=True, eq=False)
class Split:
    """Inputs and labels of one split, in an order that never changes.

    inputs: uint8 [n, h, w, c] images (may be a memory map) or float32 [n, d] vectors.
    labels: int64 [n], the index into `Task.classes`; −1 is "none of these classes".

    Raises `DataError` for arrays of another kind or shape, and vectors with NaN, with the cure.
    """

    inputs: Inputs
    labels: Int64[np.ndarray, " n"]

    def __post_init__(self) -> None:
        check_inputs(self.inputs, "The inputs")
        check_label_kind(self.labels, "The labels")
        if len(self.inputs) != len(self.labels):
            raise DataError(f"{len(self.inputs)} inputs but {len(self.labels)} labels.")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def is_images(self) -> bool:
        return self.inputs.ndim == 4

    def subset(self, index: Int64[np.ndarray, " m"]) -> "Split":
        """The items at `index`, copied."""
        return Split(np.ascontiguousarray(self.inputs[index]), self.labels[index])


@dataclass(frozen=True, eq=False)
class Task:
    """A classification problem. An item's id is its row in `train`, for ever.

    mean, std: per channel of the training images scaled to [0, 1] (per feature for vectors).
    fingerprint: sha256 of the inputs and labels of both splits and of the class names.
    pool: int64, the ids that may be asked for; every training item unless a simulation
        (`labelgap.data.simulate`) withholds some. Ids are never renumbered.

    `Task.of` computes the last ones. Raises `DataError` for labels out of range and for a class
    named twice.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    augment: Augment
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    pool: Int64[np.ndarray, " m"] = field(default_factory=lambda: _EVERY)

    def __post_init__(self) -> None:
        if self.pool is _EVERY:
            object.__setattr__(self, "pool", np.arange(len(self.train), dtype=np.int64))
        checked_names(self.classes, f"Data set {self.name!r}")
        if self.train.inputs.shape[1:] != self.test.inputs.shape[1:]:
            raise DataError(
                f"Data set {self.name!r}: training items have shape {self.train.inputs.shape[1:]}, "
                f"test items {self.test.inputs.shape[1:]}.",
                "Both splits need one shape; image_size (--image-size) resizes images.",
            )
        check_labels(
            self.train.labels, len(self.classes), f"{self.name}, train", lowest=NONE_OF_THESE
        )
        check_labels(self.test.labels, len(self.classes), f"{self.name}, test")

    @classmethod
    def of(
        cls, name: str, classes: tuple[str, ...], train: Split, test: Split, augment: Augment
    ) -> "Task":
        """A task whose statistics and fingerprint are computed from the arrays."""
        mean, std = statistics(train.inputs)
        if not np.isfinite(mean).all():
            check_finite(train.inputs, name)  # a memory map, which `Split` does not read
        digest = fingerprint(train, test, classes)
        return cls(name, classes, train, test, augment, mean, std, digest)

    @staticmethod
    def from_arrays(
        x: Any,
        y: Any = None,
        *,
        test: tuple[Any, Any] | None = None,
        classes: Iterable[object] | None = None,
        name: str = "arrays",
        pool: Any = None,
        augment: Augment | None = None,
    ) -> "Task":
        """A task from arrays of numpy or torch, which are not copied: leave them as they are.

        Parameters
        ----------
        x: images as uint8 [n, h, w, c], or vectors [n, d], which become float32.
        y: numbers of classes [n]; −1 for an item without a label, None if there are no labels.
            A session never reads them: labels come in through `tell` (an `Oracle` knows these).
        test: (x, y) that measure accuracy; without it held-out answers do.
        classes: their names, in the order of the numbers; "0", "1", … of the highest label
            unless given.
        pool: ids (rows of x) that may be asked for; all unless given.
        augment: by default crops with a border of an eighth of the side and mirror images, as
            for folders; `Augment()` for none. Vectors have none.

        Raises
        ------
        DataError: arrays of another kind or shape, NaN, labels out of range; with the cure.
        """
        train, held, names = checked(x, y, test, classes, name)
        if augment is None:
            images = train[0].ndim == 4
            pad = min(train[0].shape[1:3]) // 8 if images else 0
            augment = Augment(pad, flip=images)
        ids = as_pool(pool, len(train[0]), f"{name}: pool")
        return replace(Task.of(name, names, Split(*train), Split(*held), augment), pool=ids)

    @staticmethod
    def from_dataset(
        dataset: Any,
        *,
        test: Any = None,
        classes: Iterable[object] | None = None,
        name: str = "dataset",
        image_size: int | None = None,
        augment: Augment | None = None,
    ) -> "Task":
        """A task from a map-style data set of torch or torchvision: items (image, label).

        Parameters
        ----------
        dataset, test: images of Pillow, uint8 tensors [c, h, w], float tensors in 0 to 1, or
            vectors. All items are read once, into memory. Images of Pillow in 16 bits or floats
            are scaled by one range (see `labelgap.data.scales`).
        classes: names; the data set's own `classes` unless given.
        image_size: the shorter side of all images; needed where their sizes differ.
        augment: as in `from_arrays`.

        Raises
        ------
        DataError: an item does not fit; the first one is named.
        """
        if classes is None:
            classes = getattr(dataset, "classes", None)  # torchvision's data sets say them
        x, y, scales = stacked(dataset, name, image_size, Scales())
        held = None
        if test is not None:
            held = stacked(test, f"{name}, test", image_size, scales)[:2]
        return Task.from_arrays(x, y, test=held, classes=classes, name=name, augment=augment)

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(h, w, c) of images, (d,) of vectors."""
        return tuple(self.train.inputs.shape[1:])


def check_labels(
    labels: Int64[np.ndarray, " n"], classes: int, where: str, lowest: int = 0
) -> None:
    """Raise `DataError` naming the first row whose label is not in lowest..classes − 1."""
    wrong = np.flatnonzero((labels < lowest) | (labels >= classes))
    if len(wrong):
        raise DataError(
            f"{where}: row {wrong[0]} has label {labels[wrong[0]]}, outside 0..{classes - 1} "
            f"({len(wrong)} such rows).",
            "Every item needs the number of one of the classes; remove or correct those rows.",
        )


def statistics(inputs: Inputs) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of images in [0, 1], or per feature of vectors.

    A constant channel or feature gets a deviation of 1, so that dividing by it does no harm.
    """
    if inputs.ndim == 2:
        means = inputs.mean(axis=0, dtype=np.float64)
        stds = inputs.std(axis=0, dtype=np.float64)
    else:
        # Counts of the 256 values: exact, and one byte at a time whatever the size of the set.
        channels = inputs.shape[-1]
        counts = np.zeros((channels, 256), dtype=np.int64)
        for start in range(0, len(inputs), _CHUNK):
            chunk = np.asarray(inputs[start : start + _CHUNK])
            for c in range(channels):
                counts[c] += np.bincount(chunk[..., c].ravel(), minlength=256)
        values = np.arange(256) / 255
        weights = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        means = weights @ values
        stds = np.sqrt((weights * (values - means[:, None]) ** 2).sum(axis=1))
    stds = np.where(stds > 0, stds, 1.0)
    return tuple(means.tolist()), tuple(stds.tolist())


def fingerprint(train: Split, test: Split, classes: tuple[str, ...]) -> str:
    """sha256 over both splits' shapes, inputs and labels, and the class names."""
    digest = hashlib.sha256()
    for split in (train, test):
        digest.update(f"{split.inputs.dtype.str}{split.inputs.shape}".encode())
        for start in range(0, len(split), _CHUNK):
            digest.update(np.ascontiguousarray(split.inputs[start : start + _CHUNK]).data)
        digest.update(split.labels.astype("<i8").tobytes())
    digest.update("\x1f".join(classes).encode())
    return digest.hexdigest()
