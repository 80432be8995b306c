"""How many items do two queries share?

    python benchmarks/why/overlap.py runs/bench-ablation ARM ARM ... > FILE

Of finished cells' first queries (`cells/*/queries.jsonl`, round 1): arms of one training choose
there from the same candidates by one and the same network. Share of a query, mean over seeds.
"""

import argparse
import json
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np

from labelgap.bench.grid.store import Store


def first_queries(store):
    """{arm: {seed: ids of round 1}}."""
    found = defaultdict(dict)
    for cell in store.cells:
        file = store.folder(cell) / "queries.jsonl"
        if file.exists():
            lines = map(json.loads, file.read_text().splitlines())
            ids = {line["id"] for line in lines if line["round"] == 1}
            found[cell.arm][cell.config.seed] = ids
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("arms", nargs="+")
    given = parser.parse_args()
    found = first_queries(Store(given.folder))
    print("| arm | arm | shared | seeds |\n| :-- | :-- | --: | --: |")
    for a, b in combinations(given.arms, 2):
        seeds = sorted(set(found[a]) & set(found[b]))
        shared = [len(found[a][s] & found[b][s]) / len(found[a][s]) for s in seeds]
        print(f"| {a} | {b} | {100 * np.mean(shared):.0f} % | {len(seeds)} |")


if __name__ == "__main__":
    main()
