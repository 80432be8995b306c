"""The learner: resumed training is bit-identical, optimisers are new, errors name their place."""

import copy
import json
import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tolerance import assert_rounded, product, through

from labelgap.axes.stage import Batch, Optimiser, Stage
from labelgap.axes.training import Training
from labelgap.check.case import INITIAL, Case, tiny_task
from labelgap.core.errors import FolderError, LabelgapError, NumericalError
from labelgap.core.types import QueryItem
from labelgap.learn import learner as learning
from labelgap.learn.stage import StageRunner, learning_rate
from labelgap.loop.oracle import Oracle
from labelgap.loop.run import _keep_features
from labelgap.methods import METHODS
from labelgap.networks.resnet import ResNet, Shortcut
from labelgap.session.session import Session
from labelgap.session.weights import weights_hash


class Killed(Exception):
    """Stands for a SIGKILL right after a checkpoint."""


@pytest.mark.parametrize("method", ["random", "daal"])
def test_training_resumed_from_any_checkpoint_is_bit_identical(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "CHECKPOINT_SECONDS", 0.0)
    settings = {"objective": {"align_fraction": 0.5}} if method == "daal" else {}
    whole = Case(METHODS[method]).session(**settings)
    whole.tell(Oracle(whole.task).answer(whole.ask(INITIAL)))
    whole.fit()
    expected = weights_hash(whole.training.network)
    steps = sum(s.steps for s in whole.objective.stages(whole.training))
    for death in range(1, steps):
        folder = tmp_path / str(death)
        session = Case(METHODS[method]).session(folder=folder, **settings)
        session.tell(Oracle(session.task).answer(session.ask(INITIAL)))
        done = 0

        def progress(stage: str, step: int, of: int, last: int = death) -> None:
            nonlocal done
            done += 1
            if done == last + 1:
                raise Killed

        session.progress = progress
        with pytest.raises(Killed):
            session.fit()
        session.close()
        again = Session(tiny_task(), session.config, folder=folder, machine=session.machine)
        again.fit()
        assert weights_hash(again.training.network) == expected, f"killed after {death} steps"
        assert not (folder / "checkpoint.pt").exists()
        again.close()


def test_optimiser_state_is_new_in_every_round() -> None:
    session = Case(METHODS["random"]).fitted(training={"start": "continue"})
    training = session.new_training(1)
    stage = session.objective.stages(training)[0]
    runner = StageRunner(session.learner.inputs, training, stage)
    assert not any(runner.optimisers[0].state_dict()["parameters"])


def test_continue_starts_from_the_last_weights_and_scratch_does_not() -> None:
    for start, equal in (("continue", True), ("scratch", False)):
        session = Case(METHODS["random"]).fitted(training={"start": start})
        last = weights_hash(session.training.network)
        assert (weights_hash(session.new_training(1).network) == last) is equal


def test_a_loss_that_is_not_finite_names_stage_step_and_cure() -> None:
    session = Case(METHODS["random"]).session(training={"lr": 1e9})
    session.tell(Oracle(session.task).answer(session.ask(INITIAL)))
    with pytest.raises(NumericalError, match=r"'supervised' is .* at step \d+.*learning rate"):
        session.fit()


def test_schedules() -> None:
    step = Optimiser(lr=1.0, milestones=(0.8,))
    assert [learning_rate(step, s, 10) for s in (0, 7, 8)] == [1.0, 1.0, 0.1]
    cosine = Optimiser(lr=1.0, schedule="cosine", warmup=0.5)
    rates = [learning_rate(cosine, s, 10) for s in range(10)]
    assert rates[:5] == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert math.isclose(rates[5], 1.0)
    assert rates[9] < 0.1


