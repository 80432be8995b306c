"""What a round of a method costs beside a round of Random: at most three times, by design.

    python benchmarks/speed/rounds.py [METHOD ...] [--case digits] [--case fashion] [--out FILE]

A round is training from new weights on the initial labels and one query. Random and the method
take turns in one process (A B A B …), after a round of two steps each that loads libraries and
learns what is learned once for a data set (the embedding of TypiClust and ProbCover, cached).
Ratios are of medians, in elapsed and in CPU time; on a busy machine trust the latter.

Cases: `digits`, preset smoke, 40 + 40 labels; `fashion`, Fashion-MNIST, preset cpu, 100 + 100;
`frozen`, CIFAR-10 on the frozen network of the benchmark's preset of that name, 20 + 20;
`linear`, the same with one linear layer in place of the adapter.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from labelgap.core.device import machine, set_threads
from labelgap.data import load
from labelgap.data.types import Task
from labelgap.frozen.freeze import load_task_for
from labelgap.loop.oracle import Oracle
from labelgap.methods import METHODS
from labelgap.session.presets import resolve
from labelgap.session.session import Session

CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "digits": ("digits", "smoke", {}),
    "fashion": ("fashion-mnist", "cpu", {}),
    "frozen": (
        "cifar10",
        "cpu",
        {
            "network": {"name": "timm:tf_efficientnet_lite0", "freeze": True},
            "loop": {"initial": 20, "budget": 20},
        },
    ),
    "linear": (
        "cifar10",
        "cpu",
        {
            "network": {"name": "timm:tf_efficientnet_lite0", "freeze": True, "adapter": 0},
            "loop": {"initial": 20, "budget": 20},
        },
    ),
}
ALLOWED = 3.0


class Took(NamedTuple):
    """Seconds of one round."""

    train: float
    query: float
    cpu: float


def one_round(task: Task, method: str, case: str, precision: str, **training: Any) -> Took:
    """Train on the initial set, ask once."""
    dataset, preset, settings = CASES[case]
    values = {"method": method, "training": training, "precision": precision, **settings}
    config = resolve({**values, "data": {"name": dataset}}, preset=preset)
    with Session(task, config, machine=machine("cpu", precision)) as session:
        session.tell(Oracle(task).answer(session.ask(config.loop.initial)))
        cpu, begun = time.process_time(), time.perf_counter()
        session.fit()
        fitted = time.perf_counter()
        session.ask(config.loop.budget)
        ended = time.perf_counter()
        return Took(fitted - begun, ended - fitted, time.process_time() - cpu)


def compare(task: Task, method: str, case: str, precision: str, repeats: int) -> str:
    """One row of the table."""
    pair = ("random", method)
    for name in pair:
        one_round(task, name, case, precision, steps=2)
    took: dict[str, list[Took]] = {name: [] for name in pair}
    for _ in range(repeats):
        for name in pair:
            took[name].append(one_round(task, name, case, precision))

    def middle(name: str, of: Any) -> float:
        return statistics.median(of(t) for t in took[name])

    base, own = (middle(name, lambda t: t.train + t.query) for name in pair)
    ratio, query = own / base, middle(method, lambda t: t.query)
    cpu = middle(method, lambda t: t.cpu) / middle("random", lambda t: t.cpu)
    over = " over" if min(ratio, cpu) > ALLOWED else ""
    return f"| {method} | {base:.1f} | {own:.1f} | {query:.2f} | {ratio:.2f} | {cpu:.2f}{over} |\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("methods", nargs="*", default=[])
    parser.add_argument("--case", action="append", choices=sorted(CASES), default=[])
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--data-root", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=None, help="Markdown file for the tables.")
    args = parser.parse_args()
    threads = set_threads(args.threads)
    names = args.methods or [name for name in sorted(METHODS) if name != "random"]
    lines = ["# Cost of a round\n\n", f"`python benchmarks/speed/rounds.py` with {args.repeats} "]
    lines.append(f"rounds each, {threads} threads, {args.precision}: seconds of a round of Random ")
    lines.append("and of the method in turns, of its query alone, and both ratios.\n")

    def say(text: str) -> None:
        lines.append(text)
        sys.stdout.write(text)
        sys.stdout.flush()
        if args.out:  # as it grows: the whole takes long
            args.out.write_text("".join(lines))

    for case in args.case or list(CASES):
        dataset, preset, settings = CASES[case]
        task = load(dataset, root=args.data_root)
        if settings.get("network", {}).get("freeze"):
            config = resolve({"data": {"name": dataset}, **settings}, preset=preset)
            task = load_task_for(config, task, machine("cpu", args.precision))
        say(f"\n## {dataset}, preset `{preset}`\n\n| method | random | method | its query ")
        say("| ratio | CPU ratio |\n|---|---|---|---|---|---|\n")
        for name in names:
            say(compare(task, name, case, args.precision, args.repeats))


if __name__ == "__main__":
    main()
