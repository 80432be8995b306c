"""Asking for test labels: images that only measure accuracy, uniformly or where errors are likely.

Only images of the reserve are asked, which no training ever sees. Everything about a batch is one
transaction of the ledger; while one waits for its answers no other is asked, so that a command
that was killed and is repeated asks nothing twice.
"""

from dataclasses import dataclass

import numpy as np

from labelgap.core.errors import BudgetError, LabelgapError
from labelgap.core.types import Ids, QueryItem
from labelgap.core.wording import counted
from labelgap.project.asking.explain import HELD_OUT, TESTED
from labelgap.project.asking.work import Work
from labelgap.project.quality.active_test import LEAST_AREA, chances, draw, ranking
from labelgap.project.quality.batches import facts
from labelgap.project.quality.quality import TRAINED, held_out_labels


@dataclass(frozen=True)
class AskedToTest:
    """What waits to be labelled for testing: images, and whether they were asked now."""

    items: list[QueryItem]
    new: bool


def reserve_left(work: Work) -> Ids:
    """Images of the reserve that were never asked and have no answer, in the reserve's order."""
    ledger, here = work.project.ledger, set(work.present.tolist())
    taken = set(ledger.asked_ids().tolist()) | ledger.labels.keys() | ledger.skipped.keys()
    left = [i for i in work.reserve.tolist() if i in here and i not in taken]
    return np.array(left, dtype=np.int64)


def ask_to_test(work: Work, n: int, active: bool = False) -> AskedToTest:
    """Ask `n` images that only measure accuracy, or give those that wait already.

    active: prefer images on which the network may err; each one's chance is kept with it.

    Raises
    ------
    BudgetError: fewer are left in the reserve.
    LabelgapError: with `active`, too few test labels to know whether the network's confidence
        ranks its errors, or it does not.
    """
    ledger = work.project.ledger
    held = ledger.held_out
    if waiting := [item for item in work.project.waiting() if item.id in held]:
        return AskedToTest(waiting, False)
    left = reserve_left(work)
    if not 0 < n <= len(left):
        raise BudgetError(
            f"{counted(n, 'test image')} were asked for, and {len(left)} are left in the share "
            "of the images that is kept for testing.",
            f"Ask for {len(left)} or fewer." if len(left) else "Add images: `labelgap add`.",
        )
    round = max(work.session.next_round, 0)
    if active:
        return AskedToTest(_actively(work, n, left, round), True)
    chosen = [QueryItem(int(i), explanation=HELD_OUT) for i in left[:n]]
    # First: an item that is asked and not held out yet would be trained on after a crash.
    ledger.hold_out(item.id for item in chosen)
    return AskedToTest(ledger.asked(round, chosen), True)


def _actively(work: Work, n: int, left: Ids, round: int) -> list[QueryItem]:
    ids, p = work.predict()
    best = dict(zip(ids.tolist(), p.max(axis=1).tolist(), strict=True))
    said = dict(zip(ids.tolist(), p.argmax(axis=1).tolist(), strict=True))
    truth = {i: y for i, y in held_out_labels(work.project.ledger).items() if i in best}
    area = ranking(
        np.array([best[i] for i in truth]), np.array([said[i] == y for i, y in truth.items()])
    )
    if area is None:
        raise LabelgapError(
            f"From {counted(len(truth), 'test label')} it is not known whether the network's "
            "confidence ranks its errors: that takes 5 right and 5 wrong predictions.",
            "Ask without --active: those images are drawn uniformly.",
        )
    if area < LEAST_AREA:
        raise LabelgapError(
            f"The network's confidence does not tell its right predictions from its wrong ones "
            f"(area {area:.2f}; 0.5 is chance, {LEAST_AREA} is needed): choosing by it would "
            "cost labels.",
            "Ask without --active: those images are drawn uniformly.",
        )
    rng = work.session.streams.numpy("active test", round)
    places, chance = draw(chances(np.array([best[i] for i in left.tolist()])), n, rng)
    last = work.project.last_note(TRAINED)
    trained = {"trained": last.seq if last else 0}
    items = [
        QueryItem(int(left[place]), explanation=TESTED, parts={"chance": float(q)})
        for place, q in zip(places, chance, strict=True)
    ]
    noted = facts(tuple(left.tolist()), chance, trained)
    return work.project.ledger.asked(round, items, to_test=noted)
