"""Speed of selection beside its peers, in one run: k-center, BADGE, k-means.

    python benchmarks/speed/selection.py --threads 2 --out benchmarks/speed/selection.md

Every repeat times ours and the peer's one after the other, and the ratio is taken within the
repeat, so that other work on the machine falls on both. Per-pick peers are timed on fewer picks
and scaled: first pick (with its start-up) plus (n - 1) x the mean of the further ones.
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Row(NamedTuple):
    """A task beside its peer: [repeat, side, clock or processor] seconds, ours first, and the
    products that it cannot do without, in floating-point operations."""

    task: str
    peer: str
    seconds: Any
    aim: str
    operations: float | None


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--labelled", type=int, default=1_000)
    parser.add_argument("--picks", type=int, default=1_000)
    parser.add_argument("--peer-picks", type=int, default=41, help="picks the peers are timed on")
    parser.add_argument("--candidates", type=int, default=10_000, help="items k-means clusters")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="write the tables to this file too")
    return parser.parse_args(words)


def line(row: Row) -> str:
    import numpy as np

    ratios = np.sort(row.seconds[:, 1] / row.seconds[:, 0], axis=0)
    middle, ratio = np.median(row.seconds, axis=0)[:, 0], np.median(ratios, axis=0)
    return (
        f"| {row.task} | {row.peer} | {middle[0]:.2f} | {middle[1]:.2f} | **{ratio[0]:.1f}** | "
        f"{ratios[0, 0]:.1f} to {ratios[-1, 0]:.1f} | {ratio[1]:.1f} | {row.aim} |"
    )


def measured(options: argparse.Namespace) -> tuple[list[Row], list[str]]:
    """The tasks beside their peers, and what else is to be said of them."""
    import numpy as np
    import torch
    from skactiveml.pool import CoreSet
    from sklearn.cluster import KMeans

    from labelgap.select import badge, k_center, kmeans, representatives

    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(options.seed)
    n, d, b = options.items, options.width, options.picks

    def features(size: int) -> Any:
        # 100 overlapping clusters after a ReLU, as a network's last features are.
        z = 0.5 * means[rng.integers(0, 100, size)] + rng.normal(size=(size, d))
        return torch.from_numpy(np.maximum(z, 0).astype(np.float32))

    means = rng.normal(size=(100, d))
    z, labelled = features(n), features(options.labelled)
    rows: list[Row] = []

    def timed(call: Callable[[], Any]) -> tuple[Any, Any]:
        """Seconds on the clock and of the processor, and the result."""
        clock, processor = time.perf_counter(), time.process_time()
        result = call()
        return np.array([time.perf_counter() - clock, time.process_time() - processor]), result

    def scaled(call: Callable[[int], Any]) -> Any:
        one, more = timed(lambda: call(1))[0], timed(lambda: call(options.peer_picks))[0]
        return one + (b - 1) * (more - one) / (options.peer_picks - 1)

    def compare(
        task: str,
        peer: str,
        aim: str,
        operations: float | None,
        ours: Callable[[], Any],
        theirs: Callable[[], Any],
    ) -> None:
        ours()
        pairs = [(timed(ours)[0], theirs()) for _ in range(options.repeats)]
        rows.append(Row(task, peer, np.array(pairs), aim, operations))
        print(line(rows[-1]), file=sys.stderr, flush=True)

    # k-center ------------------------------------------------------------------------------
    both = np.concatenate([labelled.numpy(), z.numpy()])
    y = np.full(len(both), np.nan)
    y[: len(labelled)] = 0

    def core_set(picks: int) -> Any:
        return CoreSet(random_state=0).query(both, y, batch_size=picks)

    compare(
        f"k-center, {b:,} picks",
        "scikit-activeml `CoreSet`",
        "8",
        2.0 * n * d * (options.labelled + b),
        lambda: k_center(z, labelled, b),
        lambda: scaled(core_set),
    )

    # BADGE ---------------------------------------------------------------------------------
    def one_by_one(picks: int, a: Any, h: Any) -> None:
        draw = np.random.default_rng(0)
        norms = np.einsum("ij,ij->i", a, a) * np.einsum("ij,ij->i", h, h)
        pick, near = int(norms.argmax()), np.full(n, np.inf, np.float32)
        for _ in range(picks):
            gap = norms + norms[pick] - 2 * (a @ a[pick]) * (h @ h[pick])
            near = np.minimum(near, np.maximum(gap, 0))
            near[pick] = 0
            mass = np.cumsum(near, dtype=np.float64)
            pick = int(np.searchsorted(mass, draw.random() * mass[-1], side="right"))

    for classes in (10, 100):
        p = torch.softmax(torch.from_numpy(rng.normal(0, 3, (n, classes))).float(), 1)
        a = p.clone()
        a[torch.arange(n), p.argmax(1)] -= 1

        compare(
            f"BADGE, K = {classes}, {b:,} picks",
            "factorised, one pick at a time (numpy)",
            "5",
            2.0 * n * (d + classes) * b,
            lambda a=a: badge(a, z, b, np.random.default_rng(0)),
            lambda a=a: scaled(lambda picks: one_by_one(picks, a.numpy(), z.numpy())),
        )

    # k-means -------------------------------------------------------------------------------
    few = z[: options.candidates]
    inertia: dict[str, list[float]] = {"ours": [], "peer": []}

    def ours() -> None:
        inertia["ours"].append(kmeans(few, b, np.random.default_rng(len(inertia["ours"])))[2])

    def peer() -> Any:
        seconds, fitted = timed(
            lambda: KMeans(b, n_init=1, random_state=len(inertia["peer"])).fit(few.numpy())
        )
        inertia["peer"].append(fitted.inertia_)
        return seconds

    compare(
        f"k-means, {len(few):,} items, {b:,} clusters",
        "scikit-learn `KMeans(n_init=1)`",
        "3",
        None,
        ours,
        peer,
    )
    gap = 100 * (np.mean(inertia["ours"]) / np.mean(inertia["peer"]) - 1)
    seconds, _ = timed(lambda: representatives(few, b, np.random.default_rng(0)))

    # identity ------------------------------------------------------------------------------
    x = z.double().numpy() - z.double().numpy().mean(0)
    c = labelled.double().numpy() - z.double().numpy().mean(0)
    norms = np.einsum("ij,ij->i", x, x)
    near = np.full(n, np.inf)
    for row in c:
        near = np.minimum(near, norms + row @ row - 2 * (x @ row))
    near, plain = near.astype(np.float32), []
    for _ in range(b):
        plain.append(int(near.argmax()))
        row = x[plain[-1]]
        near = np.minimum(near, (norms + row @ row - 2 * (x @ row)).astype(np.float32))
        near[plain] = -1
    same = sum(i == j for i, j in zip(k_center(z, labelled, b).tolist(), plain, strict=True))

    return rows, [
        f"* k-center: {same} of {b:,} picks are those of the plain greedy (float64 distances "
        "rounded to\n  float32, one pick at a time), in the same order.",
        f"* k-means: mean inertia {gap:+.2f} % against scikit-learn's over the same number of "
        "seeds or more.",
        "* representatives (k-means and the item nearest each centre), same size: "
        f"{seconds[0]:.2f} s.",
    ]


def main(options: argparse.Namespace) -> str:
    import numpy as np
    import scipy
    import skactiveml
    import sklearn
    import torch

    load = os.getloadavg()[0]
    rows, notes = measured(options)
    head = f"""# Selection: speed beside the peers

