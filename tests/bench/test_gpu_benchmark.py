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


def loaded(file: Path) -> ModuleType:
    name = f"gpu_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    return loaded(FILE)


def test_what_is_done_is_left_out_by_the_next_call(gpu: ModuleType, tmp_path: Path) -> None:
    results = gpu.Results(tmp_path)
    assert results.left() == (gpu.SPEEDS, list(gpu.RUNS))
    measured = {
        "card": "NVIDIA H100 80GB HBM3", "images_per_second": 25_000.0, "least": 24_000.0,
        "most": 26_000.0, "operations_per_image": 3.34e9, "peak": 989e12, "share_of_peak": 0.0844,
    }  # fmt: skip
    results.add("speed", gpu.key_of(*gpu.SPEEDS[1]), measured)
    results.add("speed", gpu.key_of(*gpu.SPEEDS[2]), {"refused": "no compiler"})
    results.add("runs", "badge", {"labels": 10_000, "accuracy": 0.9, "aubc": 0.8, "minutes": 41.0})
    speeds, runs = gpu.Results(tmp_path).left()
    assert speeds == [gpu.SPEEDS[0], *gpu.SPEEDS[2:]]  # what was refused is asked for again
    assert runs == [name for name in gpu.RUNS if name != "badge"]
    text = (tmp_path / "results.md").read_text()
    assert "| badge | 10,000 | 90.0 | 80.0 | 41 |" in text
    assert "| 25,000 | 24,000 to 26,000 | 3.34 | 989 | 8.4 % | NVIDIA H100 80GB HBM3 |" in text
    with pytest.raises(SystemExit, match="another `--out`"):
        gpu.Results(tmp_path, tiny=True)


@pytest.mark.parametrize(
    ("card", "bound"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12), ("NVIDIA H100 PCIe", 756e12), ("NVIDIA H200", 989e12),
        ("NVIDIA A100-SXM4-40GB", 312e12), ("NVIDIA A100 80GB PCIe", 312e12),
        ("NVIDIA L4", 121e12), ("NVIDIA GeForce RTX 4090", 165e12),
        # Others whose names begin alike, and a slice of a card.
        ("NVIDIA L40S", None), ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", None), ("mps", None),
    ],
)  # fmt: skip
def test_a_card_has_its_own_bound_or_none(card: str, bound: float | None) -> None:
    peak_of = loaded(FILE.with_name("speed.py")).peak_of
    assert peak_of(card, "bfloat16") == bound
    assert (peak_of(card, "float32") is None) == (bound is None)


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
