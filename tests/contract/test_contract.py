"""Every registered method keeps every contract, by being registered.

One of them takes as long as all others together: a fault at any event. CI has it for four methods
of different kinds; the other methods are `uv run pytest -m slow tests/contract/test_contract.py`.
"""

import pytest

from labelgap.check.case import Case
from labelgap.check.contract import CONTRACTS
from labelgap.methods import METHODS

FAULT = "a fault at any event of a round, then reopened: the same queries"
KINDS = {
    "margin": "a score of plain training",
    "badge": "a batch that is drawn, each pick by those before it",
    "daal": "stages with players of their own, whose state a checkpoint holds",
    "mq-net": "a memory of earlier queries",
}
CASES = [
    pytest.param(
        name,
        sentence,
        marks=[pytest.mark.slow] if sentence == FAULT and name not in KINDS else [],
        id=f"{name}-{sentence}",
    )
    for sentence in CONTRACTS
    for name in sorted(METHODS)
]


def test_the_kinds_are_methods_and_the_sentence_is_a_contract() -> None:
    assert KINDS.keys() <= METHODS.keys()
    assert FAULT in CONTRACTS


@pytest.mark.parametrize(("name", "sentence"), CASES)
def test_contract(name: str, sentence: str) -> None:
    CONTRACTS[sentence](Case(METHODS[name]))
