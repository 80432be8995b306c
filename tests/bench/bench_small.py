"""Small grids and results made by hand, for the benchmark's tests."""

from pathlib import Path
from typing import Any

import numpy as np

from labelgap.bench.evidence.results import STAGES, Result
from labelgap.bench.grid.arms import UPPER
from labelgap.bench.grid.grid import Cell, Grid, Source, grid_of
from labelgap.session.presets import resolve

SMALL = """
base = "smoke"
datasets = ["digits"]
methods = ["random", "margin", "daal"]
seeds = 2
[settings]
training = {steps = 12}
loop = {initial = 30, budget = 15, rounds = 2}
network = {width = 4}
precision = "float32"
"""


def small_grid(**overrides: Any) -> Grid:
    return grid_of(SMALL, Source("small", SMALL), "small", overrides)


def made(
    arm: str,
    seed: int,
    *,
    data: str = "digits",
    method: str | None = None,
    gain: float | int = 0.0,
    imbalance: float | int = 1,
    rounds: int = 4,
    classes: int = 10,
    variant: str = "",
) -> Result:
    """A result that passes the audit, its curve drawn by the arm's gain and the seed."""
    choice: dict[str, Any] = {"method": method or arm}
    if arm == UPPER:
        choice = {"objective_name": "cross-entropy", "acquisition_name": UPPER}
    config = resolve(
        {
            **choice,
            "seed": seed,
            "data": {"name": data, "imbalance": imbalance},
            "loop": {"initial": 40, "budget": 20, "rounds": rounds},
        }
    )
    rng = np.random.default_rng([seed, len(data)])
    noise = np.random.default_rng([seed, *arm.encode(), *data.encode()])
    x = np.arange(rounds + 1)
    curve = 0.5 + 0.4 * (1 - np.exp(-0.5 * x)) + 0.02 * rng.standard_normal()
    curve = np.clip(curve + gain * x / rounds + 0.004 * noise.standard_normal(rounds + 1), 0, 1)
    labels = (40 + 20 * x).astype(np.int64)
    counts = noise.multinomial(20, np.full(classes, 1 / classes), rounds + 1)
    counts[0] *= 2
    per_class = np.clip(curve[:, None] - np.where(np.arange(classes) % 2, 0.0, 0.1), 0, 1)
    common = f"{data}/{seed}"
    recorded = {
        "claimed_labels": int(labels[-1]),
        "distinct_labels": int(labels[-1]),
        "queried_distinct": int(labels[-1]),
        "task_fingerprint": data,
        "initial_set_sha256": f"initial {common}",
        "queried_initial_sha256": f"initial {common}",
        "pool_permutation_sha256": f"permutation {common}",
        "initial_weights_sha256": f"weights {common} {config.network.dropout}",
        "round0_weights_sha256": f"round 0 {common} {config.objective_name} "
        f"{config.network.dropout}",
    }
    return Result(
        cell=Cell(config, arm, variant),
        classes=tuple(f"class {k}" for k in range(classes)),
        labels=labels,
        accuracy=curve,
        balanced=per_class.mean(axis=1),
        per_class=per_class,
        counts=counts.astype(np.int64),
        seconds={s: np.full(rounds + 1, 1.0 + len(arm) / 10) for s in STAGES},
        recorded=recorded,
        machine={"device": "cpu", "threads": 1, "versions": {"torch": "2"}},
        begun_elsewhere=False,
        peak_memory=1 << 28,
    )


def queries(folder: Path) -> bytes:
    return (folder / "queries.jsonl").read_bytes()
