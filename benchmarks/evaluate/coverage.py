"""How often each interval of `labelgap evaluate` holds the true accuracy, by simulation.

    uv run python benchmarks/evaluate/coverage.py --runs 1000 > benchmarks/evaluate/coverage.md

A network of five classes is right on about 85 and 95 % of a folder without end; its
confidences are calibrated, overconfident (odds squared) or useless (those of another image). Each
run draws a reserve, labels a part of it, and asks every estimator. Prints Markdown.
"""

import argparse
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from labelgap.project.quality.active_test import chances, draw, estimate, surrogate, weights
from labelgap.project.quality.ppi import accuracy_terms, better, improve, recall_terms, wilson
from labelgap.project.quality.quality import exact_interval

CLASSES, RESERVE, WORLD = 5, 400, 400_000
SHARPNESS = (8.0, 24.0)
"""How far apart the logits lie, which makes the accuracy."""

Drawn = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class World:
    """Draws (truth [n], the network's probabilities [n, k]); its true accuracy and recall."""

    draw: Callable[[int, np.random.Generator], Drawn]
    accuracy: float
    recall: float


def world(sharpness: float, kind: str) -> World:
    rare = np.array([0.0, 0.0, 0.0, 0.0, -sharpness / 3])

    def made(n: int, rng: np.random.Generator) -> Drawn:
        logits = sharpness * rng.standard_normal((n, CLASSES)) / 1.5 + rare
        true = np.exp(logits - logits.max(axis=1, keepdims=True))
        true /= true.sum(axis=1, keepdims=True)
        y = (true.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=CLASSES - 1)
        if kind == "calibrated":
            return y, true
        if kind == "overconfident":
            said = true**2
            return y, said / said.sum(axis=1, keepdims=True)
        best, other = true.argmax(axis=1), rng.permutation(true.max(axis=1))
        said = np.repeat((1 - other)[:, None] / (CLASSES - 1), CLASSES, axis=1)
        said[np.arange(n), best] = other
        return y, said

    y, p = made(WORLD, np.random.default_rng(0))
    right = p.argmax(axis=1) == y
    return World(made, float(right.mean()), float(right[y == CLASSES - 1].mean()))


@dataclass
class Tally:
    """Of one estimator: how often it spoke, held the truth, and how wide it was."""

    runs: int = 0
    spoke: int = 0
    held: int = 0
    width: float = 0.0
    error: float = 0.0
    squared: float = 0.0

    def add(self, truth: float, value: float | None, low: float = 0.0, high: float = 1.0) -> None:
        self.runs += 1
        if value is None:
            return
        self.spoke += 1
        self.held += low <= truth <= high
        self.width += high - low
        self.error += value - truth
        self.squared += (value - truth) ** 2

    def row(self, interval: bool = True) -> list[str]:
        n = self.spoke
        if not n:
            return ["0 %", "–", "–", "–", "–"]
        held = f"{100 * self.held / n:.1f} %" if interval else "–"
        width = f"{100 * self.width / n / 2:.2f}" if interval else "–"
        return [
            f"{100 * n / self.runs:.0f} %", held, width, f"{100 * self.error / n:+.2f}",
            f"{100 * (self.squared / n) ** 0.5:.2f}",
        ]  # fmt: skip


def simulate(w: World, m: int, runs: int, seed: int) -> dict[str, Tally]:
    """All estimators on the same draws."""
    found: dict[str, Tally] = {}

    def say(name: str, truth: float, *values: float | None) -> None:
        found.setdefault(name, Tally()).add(truth, *values)  # type: ignore[arg-type]

    rng = np.random.default_rng(seed)
    for _ in range(runs):
        y, p = w.draw(RESERVE, rng)
        right = p.argmax(axis=1) == y
        hits = int(right[:m].sum())
        exact = exact_interval(hits, m)
        say("labels alone, Clopper–Pearson", w.accuracy, hits / m, *exact)
        say("labels alone, Wilson", w.accuracy, hits / m, *wilson(hits / m, m))
        one = improve(accuracy_terms(y[:m], p[:m], p[m:]), rng)
        values = (None,) if one is None else (one.value, one.low, one.high)
        say("PPI++ where there is one", w.accuracy, *values)
        shown = (one.value, one.low, one.high) if one and better(one, hits, m) else None
        say("what is printed", w.accuracy, *(shown or (hits / m, *exact)))
        say("surrogate alone (no interval)", w.accuracy, surrogate(p))
        of = y[:m] == CLASSES - 1
        n_of, hits_of = int(of.sum()), int(right[:m][of].sum())
        exact_of = exact_interval(hits_of, n_of)
        two = improve(recall_terms(y[:m], p[:m], p[m:], CLASSES - 1), rng)
        if n_of:
            say("recall of the rare class, Clopper–Pearson", w.recall, hits_of / n_of, *exact_of)
            values = (hits_of / n_of, *exact_of)
            if two is not None and better(two, hits_of, n_of):
                values = (two.value, two.low, two.high)
            say("recall, what is printed", w.recall, *values)
        chance = chances(p.max(axis=1))
        places, q = draw(chance, m, rng)
        here = float(right.mean())  # a batch is about the images that it was drawn from
        three = estimate(right[places], weights(q, RESERVE), RESERVE)
        values = (None,) if three is None else (three.value, three.low, three.high)
        say("active batch, LURE (of the reserve)", here, *values)
    return found


def lines(runs: int) -> Iterable[str]:
    columns = "speaks | holds the truth | ± | bias | error |"
    yield f"| accuracy | confidences | labels | estimator | {columns}"
    yield "|--:|---|--:|---|--:|--:|--:|--:|--:|"
    for sharpness in SHARPNESS:
        for kind in ("calibrated", "overconfident", "useless"):
            w = world(sharpness, kind)
            for m in (50, 200):
                for name, tally in simulate(w, m, runs, seed=m).items():
                    row = tally.row("surrogate" not in name)
                    yield (
                        f"| {100 * w.accuracy:.1f} % | {kind} | {m} | {name} | "
                        + " | ".join(row)
                        + " |"
                    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    runs = parser.parse_args().runs
    started = time.perf_counter()
    print("\n".join(lines(runs)))
    print(f"\n{runs} runs, {time.perf_counter() - started:.0f} s.")


if __name__ == "__main__":
    main()
