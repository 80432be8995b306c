"""Active test batches in the ledger: which images, drawn with which chances, out of which.

Images of such a batch were chosen, so they are no part of the uniform sample that the held-out
share is, until their own turn in it comes: the uniform sample is the reserve in the order of its
draws, up to the last one that was asked in that order.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from labelgap.ledger.ledger import TESTED, Ledger


@dataclass(frozen=True)
class Batch:
    """One batch, in the order of drawing.

    chances: of each among those that were left when it was drawn.  pool: everything that it was
    drawn from, in the order in which the reserve is asked.
    """

    ids: tuple[int, ...]
    chances: Float[np.ndarray, " m"]
    pool: tuple[int, ...]
    round: int


def batches(ledger: Ledger) -> list[Batch]:
    """All active test batches, the oldest first."""
    return [
        Batch(
            tuple(event.data["ids"]),
            np.array(event.data["chances"], dtype=np.float64),
            tuple(event.data["pool"]),
            int(event.round or 0),
        )
        for event in ledger.notes(TESTED)
    ]


def apart(ledger: Ledger) -> set[int]:
    """Images of active test batches that are no part of the uniform sample (yet).

    One whose turn has passed belongs to it: that it was chosen before has no part in that.
    """
    found = batches(ledger)
    chosen = {i for batch in found for i in batch.ids}
    if not chosen:
        return chosen
    uniform = ledger.held_out - chosen
    passed: set[int] = set()
    for batch in found:
        places = [place for place, i in enumerate(batch.pool) if i in uniform]
        passed.update(batch.pool[: max(places) + 1] if places else ())
    return chosen - passed


def facts(
    pool: tuple[int, ...], chances: Float[np.ndarray, " m"], network: Mapping[str, object]
) -> dict[str, object]:
    """What a batch's note holds beside its ids.

    network: what the network was trained on, whose confidences made the chances.
    """
    return {"pool": list(pool), "chances": chances.tolist(), "network": dict(network)}
