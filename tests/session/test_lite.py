"""EfficientNet-Lite without timm: the same network, weights and features as timm's."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from labelgap.core.config import NetworkSettings
from labelgap.core.device import machine
from labelgap.frozen import lite as module
from labelgap.frozen.engine import compile_operations, of_compiled
from labelgap.frozen.freeze import features_of
from labelgap.frozen.lite import REPEATS, Lite, packaged_lite
from labelgap.networks.packaged import DEFAULT_BACKBONE
from labelgap.networks.timm import Backbone, Preprocessing, load_backbone
from labelgap.networks.weights import weights_digest

DEFAULT = NetworkSettings(name=DEFAULT_BACKBONE, freeze=True)


def random_model(name: str) -> torch.nn.Module:
    """A network whose batch normalisation has something to fold."""
    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False, num_classes=0).eval().requires_grad_(False)
    for key, value in model.state_dict().items():
        if key.endswith(("running_var", "bn1.weight", "bn2.weight", "bn3.weight")):
            value.uniform_(0.5, 1.5)
        elif key.endswith(("running_mean", ".bias")):
            value.normal_(0, 0.2)
    return model


@pytest.mark.parametrize("size", [64, 75])
@pytest.mark.parametrize("name", sorted(REPEATS))
def test_features_are_timms(name: str, size: int) -> None:
    """At an odd size too, where it matters on which side is padded."""
    model = random_model(name)
    cfg = timm.get_pretrained_cfg(name)
    seen = Preprocessing(size, tuple(cfg.mean), tuple(cfg.std), cfg.interpolation)
    images = torch.from_numpy(
        np.random.default_rng(1).integers(0, 256, (5, 80, 80, 3)).astype(np.uint8)
    )
    ours = Lite(name, model.state_dict(), seen)
    found = of_compiled(compile_operations(ours.operations(4), "f32"), seen, 4)(images[:4])
    expected = Backbone(model, seen, ours.width).features(images[:4]).numpy()
    assert found.shape == expected.shape == (4, ours.width)
    off = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert off.max() < 1e-4  # rounding through 60 layers
    assert np.linalg.norm(expected[0] - expected[1]) > 100 * off.max() * np.linalg.norm(expected[0])


def test_it_is_the_network_that_timm_loads() -> None:
    ours, theirs = packaged_lite(DEFAULT), load_backbone(DEFAULT)
    assert ours is not None
    assert weights_digest(ours.state) == weights_digest(theirs.model.state_dict())
    assert (ours.preprocessing, ours.width) == (theirs.preprocessing, theirs.width)


@pytest.mark.parametrize(
    "other",
    [
        DEFAULT.model_copy(update={"name": "timm:resnet18"}),
        DEFAULT.model_copy(update={"weights": "hub"}),
        DEFAULT.model_copy(update={"name": "timm:tf_efficientnet_lite3"}),
    ],
)
def test_every_other_network_is_timms(other: NetworkSettings) -> None:
    assert packaged_lite(other) is None


@pytest.mark.parametrize("how", ["missing", "left over", "nan"])
def test_weights_that_are_not_whole_are_left_to_timm(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose loading says what is wrong with them."""

    def spoilt(path: Path) -> dict[str, torch.Tensor]:
        state = torch.load(path, weights_only=True)
        key = "_conv_head.weight"
        if how == "missing":
            del state[key]
        elif how == "nan":
            state[key][0] = torch.nan
        else:
            state["_blocks.16._bn0.weight"] = state["_bn1.weight"]
        return state

    monkeypatch.setattr(module, "read_weights", spoilt)
    assert packaged_lite(DEFAULT) is None


def test_the_first_features_need_no_timm(tmp_path: Path) -> None:
    code = f"""
import sys
import numpy as np
from pathlib import Path
from labelgap.core.config import NetworkSettings
from labelgap.core.device import machine
from labelgap.frozen.freeze import features_of
settings = NetworkSettings(name={DEFAULT_BACKBONE!r}, freeze=True, engine="openvino")
images = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3)).astype(np.uint8)
features = features_of(images, settings, machine("cpu", "float32"), cache=Path({str(tmp_path)!r}))
assert features.shape == (3, 1280)
assert "timm" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_timm_made_is_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Features of before are kept under the same key."""
    settings = DEFAULT.model_copy(update={"engine": "openvino", "input_size": 32})
    images = np.random.default_rng(0).integers(0, 256, (3, 40, 40, 3)).astype(np.uint8)
    where = machine("cpu", "float32")
    with monkeypatch.context() as patch:
        patch.setattr("labelgap.frozen.freeze.packaged_lite", lambda settings: None)
        before = features_of(images, settings, where, cache=tmp_path)
    after = features_of(images, settings, where, cache=tmp_path)
    assert len(list((tmp_path / "features").glob("*/meta.json"))) == 1
    np.testing.assert_array_equal(before, after)
