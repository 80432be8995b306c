"""How far apart are labelled and unlabelled features, and does alignment bring them together?

    python benchmarks/why/gap.py runs/bench-ablation runs/bench-frozen > benchmarks/why/gap.md

Reads the features that a finished cell keeps of its last round, before and after its second stage
(`cells/*/cache`). The gap is the sliced Wasserstein distance of labelled to unlabelled features, in
units of the features' deviation, as under the reports' embeddings; *chance* is that of random splits
of the same points, so a gap like it is none. Mean over seeds; ± is half a 95 % t interval.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy import stats

from labelgap.bench.store import Store
from labelgap.report.embedding import gap_and_chance, load
from labelgap.streams import Streams


def measured(cell, cache):
    """Gap and chance before, gap and chance after."""
    found = []
    for name in ("before", "after"):
        rng = Streams(cell.config.seed).numpy("report/distance")  # the same directions for both
        found += gap_and_chance(load(cache / f"embedding-{name}.npz"), rng)
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    groups, seen = defaultdict(lambda: defaultdict(list)), set()
    for store in map(Store, parser.parse_args().folders):
        for cell in store.cells:
            cache = store.folder(cell) / "cache"
            whole = all((cache / f"embedding-{n}.npz").exists() for n in ("before", "after"))
            if whole and cell.computation not in seen:
                seen.add(cell.computation)
                loop = cell.config.loop
                labels = loop.initial + loop.budget * loop.rounds
                setting = f"{cell.config.data.name} {cell.variant}".strip()
                groups[f"{setting}, {labels} labels"][cell.arm].append(measured(cell, cache))
    print("# The gap that alignment is to close\n")
    print(__doc__.split("\n\n", 2)[2].strip())
    for setting, arms in sorted(groups.items()):
        print(f"\n## {setting}\n")
        print("| arm | seeds | before | chance | after | change |\n| :-- |" + " --: |" * 5)
        for arm, values in sorted(arms.items()):
            if len(values) < 2:
                continue
            before, chance, after, _ = np.mean(values, axis=0)
            change = np.array(values)[:, 2] - np.array(values)[:, 0]
            half = stats.t.ppf(0.975, len(change) - 1) * stats.sem(change)
            print(
                f"| {arm} | {len(values)} | {before:.3f} | {chance:.3f} | {after:.3f} "
                f"| {change.mean():+.3f} ± {half:.3f} |"
            )


if __name__ == "__main__":
    main()
