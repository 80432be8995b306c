"""Every registered method keeps every contract, by being registered."""

import pytest

from labelgap.check.case import Case
from labelgap.check.contract import CONTRACTS
from labelgap.methods import METHODS


@pytest.mark.parametrize("sentence", CONTRACTS)
@pytest.mark.parametrize("name", sorted(METHODS))
def test_contract(name: str, sentence: str) -> None:
    CONTRACTS[sentence](Case(METHODS[name]))
