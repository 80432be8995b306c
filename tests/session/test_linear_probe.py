"""The preset `linear-probe`: one linear layer on features, its steps, and a whole run of it."""

from pathlib import Path

import numpy as np
import pytest
import torch
from console import call

from labelgap.axes.training import Training
from labelgap.core.device import machine
from labelgap.core.errors import ConfigError
from labelgap.data.types import Augment, Split, Task
from labelgap.frozen.freeze import load_task_for
from labelgap.networks.build import build
from labelgap.session.presets import resolve
from labelgap.session.session import Session

RNG = np.random.default_rng(0)
CENTRES = 3 * RNG.standard_normal((4, 16)).astype(np.float32)


def split(n: int) -> Split:
    y = np.arange(n, dtype=np.int64) % 4
    return Split(CENTRES[y] + RNG.standard_normal((n, 16)).astype(np.float32), y)


def task() -> Task:
    return Task.of("features", tuple("abcd"), split(200), split(80), Augment())


def test_the_network_is_one_linear_layer_and_its_features_are_the_inputs() -> None:
    network = build(resolve({}, preset="linear-probe").network, (16,), 4)
    assert sum(p.numel() for p in network.parameters()) == 16 * 4 + 4
    x = torch.randn(5, 16, generator=torch.Generator().manual_seed(0))
    out = network(x)
    assert torch.equal(out.features, x)
    torch.testing.assert_close(out.logits, x @ network.head.weight.T + network.head.bias)
    assert [b.shape for b in out.blocks] == [(5, 16)]
    assert network.block_dims == (16,)


@pytest.mark.parametrize(("labels", "steps"), [(10, 200), (64, 200), (100, 313), (640, 2000)])
def test_an_epoch_is_a_step_at_least(labels: int, steps: int) -> None:
    session = Session(task(), preset="linear-probe", method="random")
    training: Training = session.learner.training(
        session.learner.new_network(session.trained.build, 0), session.objective,
        np.arange(labels), np.zeros(labels, np.int64), np.arange(0), 0,
    )  # fmt: skip
    assert training.steps == steps


def test_vectors_are_features_already_and_images_need_a_backbone() -> None:
    config, cpu = resolve({}, preset="linear-probe"), machine("cpu", "float32")
    given = task()
    assert load_task_for(config, given, cpu) is given
    images = Split(np.zeros((4, 8, 8, 1), np.uint8), np.arange(4, dtype=np.int64))
    with pytest.raises(ConfigError, match="timm"):
        load_task_for(config, Task.of("i", tuple("abcd"), images, images, Augment()), cpu)


def test_a_folder_of_features_runs_to_its_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = task()
    for name, part in (("train", given.train), ("test", given.test)):
        np.savez(tmp_path / f"{name}.npz", features=part.inputs, labels=part.labels)
    status, text = call(
        capsys, "run", "--preset", "linear-probe", "--dataset", str(tmp_path), "--method", "gap",
        "--rounds", "2", "--out", str(tmp_path / "out"), "--threads", "1", "--device", "cpu",
    )  # fmt: skip
    assert status == 0, text
    assert "30 labels" in text
