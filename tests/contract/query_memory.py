"""Bytes that one query takes above its view's arrays: run by the test, in a process of its own.

python tests/contract/query_memory.py ACQUISITION CANDIDATES WIDTH BUDGET
"""

import json
import resource
import sys
import time

from labelgap.bench.running.memory import peak, reset_peak
from labelgap.check.synthetic import synthetic_view
from labelgap.core.config import build
from labelgap.methods import ACQUISITIONS

LIMIT = 12 << 30
"""Address space: a matrix of N × N is refused, not begun."""


def main(name: str, candidates: int, width: int, budget: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    cls = ACQUISITIONS[name]
    made = cls(build(cls.Options, {}, "acquisition"))
    # The first query pays for what libraries load and keep, whatever the pool.
    made.select(synthetic_view(500, made.needs, labelled=50, width=width), 5)
    view = synthetic_view(candidates, made.needs, width=width)
    reset_peak()
    before, started = peak(), time.process_time()
    query = made.select(view, budget)
    after = peak()
    assert before is not None
    assert after is not None
    facts = {
        "bytes": after - before,
        "seconds": time.process_time() - started,
        "ids": len(set(query.ids.tolist())),
    }
    sys.stdout.write(json.dumps(facts))


if __name__ == "__main__":
    main(sys.argv[1], *(int(word) for word in sys.argv[2:]))
