"""SIGKILL of a real run at random instants: the same command ends with the same queries."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

# Checkpoints come every 60 s; here at every few steps, so that kills land between them. The run
# kills itself, a moment after so many steps: whatever else the machine does, that is not before it
# trains. 0 steps: never.
DRIVER = """
import os, signal, sys, threading
from labelgap.learn import learner
learner.CHECKPOINT_SECONDS = 0.05
last, moment = int(sys.argv.pop(1)), float(sys.argv.pop(1))
done, plain = 0, learner.StageRunner.step

def step(self, number):
    global done
    plain(self, number)
    done += 1
    if done == last:
        threading.Timer(moment, os.kill, (os.getpid(), signal.SIGKILL)).start()

learner.StageRunner.step = step
from labelgap.report import folder
folder.write_report = lambda *args: None  # seconds of drawing, of what nobody looks at here
from labelgap.cli import main
main()
"""
FLAGS = (
    "--steps 25 --rounds 2 --initial 30 --budget 20 --threads 1"
    " --precision float32 --device cpu --set network.width=4 --no-baseline"
).split()


def run(method: str, folder: Path, last: int = 0, moment: float = 0.0) -> int:
    """The command's exit status, which is 0 or that of the kill."""
    words = ["run", "--method", method, "--out", str(folder), *FLAGS]
    command = [sys.executable, "-c", DRIVER, str(last), str(moment), *words]
    done = subprocess.run(command, capture_output=True, timeout=1200)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
    return done.returncode


def killed_and_resumed(method: str, kills: int, tmp_path: Path, seed: int) -> None:
    assert run(method, tmp_path / "whole") == 0
    expected = (tmp_path / "whole" / "queries.jsonl").read_bytes()
    rng, done, number = random.Random(seed), 0, 0
    while True:
        folder = tmp_path / f"killed-{number}"
        # Of some eighty steps and more: kills land in each round, and in what is between them.
        last, moment = (rng.randint(1, 40), rng.uniform(0, 0.3)) if done < kills else (0, 0.0)
        if run(method, folder, last, moment):
            done += 1
            continue
        assert (folder / "queries.jsonl").read_bytes() == expected
        if done >= kills:
            return
        number += 1


def test_a_killed_run_ends_with_the_same_queries(tmp_path: Path) -> None:
    killed_and_resumed("daal", 1, tmp_path, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["random", "daal", "ll4al"])
def test_a_run_killed_twenty_times_ends_with_the_same_queries(method: str, tmp_path: Path) -> None:
    killed_and_resumed(method, 20, tmp_path, seed=2)
