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


def reserve_of(draws: Float[np.ndarray, " n"], ids: Ids, share: float) -> Ids:
    """Which of some items are the reserve, in the order of their draws: those with a draw below
    the share.

    Of few items chance may draw most: at most half are taken, and none of fewer than four, since
    there must be something to learn from, and the accuracy on one image says nothing.
    """
    drawn = ids[draws[ids] < share]
    most = len(ids) // 2 if len(ids) >= 4 else 0
    taken: Ids = drawn[np.argsort(draws[drawn], kind="stable")][:most]
    return taken


def held_back(project: Project) -> set[int]:
    """The whole reserve: whoever chooses images by hand must leave them, or what is left of it is
    no random sample any more."""
    n = project.items.count()
    everything: Ids = np.arange(n, dtype=np.int64)
    chosen = reserve_of(holdout_draws(project, n), everything, project.settings.holdout)
    return set(chosen.tolist())


def trained_on_instead(project: Project) -> int:
    """Labels of reserve images that were never held out: somebody gave them by hand or imported
    them, so they train and measure nothing, as they are no random sample."""
    ledger = project.ledger
    given = ledger.labels.keys() - ledger.held_out - set(ledger.asked_ids().tolist())
    # Without such a label the draws, and what they need loaded, are left alone.
    return len(given & held_back(project)) if given else 0


def hold_out_imported(project: Project, ids: Collection[int]) -> int:
    """Hold out the reserve's share of the labels of these items; returns how many are new.

    Right only where the items are a uniform sample of the folder: the reserve is one, so what it
    shares with them is too.
    """
    draws = holdout_draws(project, project.items.count())
    ledger, share = project.ledger, project.settings.holdout
    labelled = np.array(
        [i for i in ledger.labelled_ids("all").tolist() if i in ids], dtype=np.int64
    )
    training = set(ledger.labelled_ids("train").tolist())
    new = [i for i in reserve_of(draws, labelled, share).tolist() if i in training]
    ledger.hold_out(new)
    return len(new)
