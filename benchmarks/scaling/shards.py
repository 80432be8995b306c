"""`labelgap score` on shards of features, one worker killed: `python shards.py FOLDER ROWS WIDTH`.

Prints the seconds of one pass by one worker and of four workers of whom one is killed, the peak
resident memory of a worker, and whether both give the same best items, bit for bit.
"""

import os
import resource
import signal
import sys
import time
from pathlib import Path

import numpy as np

from labelgap.methods.daal.settings import MixtureSettings
from labelgap.score.local import Local
from labelgap.score.pool import Scored, score_pool
from labelgap.score.scorer import scorer_of
from labelgap.score.shards import find_shards

CLASSES, SHARD, TOP, CHOSEN = 10, 100_000, 10_000, 1000


def make(folder: Path, rows: int, width: int) -> None:
    """Clusters of unequal spread, and 100 labelled rows of each."""
    rng = np.random.default_rng(0)
    centres = 2 * rng.normal(size=(CLASSES, width)).astype(np.float32)
    y = np.repeat(np.arange(CLASSES), 100)
    x = centres[y] + rng.normal(size=(len(y), width)).astype(np.float32)
    np.savez(folder / "labelled.npz", features=x, labels=y)
    (folder / "shards").mkdir(exist_ok=True)
    for i, start in enumerate(range(0, rows, SHARD)):
        file = folder / "shards" / f"{i:05}.npy"
        if not file.exists():
            n = min(SHARD, rows - start)
            noise = 1.3 * rng.standard_normal(size=(n, width), dtype=np.float32)
            np.save(file, noise + centres[rng.integers(CLASSES, size=n)])


def measured(folder: Path, out: str, workers: int, kill: bool, steps: int) -> Scored:
    """One run, told in a line."""
    settings = MixtureSettings(em_steps=steps)
    engine = Local(workers)
    begun = time.perf_counter()

    def progress(stage: str, done: int, of: int) -> None:
        nonlocal kill
        if kill and stage == "score":
            kill = False
            print(f"killed worker {engine.pids[0]} after {done} of {of} shards", flush=True)
            os.kill(engine.pids[0], signal.SIGKILL)

    try:
        found = score_pool(
            find_shards(folder / "shards"),
            scorer_of(folder / "labelled.npz", settings),
            folder / out,
            CHOSEN,
            top=TOP,
            settings=settings,
            engine=engine,
            progress=progress,
        )
    finally:
        engine.close()
    peak = max(
        resource.getrusage(who).ru_maxrss
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    seconds = time.perf_counter() - begun
    print(f"{workers} workers: {seconds:.1f} s, {found.scored} items, peak {peak / 1024:.0f} MB")
    return found


def main() -> None:
    folder, rows, width = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    steps = int(sys.argv[4]) if len(sys.argv) > 4 else 10
    folder.mkdir(parents=True, exist_ok=True)
    make(folder, rows, width)
    print(f"{rows} × {width}, {steps} steps of EM")
    one = measured(folder, "one", 1, False, steps)
    four = measured(folder, "four", 4, True, steps)
    again = measured(folder, "four", 4, False, steps)
    for name in ("shard", "row", "score", "pseudo"):
        same = np.array_equal(getattr(one.top, name), getattr(four.top, name))
        print(f"{name} of the best {TOP}: {'equal bit for bit' if same else 'DIFFERENT'}")
    print(f"chosen: {'equal' if one.ids == four.ids == again.ids else 'DIFFERENT'}")


if __name__ == "__main__":
    main()
