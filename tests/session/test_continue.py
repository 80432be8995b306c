"""A run that continues from the last round's weights loses none of them to a crash."""

from typing import Any

from labelgap.check.case import Case
from labelgap.check.contract import CONTRACTS
from labelgap.core.config import RunConfig
from labelgap.methods import METHODS


class Continuing(Case):
    """The contract's small case, each round starting from the last one's weights."""

    def config(self, **values: Any) -> RunConfig:
        return super().config(**{**values, "training": {"start": "continue"}})


def test_a_fault_at_any_event_of_a_continued_run() -> None:
    sentence = next(s for s in CONTRACTS if s.startswith("a fault at any event"))
    CONTRACTS[sentence](Continuing(METHODS["margin"]))
