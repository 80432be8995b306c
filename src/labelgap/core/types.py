"""The nouns of active learning: query, answer, batch, phase, stage.

Item ids are global and for ever: int64 indices of the training images. There is no "pool index".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

Ids = Int64[np.ndarray, "_"]
NONE_OF_THESE = -1
"""The label "none of the classes" (open-set pools): it is an answer, costs budget and is never
trained on."""


@dataclass(frozen=True, slots=True)
class QueryItem:
    """One item of a query, with the reasons why it was chosen.

    Attributes
    ----------
    id: the item's global id, 0 or more.
    score: total score (higher = more informative); None where the method has none.
    parts: the named components of the score.
    pseudo_label: the network's class; None where nothing was predicted.
    probability: the network's probability of that class, 0 to 1; None where it is not known.
    explanation: a sentence for the person who labels.
    round, rank: set by the ledger; rank 1 is labelled first.
    """

    id: int
    score: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    pseudo_label: int | None = None
    explanation: str = ""
    round: int = -1
    rank: int = 0
    probability: float | None = None


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

    def items(self) -> list[QueryItem]:
        """Its rows, in the order of `ids`."""
        return [
            QueryItem(
                int(id),
                None if self.score is None else float(self.score[i]),
                {name: float(values[i]) for name, values in self.parts.items()},
                None if self.pseudo_label is None else int(self.pseudo_label[i]),
            )
            for i, id in enumerate(self.ids)
        ]

    @staticmethod
    def of(items: Sequence[QueryItem]) -> "Query":
        """The rows as columns; a column is there where every row has it."""
        scores = [item.score for item in items]
        pseudo = [item.pseudo_label for item in items]
        names = items[0].parts if items else {}
        known = all(s is not None for s in scores) and bool(items)
        predicted = all(p is not None for p in pseudo) and bool(items)
        return Query(
            np.array([item.id for item in items], dtype=np.int64),
            np.array(scores, dtype=np.float64) if known else None,
            {
                name: np.array([item.parts[name] for item in items], dtype=np.float64)
                for name in names
                if all(name in item.parts for item in items)
            },
            np.array(pseudo, dtype=np.int64) if predicted else None,
            round=items[0].round if items else -1,
        )


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
