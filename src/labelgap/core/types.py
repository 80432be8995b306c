"""The nouns of active learning: query, answer, batch, phase, stage.

Item ids are global and for ever: int64 indices of the training images. There is no "pool index".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

NONE_OF_THESE = -1
"""The label "none of the classes": it counts as an answer and is never trained on."""
Ids = Int64[np.ndarray, "_"]
UNKNOWN_CLASS = -1
"""The answer "none of these classes" (open-set pools): it costs budget and is never trained on."""


@dataclass(frozen=True)
class Query:
    """What an acquisition asks to have labelled, and why.

    Attributes
    ----------
    ids: distinct global ids, in the order in which they should be labelled.
    score: total score per id (higher = more informative); None where the method has none.
    parts: named components of the score, one value per id.
    pseudo_label: the network's class per id; None where nothing was predicted.
    notes: facts about the whole query, such as the candidate set's share of the pool.
    memory: arrays with a row per id that the acquisition wants back in later views
        (`PoolView.memory`), once the answers are in; kept in the ledger, not shown.
    """

    ids: Ids
    score: Float[np.ndarray, " n"] | None = None
    parts: Mapping[str, Float[np.ndarray, " n"]] = field(default_factory=dict)
    pseudo_label: Int64[np.ndarray, " n"] | None = None
    notes: Mapping[str, float | int | str] = field(default_factory=dict)
    round: int = 0
    memory: Mapping[str, Float[np.ndarray, "n ..."]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Answer:
    """One person's (or the oracle's) answer about one item: a class, or a reason to skip it."""

    id: int
    label: int | None
    skipped: str = ""
    person: str = ""
    request: str | None = None


@dataclass(frozen=True)
class Metrics:
    """Test-set quality of one round's network."""

    accuracy: float
    balanced_accuracy: float
    per_class: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        return {
            "accuracy": self.accuracy,
            "balanced_accuracy": self.balanced_accuracy,
            "per_class": list(self.per_class),
        }


Progress = Callable[[str, int, int], None]
"""Called as (stage name, step, steps)."""
