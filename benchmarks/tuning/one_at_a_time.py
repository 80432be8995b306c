"""What each open choice of a method does alone: the defaults with one key changed.

    python benchmarks/tuning/one_at_a_time.py --method daal --out benchmarks/tuning/one-at-a-time.md

Digits, 300 training images outside the pool, the seeds of `labelgap tune`; test images are in none
of it. `labelgap tune` draws all keys together; this says which of them matter.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from labelgap.bench.evidence.collect import read_cell
from labelgap.bench.grid.grid import Cell
from labelgap.bench.running.cell import Job, attempt
from labelgap.bench.tune import DATA_SETS, FIRST_SEED
from labelgap.session.presets import Tree, resolve

SEEDS = 3
_FOOLING: tuple[Tree, ...] = (
    {"objective": {"adversarial": 0.0}},
    {"objective": {"adversarial": 4.0}},
    {"objective": {"adversarial": 32.0}},
    {"objective": {"adversarial": 256.0}},
)
CHANGES: dict[str, tuple[Tree, ...]] = {
    "daal": (
        {"mixture": {"average": "parameters"}},
        {"mixture": {"covariance": "spherical"}},
        {"mixture": {"temperature": 16.0}},
        {"objective": {"alpha": 0.03}},
        {"objective": {"alpha": 0.3}},
        {"objective": {"reg_start": 0.0}},
        {"objective": {"reg_in_alignment": False}},
        {"objective": {"through_statistics": True}},
        {"objective": {"batch_norm": "separate"}},
        {"objective": {"adversarial": 0.03}},
        {"objective": {"adversarial": 0.3}},
        {"objective": {"critic_steps": 5}},
        {"critic": {"penalty_over": "features"}},
        {"critic": {"sigmoid": True}},
        {"objective": {"align_lr": 0.001}},
        {"objective": {"align_lr": 0.1}},
        {"objective": {"align_optimiser": "adam", "align_lr": 0.0003}},
        {"acquisition": {"combine": "rank"}},
        {"acquisition": {"beta": 0.3}},
        {"acquisition": {"beta": 3.0}},
        {"acquisition": {"candidates": 3.0}},
        {"acquisition": {"share": 0.1}},
        {"acquisition": {"balance": False}},
        {"acquisition": {"kmeans": False}},
    ),
    "vaal": _FOOLING,
    "ta-vaal": _FOOLING,
}


def name(change: Tree) -> str:
    """ "alpha = 0.3"."""
    parts = {key: value for values in change.values() for key, value in values.items()}
    return ", ".join(f"`{key}` = {value}" for key, value in parts.items()) or "defaults"


def areas(method: str, change: Tree, folder: Path) -> Iterator[float]:
    """AUBC on the development split, seed by seed."""
    for seed in range(FIRST_SEED, FIRST_SEED + SEEDS):
        config = resolve({**change, "method": method, "seed": seed}, preset="smoke")
        cell = Cell(config, name(change), development=DATA_SETS["digits"])
        job = Job(cell, folder / cell.folder, folder / "round0", "auto", 1)
        state, facts = attempt(job, lambda kind, told: None)
        if state != "done":
            raise SystemExit(f"{cell.arm}, seed {seed}: {facts['error']}")
        yield read_cell(cell, job.folder).aubc


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="Markdown file to write")
    parser.add_argument("--method", choices=CHANGES, default="daal")
    method: str = (given := parser.parse_args()).method
    out: Path = given.out
    lines: list[tuple[str, Any, Any]] = []
    first = np.empty(0)
    with tempfile.TemporaryDirectory() as folder:
        for change in ({}, *CHANGES[method]):
            found = 100 * np.array(list(areas(method, change, Path(folder))))
            first = found if not change else first
            gain = found - first
            print(name(change), found.round(2), gain.round(2), flush=True)
            lines.append((name(change), found, gain))
    text = [
        "# One key at a time\n\n`python benchmarks/tuning/one_at_a_time.py --method "
        f"{method} --out {out}`:",
        f"{method} on digits, preset `smoke`, 300 training images outside the pool, seeds 1000 to",
        "1002. AUBC in per cent, and the difference to the defaults seed by seed.\n",
        "| change | AUBC | difference | by seed |",
        "|:--|--:|--:|--:|",
    ]
    for title, found, gain in lines:
        each = " ".join(f"{g:+.2f}" for g in gain) if gain.any() else "–"
        mean = f"{gain.mean():+.2f}" if gain.any() else "–"
        text.append(f"| {title} | {found.mean():.2f} | {mean} | {each} |")
    out.write_text("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
