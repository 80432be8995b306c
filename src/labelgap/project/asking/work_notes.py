"""The labelled neighbours of asked images, kept as a note when they were asked."""

from labelgap.ledger.ledger import Ledger

WHY = "why"


def neighbours_of(ledger: Ledger) -> dict[int, list[int]]:
    """Asked item -> the labelled items nearest to it when it was chosen."""
    found: dict[int, list[int]] = {}
    for event in ledger.notes(WHY):
        for key, near in event.data["neighbours"].items():
            found[int(key)] = list(near)
    return found
