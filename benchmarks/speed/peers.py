"""All that is timed beside a peer, in one run: how many times as long the peer takes.

    uv run --group peers python benchmarks/speed/peers.py --threads 1 --out FILE

Rows are those of floor.py (an EM iteration), selection.py (k-center, BADGE, k-means) and learner.py
(a training step), which say what each is timed against. Ours and the peer's take turns; a ratio is
of one turn. Of processor time, which holds on a busy machine: the median, the least and the most.
The floor is what cannot be done without: the products alone for EM; for k-center and BADGE one
product of all items with all centres, at the rate of a square product in this run; and forward and
backward of the same network for a step, which has no other peer.
"""

import argparse
import os
import statistics
import sys
from pathlib import Path

REPEATS = 5


def table(threads: int, small: bool) -> list[tuple[str, ...]]:
    import floor
    import learner
    import selection
    import torch

    torch.set_num_threads(threads)
    n, repeats = (2_000, 2) if small else (20_000, REPEATS)
    rows = []
    for k in (10, 100):
        for covariance in floor.NAMES:
            cells = floor.compare(n, 512, k, covariance, repeats)
            # floor, ours and theirs in ms; ours ÷ floor; theirs ÷ ours: both of processor time.
            task = f"EM iteration, {n:,} × 512, K = {k}, {covariance}"
            rows.append((task, "scikit-learn", f"{cells[1]} ms", cells[5], cells[3]))
    options = selection.arguments([])
    options.threads, options.repeats = threads, repeats
    if small:
        options.items, options.labelled, options.picks, options.candidates = 2_000, 50, 50, 500
    rate = floor.square_rate()
    for row in selection.measured(options)[0]:
        ours, theirs = row.seconds[:, 0, 1].tolist(), row.seconds[:, 1, 1].tolist()
        least = [row.operations / rate] * len(ours) if row.operations else []
        above = floor.spread(ours, least) if least else "–"
        milliseconds = f"{1e3 * statistics.median(ours):.0f} ms"
        size = f"{options.items:,} × {options.width}: " if row.operations else ""
        task = size + row.task
        rows.append((task, row.peer, milliseconds, floor.spread(theirs, ours), above))
    found = learner.measure("smoke", "digits", None, "float32", 20, repeats)
    above = f"{found['ratio_median']:.2f} [{found['ratio_min']:.2f}, {found['ratio_max']:.2f}]"
    rows.append(("training step, digits", "–", f"{found['learner_ms']:.1f} ms", "–", above))
    return rows


def main(options: argparse.Namespace) -> None:
    import floor
    import threadpoolctl

    from labelgap.bench.report.tables import markdown

    with threadpoolctl.threadpool_limits(options.threads):
        rows = table(options.threads, options.small)
    head = ("task", "peer", "labelgap", "peer ÷ labelgap", "labelgap ÷ floor")
    text = markdown(head, rows)
    sys.stdout.write(text)
    if options.out:
        command = " ".join(["python", "benchmarks/speed/peers.py", *sys.argv[1:]])
        about = (
            f"{floor.processor()}, {os.cpu_count()} cores, {options.threads} thread(s), load "
            f"{os.getloadavg()[0]:.1f}. Ratios of processor time: median [least, most] of "
            f"{REPEATS} turns. What the floor is says `peers.py`."
        )
        options.out.write_text(f"# Beside the peers\n\n{about}\n\n`{command}`\n\n{text}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--small", action="store_true", help="tiny sizes: whether it runs at all")
    parser.add_argument("--out", type=Path, help="Markdown file for the table")
    chosen = parser.parse_args()
    # Before numpy is imported: BLAS and OpenMP read them once.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(chosen.threads)
    main(chosen)
