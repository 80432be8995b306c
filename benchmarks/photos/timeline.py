"""The first minutes of a person with a folder of photographs, step by step.

    uv run python benchmarks/photos/timeline.py --data CIFAR10/train.parquet --turns 3 \
        now=.venv/bin/labelgap before=OTHER_CHECKOUT/.venv/bin/labelgap

NAME=COMMAND: a labelgap to time; several take turns, a whole timeline each, so that what else the
machine does falls on all alike. The photographs are CIFAR-10's (--data, a `train.parquet`), of all
classes alike, enlarged to 800 × 600 with a camera's grain, as JPEG. Each step is the command that a
person types, in a process of its own; nothing is kept between two timelines but the system's cache
of files. Prints Markdown: the processor's seconds (of all processes, the least of the turns: what
the step costs) and seconds on the clock (least and median: what this machine made of it).
"""

import argparse
import csv
import io
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

CLASSES = "airplane automobile bird cat deer dog frog horse ship truck".split()
LABELS, NEW = 50, 3


def photographs(data: Path, folder: Path, n: int) -> dict[str, str]:
    """Write n photographs; returns file name -> class."""
    rng, truth, counts = np.random.default_rng(0), {}, Counter()
    folder.mkdir(parents=True)
    for encoded, label in rows(data):
        if counts[label] >= n // len(CLASSES):
            continue
        counts[label] += 1
        image = Image.open(io.BytesIO(encoded)).convert("RGB").resize((800, 600), Image.BICUBIC)
        grain = rng.normal(0, 4, (600, 800, 1))
        pixels = (np.asarray(image) + grain).clip(0, 255).astype(np.uint8)
        name = f"IMG_{len(truth):05d}.jpg"
        Image.fromarray(pixels).save(folder / name, quality=85)
        truth[name] = CLASSES[label]
        if len(truth) == n // len(CLASSES) * len(CLASSES):
            break
    return truth


def rows(data: Path) -> Iterator[tuple[bytes, int]]:
    for batch in pq.ParquetFile(data).iter_batches(1000):
        image, label = (batch.column(k).to_pylist() for k in range(2))
        for cell, number in zip(image, label, strict=True):
            yield (cell["bytes"] if isinstance(cell, dict) else cell), number


def steps(folder: Path, labels: Path) -> list[tuple[str, list[str]]]:
    """What a person types, in order; "" is what happens in between."""
    return [
        ("`init`", ["init", str(folder), "--classes", ",".join(CLASSES)]),
        ("first `ask 50`", ["ask", "50"]),
        (f"`import` of {LABELS} labels", ["import", str(labels)]),
        ("`train`", ["train"]),
        ("next `ask 50`", ["ask", "100"]),  # 50 wait already
        (f"`add` of {NEW} photographs", ["add"]),
    ]


def timed(command: list[str], cwd: Path) -> tuple[float, float]:
    """Seconds of the processor and on the clock."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    clock, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{command}: {done.stdout}{done.stderr}")
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, clock


def timeline(labelgap: str, photos: Path, truth: dict[str, str], place: Path) -> np.ndarray:
    """[steps, 2] of `timed`."""
    folder, labels = place / "photos", place / "labels.csv"
    shutil.copytree(photos, folder)
    with labels.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "label"])
        writer.writerows(list(truth.items())[:LABELS])
    found = []
    for _, words in steps(folder, labels):
        if words == ["add"]:
            for name in list(truth)[:NEW]:
                # Other bytes of the same picture: a copy would be known.
                (folder / f"new_{name}").write_bytes((folder / name).read_bytes() + b"\n")
        found.append(timed([labelgap, *words], folder))
    shutil.rmtree(place)
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("labelgap", nargs="+", metavar="NAME=COMMAND")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=1500)
    parser.add_argument("--turns", type=int, default=3)
    given = parser.parse_args()
    commands = {}
    for text in given.labelgap:
        name, _, command = text.partition("=")
        commands[name] = os.path.abspath(command)
    taken: dict[str, list[np.ndarray]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["LABELGAP_CACHE"] = str(Path(scratch, "cache"))
        photos = Path(scratch, "originals")
        truth = photographs(given.data, photos, given.photos)
        for turn in range(given.turns):
            for name, command in commands.items():
                taken[name].append(timeline(command, photos, truth, Path(scratch, f"{turn}{name}")))
                shutil.rmtree(os.environ["LABELGAP_CACHE"], ignore_errors=True)
    print(f"{len(truth):,} photographs, {os.cpu_count()} cores, {given.turns} turns; processor's")
    print("seconds (least) / on the clock (least, median).\n")
    print("| step | " + " | ".join(commands) + " |\n|---|" + "---|" * len(commands))
    arrays = {name: np.array(turns) for name, turns in taken.items()}
    for k, (step, _) in enumerate(steps(Path(), Path())):
        cells = [cell(array[:, k]) for array in arrays.values()]
        print(f"| {step} | " + " | ".join(cells) + " |")
    for title, part in (("until the first question", slice(0, 2)), ("a round", slice(3, 5))):
        cells = [cell(array[:, part].sum(axis=1)) for array in arrays.values()]
        print(f"| **{title}** | " + " | ".join(cells) + " |")


def cell(turns: np.ndarray) -> str:
    """turns: [turns, 2]."""
    used, clock = turns.T
    return f"{used.min():.1f} / {clock.min():.1f}, {np.median(clock):.1f}"


if __name__ == "__main__":
    main()
