"""The shards' results together: one mixture, one list of the best, n of them to label."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from numpy.typing import NDArray

from labelgap.core.errors import BudgetError, DataError
from labelgap.core.streams import Streams
from labelgap.mixtures.statistics import Statistics
from labelgap.score.shards import Shard
from labelgap.select.balance import balanced_candidates
from labelgap.select.kmeans import representatives


def merged(parts: Iterable[Statistics | None]) -> Statistics:
    """The statistics of all shards (`Statistics.merge`), in the order given, so that equal shards
    give equal digits whoever computed them.

    Raises
    ------
    DataError: no shard has a row that counts.
    """
    found = [part for part in parts if part is not None]
    if not found:
        raise DataError("No shard has an item with finite features.", "Look at the shards.")
    return reduce(Statistics.merge, found)


@dataclass(frozen=True)
class Top:
    """The best items of the whole pool, best first, equal ones in the order of shard and row.

    shard: place in the sorted list of shards.
    """

    shard: Int64[np.ndarray, " m"]
    row: Int64[np.ndarray, " m"]
    score: Float32[np.ndarray, " m"]
    pseudo: Int64[np.ndarray, " m"]

    def __len__(self) -> int:
        return len(self.row)

    def take(self, places: Int64[np.ndarray, " n"]) -> "Top":
        return Top(self.shard[places], self.row[places], self.score[places], self.pseudo[places])


def top_of(parts: Sequence[dict[str, NDArray[Any]]], most: int) -> Top:
    """The `most` best of all shards' best: exact, since each shard gave as many."""
    shard = np.repeat(np.arange(len(parts)), [len(part["rows"]) for part in parts])
    row, score, pseudo = (
        np.concatenate([part[name] for part in parts]) for name in ("rows", "score", "pseudo")
    )
    order = np.lexsort((row, shard, -score))[:most]
    return Top(shard.astype(np.int64), row, score, pseudo).take(order)


def spread(
    top: Top,
    features: Float[np.ndarray, "m d"],
    shards: Sequence[Shard],
    classes: int,
    n: int,
    seed: int,
    multiple: float = 10.0,
) -> Top:
    """n of the best: the same number of each pseudo-label, spread by k-means (paper §2.4).

    multiple: the balanced set is so many times n, as `daal`'s `candidates`; all of the best where
        these are fewer.

    Raises
    ------
    BudgetError: n is more than there are.
    """
    if n > len(top):
        raise BudgetError(
            f"{n} items are asked for, and {len(top)} are there.",
            "Ask for fewer, or raise --top.",
        )
    size = min(len(top), max(n, round(multiple * n)))
    # Equal scores keep the order of the list: it does not depend on who computed it.
    order = np.arange(len(top), dtype=np.float64)
    scores = torch.from_numpy(top.score)
    pseudo = torch.from_numpy(top.pseudo)
    subset = balanced_candidates(scores, pseudo, classes, size, order).numpy()
    z = torch.from_numpy(np.ascontiguousarray(features[subset]))
    chosen = subset[representatives(z, n, Streams(seed).numpy("k-means")).numpy()]
    return top.take(np.sort(chosen))  # places are in the order of the score
