"""The oracle: answers at once from the truth, in simulations only."""

import numpy as np
from jaxtyping import Int64

from labelgap.core.errors import BudgetError
from labelgap.core.types import Answer, Ids, Query
from labelgap.data.types import Task


class Oracle:
    """Knows the labels of the training images; the only place of a run that does.

    Parameters
    ----------
    labels: answers given instead of the task's labels (a noisy oracle's).
    """

    def __init__(self, task: Task, labels: Int64[np.ndarray, " n"] | None = None) -> None:
        self.task = task
        self._labels = task.train.labels if labels is None else labels

    def answer(self, query: Query) -> list[Answer]:
        """One answer for each item of the query."""
        return self.answer_ids(query.ids)

    def answer_ids(self, ids: Ids) -> list[Answer]:
        """One answer for each id."""
        return [Answer(int(id), int(self._labels[id])) for id in ids]

    def balanced(self, per_class: int, order: Ids) -> Ids:
        """The first `per_class` pool images of each class in `order`.

        Raises BudgetError naming a class that has fewer.
        """
        chosen = []
        order = order[np.isin(order, self.task.pool)]
        for k, name in enumerate(self.task.classes):
            of_class = order[self._labels[order] == k]
            if len(of_class) < per_class:
                raise BudgetError(
                    f"Class {name!r} has {len(of_class)} images in the pool, {per_class} were "
                    "asked for in the initial set.",
                    "Lower `--set loop.initial_per_class`.",
                )
            chosen.append(of_class[:per_class])
        ids = np.concatenate(chosen)
        return order[np.isin(order, ids)]