@pytest.mark.parametrize("schedule", ["step", "cosine", "constant"])
@pytest.mark.parametrize(
    ("warmup", "steps", "rising"),
    [
        (0.05, 10, [1.0]),  # half a step: over in the first
        (0.25, 10, [0.4, 0.8, 1.0]),  # two steps and a half
        (0.5, 10, [0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.0, 10, []),
    ],
)
def test_warm_up_rises_to_the_rate_and_never_above_it(
    schedule: Any, warmup: float, steps: int, rising: list[float]
) -> None:
    spec = Optimiser(lr=0.3, schedule=schedule, milestones=(0.6,), warmup=warmup)
    after = {
        "step": [0.1 if s >= 6 else 1.0 for s in range(steps)],
        "cosine": [
            0.5 + 0.5 * math.cos(math.pi * (s / steps - warmup) / (1 - warmup))
            for s in range(steps)
        ],
        "constant": [1.0] * steps,
    }[schedule]
    expected = [0.3 * r for r in [*rising, *after[len(rising) :]]]
    rates = [learning_rate(spec, s, steps) for s in range(steps)]
    assert rates == pytest.approx(expected)
    assert max(rates) <= spec.lr


def test_a_stage_is_told_by_what_it_is_and_not_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Case(METHODS["daal"]).session(folder=tmp_path)
    session.tell(Oracle(session.task).answer(session.ask(INITIAL)))
    stages = session.objective.stages
    monkeypatch.setattr(
        session.objective, "stages", lambda t: [replace(s, name=f"my {s.name}") for s in stages(t)]
    )
    kept: list[str] = []

    def keep(stage: Stage, training: Training) -> None:
        _keep_features(session, stage, training)
        kept.append(max(session.folder.glob("cache/embedding-*"), key=os.path.getmtime).stem)

    session.fit(on_stage=keep)
    assert kept == ["embedding-before", "embedding-after"]


def test_what_a_stages_forward_gives_is_read_as_its_kind() -> None:
    batch = Batch(*[torch.zeros(1)] * 3, step=0, shared=[1.5])
    assert batch.common(list) == [1.5]
    with pytest.raises(RuntimeError, match="gave list, not tuple"):
        batch.common(tuple)


def test_the_papers_resnet18_has_its_published_size() -> None:
    network = ResNet(3, 10)
    assert network.feature_dim == 512
    # kuangliu's CIFAR ResNet-18, which the paper's authors use: 11,173,962 parameters.
    assert sum(p.numel() for p in network.parameters()) == 11_173_962
    out = network(torch.zeros(2, 3, 32, 32))
    assert [tuple(b.shape[1:]) for b in out.blocks] == [
        (64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4),
    ]  # fmt: skip
    head = network.head
    assert_rounded(out.logits, *product(out.features, head.weight.T, head.bias))


@pytest.mark.parametrize("side", [8, 28, 33, 64])
def test_any_image_size(side: int) -> None:
    out = ResNet(1, 3, width=4, blocks=(1, 1, 1, 1))(torch.zeros(2, 1, side, side))
    assert out.logits.shape == (2, 3)


def test_predictions_are_those_of_the_network_in_eval_mode_and_restore_modes() -> None:
    session = Case(METHODS["random"]).fitted()
    network = session.training.network
    network.train()
    out = session.learner.predict(network, np.arange(5, dtype=np.int64))
    assert network.training, "the mode was not restored"
    network.eval()
    with torch.no_grad():
        x = session.learner.inputs.clean(session.task.train, np.arange(5, dtype=np.int64))
        exact = copy.deepcopy(network).double()(x.double()).logits
    # Layers err by the size of what they sum, and that of the logits is the largest of them.
    assert_rounded(out["logits"], exact, through(network), exact.abs().max())


def test_mc_passes_leave_batch_norm_alone_and_vary() -> None:
    session = Case(METHODS["random"]).fitted(network={"dropout": 0.5})
    network = session.training.network
    before = weights_hash(network)
    passes = session.learner.mc_logits(network, np.arange(6, dtype=np.int64), 4, 0)
    assert passes.shape == (6, 4, 3)
    assert float(passes.std(dim=1).max()) > 0
    assert weights_hash(network) == before
    again = session.learner.mc_logits(network, np.arange(6, dtype=np.int64), 4, 0)
    assert torch.equal(passes, again)


def test_the_last_loss_terms_agree_with_a_plain_loop() -> None:
    """The learner against ten lines of plain PyTorch in float64 on the same batches."""
    session = Case(METHODS["random"]).session()
    session.tell(Oracle(session.task).answer(session.ask(INITIAL)))
    training = session.new_training(0)
    runner = StageRunner(session.learner.inputs, training, session.objective.stages(training)[0])
    network = session.new_training(0).network.double()
    optimiser = torch.optim.SGD(
        network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, fused=True
    )
    network.train()
    for step in range(4):
        batch = runner.batch(step)
        for group in optimiser.param_groups:
            group["lr"] = 0.1 * 0.5 * (1 + math.cos(math.pi * step / 6))
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(network(batch.x.double()).logits, batch.y).backward()
        optimiser.step()
        runner.step(step)
    ours = training.network.state_dict()
    for name, value in network.state_dict().items():
        # Forward and backward, four times; a forgotten weight decay shows ten times as much.
        assert_rounded(ours[name].float(), value, 4 * 2 * through(network), value.abs().max())


def test_a_class_absent_from_the_labels_works() -> None:
    task = tiny_task()
    session = Case(METHODS["daal"]).session(replace(task))
    ids = np.flatnonzero(task.train.labels != 2)[:INITIAL]
    session.tell(Oracle(task).answer(session.start_with(ids)))
    session.fit()
    assert len(session.ask(5)) == 5


def test_narrow_shortcuts_have_the_gradients_of_a_strided_convolution() -> None:
    # oneDNN's own strided kernel writes beyond its buffer where channels are few.
    torch.manual_seed(0)
    shortcut = Shortcut(4, 8, 2).to(memory_format=torch.channels_last)
    x = torch.randn(32, 4, 8, 8).to(memory_format=torch.channels_last).requires_grad_()
    y = shortcut(x)
    g = torch.randn_like(y)
    y.backward(g)
    weight = shortcut.weight[:, :, 0, 0]
    assert x.grad is not None
    assert shortcut.weight.grad is not None

    def rows(maps: torch.Tensor) -> torch.Tensor:
        """A row for every place that the shortcut keeps."""
        return maps.permute(0, 2, 3, 1).flatten(0, 2)

    kept = rows(x[:, :, ::2, ::2])
    assert_rounded(rows(y), *product(kept, weight.T))
    assert_rounded(rows(x.grad[:, :, ::2, ::2]), *product(rows(g), weight))
    x.grad[:, :, ::2, ::2] = 0
    assert not x.grad.any()
    assert_rounded(shortcut.weight.grad[:, :, 0, 0], *product(rows(g).T, kept))


def test_a_checkpoint_of_other_labels_or_another_round_is_not_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training was killed, and more labels came: all of the steps are to see them."""
    monkeypatch.setattr(learning, "CHECKPOINT_SECONDS", 0.0)

    def labelled(folder: Path | None) -> Session:
        session = Case(METHODS["random"]).session(folder=folder)
        session.tell(Oracle(session.task).answer(session.ask(INITIAL)))
        return session

    def stop(stage: str, step: int, of: int) -> None:
        if step == of:
            raise Killed

    def more(session: Session) -> str:
        held = session.unlabelled_ids()[:5]
        session.ledger.asked(0, [QueryItem(int(i)) for i in held])
        session.tell(Oracle(session.task).answer(session.ask(5)))
        session.fit()
        return weights_hash(session.training.network)

    session = labelled(tmp_path)
    session.progress = stop
    with pytest.raises(Killed):
        session.fit()
    assert (tmp_path / "checkpoint.pt").exists()
    session.progress = None
    assert more(session) == more(labelled(None))


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    session = Case(METHODS["random"]).session(folder=tmp_path)
    session.tell(Oracle(session.task).answer(session.ask(INITIAL)))
    (tmp_path / "checkpoint.pt").write_bytes(b"PK half a file")
    with pytest.raises(FolderError, match=r"checkpoint\.pt cannot be read"):
        session.fit()


def test_a_checkpoint_that_is_none_is_named(tmp_path: Path) -> None:
    session = Case(METHODS["random"]).session(folder=tmp_path)
    session.tell(Oracle(session.task).answer(session.ask(INITIAL)))
    torch.save([1, 2], tmp_path / "checkpoint.pt")
    with pytest.raises(FolderError, match=r"checkpoint\.pt holds no state"):
        session.fit()


@pytest.mark.parametrize("damage", ["half", "nothing", "keys", "shapes", "values"])
def test_weights_that_cannot_be_used_are_told_and_leave_no_half_loaded_network(
    tmp_path: Path, damage: str
) -> None:
    session = Case(METHODS["random"]).session(folder=tmp_path)
    session.tell(Oracle(session.task).answer(session.ask(INITIAL)))
    session.fit()
    session.close()
    session = Case(METHODS["random"]).session(folder=tmp_path)
    (file,) = tmp_path.glob("weights-*.safetensors")
    raw, state = file.read_bytes(), load_file(file)
    name = max(state, key=lambda k: state[k].numel())
    if damage in ("half", "nothing"):
        file.write_bytes(raw[: len(raw) // 2 if damage == "half" else 0])
    else:
        value = state.pop(name)
        if damage == "shapes":
            state[name] = value[:1].clone()
        elif damage == "values":
            state[name] = value + 1
        save_file(state, file)
    with pytest.warns(UserWarning, match=r"The weights in .*\.safetensors are not used"):
        assert not session.restore()
    with (
        pytest.warns(UserWarning, match="to be trained anew"),
        pytest.raises(LabelgapError, match="no trained network"),
    ):
        session.choose(2, 1)
    session.fit()
    assert session.restore()


def test_a_session_tells_what_changed_since_its_folder_was_begun(tmp_path: Path) -> None:
    Case(METHODS["random"]).session(folder=tmp_path).close()
    config = json.loads((tmp_path / "config.json").read_text())
    config["machine"]["versions"]["torch"] = "1.0"
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.warns(UserWarning, match="begun with versions .* not be bit-identical"):
        Case(METHODS["random"]).session(folder=tmp_path)


def test_every_turn_of_a_step_draws_its_own_numbers() -> None:
    training = Case(METHODS["random"]).fitted().training
    draws = [training.rng("penalty", 3, turn).random() for turn in range(3)]
    assert len(set(draws)) == 3
    assert draws[0] == training.rng("penalty", 3).random()