Made by `python benchmarks/speed/selection.py --threads {options.threads} \
--repeats {options.repeats} --peer-picks {options.peer_picks}`.
{options.items:,} items x {options.width} features (float32, 100 overlapping clusters after a
ReLU), {options.labelled:,} labelled, {options.picks:,} picks. Seconds are medians of
{options.repeats} repeats, ours and the peer's in turn; ratios are taken within a repeat, of the
clock and, because other work on the same cores disturbs it less, of processor time. CoreSet and
the one-by-one form are timed on 1 and on {options.peer_picks} picks and scaled to
{options.picks:,}. Both sides run with
`OMP_WAIT_POLICY=PASSIVE`, so that idle threads do not spin against other work.

{platform.machine()}, {os.cpu_count()} cores, {options.threads} thread(s); load average
{load:.1f} when it began (other work on the same cores), {os.getloadavg()[0]:.1f} at the end.
Python {platform.python_version()}, torch {torch.__version__}, numpy {np.__version__},
scipy {scipy.__version__}, scikit-learn {sklearn.__version__},
scikit-activeml {skactiveml.__version__}.

| task | peer | ours, s | peer, s | ratio | spread | ratio of processor time | aim |
|---|---|---|---|---|---|---|---|
"""
    table = "\n".join(line(row) for row in rows)
    return head + table + "\n\n" + "\n".join(notes) + "\n"


if __name__ == "__main__":
    chosen = arguments()
    # Before numpy is imported: BLAS and OpenMP read them once.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(chosen.threads)
    report = main(chosen)
    print(report)
    if chosen.out:
        chosen.out.write_text(report)
