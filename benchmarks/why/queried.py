"""What the methods ask for on frozen features: hard items, isolated ones, alike ones, few classes?

    python benchmarks/why/queried.py runs/bench-frozen --data-root DATA --weights FILE \
        > benchmarks/why/queried.md

Reads the queries of a benchmark's finished cells (`cells/*/queries.jsonl`, several folders may be
given) and looks them up in the backbone's features and the true labels of *all* training images,
which no method sees: a description after the fact, by which nothing is chosen. The first, random
set is left out. Per arm and setting, mean over seeds, the difference to random paired by seed:

hard      share of the queried images that a logistic regression on the features and labels of the
          other half of the training images takes for another class.
isolated  mean percentile of the distance to the 20 nearest of 10,000 training images.
alike     distance to the nearest other image of the same query, in units of random's.
top       share of the fullest class in a query.

Last, Spearman's correlation of each with the AUBC over the arms that ask in a way of their own.
"""

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from labelgap import load
from labelgap.bench.grid.store import Store
from labelgap.core.config import NetworkSettings
from labelgap.core.device import machine
from labelgap.frozen.freeze import freeze

MEASURES = ("hard", "isolated", "alike", "top")
NEIGHBOURS, REFERENCE = 20, 10_000


def wrong(x, y):
    """Whether the other half's classifier takes an item for another class, [n] bool."""
    half = np.random.default_rng(0).permutation(len(y)) % 2
    found = np.empty(len(y), dtype=bool)
    for side in (0, 1):
        learn, judge = half != side, half == side
        scaler = StandardScaler().fit(x[learn])
        model = LogisticRegression(C=0.01, max_iter=200)
        model.fit(scaler.transform(x[learn]), y[learn])
        found[judge] = model.predict(scaler.transform(x[judge])) != y[judge]
    return found


def isolation(x):
    """Percentile of the mean distance to the nearest reference items, [n]."""
    reference = torch.from_numpy(x[np.random.default_rng(1).permutation(len(x))[:REFERENCE]])
    mean = []
    for block in torch.from_numpy(x).split(2048):
        # One more than wanted: a reference item finds itself, at distance zero.
        near = torch.cdist(block, reference).topk(NEIGHBOURS + 1, largest=False).values
        own = near[:, 0] < 1e-2
        mean.append(torch.where(own, near[:, 1:].mean(1), near[:, :-1].mean(1)))
    return 100 * stats.rankdata(torch.cat(mean).numpy()) / len(x)


def nearest_within(x):
    """Mean distance to the nearest other row."""
    distance = torch.cdist(torch.from_numpy(x), torch.from_numpy(x))
    return float(distance.fill_diagonal_(torch.inf).min(1).values.mean())


def queries(folders):
    """{(variant, arm): {seed: (AUBC, [ids of a round, ...])}} of the finished cells."""
    found = defaultdict(dict)
    for store in map(Store, folders):
        for cell in store.cells:
            place = store.folder(cell)
            if (place / "result.json").exists():
                lines = map(json.loads, (place / "queries.jsonl").read_text().splitlines())
                rounds = defaultdict(list)
                for line in lines:
                    rounds[line["round"]].append(line["id"])
                asked = [np.array(rounds[r]) for r in sorted(rounds) if r > 0]
                aubc = json.loads((place / "result.json").read_text())["aubc"]
                found[cell.variant, cell.arm][cell.config.seed] = aubc, asked
    return found


def table(values):
    """Rows of one setting, the arm with the fewest hard items first."""
    base, rows = values["random"], []
    for arm, cells in values.items():
        both = sorted(set(cells) & set(base))
        here = np.array([cells[seed] for seed in both])
        there = np.array([base[seed] for seed in both])
        here[:, 2] /= there[:, 2]
        half = stats.t.ppf(0.975, len(both) - 1) * stats.sem(here - there)
        hard, isolated, alike, top = here.mean(0)
        gap = [f"{g:+.1f} ± {h:.1f}" for g, h in zip((here - there).mean(0), half, strict=True)]
        shown = (arm, len(both), f"{hard:.1f}", gap[0], f"{isolated:.1f}", gap[1])
        rows.append((hard, (*shown, f"{alike:.2f}", f"{top:.1f}", gap[3])))
    return [row for _, row in sorted(rows)]


def correlations(values, aubc):
    """Of each measure with the AUBC, over arms that do not ask as an arm before them does."""
    own = {}
    for arm, cells in values.items():
        own.setdefault(tuple(np.mean(list(cells.values()), axis=0).round(6)), aubc[arm])
    found = [stats.spearmanr([key[k] for key in own], list(own.values())) for k in range(4)]
    said = [
        f"{n} {r.statistic:+.2f} (p {r.pvalue:.2g})" for n, r in zip(MEASURES, found, strict=True)
    ]
    return f"Correlation with the AUBC over {len(own)} arms: {', '.join(said)}."


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--weights")
    given = parser.parse_args()
    settings = NetworkSettings(
        name="timm:tf_efficientnet_lite0", freeze=True, weights=given.weights
    )
    task = freeze(load("cifar10", root=given.data_root), settings, machine())
    x, y = np.array(task.train.inputs, dtype=np.float32), task.train.labels
    hard, isolated = wrong(x, y), isolation(x)

    def measured(rounds):
        return (
            100 * np.mean([hard[ids].mean() for ids in rounds]),
            np.mean([isolated[ids].mean() for ids in rounds]),
            np.mean([nearest_within(x[ids]) for ids in rounds]),
            100 * np.mean([np.bincount(y[ids]).max() / len(ids) for ids in rounds]),
        )

    asked = queries(given.folders)
    enough = {key: cells for key, cells in asked.items() if len(cells) >= 5}
    print("# What the methods ask for on frozen features\n")
    print(__doc__.split("\n\n", 2)[2].strip() + "\n")
    print(f"Of all {len(y):,} images {100 * hard.mean():.1f} % are hard.")
    print("± is half a 95 % t interval.")
    for variant in sorted({variant for variant, _ in enough}):
        here = {arm: cells for (v, arm), cells in enough.items() if v == variant}
        values = {a: {s: measured(ids) for s, (_, ids) in c.items()} for a, c in here.items()}
        aubc = {a: np.mean([area for area, _ in c.values()]) for a, c in here.items()}
        heads = ("arm", "seeds", "hard, %", "to random", "isolated", "to random", "alike",
                 "top, %", "to random")  # fmt: skip
        print(f"\n## {variant} labels\n")
        for row in (heads, (":--", *["--:"] * (len(heads) - 1)), *table(values)):
            print(f"| {' | '.join(map(str, row))} |")
        print(f"\n{correlations(values, aubc)}")


if __name__ == "__main__":
    main()
