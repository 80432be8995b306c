"""The GPU benchmark: nothing is done twice, the clock ends a run in order, all of it works."""

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "gpu" / "run.py"


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_run", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_run"] = module
    spec.loader.exec_module(module)
    return module


def test_what_is_done_is_left_out_by_the_next_call(gpu: ModuleType, tmp_path: Path) -> None:
    results = gpu.Results(tmp_path)
    assert results.left() == (gpu.SPEEDS, list(gpu.RUNS))
    results.add("speed", gpu.key_of(*gpu.SPEEDS[1]), {"refused": "no compiler"})
    results.add("runs", "badge", {"labels": 10_000, "accuracy": 0.9, "aubc": 0.8, "minutes": 41.0})
    speeds, runs = gpu.Results(tmp_path).left()
    assert speeds == [gpu.SPEEDS[0], *gpu.SPEEDS[2:]]
    assert runs == [name for name in gpu.RUNS if name != "badge"]
    assert "| badge | 10,000 | 90.0 | 80.0 | 41 |" in (tmp_path / "results.md").read_text()


def test_the_clock_ends_a_run_and_a_failing_one_is_told(
    gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []

    class Slow(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, command: list[str]) -> None:
            started.append(command)
            super().__init__([sys.executable, "-c", "import time; time.sleep(1000)"])

    monkeypatch.setattr(gpu.subprocess, "Popen", Slow)
    assert not gpu.run(["--seed", "0"], tmp_path, time.monotonic())
    assert started[0][1:] == ["-m", "labelgap", "run", "--out", str(tmp_path), "--seed", "0"]
    monkeypatch.undo()
    with pytest.raises(SystemExit, match="status 2"):
        gpu.run(["--no-such-flag"], tmp_path, time.monotonic() + 300)


@pytest.mark.slow
def test_all_of_it_on_a_cpu(tmp_path: Path) -> None:
    command = [sys.executable, str(FILE), "--tiny", "--out", str(tmp_path), "--minutes", "10"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "done"
    facts = json.loads((tmp_path / "results.json").read_text())
    assert [r["labels"] for r in facts["runs"].values()] == [30] * 5
    measured = [s for s in facts["speed"].values() if "refused" not in s]
    assert len(measured) >= 3
    assert all(s["images_per_second"] > 0 and s["operations_per_image"] > 0 for s in measured)
    again = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert again.stdout.splitlines()[-1] == "done"
