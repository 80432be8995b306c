"""The held-out share: drawn among the questions, never trained on."""

from collections.abc import Collection

import numpy as np
from jaxtyping import Float

from labelgap.core.types import Ids, QueryItem
from labelgap.project.asking.explain import HELD_OUT
from labelgap.project.keep.store import Project


def interleave(chosen: list[QueryItem], held: Ids, rng: np.random.Generator) -> list[QueryItem]:
    """Held-out questions at uniform places, so that an unfinished batch has its share of them."""
    total = len(chosen) + len(held)
    places = set(rng.permutation(total)[: len(held)].tolist())
    first, second = iter(held.tolist()), iter(chosen)
    return [
        QueryItem(int(next(first)), explanation=HELD_OUT) if place in places else next(second)
        for place in range(total)
    ]


def holdout_draws(project: Project, n: int) -> Float[np.ndarray, " n"]:
    from labelgap.core.streams import Streams

    ids = np.arange(n, dtype=np.int64)
    return Streams(project.settings.seed).ties(ids, "held-out reserve")


def hold_out_imported(project: Project, ids: Collection[int]) -> int:
    """Hold out the reserve's share of the labels of these items; returns how many are new.

    Right only where the items are a uniform sample of the folder: the reserve is one, so what it
    shares with them is too.
    """
    draws = holdout_draws(project, project.items.count())
    ledger, share = project.ledger, project.settings.holdout
    new = [i for i in ledger.labelled_ids("train").tolist() if i in ids and draws[i] < share]
    ledger.hold_out(new)
    return len(new)
