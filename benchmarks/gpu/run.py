"""What a GPU does with labelgap: its speed, then the paper's own scale, in pieces of ten minutes.

    python benchmarks/gpu/run.py --data-root DATA --minutes 9     # again, until it says "done"

First images a second of ResNet-18 at 32 × 32. Then `labelgap run --preset paper` on CIFAR-10,
1,000 → 10,000 labels, one seed each of random, margin, badge, daal, and DAAL's query on plain
training. What is finished is never done again, and a run that the clock ends goes on where it was.
`--tiny` does all of it on a CPU with a network of no use, to see that it works.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

SPEEDS = [
    ("train", "float32", False), ("train", "bfloat16", False), ("train", "bfloat16", True),
    ("predict", "float32", False),
]  # fmt: skip
RUNS = {
    "random": ("--method", "random"),
    "margin": ("--method", "margin"),
    "badge": ("--method", "badge"),
    "daal": ("--method", "daal"),
    "cross-entropy+daal": ("--objective", "cross-entropy", "--acquisition", "daal"),
}
PAPER = ("--preset", "paper", "--dataset", "cifar10", "--seed", "0", "--no-baseline")
TINY = (
    "--preset", "smoke", "--seed", "0", "--no-baseline", "--steps", "4", "--rounds", "1",
    "--initial", "20", "--budget", "10", "--threads", "1", "--set", "network.width=4",
)  # fmt: skip
ENDING = 30.0
"""Seconds that a run may take to end in order."""


@dataclass(frozen=True)
class Sizes:
    """What is measured: the paper's, or next to nothing."""

    run: Sequence[str]
    images: int
    steps: int
    width: int


SIZES = {False: Sizes(PAPER, 50_000, 200, 64), True: Sizes(TINY, 200, 1, 4)}


def key_of(part: str, precision: str, compiled: bool) -> str:
    return f"{part}, {precision}{', compiled' if compiled else ''}"


class Results:
    """results.json of a folder: written whole after each measurement.

    Raises SystemExit where the folder holds the other kind of results: the real ones would be
    taken for done.
    """

    def __init__(self, folder: Path, tiny: bool = False) -> None:
        self.file = folder / "results.json"
        folder.mkdir(parents=True, exist_ok=True)
        self.facts: dict[str, Any] = {"tiny": tiny, "speed": {}, "runs": {}}
        if self.file.exists():
            self.facts = json.loads(self.file.read_text())
            if self.facts["tiny"] != tiny:
                kind = "without `--tiny`" if tiny else "of `--tiny`"
                raise SystemExit(f"{self.file} holds results {kind}: give another `--out`.")

    def add(self, kind: str, key: str, facts: Any) -> None:
        self.facts[kind][key] = facts
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(self.facts, indent=1))
        new.replace(self.file)
        (self.file.parent / "results.md").write_text(table(self.facts))

    def left(self) -> tuple[list[tuple[str, str, bool]], list[str]]:
        """Measurements and runs that are still to be done, in their order.

        A measurement that was refused is asked for again: the compiler may be there by now.
        """
        known = self.facts["speed"]
        speeds = [s for s in SPEEDS if "card" not in known.get(key_of(*s), {})]
        return speeds, [name for name in RUNS if name not in self.facts["runs"]]


def table(facts: dict[str, Any]) -> str:
    """Both tables as Markdown."""
    lines = [
        "| ResNet-18, 32 × 32 | images/s | least to most | 10⁹ operations an image "
        "| the card's bound, 10¹² a second | reached | card |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    for key, s in facts["speed"].items():
        if "refused" in s:
            lines.append(f"| {key} | – | – | – | – | – | {s['refused']} |")
            continue
        peak = s["peak"]
        share = f"{peak / 1e12:,.0f} | {100 * s['share_of_peak']:.1f} %" if peak else "– | –"
        lines.append(
            f"| {key} | {s['images_per_second']:,.0f} | {s['least']:,.0f} to {s['most']:,.0f} "
            f"| {s['operations_per_image'] / 1e9:.2f} | {share} | {s['card']} |"
        )
    lines += [
        "",
        "| method | labels | accuracy at the end | AUBC | minutes |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, r in facts["runs"].items():
        lines.append(
            f"| {name} | {r['labels']:,} | {100 * r['accuracy']:.1f} | {100 * r['aubc']:.1f} "
            f"| {r['minutes']:.0f} |"
        )
    return "\n".join(lines) + "\n"


def run(words: Sequence[str], folder: Path, until: float) -> bool:
    """One run, or a piece of it. Returns whether it is finished.

    Raises SystemExit where the run itself fails: what it said stands above.
    """
    command = [sys.executable, "-m", "labelgap", "run", "--out", str(folder), *words]
    process = subprocess.Popen(command)
    try:
        status = process.wait(max(1.0, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(ENDING)
        except subprocess.TimeoutExpired:
            process.kill()  # nothing is lost: the next call goes on from the last checkpoint
            process.wait()
        return False
    if status:
        raise SystemExit(f"{' '.join(command)} ended with status {status}.")
    return True


def facts_of(folder: Path) -> dict[str, Any]:
    """What a finished run came to."""
    result = json.loads((folder / "result.json").read_text())
    last = result["rounds"][-1]
    seconds = sum(sum(entry["seconds"].values()) for entry in result["rounds"])
    return {"labels": last["labels"], "accuracy": last["accuracy"], "aubc": result["aubc"],
            "minutes": seconds / 60}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, help="runs/gpu, or runs/gpu-tiny with --tiny")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    options = parser.parse_args()
    device = "cpu" if options.tiny else options.device
    until, sizes = time.monotonic() + 60 * options.minutes, SIZES[options.tiny]
    out = options.out or Path("runs/gpu-tiny" if options.tiny else "runs/gpu")
    results = Results(out, options.tiny)
    speeds, runs = results.left()
    for part, precision, compiled in speeds:
        if time.monotonic() > until:
            break
        results.add("speed", key_of(part, precision, compiled),
                    speed(part, precision, compiled, device, sizes))  # fmt: skip
    root = ["--data-root", str(options.data_root)] if options.data_root else []
    for name in runs:
        folder = out / name
        words = [*sizes.run, *root, *RUNS[name], "--device", device]
        if time.monotonic() > until or not run(words, folder, until):
            break
        results.add("runs", name, facts_of(folder))
    print(table(results.facts))
    left = sum(
        len(kind) - len(results.facts[of]) for of, kind in (("speed", SPEEDS), ("runs", RUNS))
    )
    print(
        "done" if not left else f"{left} of {len(SPEEDS) + len(RUNS)} left: the same command again"
    )


def speed(part: str, precision: str, compiled: bool, device: str, sizes: Sizes) -> dict[str, Any]:
    """One measurement, or why there is none."""
    from speed import measure

    from labelgap.core.compiler import what_is_missing
    from labelgap.core.device import machine, set_threads

    if device == "cpu":
        set_threads(1)  # of work as small as `--tiny`'s, more wait for each other

    missing = what_is_missing(machine(device, precision, "off").device) if compiled else None
    if missing:
        return {"refused": " ".join(missing)}
    return measure(part, precision, compiled, device, sizes.images, sizes.steps, sizes.width)


if __name__ == "__main__":
    main()
