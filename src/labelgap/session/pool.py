"""What of a task may be trained on, seen and asked: the pool, as the ledger leaves it."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from labelgap.core.errors import LedgerError
from labelgap.core.streams import Streams
from labelgap.core.types import NONE_OF_THESE, Ids
from labelgap.core.wording import counted
from labelgap.data.labels import listed
from labelgap.data.types import Task
from labelgap.ledger import Ledger


@dataclass(frozen=True)
class Pool:
    """The ids of a task in their standings of the moment; every method reads the ledger anew.

    Attributes
    ----------
    without: ids that have a row and no input: their labels are kept and not used.
    subset: candidates a round; None for all.
    """

    task: Task
    ledger: Ledger
    streams: Streams
    without: Collection[int] = frozenset()
    subset: int | None = None

    def strange(self) -> LedgerError | None:
        """What is wrong where the ledger knows ids that no item has; None where all is well."""
        ids = self.ledger.beyond(len(self.task.train))
        if not ids:
            return None
        return LedgerError(
            f"The ledger {self.ledger.path or ''} has {counted(len(ids), 'id')} of no item of "
            f"{self.task.name!r}, whose {len(self.task.train)} items have the ids 0 to "
            f"{len(self.task.train) - 1}: {listed([str(id) for id in ids])}.",
            "If this is the right data, `session.set_aside_unknown()` takes them out; nothing is "
            "deleted from the log. For a labelling project: `labelgap doctor --set-aside`.",
        )

    def check(self) -> None:
        """Raises `LedgerError` where the ledger knows ids that no item has."""
        if (error := self.strange()) is not None:
            raise error

    def set_aside_unknown(self) -> list[int]:
        """Take ids that no item has out of the ledger's state, by `Ledger.set_aside`."""
        ids = self.ledger.beyond(len(self.task.train))
        self.ledger.set_aside(ids, f"no item of {self.task.name} has this id")
        return ids

    def labelled(self) -> tuple[Ids, Int64[np.ndarray, " n"]]:
        """Ids to train on, ascending, and their labels; held-out items, "none" and ids without
        an input left out. Raises as `check`."""
        self.check()
        labels = self.ledger.labels
        # People label meanwhile: what came after the labels were read waits for the next call.
        known = set(labels) - set(self.without)
        ids = sorted(i for i in self.ledger.labelled_ids("train").tolist() if i in known)
        return np.array(ids, dtype=np.int64), np.array([labels[i] for i in ids], dtype=np.int64)

    def rejected(self) -> Ids:
        """Ids answered "none of these", ascending."""
        labels = self.ledger.labels
        found = [i for i, y in labels.items() if y == NONE_OF_THESE and i not in self.without]
        return np.array(sorted(found), dtype=np.int64)

    def unlabelled(self) -> Ids:
        """Ids with no answer of any kind: what semi-supervised stages may see."""
        taken = set(self.ledger.labels) | set(self.ledger.skipped) | set(self.ledger.held_out)
        if not taken:
            return self.task.pool
        return self.task.pool[~np.isin(self.task.pool, np.fromiter(taken, np.int64))]

    def candidates(self, round: int) -> Ids:
        """What a query of this round may choose: unlabelled, not outstanding, in the subset."""
        free = np.setdiff1d(self.unlabelled(), self.ledger.outstanding_ids())
        return self.subset_of(free, round)

    def permutation(self, round: int) -> Int64[np.ndarray, " n"]:
        """A permutation of *all* ids, so that every method of a seed sees the same subset."""
        return self.streams.permutation("pool subset", len(self.task.train), round)

    def subset_of(self, free: Ids, round: int) -> Ids:
        """The first `subset` of the free ids in the round's permutation, ascending."""
        if self.subset is None or len(free) <= self.subset:
            return free
        order = self.permutation(round)
        return np.sort(order[np.isin(order, free)][: self.subset])

    def initial(self, n: int) -> Ids:
        """The first n candidates of a permutation of its own: the uniform initial set."""
        order = self.streams.permutation("initial set", len(self.task.train))
        return order[np.isin(order, self.candidates(0))][:n]
