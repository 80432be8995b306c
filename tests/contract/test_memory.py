"""Every registered acquisition's memory is linear in the pool: 200,000 candidates are no trouble.

The bound is stated in copies of the features: at N = 200,000 and d = 512 they are 410 MB, an array
of N × N would be 160 GB.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from labelgap.methods import ACQUISITIONS

CANDIDATES, WIDTH, BUDGET = 200_000, 512, 100
COPIES = 4
"""Of the features, on top of them; the most measured is 3.4 (TypiClust, CoreGCN)."""
SCRIPT = Path(__file__).with_name("query_memory.py")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="no peak of a part is known on this system")
@pytest.mark.parametrize("name", sorted(ACQUISITIONS))
def test_peak_memory_of_a_query(name: str) -> None:
    words = [name, *(str(n) for n in (CANDIDATES, WIDTH, BUDGET))]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *words], capture_output=True, text=True, timeout=3600
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["ids"] == BUDGET
    assert facts["bytes"] <= COPIES * CANDIDATES * WIDTH * 4, facts
