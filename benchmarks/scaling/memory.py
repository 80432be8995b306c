"""Memory and time of one query against the size of the pool, each in a process of its own.

    uv run python benchmarks/scaling/memory.py --method daal --items 10000 100000 1000000

The features lie in a .npy that is mapped; what is measured is the peak of anonymous memory
(RssAnon: resident memory less the pages of files) above that before the view was made, and the
processor time of the query. Lines of JSON go to benchmarks/scaling/memory.jsonl; figure.py draws
them.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

METHODS = (
    "random", "margin", "entropy", "coreset", "badge", "typiclust", "alfa-mix", "cdal",
    "max-herding", "u-herding", "gap", "daal",
)  # fmt: skip
OUT = Path(__file__).with_name("memory.jsonl")
LABELLED, CLASSES = 1000, 10


def anonymous() -> int:
    """Bytes of this process that are no file's pages."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    raise SystemExit("/proc/self/status has no RssAnon: this needs Linux.")


class Peak:
    """The largest `anonymous` while it runs, looked at every 5 ms."""

    def __enter__(self) -> "Peak":
        self.most, self._over = anonymous(), threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def _look(self) -> None:
        while not self._over.wait(0.005):
            self.most = max(self.most, anonymous())

    def __exit__(self, *exc: object) -> None:
        self._over.set()
        self._thread.join()
        self.most = max(self.most, anonymous())


def pool_file(items: int, width: int, half: bool, folder: Path) -> Path:
    """Clusters of unequal size, made in pieces; kept for the next method."""
    import numpy as np

    file = folder / f"pool-{items}-{width}-{'f2' if half else 'f4'}.npy"
    if file.exists():
        return file
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 1, (CLASSES, width)).astype(np.float32)
    kind = np.float16 if half else np.float32
    made = np.lib.format.open_memmap(file, "w+", kind, (items, width))
    for start in range(0, items, 8192):
        part = made[start : start + 8192]
        which = rng.integers(0, CLASSES, len(part))
        noise = rng.standard_normal(part.shape, dtype=np.float32)
        part[:] = np.maximum(centres[which] + noise, 0).astype(np.float32)
    made.flush()
    return file


def child(method: str, file: Path, budget: int, threads: int, above: int | None) -> None:
    """Measure one query in this process, and print it."""
    import numpy as np
    import torch

    from labelgap.arrays.supply import Head
    from labelgap.axes.view import PoolView
    from labelgap.core import scratch
    from labelgap.core.config import build
    from labelgap.core.device import set_threads
    from labelgap.core.streams import Streams
    from labelgap.methods import ACQUISITIONS

    set_threads(threads)
    if above is not None:
        scratch.ABOVE = above
    cls = ACQUISITIONS[method]
    acquisition = cls(build(cls.Options, {}, "acquisition"))
    whole = np.load(file, mmap_mode="c")
    width = whole.shape[1]
    weight = torch.from_numpy(np.random.default_rng(0).normal(0, 1, (CLASSES, width))).float()
    head = Head(weight, -0.5 * weight.square().sum(1))

    def view(items: int, labelled: int) -> PoolView:
        sides = []
        for part in (whole[:labelled], whole[labelled : labelled + items]):
            z = torch.from_numpy(part)
            if z.dtype != torch.float32:
                made = scratch.empty(*z.shape)
                for start in range(0, len(z), 4096):
                    made[start : start + 4096] = z[start : start + 4096]
                z = made
            logits = torch.cat([head.head(some).detach() for some in torch.split(z, 8192)]) * 0.2
            side = {"features": z, "embedding": z, "logits": logits}
            side["critic"] = logits.logsumexp(1)
            sides.append({k: v for k, v in side.items()
                          if k in acquisition.needs | acquisition.uses | {"logits"}})  # fmt: skip
        y = sides[0]["logits"].argmax(1).numpy()
        ids = np.arange(labelled + items)
        return PoolView(
            round=1, num_classes=CLASSES, labelled_ids=ids[:labelled], labels=y,
            candidate_ids=ids[labelled:], labelled=sides[0], candidates=sides[1],
            streams=Streams(0), network=head,
        )  # fmt: skip

    # The first query pays for what libraries load and keep, whatever the pool.
    acquisition.select(view(2000, 100), 5)
    items = len(whole) - LABELLED
    before = anonymous()
    with Peak() as peak:
        pool = view(items, LABELLED)
        started, clock = time.process_time(), time.perf_counter()
        query = acquisition.select(pool, budget)
        cpu, wall = time.process_time() - started, time.perf_counter() - clock
    assert len(set(query.ids.tolist())) == budget
    facts = {
        "method": method, "items": items, "width": width, "budget": budget, "threads": threads,
        "dtype": str(whole.dtype), "bytes": peak.most - before, "cpu_seconds": round(cpu, 2),
        "wall_seconds": round(wall, 2), "ids": query.ids.tolist(),
    }  # fmt: skip
    sys.stdout.write(json.dumps(facts))


def measure(
    method: str,
    items: int,
    width: int,
    budget: int,
    threads: int = 2,
    half: bool = False,
    above: int | None = None,
    folder: Path | None = None,
) -> dict[str, object]:
    """What `child` prints, of a process of its own."""  # fmt: skip
    place = folder or Path(tempfile.gettempdir()) / "labelgap-scaling"
    place.mkdir(parents=True, exist_ok=True)
    file = pool_file(items + LABELLED, width, half, place)
    return of_file(method, file, budget, threads, above)


def of_file(
    method: str, file: Path, budget: int, threads: int = 2, above: int | None = None
) -> dict[str, object]:
    """`measure` of a pool's file, whose first 1,000 rows are the labelled ones."""
    words = ["child", method, file, budget, threads, "" if above is None else above]
    done = subprocess.run(
        [sys.executable, __file__, *map(str, words)], capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def main() -> None:
    if sys.argv[1:2] == ["child"]:
        method, file, budget, threads, above = sys.argv[2:7]
        child(method, Path(file), int(budget), int(threads), int(above) if above else None)
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--method", nargs="+", default=list(METHODS))
    parser.add_argument("--items", nargs="+", type=int, default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--budget", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--half", action="store_true", help="a map of float16")
    parser.add_argument("--folder", type=Path, help="for the pools' files")
    args = parser.parse_args()
    for items in args.items:
        for method in args.method:
            facts = measure(
                method, items, args.width, min(args.budget, items // 10), args.threads, args.half,
                folder=args.folder,
            )  # fmt: skip
            facts.pop("ids")
            print(json.dumps(facts), flush=True)
            with OUT.open("a") as log:
                log.write(json.dumps(facts) + "\n")


if __name__ == "__main__":
    main()
