"""How far apart are labelled and unlabelled features, and does alignment bring them together?

    python benchmarks/why/gap.py --first runs/bench-ablation runs/bench-frozen > FILE

Reads the features that a finished cell keeps of its last round, before and after its second
stage (`cells/*/cache`). The gap is the sliced Wasserstein distance of labelled to unlabelled
features, in units of the features' deviation, as under the reports' embeddings; *chance* is that
of random splits of the same points, so a gap like it is none. Mean over seeds; ± is half a 95 % t
interval. `--first` trains plain networks on the first, random labels of digits and Fashion-MNIST
and measures there: a minute for each.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np

from labelgap import Oracle, Session, load
from labelgap.bench.evidence.statistics import t_interval
from labelgap.bench.grid.store import Store
from labelgap.core.device import machine
from labelgap.core.streams import Streams
from labelgap.report.scatter import Cloud, gap_and_chance
from labelgap.report.scatter import load as cloud
from labelgap.session.presets import resolve


def measured(cell, cache):
    """Gap and chance before, gap and chance after."""
    found = []
    for name in ("before", "after"):
        rng = Streams(cell.config.seed).numpy("report/distance")  # the same directions for both
        found += gap_and_chance(cloud(cache / f"embedding-{name}.npz"), rng)
    return found


def spread(values):
    """Mean and half of its 95 % interval."""
    found = t_interval(values)
    return f"{found.mean:+.3f} ± {found.high - found.mean:.3f}"


FIRST = {
    "digits": ("smoke", {}),
    "fashion-mnist": ("cpu", {"width": 8, "stem_stride": 2}),
}


def first_round(name, seed):
    """Labels, gap and chance of a plain network that has learned its random initial set."""
    preset, network = FIRST[name]
    settings = {"data": {"name": name}, "network": network, "seed": seed, "precision": "float32"}
    config, task = resolve({"method": "random", **settings}, preset=preset), load(name)
    with Session(task, config, machine=machine("cpu", "float32")) as session:
        session.tell(Oracle(task).answer(session.ask(config.loop.initial)))
        session.fit()
        others = np.random.default_rng(seed).choice(session.unlabelled_ids(), 1000, replace=False)
        ids = np.concatenate([session.labelled()[0], others])
        z = session.learner.predict(session.training.network, ids, {"features"})["features"]
    found = Cloud(z.numpy(), np.arange(len(ids)) < config.loop.initial, np.zeros(len(ids), int))
    return config.loop.initial, *gap_and_chance(found, Streams(seed).numpy("report/distance"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--first", action="store_true")
    given = parser.parse_args()
    groups, seen = defaultdict(lambda: defaultdict(list)), set()
    for store in map(Store, given.folders):
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
            print(
                f"| {arm} | {len(values)} | {before:.3f} | {chance:.3f} | {after:.3f} "
                f"| {spread(change)} |"
            )
    if given.first:
        print("\n## plain training on the first, random labels\n")
        print("| data | labels | seeds | gap | chance | above chance |\n| :-- |" + " --: |" * 5)
        for name in FIRST:
            values = np.array([first_round(name, seed) for seed in range(5)])
            labels, gap, chance = values.mean(axis=0)
            above = values[:, 1] - values[:, 2]
            print(
                f"| {name} | {labels:.0f} | {len(above)} | {gap:.3f} | {chance:.3f} "
                f"| {spread(above)} |"
            )


if __name__ == "__main__":
    main()
