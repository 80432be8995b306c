"""Ctrl-C while something is computed: one line, status 130, and the same command goes on."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from waiting import PATIENCE

from labelgap.core.interrupts import SENTENCE, STATUS

pytestmark = pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
LABELGAP = [sys.executable, "-m", "labelgap"]


@contextmanager
def begun(command: list[str], line: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A command in a group of its own, as a terminal starts it, that has printed a line."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "LABELGAP_CACHE": str(folder / "cache")},
    )
    try:
        assert process.stdout is not None
        heard = []
        while line not in (text := process.stdout.readline()):
            heard.append(text)
            assert text, "".join(heard)
        yield process
    finally:
        process.kill()
        process.communicate()


def stop(process: subprocess.Popen[str], whole_group: bool = True) -> str:
    """Ctrl-C, as a terminal sends it, or `kill -INT` to the command alone; the rest it prints."""
    if whole_group:
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == STATUS
    lines = rest.splitlines()
    assert lines.count(SENTENCE) == 1
    assert "Traceback" not in rest
    assert "Aborted" not in rest
    return rest


def test_what_python_cannot_interrupt(tmp_path: Path) -> None:
    """The main thread is in somebody's compiled code and does not come back for hours."""
    code = (
        "import hashlib\n"
        "from labelgap.core import interrupts\n"
        "watch = interrupts.start()\n"
        "try:\n"
        "    print('ready', flush=True)\n"
        "    hashlib.pbkdf2_hmac('sha256', b'a', b'b', 2**31 - 1)\n"
        "except KeyboardInterrupt:  # it came before the call\n"
        "    watch.leave()\n"
    )
    with begun([sys.executable, "-c", code], "ready", tmp_path) as process:
        assert stop(process) == f"{SENTENCE}\n"


def test_while_a_network_trains(tmp_path: Path) -> None:
    long = [*LABELGAP, "run", "--method", "random", "--out", "r", "--steps", "10000000"]
    with begun(long, "labels, then", tmp_path) as process:
        stop(process)
    short = [*LABELGAP, "run", "--method", "random", "--out", "r", "--steps", "10000000"]
    with begun(short, "labels, then", tmp_path) as process:
        stop(process, whole_group=False)


@pytest.mark.parametrize("whole_group", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_while_a_benchmark_runs(tmp_path: Path, whole_group: bool) -> None:
    """Its workers end with it, whether they hear Ctrl-C themselves or not, and say nothing."""
    long = [*LABELGAP, "bench", "--dataset", "digits", "--method", "random", "--seeds", "1",
            "--out", "b", "--workers", "1", "--set", "training.steps=10000000"]  # fmt: skip
    with begun(long, "cells, ", tmp_path) as process:
        stop(process, whole_group)
    logs = [log.read_text() for log in (tmp_path / "b").rglob("worker-*.log")]
    assert not any("KeyboardInterrupt" in log for log in logs)
    again = subprocess.run(
        [*LABELGAP, "report", "b"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "in use" not in again.stderr


@pytest.mark.slow
def test_while_features_are_computed(tmp_path: Path) -> None:
    import timm
    import torch

    for split in ("train", "test"):
        for name in ("a", "b"):
            (tmp_path / "data" / split / name).mkdir(parents=True)
            for i in range(300):
                pixels = np.random.default_rng(i).integers(0, 255, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "data" / split / name / f"{i}.png")
    torch.save(timm.create_model("test_efficientnet").state_dict(), tmp_path / "w.pth")
    long = [*LABELGAP, "run", "--dataset", "data", "--method", "random", "--freeze", "--network",
            "timm:test_efficientnet", "--weights", "w.pth", "--set", "network.input_size=1024",
            "--out", "r"]  # fmt: skip
    with begun(long, "Features of the frozen backbone", tmp_path) as process:
        stop(process)


def test_in_a_project(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(20):
        pixels = np.random.default_rng(i).integers(0, 255, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    (folder / "l.csv").write_text(
        "path,label\n" + "".join(f"{i}.png,{'ab'[i % 2]}\n" for i in range(20))
    )
    steps = ("--set", "training.steps=10000000", "--set", "training.batch_size=8")
    for arguments in (
        ["init", ".", "--classes", "a,b", *steps],
        ["import", "l.csv"],
    ):
        subprocess.run([*LABELGAP, *arguments], cwd=folder, check=True, capture_output=True)
    code = (
        "import atexit, sys\n"
        "atexit.register(print, 'taken down piece by piece', flush=True)\n"
        "from labelgap.learn import learner\n"
        "from labelgap.project.asking import work\n"
        "train = work.Work.train\n"
        "def told(self, *a):\n"
        "    print('training', flush=True)\n"
        "    return train(self, *a)\n"
        "work.Work.train = told\n"
        "sys.argv = ['labelgap', 'train']\n"
        "from labelgap.cli import main\n"
        "main()\n"
    )
    with begun([sys.executable, "-c", code], "training", folder) as process:
        # Python's own end takes seconds where torch is loaded and the machine is busy.
        assert "piece by piece" not in stop(process)
    after = subprocess.run([*LABELGAP, "status"], cwd=folder, capture_output=True, text=True)
    assert after.returncode == 0
    assert "20 labelled" in after.stdout


def test_a_second_ctrl_c_changes_nothing(tmp_path: Path) -> None:
    long = [*LABELGAP, "run", "--method", "random", "--out", "r", "--steps", "10000000"]
    with begun(long, "labels, then", tmp_path) as process:
        os.killpg(process.pid, signal.SIGINT)
        stop(process)
