"""Held-out images to which nobody gave a class: what that means for the estimated accuracy.

The held-out images are a uniform sample, but the answered ones need not be: people skip what is
hard, and a network errs on the same. So without any assumption about them the accuracy on the
whole sample is only known between two bounds (Manski 1989).
"""

from dataclasses import dataclass

from labelgap.core.types import NONE_OF_THESE
from labelgap.core.wording import counted
from labelgap.ledger.ledger import Ledger
from labelgap.project.quality.batches import apart
from labelgap.project.quality.quality import Share


@dataclass(frozen=True)
class NonResponse:
    """How many held-out images were looked at and got no class.

    skipped: for whatever reason; the network may be right on them.
    none_of_these: of another class than the project's, on which the network is wrong: it always
        names one.

    Images that still wait for an answer are no part of it: they lie at random places of a batch.
    """

    skipped: int
    none_of_these: int

    @property
    def total(self) -> int:
        return self.skipped + self.none_of_these

    def bounds(self, answered: Share) -> tuple[float, float]:
        """The share of right predictions on answered and unanswered images together: if all
        skipped ones were wrong, and if all were right. NaN where there is no image."""
        n = answered.total + self.total
        if not n:
            return float("nan"), float("nan")
        return answered.right / n, (answered.right + self.skipped) / n

    def sentence(self, answered: Share) -> str:
        """For people; "" where every image got a class."""
        if not self.total:
            return ""
        kinds = [f"{self.skipped} skipped"] * bool(self.skipped)
        kinds += [f"{self.none_of_these} none of these"] * bool(self.none_of_these)
        said = (
            f"{counted(self.total, 'held-out image')} without a class ({', '.join(kinds)}), left "
            "out of the accuracy"
        )
        if not answered.total:
            return said
        low, high = (f"{100 * value:.1f}" for value in self.bounds(answered))
        between = low if low == high else f"{low}–{high}"
        return (
            f"{said}: with them it is {between} % of {answered.total + self.total}, whatever they "
            "show"
        )


def nonresponse(ledger: Ledger) -> NonResponse:
    """Counted anew from the ledger: an answer that comes later takes an image out."""
    held, labels = ledger.held_out - apart(ledger), ledger.labels
    return NonResponse(
        skipped=len(held & ledger.skipped.keys()),
        none_of_these=sum(labels.get(i) == NONE_OF_THESE for i in held),
    )
