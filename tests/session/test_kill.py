"""SIGKILL of a real run at random instants: the same command ends with the same queries."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

# Checkpoints come every 60 s; here at every few steps, so that kills land between them.
DRIVER = """
import sys
from labelgap.learn import learner
learner.CHECKPOINT_SECONDS = 0.05
from labelgap.cli import main
main()
"""
FLAGS = (
    "--steps 25 --rounds 2 --initial 30 --budget 20 --threads 1"
    " --precision float32 --device cpu --set network.width=4"
).split()


def command(method: str, folder: Path) -> list[str]:
    return [
        sys.executable, "-c", DRIVER, "run", "--method", method, "--out", str(folder), *FLAGS,
    ]  # fmt: skip


def killed_and_resumed(method: str, kills: int, tmp_path: Path, seed: int) -> None:
    whole = tmp_path / "whole"
    started = time.monotonic()
    subprocess.run(command(method, whole), check=True, capture_output=True, timeout=300)
    length = time.monotonic() - started
    expected = (whole / "queries.jsonl").read_bytes()
    rng, done, folder_number = random.Random(seed), 0, 0
    folder = tmp_path / "killed-0"
    while True:
        process = subprocess.Popen(
            command(method, folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            # The first part of a run is imports; most kills should land after it.
            wait = rng.uniform(0.3, 1.0) * length if done < kills else 300
            _, errors = process.communicate(timeout=wait)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            done += 1
            continue
        assert process.returncode == 0, errors.decode()
        assert (folder / "queries.jsonl").read_bytes() == expected
        if done >= kills:
            return
        folder_number += 1
        folder = tmp_path / f"killed-{folder_number}"


def test_a_run_killed_twice_ends_with_the_same_queries(tmp_path: Path) -> None:
    killed_and_resumed("daal", 2, tmp_path, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["random", "daal", "ll4al"])
def test_a_run_killed_twenty_times_ends_with_the_same_queries(method: str, tmp_path: Path) -> None:
    killed_and_resumed(method, 20, tmp_path, seed=2)
