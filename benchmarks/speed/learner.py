"""Cost of a learner's step against bare forward + backward of the same network, in one run.

    python benchmarks/speed/learner.py

The bare loop holds one ready batch and does forward, cross-entropy and backward: no data, no
augmentation, no optimiser, no checks. The learner's step is the whole of a training step. Both
use the same precision, memory layout and threads, and take turns. Results go to learner.json.
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

import torch

from labelgap.core.device import machine, set_threads
from labelgap.data import load
from labelgap.learn.stage import StageRunner
from labelgap.learn.supervised import cross_entropy
from labelgap.loop.oracle import Oracle
from labelgap.session.claim import versions
from labelgap.session.presets import resolve
from labelgap.session.session import Session


def measure(
    preset: str, dataset: str, root: Path | None, precision: str, steps: int, repeats: int
) -> dict[str, object]:
    """Ratios of the learner's step to bare forward + backward, one per repeat."""
    task = load(dataset, root=root)
    config = resolve(
        {"method": "random", "data": {"name": dataset}, "precision": precision}, preset=preset
    )
    session = Session(task, config, machine=machine("cpu", precision))
    session.tell(Oracle(task).answer(session.ask(config.loop.initial)))
    training = session.new_training(0)
    runner = StageRunner(session.learner.inputs, training, session.objective.stages(training)[0])
    batch, network = runner.batch(0), training.network

    def bare() -> None:
        with session.machine.autocast():
            loss = cross_entropy(network(batch.x).logits, batch.y)
        for p in network.parameters():
            p.grad = None
        loss.backward()

    def seconds(action: object, first: int) -> float:
        started = time.perf_counter()
        for step in range(first, first + steps):
            runner.step(step % runner.stage.steps) if action == "learner" else bare()
        return time.perf_counter() - started

    seconds("learner", 0), seconds("bare", 0)  # the first calls choose kernels
    ratios, ours, theirs = [], [], []
    for repeat in range(repeats):
        a, b = seconds("learner", (repeat + 1) * steps), seconds("bare", 0)
        ratios.append(a / b)
        ours.append(a / steps)
        theirs.append(b / steps)
    return {
        "preset": preset, "dataset": dataset, "precision": session.machine.precision,
        "ratio_median": statistics.median(ratios), "ratio_min": min(ratios),
        "ratio_max": max(ratios), "learner_ms": 1e3 * statistics.median(ours),
        "bare_ms": 1e3 * statistics.median(theirs),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--repeats", type=int, default=9)
    arguments = parser.parse_args()
    threads = set_threads(arguments.threads)
    cases = [
        ("smoke", "digits", "float32", 20), ("cpu", "fashion-mnist", "float32", 10),
        ("cpu", "fashion-mnist", "auto", 10), ("paper", "fashion-mnist", "auto", 1),
    ]  # fmt: skip
    rows = [
        measure(preset, data, arguments.data_root, precision, steps, arguments.repeats)
        for preset, data, precision, steps in cases
    ]
    for row in rows:
        print(row)
    facts = {
        "command": f"python benchmarks/speed/learner.py --threads {threads}",
        "machine": platform.processor() or platform.machine(), "threads": threads,
        "torch_threads": torch.get_num_threads(), "versions": versions(), "rows": rows,
    }  # fmt: skip
    Path(__file__).with_suffix(".json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main()
