"""Seconds of every acquisition on data with copies, against data without.

    python benchmarks/duplicates/duplicates.py [NAME ...] [--items N] [--out FILE]

The arrays are synthetic (`labelgap.check.synthetic`; d = 128, K = 10, 500 labelled, budget 200):
what is timed is the query alone, with one thread, in CPU seconds, the best of two (one, where it
takes over a second). The kinds:

random: no two items alike.
copies: three items, of which one is there for all but two of the pool.
one: every item the same.
half: every item twice.
few: 50 items, each many times.
near: `few`, each value changed in its last digits: ties within rounding, no exact copies.
constant: no two alike, but all features but two constant.

With names, their rows of FILE are written anew and the others stay. Refine has its `smoke` preset;
an upper line is no method and has no row.

The bound, twice the time of random data, is for exact copies: `copies`, `one`, `half` and `few`.
The other two kinds are shown beside. ISAL's gradients and the passes of MC-dropout cost the same
for any values.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch

from labelgap.axes.view import PoolView
from labelgap.check.synthetic import synthetic_view
from labelgap.core.config import build
from labelgap.core.device import set_threads
from labelgap.core.errors import LabelgapError
from labelgap.methods import ACQUISITIONS

BUDGET, LABELLED, WIDTH = 200, 500, 128
EXACT = ("copies", "one", "half", "few")
KINDS = ("random", *EXACT, "near", "constant")
BOUND = 2.0
OPTIONS = {"refine": "smoke"}
FLOOR = 0.05
"""CPU seconds below which a ratio is one of noise and of constant costs."""


def which(kind: str, n: int) -> torch.Tensor:
    """Which item of the random pool stands at each place."""
    rng = np.random.default_rng(1)
    rows = {
        "copies": np.r_[0, 1, np.full(n - 2, 2)],
        "one": np.zeros(n),
        "half": np.r_[np.arange(n // 2), np.arange(n - n // 2)],
        "few": rng.integers(50, size=n),
        "near": rng.integers(50, size=n),
    }
    return torch.from_numpy(rows.get(kind, np.arange(n)).astype(np.int64))


def changed(name: str, value: torch.Tensor, kind: str) -> torch.Tensor:
    """The candidates' array of one output, for one kind of data."""
    value = value[which(kind, len(value))].clone()
    if kind == "near" and value.ndim > 1:
        generator = torch.Generator().manual_seed(0)
        value *= 1 + 2e-7 * torch.randn(value.shape, generator=generator)
    if kind == "constant" and name in ("features", "embedding"):
        value[:, 2:] = 1.0
    return value


def view(kind: str, items: int, needs: frozenset[str]) -> PoolView:
    """A pool of one kind."""
    made = synthetic_view(items, needs, labelled=LABELLED, width=WIDTH)
    inputs = made.inputs
    made._candidates = {k: changed(k, v, kind) for k, v in made._candidates.items()}
    assert inputs is not None
    at = which(kind, items).numpy()

    def of(ids: np.ndarray) -> torch.Tensor:
        return inputs(np.where(ids < LABELLED, ids, LABELLED + at[ids - LABELLED]))

    made.inputs = of
    return made


def seconds(name: str, kind: str, items: int) -> tuple[float, int]:
    """CPU seconds of a query, the better of two, and how many of its rows differ."""
    cls = ACQUISITIONS[name]
    found = []
    for _ in range(2):
        pool = view(kind, items, cls.needs)
        values = cls.Options.presets[OPTIONS[name]] if name in OPTIONS else {}
        made = cls(build(cls.Options, values, name))
        started = time.process_time()
        ids = made.select(pool, BUDGET).ids
        found.append(time.process_time() - started)
        if found[-1] > 1:
            break
    assert len(set(ids.tolist())) == BUDGET
    rows = which(kind, items).numpy()[ids - LABELLED]
    return min(found), len(set(rows.tolist()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=[])
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--out", type=Path, help="Markdown file for the table")
    args = parser.parse_args()
    set_threads(1)
    head = " | ".join(KINDS)
    rows: dict[str, str] = {}
    if args.names and args.out and args.out.exists():
        told = args.out.read_text().splitlines()
        rows = {x.split("|")[1].strip(): x for x in told if x.startswith("| ")}
        rows.pop("acquisition", None)
    over = []
    methods = (name for name, cls in ACQUISITIONS.items() if not cls.upper_line)
    for name in args.names or sorted(methods):
        seconds(name, "random", 300 + BUDGET)  # loads libraries
        times, cells = {}, []
        for kind in KINDS:
            try:
                times[kind], differ = seconds(name, kind, args.items)
            except LabelgapError as error:
                cells.append(f"{type(error).__name__}")
                continue
            cells.append(f"{times[kind]:.3f}" + (f" ({differ})" if kind in EXACT else ""))
        base = max(times["random"], FLOOR)
        worst = max(times.get(kind, 0.0) for kind in EXACT) / base
        over += [name] if worst > BOUND else []
        rows[name] = f"| {name} | {' | '.join(cells)} | {worst:.2f} |"
        print(rows[name], flush=True)
    lines = [f"| acquisition | {head} | worst |", "|:--|" + "--:|" * (len(KINDS) + 1)]
    text = "\n".join([*lines, *(rows[name] for name in sorted(rows))]) + "\n"
    if args.out:
        command = f"python benchmarks/duplicates/duplicates.py --out {args.out}"
        args.out.write_text(
            f"# Copies in the pool\n\n`{command}`\n\nCPU seconds of a query of {BUDGET} among "
            f"{args.items:,} candidates, in brackets how many of the\nrows asked for differ; "
            "`worst` is the largest ratio of exact copies to random data (times under\n"
            f"{FLOOR} s count as {FLOOR}; the bound is {BOUND:g}). The kinds are told in "
            "`duplicates.py`.\nA ratio is of one run; rows may be of several, and of different "
            f"load.\n\n{text}"
        )
    if over:
        sys.exit(f"over {BOUND} x random data: {', '.join(over)}")


if __name__ == "__main__":
    main()
