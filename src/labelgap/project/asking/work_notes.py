"""What was noted when images were asked: their labelled neighbours, and the calibration."""

from labelgap.ledger.ledger import Ledger

WHY = "why"


def neighbours_of(ledger: Ledger) -> dict[int, list[int]]:
    """Asked item -> the labelled items nearest to it when it was chosen."""
    found: dict[int, list[int]] = {}
    for event in ledger.notes(WHY):
        for key, near in event.data["neighbours"].items():
            found[int(key)] = list(near)
    return found


def calibrated_rounds(ledger: Ledger) -> dict[int, int]:
    """Round -> labels that its network's percentages were checked against.

    0 where there were none, and for rounds of versions before the percentages were calibrated.
    """
    return {
        int(event.round or 0): int(event.data.get("calibration", {}).get("items", 0))
        for event in ledger.notes(WHY)
    }
