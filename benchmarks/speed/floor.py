"""An EM iteration beside its floor and scikit-learn's GaussianMixture, interleaved in one run.

    python benchmarks/speed/floor.py --out benchmarks/speed/floor.md

An iteration cannot be faster than its products: features times parameters (E step) and
responsibilities times features (M step), each over x and x² for a diagonal covariance (four
products of n × d × K), over x and one column more for a spherical one (two). The floor is the
time of these products alone, by the same BLAS, on a block that lies in cache and is used n / rows
times: nothing is read, centred, squared, normalised or summed. How fast this machine multiplies
two square matrices in the same run is told beside it: tall, thin products are slower than that.

A round times floor, labelgap, scikit-learn and the square product one after the other; a ratio is
of one round. Given are the median of all rounds and, in brackets, the smallest and the largest.
Processor time holds on a busy machine, but with two threads it counts a thread that waits; the
clock's time counts what others did. Rates are of the fastest round, by the clock.
"""

import argparse
import os
import statistics as stats
import sys
import time
import warnings
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import sklearn
import threadpoolctl
import torch
from mixture import NAMES, features, peer, processor

from labelgap.mixtures.products import COLUMNS, CPU_ROWS, padded_columns
from labelgap.mixtures.statistics import expectation, statistics

SQUARE = 1024
SIDES = ("floor", "ours", "theirs", "square")


def products(n: int, d: int, k: int, covariance: str) -> tuple[Callable[[], None], float]:
    """The products of an iteration and nothing else, and their floating-point operations."""
    width = 2 * d if covariance == "diagonal" else d + 1
    columns = padded_columns(k, torch.device("cpu"))
    rng = np.random.default_rng(0)
    # Rows a power of two apart would share cache lines: spare columns, as in the package.
    block = rng.standard_normal((CPU_ROWS, width + COLUMNS), dtype=np.float32)[:, :width]
    weight = rng.standard_normal((width, columns), dtype=np.float32)
    r, sums = np.empty((CPU_ROWS, columns), np.float32), np.empty((columns, width), np.float32)

    def run() -> None:
        for begin in range(0, n, CPU_ROWS):
            rows = min(CPU_ROWS, n - begin)
            np.matmul(block[:rows], weight, out=r[:rows])
            np.matmul(r[:rows].T, block[:rows], out=sums)

    return run, 4.0 * n * k * (2 * d if covariance == "diagonal" else d)


def timed(action: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the processor and of the clock."""
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return time.process_time() - cpu, time.perf_counter() - wall


def square_rate() -> float:
    """Floating-point operations a second of processor time, of the fastest of some products."""
    side = np.random.default_rng(0).standard_normal((SQUARE, SQUARE), dtype=np.float32)
    return 2.0 * SQUARE**3 / min(timed(lambda: side @ side)[0] for _ in range(9))


def spread(above: list[float], below: list[float]) -> str:
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    return f"{stats.median(ratios):.2f} [{min(ratios):.2f}, {max(ratios):.2f}]"


def compare(n: int, d: int, k: int, covariance: str, rounds: int) -> list[str]:
    """Cells of the table's row after threads, K and covariance."""
    z, responsibilities = features(n, d, k, seed=k)
    x, start = z.numpy(), statistics(z, responsibilities, covariance=covariance).mixture()
    estimator = peer(start)
    floor, operations = products(n, d, k, covariance)
    side = np.random.default_rng(0).standard_normal((SQUARE, SQUARE), dtype=np.float32)

    def theirs() -> None:
        _, log_resp = estimator._e_step(x)
        estimator._m_step(x, log_resp)

    actions = (floor, lambda: expectation(start, z).mixture(), theirs, lambda: side @ side)
    for action in actions:
        action()  # loads libraries, starts threads
    times = [[timed(action) for action in actions] for _ in range(rounds)]
    cpu, wall = (
        {name: [one[i][clock] for one in times] for i, name in enumerate(SIDES)} for clock in (0, 1)
    )
    rate = operations / min(wall["floor"]) / 1e9
    square = 2.0 * SQUARE**3 / min(wall["square"]) / 1e9
    return [
        *(f"{1e3 * stats.median(cpu[name]):.1f}" for name in SIDES[:3]),
        spread(cpu["ours"], cpu["floor"]), spread(wall["ours"], wall["floor"]),
        spread(cpu["theirs"], cpu["ours"]), spread(wall["theirs"], wall["ours"]),
        f"{rate:.0f}", f"{square:.0f}",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n", type=int, default=50_000, help="samples")
    parser.add_argument("--d", type=int, default=512, help="features")
    parser.add_argument("--k", type=int, nargs="+", default=[10, 100], help="components")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, help="Markdown file for the table")
    args = parser.parse_args()
    warnings.simplefilter("ignore", sklearn.exceptions.ConvergenceWarning)
    head = (
        "threads", "K", "covariance", "floor, CPU ms", "labelgap, CPU ms", "scikit-learn, CPU ms",
        "labelgap ÷ floor, CPU", "the same, clock", "scikit-learn ÷ labelgap, CPU",
        "the same, clock", "floor's GFLOP/s", "square GFLOP/s",
    )  # fmt: skip
    rows = [head, ("--:", "--:", ":--", *["--:"] * 9)]
    for threads, k, covariance in product(args.threads, args.k, NAMES):
        torch.set_num_threads(threads)
        with threadpoolctl.threadpool_limits(threads):
            cells = compare(args.n, args.d, k, covariance, args.rounds)
        rows.append((str(threads), str(k), covariance, *cells))
        print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
    text = "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"
    sys.stdout.write(text)
    if args.out:
        command = " ".join(["python", "benchmarks/speed/floor.py", *sys.argv[1:]])
        about = (
            f"{processor()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
            f"{args.n:,} × {args.d} float32, {args.rounds} rounds, torch {torch.__version__}, "
            f"numpy {np.__version__}, scikit-learn {sklearn.__version__}."
        )
        args.out.write_text(f"# EM beside its floor\n\n{about}\n\n`{command}`\n\n{text}")


if __name__ == "__main__":
    main()
