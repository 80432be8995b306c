"""k-means: its sum of squares and its time, beside scikit-learn and beside its own plain start.

    python benchmarks/speed/clusters.py [NAME=FEATURES.npy …] [--threads 2] [--out FILE]

Many clusters of wide items are first sought in the items' 64 leading directions; "plain" is the
same k-means that seeks them with all features from the start, as scikit-learn does (`n_init=1`,
k-means++, Lloyd). All three have one stopping rule, and take turns with the same seeds. Ratios are
of means over the seeds. Without a file the items are Gaussian noise, which has no leading
directions: the worst case.
"""

import argparse
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from unittest import mock

import numpy as np

SEEDS = 3
SIZES = ((6_000, 100), (6_000, 1_000), (20_000, 500))


def items(file: Path | None, n: int) -> np.ndarray:
    if file is None:
        return np.random.default_rng(0).standard_normal((n, 512), dtype=np.float32)
    features = np.load(file, mmap_mode="r")
    return np.ascontiguousarray(features[:n], dtype=np.float32)


def row(name: str, x: np.ndarray, k: int) -> tuple[str, ...]:
    import torch
    from sklearn.cluster import KMeans

    ours = import_module("labelgap.select.kmeans")  # by its plain name it is the function
    z = torch.from_numpy(x)

    def now(seed: int) -> float:
        return float(ours.kmeans(z, k, np.random.default_rng(seed))[2])

    def plain(seed: int) -> float:
        with mock.patch.object(ours, "_MANY", len(x) + 1):
            return now(seed)

    def peer(seed: int) -> float:
        return float(KMeans(k, n_init=1, random_state=seed).fit(x).inertia_)

    sums, took = np.empty((SEEDS, 3)), np.empty((SEEDS, 3))
    for seed in range(SEEDS):
        for side, action in enumerate((now, plain, peer)):
            begun = time.perf_counter()
            sums[seed, side] = action(seed)
            took[seed, side] = time.perf_counter() - begun
    inertia, seconds = sums.mean(axis=0), took.mean(axis=0)
    return (
        name, f"{x.shape[0]:,} × {x.shape[1]}", str(k), f"{seconds[0]:.2f}",
        *(f"{seconds[side] / seconds[0]:.2f}" for side in (1, 2)),
        *(f"{100 * (inertia[0] / inertia[side] - 1):+.2f} %" for side in (1, 2)),
    )  # fmt: skip


def main(options: argparse.Namespace) -> None:
    from floor import processor

    from labelgap.bench.report.tables import markdown
    from labelgap.core.device import set_threads

    set_threads(options.threads)
    rows = []
    for given in ["noise", *options.features]:
        name, _, file = given.partition("=")
        for n, k in SIZES:
            x = items(Path(file) if file else None, n)
            if len(x) > 2 * k:
                rows.append(row(name, x, k))
                sys.stderr.write(" | ".join(rows[-1]) + "\n")
    head = (
        "items", "size", "clusters", "seconds", "plain start ÷ this", "scikit-learn ÷ this",
        "sum of squares beside the plain start's", "beside scikit-learn's",
    )  # fmt: skip
    text = markdown(head, rows)
    sys.stdout.write(text)
    if options.out:
        # Where somebody keeps the features is nobody's business.
        words = [word.partition("=")[0] + "=FEATURES.npy" if "=" in word else word
                 for word in sys.argv[1:]]  # fmt: skip
        command = " ".join(["python", "benchmarks/speed/clusters.py", *words])
        about = f"{processor()}, {options.threads} thread(s), load {os.getloadavg()[0]:.1f}."
        options.out.write_text(f"# k-means\n\n{about}\n\n`{command}`\n\n{text}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("features", nargs="*", metavar="NAME=FILE")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="Markdown file for the table")
    main(parser.parse_args())
