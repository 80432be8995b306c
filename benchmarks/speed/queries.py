"""Seconds of a query: N = 10,000 and 50,000, d = 512, K = 10, 1,000 labelled, budget 1,000.

    python benchmarks/speed/queries.py [NAME ...] [--items N ...] [--width D] [--given OUTPUT]

The view is made of synthetic arrays (`labelgap.check.synthetic`): what is timed is the acquisition
alone: no pass of a network, no embedding; ISAL's network is an adapter on the features. CPU time
follows the load of the machine least (with one thread it is the time of an idle machine). DAAL
fits a critic of its own unless the objective has one: `--given critic`. "Grown by" is peak memory
above what the process held before the query.
Random is timed beside for a ratio.
"""

import argparse
import os
import sys
import threading
import time
from pathlib import Path

from labelgap.check.synthetic import synthetic_view
from labelgap.core.config import build
from labelgap.core.device import set_threads
from labelgap.methods import ACQUISITIONS, METHODS, Acquisition

BUDGET = 1000


class Peak:
    """The process's growth while it is open, in MB, sampled every 10 ms."""

    def __enter__(self) -> "Peak":
        self.start, self.most, self.open = resident(), 0.0, True
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def _watch(self) -> None:
        while self.open:
            self.most = max(self.most, resident() - self.start)
            time.sleep(0.01)

    def __exit__(self, *exc: object) -> None:
        self.open = False
        self.thread.join()


def resident() -> float:
    """Resident memory in MB (Linux)."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def acquisition(name: str) -> type[Acquisition]:
    """That of a method, or the acquisition of this name."""
    return ACQUISITIONS[METHODS[name].acquisition if name in METHODS else name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("methods", nargs="*", default=[])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--items", nargs="+", type=int, default=[10_000, 50_000], metavar="N")
    parser.add_argument("--width", type=int, default=512, help="features")
    parser.add_argument("--given", action="append", default=[], help="further output of the view")
    parser.add_argument("--out", type=Path, help="Markdown file for the table")
    args = parser.parse_args()
    threads = set_threads(args.threads)
    options = dict(item.split("=", 1) for item in args.set)
    needs = {need for name in args.methods for need in acquisition(name).needs} | set(args.given)
    rows = [
        f"| method{', given ' + ', '.join(args.given) if args.given else ''} | N | seconds "
        f"({threads} threads) | CPU seconds | grown by MB |",
        "|:--|--:|--:|--:|--:|",
    ]
    for n in args.items:
        pool = synthetic_view(n, needs, width=args.width)
        for name in ["random", *args.methods]:
            cls = acquisition(name)
            made = cls(build(cls.Options, options if name != "random" else {}, name))
            made.select(synthetic_view(500, needs, labelled=50, width=args.width), 5)  # libraries
            with Peak() as peak:
                elapsed, started = time.perf_counter(), time.process_time()
                made.select(pool, BUDGET)
                seconds = time.process_time() - started
                elapsed = time.perf_counter() - elapsed
            rows.append(f"| {name} | {n:,} | {elapsed:.4f} | {seconds:.4f} | {peak.most:.0f} |")
    text = "\n".join(rows) + "\n"
    sys.stdout.write(text)
    if args.out:
        command = " ".join(["python", "benchmarks/speed/queries.py", *sys.argv[1:]])
        with args.out.open("a") as file:
            file.write(f"`{command}`\n\n{text}\n")


if __name__ == "__main__":
    main()
