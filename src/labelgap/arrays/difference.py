"""`labelgap.gap`: what lies between labelled and unlabelled features, for any project."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from labelgap.arrays.items import class_numbers
from labelgap.arrays.reading import as_array, finite, log_probabilities, numbers
from labelgap.core.errors import ConfigError, DataError
from labelgap.core.streams import Streams
from labelgap.mixtures.judged import FOLDS, left_out, moments, principal
from labelgap.mixtures.mixture import Mixture
from labelgap.mixtures.statistics import class_responsibilities
from labelgap.report.scatter import Cloud, gap_and_chance
from labelgap.select.kmeans import kmeans

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DIMENSIONS = 16
"""Principal components: a variance in hundreds of dimensions needs more labels than people have."""
COMPONENTS = 40
SMALLEST = 20
"""Unlabelled items of a component on average at least, where components are groups."""
USUAL = 0.95
"""The share of left-out labelled items whose gap counts as covered."""


@dataclass(frozen=True, eq=False)
class Gap:
    """How well the labelled items stand for the unlabelled ones.

    Attributes
    ----------
    labelled, unlabelled: the mixtures ψ_L and ψ_UL, on the principal components.
    gap: [m], of each unlabelled item log p(z; ψ_UL) − log p(z; ψ_L), in nats: how much more it
        is like the unlabelled set. Both mixtures were fitted without it.
    usual: [l], the same of each labelled item.
    uncovered: share of the unlabelled items whose gap is larger than that of 95 % of the labelled.
        Equal sets give about 0.05.
    distance: sliced Wasserstein distance of the two sets in all dimensions, in standard deviations
        of a feature.
    chance: the same of random splits of all items: what no difference at all would give.
    z_labelled, z_unlabelled: the items on the principal components, the largest last.
    """

    labelled: Mixture
    unlabelled: Mixture
    gap: Float[np.ndarray, " m"]
    usual: Float[np.ndarray, " l"]
    uncovered: float
    distance: float
    chance: float
    z_labelled: Float[np.ndarray, "l q"]
    z_unlabelled: Float[np.ndarray, "m q"]

    def __str__(self) -> str:
        return (
            f"{100 * self.uncovered:.0f} % of {len(self.gap):,} unlabelled items are unlike the "
            f"{len(self.usual):,} labelled ones (equal sets: about {100 * (1 - USUAL):.0f} %); "
            f"distance {self.distance:.3f}, by chance {self.chance:.3f}"
        )

    def plot(self, path: str | Path | None = None) -> "Figure":
        """Both sets in the plane and their gaps; written to `path` (.png, .svg or .pdf) too."""
        from labelgap.arrays.picture import draw

        return draw(
            self.z_labelled,
            self.z_unlabelled,
            self.gap,
            self.usual,
            (self.distance, self.chance),
            path,
        )


def gap(
    labelled: Any,
    unlabelled: Any,
    *,
    labels: Any = None,
    probabilities: Any = None,
    classes: Any = None,
    dimensions: int = DIMENSIONS,
    seed: int = 0,
) -> Gap:
    """What lies between two sets of features: a diagnostic, without any active learning.

    Components are classes where `labels` and `probabilities` are given (Park et al. 2023, §2.1),
    else groups that k-means finds in both sets together.

    Parameters
    ----------
    labelled, unlabelled: features [l, d] and [m, d] of any library; see `choose`. At least as many
        labelled items as there are folds, 5, and twice that unlabelled.
    labels: [l], the classes of the labelled items: columns' numbers, or names from `classes`.
    probabilities: [m, k], the classifier's of the unlabelled items.
    classes: the name of each column.
    dimensions: principal components of the unlabelled features that the mixtures live in.
    seed: of groups, folds and directions.

    Raises
    ------
    DataError: shapes that do not belong together, too few items, labels without probabilities,
        text or objects, probabilities that do not sum to 1.
    NumericalError: NaN or infinity, naming the rows.
    DeviceError: an array on a GPU.
    ConfigError: dimensions below 1.
    """
    z_l, z_u = _features(labelled, "labelled"), _features(unlabelled, "unlabelled")
    if z_l.shape[1] != z_u.shape[1]:
        raise DataError(
            f"labelled features have {z_l.shape[1]} columns, unlabelled ones {z_u.shape[1]}.",
            "Give both from the same layer.",
        )
    for name, z, least in (("labelled", z_l, FOLDS), ("unlabelled", z_u, 2 * FOLDS)):
        if len(z) < least:
            raise DataError(
                f"{len(z)} {name} items are too few to tell what they cover.",
                f"Give {least} or more.",
            )
    if dimensions < 1:
        raise ConfigError(f"dimensions is {dimensions}.", "Give 1 or more.")
    streams = Streams(seed)
    is_labelled = np.arange(len(z_l) + len(z_u)) < len(z_l)
    both = np.concatenate([z_l, z_u])
    distance, chance = gap_and_chance(
        Cloud(both, is_labelled, np.zeros(len(both), np.int64)), streams.numpy("gap/distance")
    )
    assert distance is not None  # neither set is empty
    assert chance is not None
    few, many = principal(torch.from_numpy(z_l), torch.from_numpy(z_u), dimensions)
    if (labels is None) != (probabilities is None):
        given, missing = ("labels", "probabilities") if probabilities is None else (
            "probabilities", "labels",
        )  # fmt: skip
        raise DataError(
            f"{given} are given without {missing}.",
            "Give both, labels of the labelled items and probabilities of the unlabelled ones, or "
            "neither.",
        )
    if probabilities is None:
        r_l, r_u = _groups(few, many, streams.numpy("gap/groups"))
    else:
        r_l, r_u = _classes(labels, probabilities, classes, len(few), len(many))
    psi_l, psi_u = moments(few, r_l), moments(many, r_u)
    usual = left_out(few, r_l, psi_u, streams.numpy("gap/labelled"))
    found = -left_out(many, r_u, psi_l, streams.numpy("gap/unlabelled"))
    covered = float(torch.quantile(usual, USUAL))
    return Gap(
        psi_l,
        psi_u,
        found.double().numpy(),
        usual.double().numpy(),
        float((found > covered).double().mean()),
        distance,
        chance,
        few.numpy(),
        many.numpy(),
    )


def _features(value: Any, name: str) -> NDArray[np.float32]:
    array = numbers(value, name, ndim=2)
    every = np.arange(len(array), dtype=np.int64)
    finite(array, every, every, name)
    return np.array(array, dtype=np.float32, order="C")


def _groups(few: Tensor, many: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    k = max(1, min(COMPONENTS, len(few) // 2, len(many) // SMALLEST))
    _, group, _ = kmeans(torch.cat([few, many]), k, rng)
    hot = class_responsibilities(group, k)
    return hot[: len(few)], hot[len(few) :]


def _classes(
    labels: Any, probabilities: Any, classes: Any, few: int, many: int
) -> tuple[Tensor, Tensor]:
    p = numbers(probabilities, "probabilities", ndim=2)
    if len(p) != many:
        raise DataError(
            f"probabilities have {len(p)} rows, and there are {many} unlabelled items.",
            "Give those of the unlabelled items, in their order.",
        )
    rows = np.arange(many, dtype=np.int64)
    finite(p, rows, rows, "probabilities")
    y = class_numbers(labels, classes, p.shape[1])
    if len(y) != few:
        raise DataError(
            f"There are {len(y)} labels and {few} labelled items.", "Give one label an item."
        )
    hot = class_responsibilities(torch.from_numpy(y), p.shape[1])
    return hot, torch.from_numpy(log_probabilities(as_array(p, "probabilities"), rows)).softmax(1)
