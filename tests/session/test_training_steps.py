"""A training step by hand: what it sees, who learns in it, at which rate, and what is kept."""

import copy
import math
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor, nn
from views_at_once import augment, augmented, strong

from labelgap.axes.objective import Objective, Passed
from labelgap.axes.stage import Batch, Optimiser, Phase, Stage
from labelgap.axes.training import Training
from labelgap.check.case import tiny_task
from labelgap.core.config import Settings, TrainingSettings
from labelgap.core.device import Machine
from labelgap.core.errors import FolderError, LabelgapError, NumericalError, PairError
from labelgap.core.streams import Streams
from labelgap.data.augment import normalise
from labelgap.data.types import Augment, Split, Task
from labelgap.learn import learner as learning
from labelgap.learn import predict as predicting
from labelgap.learn.checkpoint import Checkpoint, identity
from labelgap.learn.inputs import Endless, Inputs
from labelgap.learn.learner import Learner, snapshot
from labelgap.learn.optimiser import Descent
from labelgap.learn.predict import evaluation_mode
from labelgap.learn.stage import (
    StageRunner,
    descend,
    learning_rate,
    set_rate,
)
from labelgap.learn.supervised import cross_entropy, supervised_loss, supervised_stage
from labelgap.networks.mlp import MLP
from labelgap.networks.network import Network
from labelgap.networks.resnet import ResNet

PLACE = Machine(torch.device("cpu"), "float32")
SEED, LABELLED, UNLABELLED = 4, np.arange(3, 33, 3), np.arange(40, 60)


def points() -> Task:
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, 80)
    x = (2 * np.eye(3, 6)[y] + rng.standard_normal((80, 6))).astype(np.float32)
    return Task.of(
        "points", ("a", "b", "c"), Split(x[:60], y[:60]), Split(x[60:], y[60:]), Augment()
    )


class Plain(Objective):
    """Cross-entropy and whatever a test adds."""

    name = "plain"

    def __init__(self, *stages: Stage, **players: nn.Module) -> None:
        super().__init__(Settings())
        self.given, self.players = stages, players

    def modules(self, training: Training) -> dict[str, nn.Module]:
        return self.players

    def stages(self, training: Training) -> list[Stage]:
        return list(self.given) or [supervised_stage(training)]


def learner(task: Task | None = None, seed: int = SEED, **settings: Any) -> Learner:
    given = TrainingSettings(**{"steps": 5, "batch_size": 4, **settings})
    return Learner(task or points(), given, Streams(seed), PLACE, "smoke")


def training(
    by: Learner | None = None, objective: Objective | None = None, round: int = 2, **options: Any
) -> Training:
    by = by or learner()
    vectors = not by.task.train.is_images
    network = by.new_network(
        lambda: (
            MLP(6, 3, hidden=(5,), **options) if vectors else ResNet(1, 3, width=4, blocks=(1,))
        ),
        round,
    )
    labels = by.task.train.labels[LABELLED]
    return by.training(network, objective or Plain(), LABELLED, labels, UNLABELLED, round)


def runner(stage: Callable[[Training], Stage] | None = None, **options: Any) -> StageRunner:
    by = learner()
    made = training(by, **options)
    return StageRunner(by.inputs, made, (stage or supervised_stage)(made))


# ---------------------------------------------------------------------- the order of items


@given(st.integers(1, 7), st.integers(0, 40), st.integers(1, 30))
def test_windows_are_of_one_endless_sequence_of_shuffled_passes(
    n: int, start: int, size: int
) -> None:
    ids = np.arange(10, 10 + n)
    passes = [
        ids[Streams(SEED).numpy("batches/x", 3, epoch).permutation(n)]
        for epoch in range(1 + (start + size) // n)
    ]
    endless = Endless(ids, Streams(SEED), "batches/x", 3)
    for _ in range(2):  # a second time from what is remembered
        found = endless.window(start, size)
        assert found.tolist() == np.concatenate(passes)[start : start + size].tolist()


def test_a_window_goes_on_into_the_next_passes() -> None:
    ids = np.array([7, 8, 9])
    passes = [ids[Streams(SEED).numpy("x", 0, k).permutation(3)] for k in range(4)]
    whole = np.concatenate(passes).tolist()
    endless = Endless(ids, Streams(SEED), "x", 0)
    for start, size in ((1, 9), (0, 1), (2, 2), (4, 1), (5, 4), (3, 3)):
        assert endless.window(start, size).tolist() == whole[start : start + size]


def test_a_pass_is_drawn_once_and_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    streams, drawn = Streams(SEED), []
    numpy = streams.numpy
    monkeypatch.setattr(streams, "numpy", lambda *key: drawn.append(key) or numpy(*key))
    endless = Endless(np.arange(6), streams, "x", 1)
    for start in (0, 2, 4, 6, 8):
        endless.window(start, 2)
    assert drawn == [("x", 1, 0), ("x", 1, 1)]


# ---------------------------------------------------------------------- inputs


def test_inputs_are_raw_clean_or_augmented_by_kind() -> None:
    task, ids = replace(tiny_task(), augment=Augment(pad=2, flip=True)), np.array([5, 1, 7])
    inputs = Inputs(task, PLACE)
    raw = torch.from_numpy(task.train.inputs[ids])
    assert torch.equal(inputs.raw(task.train, ids), raw)
    assert torch.equal(inputs.raw(task.test, ids), torch.from_numpy(task.test.inputs[ids]))

    def rng() -> np.random.Generator:
        return np.random.default_rng(0)

    def normal(images: Tensor) -> Tensor:
        return normalise(images, task.mean, task.std)

    assert torch.equal(inputs.clean(task.train, ids), normal(raw))
    usual = task.augment
    expected = {
        "weak": augment(raw, usual, rng()),
        "strong": strong(raw, usual, rng(), geometry=False),
        "warped": strong(raw, usual, rng(), geometry=True),
    }
    for kind, images in expected.items():
        assert torch.equal(augmented(inputs, ids, rng(), kind), normal(images)), kind
    # Crop and flip can be off; a strong view is another view all the same.
    bare = learner(task, augment=False).inputs
    assert learner(task).inputs == inputs
    assert torch.equal(augmented(bare, ids, rng(), "weak"), normal(raw))
    for kind in ("strong", "warped"):
        plain = strong(raw, Augment(), rng(), geometry=kind == "warped")
        assert torch.equal(augmented(bare, ids, rng(), kind), normal(plain)), kind


def test_vectors_are_the_same_in_every_view() -> None:
    task, ids = points(), np.array([5, 1])
    inputs = Inputs(task, PLACE)
    expected = (task.train.inputs[ids] - np.float32(task.mean)) / np.float32(task.std)
    for kind in ("weak", "strong", "warped"):
        found = augmented(inputs, ids, np.random.default_rng(0), kind)
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------------- batches


def test_a_batch_is_a_pure_function_of_round_and_step() -> None:
    by = learner(replace(tiny_task(), augment=Augment(pad=2, flip=True)))
    made = training(by)
    stage = replace(
        supervised_stage(made, unlabelled_batch=3), views={"a": "strong", "b": "warped"}
    )
    run = StageRunner(by.inputs, made, stage)
    run.batch(0)  # nothing of it is left over
    batch = run.batch(5)
    streams = Streams(SEED)
    rows = Endless(np.arange(10), streams, "batches/supervised", 2).window(20, 4)
    u_ids = Endless(UNLABELLED, streams, "batches/supervised/unlabelled", 2).window(15, 3)
    assert batch.step == 5
    assert batch.ids.tolist() == LABELLED[rows].tolist()
    assert batch.y.tolist() == by.task.train.labels[LABELLED[rows]].tolist()
    assert batch.u_ids is not None
    assert batch.u_ids.tolist() == u_ids.tolist()
    rng = streams.numpy("augment/supervised", 2, 5)
    assert torch.equal(batch.x, augmented(by.inputs, LABELLED[rows], rng, "weak"))
    assert torch.equal(batch.unlabelled(), augmented(by.inputs, u_ids, rng, "weak"))
    assert list(batch.u_views) == ["a", "b"]
    for name, kind in (("a", "strong"), ("b", "warped")):
        assert torch.equal(batch.u_views[name], augmented(by.inputs, u_ids, rng, kind))
    bare = StageRunner(by.inputs, made, supervised_stage(made)).batch(5)
    assert torch.equal(bare.x, batch.x)  # what a stage sees besides changes no batch of it
    assert bare.u is bare.u_ids is None
    assert bare.u_views == {}


# ---------------------------------------------------------------------- steps


class Recorded:
    """A stage of three phases over a network and two players, and what happened in it."""

    def __init__(self, **options: Any) -> None:
        self.seen: list[Any] = []
        self.by = learner()
        objective = Plain(a=nn.Linear(5, 3), b=nn.Linear(5, 3), idle=nn.Dropout(0.5))
        self.training = training(self.by, objective, **options)
        self.players = {"network": self.training.network, **self.training.modules}

    def learning(self) -> set[str]:
        """Players whose parameters have gradients at the moment."""
        return {n for n, m in self.players.items() if any(p.requires_grad for p in m.parameters())}

    def loss(self, name: str) -> Callable[[Batch], Tensor]:
        def loss(batch: Batch) -> Tensor:
            self.seen.append((name, batch.turn, batch.shared, self.learning()))
            z = self.training.network(batch.x).features
            a, b = (self.training.modules[k](z).square().mean() for k in "ab")
            return torch.as_tensor(a + b)

        return loss

    def stage(self, **fields: Any) -> Stage:
        adam = Optimiser("adam", lr=0.01)
        phases = (
            Phase("one", ("a",), self.loss("one"), adam, repeats=2),
            Phase("two", ("network", "b"), self.loss("two"), Optimiser(lr=0.1, milestones=(0.5,))),
        )
        return Stage("both", 4, phases, batch_size=4, **fields)

    def runner(self, **fields: Any) -> StageRunner:
        return StageRunner(self.by.inputs, self.training, self.stage(**fields))


def test_phases_take_their_turns_each_with_its_own_players() -> None:
    world = Recorded()
    run = world.runner(forward=lambda batch: f"shared {batch.step}")
    assert world.learning() == {"network", "a", "b"}
    assert {n: m.training for n, m in world.players.items()} == {
        "network": True, "a": True, "b": True, "idle": False,
    }  # fmt: skip
    before = snapshot(world.players)
    run.step(1)
    assert world.seen == [
        ("one", 0, "shared 1", {"a"}),
        ("one", 1, "shared 1", {"a"}),
        ("two", 0, "shared 1", {"network", "b"}),
    ]
    assert world.learning() == {"network", "a", "b"}
    after = snapshot(world.players)
    changed = {
        n for n in before if any(not torch.equal(v, after[n][k]) for k, v in before[n].items())
    }
    assert changed == {"network", "a", "b"}


def test_a_phase_that_fails_leaves_the_others_free_to_learn() -> None:
    world = Recorded()

    def fails(batch: Batch) -> Tensor:
        raise LabelgapError("half way", "")

    stage = world.stage()
    stage = replace(stage, phases=(replace(stage.phases[0], loss=fails), stage.phases[1]))
    run = StageRunner(world.by.inputs, world.training, stage)
    with pytest.raises(LabelgapError, match="half way"):
        run.step(0)
    assert world.learning() == {"network", "a", "b"}


def test_players_that_no_phase_updates_stand_still() -> None:
    world = Recorded()
    stage = world.stage()
    run = StageRunner(world.by.inputs, world.training, replace(stage, phases=stage.phases[:1]))
    assert run.updated == {"a"}
    assert world.learning() == {"a"}
    assert {n for n, m in world.players.items() if m.training} == {"a"}


def test_what_is_due_is_refreshed_before_the_batch() -> None:
    world = Recorded()
    run = world.runner(
        refresh=((2, lambda step: world.seen.append(("two", step))),
                 (3, lambda step: world.seen.append(("three", step)))),
        forward=lambda batch: world.seen.append(("forward", batch.step)),
    )  # fmt: skip
    for step in range(4):
        run.step(step)
    order = [entry for entry in world.seen if len(entry) == 2]
    assert order == [
        ("two", 0), ("three", 0), ("forward", 0), ("forward", 1), ("two", 2), ("forward", 2),
        ("three", 3), ("forward", 3),
    ]  # fmt: skip
    world.seen.clear()
    run.refreshing = False
    run.step(0)
    assert [entry for entry in world.seen if len(entry) == 2] == [("forward", 0)]


def test_each_optimiser_has_the_rate_of_the_step() -> None:
    world = Recorded()
    run = world.runner()
    rates = []
    for step in range(4):
        run.step(step)
        rates.append([o.lr for o in run.optimisers])
    assert rates == [
        [0.01, 0.1],
        [0.01, 0.1],
        [0.01, pytest.approx(0.01)],
        [0.01, pytest.approx(0.01)],
    ]


def test_dropout_is_drawn_for_the_stage_the_round_and_the_step() -> None:
    def masks(step: int, round: int = 2) -> list[Tensor]:
        world = Recorded(dropout=0.5, round=round)
        seen: list[Tensor] = []
        run = world.runner(forward=lambda b: seen.append(world.training.network(b.x).features))
        run.step(step)
        state = torch.get_rng_state()
        run.step(step)
        assert torch.equal(torch.get_rng_state(), state)  # the global generator is left alone
        streams = Streams(SEED)
        world = Recorded(dropout=0.5, round=round)
        run = world.runner()
        with streams.scope("dropout/both", round, step):
            seen.append(world.training.network(run.batch(step).x).features)
        return seen

    first, _, by_hand = masks(1)
    torch.testing.assert_close(first, by_hand)
    assert not torch.allclose(masks(2)[0], first)


def test_a_loss_that_is_not_finite_is_named_by_all_that_it_is_of() -> None:
    def nan(made: Training) -> Stage:
        stage = supervised_stage(made, lambda batch: made.network(batch.x).logits.sum() * math.nan)
        return replace(stage, name="odd", phases=(replace(stage.phases[0], name="first"),))

    said = "The loss of phase 'first' in stage 'odd' is nan at step 3 of round 2."
    run = runner(nan)
    with pytest.raises(NumericalError, match=re.escape(said)):
        run.step(3)


def test_a_loss_is_read_at_every_step_where_that_costs_nothing() -> None:
    run = runner()
    assert all(run._due_for_check(step) for step in range(5))
    run.training.device = torch.device("meta")  # as an accelerator
    run.stage = replace(run.stage, steps=50)
    assert [step for step in range(50) if run._due_for_check(step)] == [0, 20, 40, 49]


def test_a_loss_that_was_noted_before_comes_before_what_fails_now() -> None:
    def fails(batch: Batch) -> Tensor:
        raise LabelgapError("half way", "")

    run = runner(lambda made: supervised_stage(made, fails))
    run.watch.note(0, torch.tensor(math.nan), 3)  # as an accelerator notes it
    with pytest.raises(NumericalError, match=r"'network' .* is nan at step 3"):
        run.step(4)


def test_no_state_is_kept_of_what_a_bad_loss_spoilt_and_bad_items_are_named_first() -> None:
    run = runner()
    run.training.device = torch.device("meta")  # as an accelerator, which notes a loss
    run._check(0, torch.tensor(math.inf), 3)
    with pytest.raises(NumericalError, match=r"'network' .* is inf at step 3"):
        run.state()
    run.inputs.task.train.inputs[LABELLED[1]] = math.nan
    with pytest.raises(NumericalError, match=f"The inputs of the items {LABELLED[1]} are NaN"):
        run.state()


def test_the_cpu_needs_no_notes(monkeypatch: pytest.MonkeyPatch) -> None:
    run, read = runner(), []
    monkeypatch.setattr(run.watch, "read", lambda: read.append("read"))
    monkeypatch.setattr(run.watch, "note", lambda *facts: read.append("note"))
    for step in range(5):
        run.step(step)
    assert not read


def test_a_stage_has_learnt_by_the_mean_of_twenty_steps_in_its_second_half() -> None:
    run = runner(lambda made: replace(supervised_stage(made), steps=40, enough=0.5))
    assert float(run.lost) == 0.0

    def learnt(step: int, mean: float, **fields: Any) -> bool:
        run.stage = replace(run.stage, **fields)
        run.lost.fill_(20 * mean * run.stage.phases[0].repeats)
        return run.learnt(step)

    for step in (0, 17, 18, 20, 21, 38):
        assert not learnt(step, 0.25)
        assert float(run.lost) == 20 * 0.25  # not looked at
    for step in (19, 39):
        assert learnt(step, 0.25)
        assert float(run.lost) == 0.0
        assert learnt(step, 0.5 - 1e-6)
        assert not learnt(step, 0.5)
        assert float(run.lost) == 0.0
    assert not learnt(19, 0.25, steps=41)
    assert float(run.lost) == 0.0
    assert learnt(39, 0.25)
    twice = (replace(run.stage.phases[0], repeats=2),)
    assert learnt(39, 0.5 - 1e-6, phases=twice)
    assert not learnt(39, 0.5)
    assert not learnt(39, 0.0, enough=0.0)
    assert not learnt(39, 0.25)
    assert float(run.lost) == 20 * 0.25 * 2


@pytest.mark.parametrize("enough", [0.0, 1e-9])
def test_the_first_phases_losses_are_summed_where_that_is_asked(enough: float) -> None:
    run, seen = Recorded().runner(enough=enough), []
    first, second = run.stage.phases

    def noted(batch: Batch) -> Tensor:
        found = first.loss(batch)
        seen.append(float(found.detach()))
        return found

    run.stage = replace(run.stage, phases=(replace(first, loss=noted), second))
    for step in range(3):
        run.step(step)
    assert len(seen) == 6
    assert float(run.lost) == pytest.approx(sum(seen) if enough else 0.0, rel=1e-5)


def test_a_scope_for_dropout_is_opened_where_the_network_learns_and_has_some() -> None:
    assert not runner().dropping
    assert runner(dropout=0.3).dropping
    world = Recorded(dropout=0.3)
    stage = world.stage()
    alone = replace(stage, phases=stage.phases[:1])
    assert not StageRunner(world.by.inputs, world.training, alone).dropping


def test_state_is_all_that_a_step_depends_on() -> None:
    world, other = Recorded(), Recorded()
    run, again = world.runner(enough=1e-9), other.runner(enough=1e-9)
    run.step(0)
    run.step(1)
    kept = copy.deepcopy(run.state())
    assert set(kept) == {"players", "optimisers", "lost"}
    assert set(kept["players"]) == {"network", "a", "b", "idle"}
    run.step(2)
    again.load(kept)
    again.step(2)
    assert float(run.lost) == float(again.lost) > float(kept["lost"]) > 0
    ours, theirs = snapshot(world.players), snapshot(other.players)
    for name, values in ours.items():
        for key, value in values.items():
            assert torch.equal(value, theirs[name][key]), (name, key)


# ---------------------------------------------------------------------- optimisers and rates


def test_kernels_are_fused_where_torch_has_them() -> None:
    assert runner().optimisers[0].fused is True
    for kind, fused in (("cpu", True), ("cuda", True), ("mps", False)):
        elsewhere = type("Elsewhere", (nn.Parameter,), {"device": torch.device(kind)})
        assert Descent(Optimiser(), [elsewhere(torch.ones(1))]).fused is fused


def test_a_phase_takes_no_longer_step_than_its_clip() -> None:
    def clipped(made: Training) -> Stage:
        stage = supervised_stage(made)
        spec = Optimiser(lr=1.0, momentum=0.0)
        return replace(stage, phases=(replace(stage.phases[0], clip=1e-3, optimiser=spec),))

    run = runner(clipped)
    before = torch.cat([p.detach().flatten().clone() for p in run.params[0]])
    run.step(0)
    after = torch.cat([p.detach().flatten() for p in run.params[0]])
    assert 0.5e-3 < float((after - before).norm()) < 1.01e-3


def test_the_optimiser_takes_the_rate_of_the_step() -> None:
    spec = Optimiser(lr=0.5, milestones=(0.2, 0.6), gamma=0.5)
    made = Descent(spec, [nn.Parameter(torch.ones(1))], fused=False)
    for step, rate in ((0, 0.5), (1, 0.5), (2, 0.25), (5, 0.25), (6, 0.125), (9, 0.125)):
        set_rate(made, spec, step, 10)
        assert made.lr == rate
        assert learning_rate(spec, step, 10) == rate


def test_a_step_descends_the_gradient_of_this_loss_alone_and_no_longer_than_its_clip() -> None:
    for clip, length in ((None, 10.0), (2.5, 2.5), (100.0, 10.0)):
        w = nn.Parameter(torch.tensor([1.0, 2.0]))
        w.grad = torch.tensor([50.0, 50.0])  # of before
        sgd = Descent(Optimiser(lr=1.0, momentum=0.0, weight_decay=0.0), [w], fused=False)
        descend(sgd, (w * torch.tensor([6.0, 8.0])).sum(), [w], clip)
        moved = torch.tensor([1.0, 2.0]) - w.detach()
        torch.testing.assert_close(moved, length * torch.tensor([0.6, 0.8]))


def test_the_runs_optimiser_and_its_phase_of_the_first_stage() -> None:
    by = learner(lr=0.3, momentum=0.5, optimiser="sgd", steps=7, batch_size=6, enough=0.125)
    made = training(by, Plain(extra=nn.Linear(5, 3)))
    refreshed = [(3, lambda step: None)]
    other = Phase("other", ("extra",), supervised_loss(made), Optimiser())
    stage = supervised_stage(
        made, modules=("extra",), others=[other], refresh=refreshed, unlabelled_batch=9
    )
    assert (stage.name, stage.steps, stage.batch_size, stage.unlabelled_batch) == (
        "supervised", 7, 6, 9,
    )  # fmt: skip
    assert stage.supervised
    assert stage.enough == 0.125
    assert stage.refresh == tuple(refreshed)
    network, *others = stage.phases
    assert others == [other]
    assert (network.name, network.modules) == ("network", ("network", "extra"))
    assert network.optimiser == made.optimiser()
    assert (network.optimiser.lr, network.optimiser.momentum) == (0.3, 0.5)
    batch = StageRunner(by.inputs, made, stage).batch(0)
    logits = made.network(batch.x).logits
    picked = logits.log_softmax(dim=1)[torch.arange(6), batch.y]
    torch.testing.assert_close(network.loss(batch), -picked.mean())
    assert cross_entropy(logits.bfloat16(), batch.y).dtype == torch.float32
    plain = supervised_stage(made)
    assert (plain.refresh, plain.unlabelled_batch, len(plain.phases)) == ((), 0, 1)
    assert plain.phases[0].modules == ("network",)
    mine = supervised_stage(made, lambda batch: logits.sum() * 0 + 7.0)
    assert float(mine.phases[0].loss(batch)) == 7.0


# ---------------------------------------------------------------------- a whole training


def test_a_training_knows_what_it_was_made_with() -> None:
    by = learner()
    made = training(by, Plain(a=nn.Linear(5, 3)), round=6)
    assert made.settings is by.settings
    assert (made.num_classes, made.input_shape, made.preset) == (3, (6,), "smoke")
    assert (made.round, made.device, made.streams) == (6, PLACE.device, by.streams)
    assert made.labelled_ids.tolist() == LABELLED.tolist()
    assert made.labels.tolist() == by.task.train.labels[LABELLED].tolist()
    assert made.unlabelled_ids.tolist() == UNLABELLED.tolist()
    assert list(made.modules) == ["a"]
    found = made.predict(LABELLED, {"features"})
    assert list(found) == ["features"]
    torch.testing.assert_close(found["features"], by.predict(made.network, LABELLED)["features"])


def test_weights_and_players_are_drawn_for_the_round_and_the_objective() -> None:
    class Drawn(Plain):
        name = "drawn"

        def modules(self, training: Training) -> dict[str, nn.Module]:
            return {"a": nn.Linear(5, 3)}

    by = learner()
    state = torch.get_rng_state()
    made = training(by, Drawn(), round=3)
    assert torch.equal(torch.get_rng_state(), state)
    with Streams(SEED).scope("weights", 3):
        network = MLP(6, 3, hidden=(5,))
    with Streams(SEED).scope("modules/drawn", 3):
        player = nn.Linear(5, 3)
    for ours, theirs in ((made.network, network), (made.modules["a"], player)):
        for key, value in theirs.state_dict().items():
            assert torch.equal(ours.state_dict()[key], value)


def stages_of(made: Training, *names: str) -> list[Stage]:
    return [replace(supervised_stage(made), name=name) for name in names]


def fit(
    by: Learner, names: tuple[str, ...], checkpoint: Path | None = None, **options: Any
) -> tuple[Training, dict[str, float]]:
    made = training(by)
    objective = Plain(*stages_of(made, *names))
    return made, by.fit(made, objective, checkpoint=checkpoint, **options)


def test_stages_follow_each_other_and_are_told_and_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[str] = []
    calls: list[tuple[str, int, int]] = []
    clock = iter(range(100))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)) ** 2)
    made, seconds = fit(
        learner(), ("one", "two"), on_stage=lambda s: ended.append(s.name),
        progress=lambda *facts: calls.append(facts),
    )  # fmt: skip
    assert ended == ["one", "two"]
    assert calls == [(name, step, 5) for name in ("one", "two") for step in (1, 2, 3, 4, 5)]
    assert seconds == {"one": 1.0, "two": 9.0 - 4.0}
    assert not any(m.training for m in made.network.modules())


@pytest.mark.parametrize("steps", [(3, 5, 4), ()])
def test_the_longest_stage_decides_what_is_compiled(
    steps: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(Machine, "compiles", lambda self, steps: bool(asked.append(steps)))
    by = learner()
    made, objective = training(by), Plain()
    stages = [replace(s, steps=n) for s, n in zip(stages_of(made, *"abc"), steps, strict=False)]
    monkeypatch.setattr(objective, "stages", lambda training: stages)
    assert by.fit(made, objective).keys() == set("abc"[: len(steps)])
    assert asked == [max(steps, default=0)]


def test_what_a_refresh_asks_for_stays_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    by = learner()
    made, told = training(by), []
    monkeypatch.setattr(by, "predict", lambda *given, **named: told.append((*given, named)))
    made.predict(UNLABELLED, {"logits"})
    assert told == [(made.network, UNLABELLED, {"logits"}, {"on_host": False})]


def test_a_checkpoint_holds_the_stage_the_step_and_the_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, clock, times = tmp_path / "c.pt", [1000.0], []
    for name in ("monotonic", "perf_counter"):
        monkeypatch.setattr(time, name, lambda: clock[0])

    def progress(stage: str, step: int, of: int) -> None:
        clock[0] += 40.0
        times.append(file.stat().st_mtime_ns if file.exists() else None)

    fit(learner(), ("one",), file, progress=progress)
    # At most every 60 s: after steps 2 and 4, seen by the steps that follow.
    assert [t is not None for t in times] == [False, False, True, True, True]
    assert times[2] == times[3] != times[4]
    state = torch.load(file, weights_only=True)
    of_runner = {"players", "optimisers", "lost"}
    assert set(state) == of_runner | {"stage", "step", "seconds", "identity"}
    assert (state["stage"], state["step"], state["seconds"]) == (0, 4, {"one": 160.0})
    fit(learner(), ("one",), tmp_path / "never.pt")  # in no time
    assert not (tmp_path / "never.pt").exists()


class Stopped(Exception):
    pass


@pytest.mark.parametrize("death", ["one", "two"])
def test_a_training_goes_on_in_its_stage_with_the_seconds_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, death: str
) -> None:
    file, stages = tmp_path / "c.pt", ("one", "two")
    monkeypatch.setattr(learning, "CHECKPOINT_SECONDS", -1.0)
    whole, _ = fit(learner(), stages)

    def stop(stage: str, step: int, of: int) -> None:
        if (stage, step) == (death, 4):
            raise Stopped

    with pytest.raises(Stopped):
        fit(learner(), stages, file, progress=stop)
    state = torch.load(file, weights_only=True)
    assert (state["stage"], state["step"]) == (stages.index(death), 3)
    state["seconds"] = {"one": 100.0, "two": 50.0} if death == "two" else {"one": 100.0}
    torch.save(state, file)
    calls: list[tuple[str, int, int]] = []
    made, seconds = fit(learner(), stages, file, progress=lambda *facts: calls.append(facts))
    every = [(stage, step, 5) for stage in stages for step in range(1, 6)]
    assert calls == every[every.index((death, 4, 5)) :]
    if death == "two":
        assert seconds["one"] == 100.0
        assert 50.0 < seconds["two"] < 90.0
    else:
        assert 100.0 < seconds["one"] < 140.0
        assert seconds["two"] < 40.0
    for key, value in whole.network.state_dict().items():
        assert torch.equal(made.network.state_dict()[key], value)


def test_a_stage_has_ended_when_the_device_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    monkeypatch.setattr(Machine, "synchronise", lambda self: seen.append("done"))
    fit(
        learner(), ("one", "two"), on_stage=lambda stage: seen.append(stage.name),
        progress=lambda stage, step, of: seen.append("last") if step == of else None,
    )  # fmt: skip
    assert seen == ["last", "done", "one", "last", "done", "two"]


def test_players_rest_in_evaluation_mode_after_a_fit() -> None:
    by = learner()
    made = training(by, Plain(a=nn.Linear(5, 3)))
    stage = supervised_stage(made, modules=("a",))
    by.fit(made, Plain(stage))
    assert not any(m.training for m in (made.network, *made.modules.values()))


# ---------------------------------------------------------------------- whose checkpoint it is


def test_a_checkpoint_is_of_one_training_and_no_other() -> None:
    by, plain = learner(), Plain()
    made = training(by, plain)
    own = identity(made, plain)
    assert re.fullmatch("[0-9a-f]{64}", own)
    assert identity(training(learner(), Plain()), Plain()) == own

    class Named(Plain):
        name = "other"

    class Key(Settings):
        key: int = 0

    optioned = Plain()
    optioned.options = Key()
    keyed = Plain()
    keyed.options = Key(key=1)
    labels = made.labels.copy()
    labels[0] = (labels[0] + 1) % 3
    others = {
        "objective": identity(made, Named()),
        "options": identity(made, optioned),
        "an option": identity(made, keyed),
        "players": identity(training(by, Plain(a=nn.Linear(5, 3))), plain),
        "width": identity(training(by, Plain(a=nn.Linear(5, 4))), plain),
        "network": identity(replace(made, network=MLP(6, 3, hidden=(7,))), plain),
        "seed": identity(training(learner(seed=5)), plain),
        "settings": identity(training(learner(lr=0.3)), plain),
        **{
            name: identity(replace(made, **{name: value}), plain)
            for name, value in {
                "round": 3, "preset": "cpu", "labels": labels,
                "labelled_ids": made.labelled_ids[::-1].copy(),
                "unlabelled_ids": made.unlabelled_ids[:-1],
            }.items()
        },
    }  # fmt: skip
    assert len({own, *others.values()}) == len(others) + 1
    turned = np.repeat(made.labelled_ids, 2)[::2]  # equal, but not in one piece of memory
    assert identity(replace(made, labelled_ids=turned), plain) == own


def test_a_checkpoint_is_there_whole_and_ones_own_or_not_at_all(tmp_path: Path) -> None:
    file, cpu = tmp_path / "c.pt", torch.device("cpu")
    mine = Checkpoint(file, "mine")
    assert mine.load(cpu) is None
    mine.save({"step": 3, "weights": torch.ones(2)})
    found = mine.load(cpu)
    assert found is not None
    assert (found["step"], found["identity"], found["weights"].tolist()) == (3, "mine", [1, 1])
    assert Checkpoint(file, "another's").load(cpu) is None
    torch.save({"step": 3}, file)
    assert mine.load(cpu) is None
    cure = "Remove it: this round's training starts again."
    for content, said in ((b"half", "cannot be read"), (None, "holds no state of a training")):
        torch.save([1], file)
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(FolderError, match=rf"c\.pt {said}") as caught:
            mine.load(cpu)
        assert caught.value.cure == cure


# ---------------------------------------------------------------------- prediction


class Providing(Plain):
    name = "providing"

    def twice(self, passed: Passed) -> Tensor:
        return 2 * passed.modules["a"](passed.features)

    provides = {"twice": twice}  # noqa: RUF012


def test_a_pass_fills_what_is_named_chunk_by_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predicting, "PREDICT_BATCH", 4)
    by, objective = learner(), Providing(a=nn.Linear(5, 2))
    made = training(by, objective)
    calls: list[tuple[str, int, int]] = []
    found = by.predict(
        made.network, LABELLED, ["twice", "logits", "logits"], objective=objective,
        modules=made.modules, progress=lambda *facts: calls.append(facts),
    )  # fmt: skip
    assert list(found) == ["logits", "twice"]
    assert calls == [("predict", 4, 10), ("predict", 8, 10), ("predict", 10, 10)]
    with torch.no_grad():
        out = made.network.eval()(by.inputs.clean(by.task.train, LABELLED))
        torch.testing.assert_close(found["logits"], out.logits)
        torch.testing.assert_close(found["twice"], 2 * made.modules["a"](out.features))
    assert not found["twice"].requires_grad
    standard = by.predict(made.network, LABELLED[:3])
    assert list(standard) == ["features", "logits"]
    test = by.predict(made.network, np.arange(3), split=by.task.test)
    with torch.no_grad():
        out = made.network(by.inputs.clean(by.task.test, np.arange(3)))
    torch.testing.assert_close(test["features"], out.features)
    nothing = by.predict(made.network, np.arange(0))
    assert [value.tolist() for value in nothing.values()] == [[], []]
    for asked in (None, objective):
        with pytest.raises(KeyError, match="thrice"):
            by.predict(made.network, LABELLED, ["thrice"], objective=asked, modules=made.modules)


def test_predictions_are_float32_on_the_host_whatever_the_network_computes_in() -> None:
    class Half(Network):
        def trunk(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
            return x[:, :2].bfloat16().float(), []

    class Halves(Plain):
        provides = {"half": lambda self, passed: passed.features.bfloat16()}  # noqa: RUF012

    by = learner()
    found = by.predict(
        Half(2, (), 3), LABELLED, {"half", "features"}, objective=Halves(), modules={}
    )
    assert {value.dtype for value in found.values()} == {torch.float32}


def test_modes_are_restored_module_by_module_also_after_an_error() -> None:
    made = nn.Sequential(nn.Linear(1, 1), nn.Dropout(0.5), nn.Sequential(nn.ReLU()))
    made.train()
    made[1].eval()
    other = nn.Dropout(0.5).eval()
    modes = [m.training for m in (*made.modules(), *other.modules())]

    def look() -> None:
        with evaluation_mode([made, other]):
            assert not any(m.training for m in (*made.modules(), *other.modules()))
            raise Stopped

    with pytest.raises(Stopped):
        look()
    assert [m.training for m in (*made.modules(), *other.modules())] == modes


def test_stochastic_passes_draw_dropout_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predicting, "PREDICT_BATCH", 4)
    by = learner()
    made = training(by, dropout=0.5)
    network = made.network.train()
    found = by.mc_logits(network, LABELLED, 3, 2)
    assert network.training
    assert found.shape == (10, 3, 3)
    assert found.dtype == torch.float32
    with torch.no_grad(), Streams(SEED).scope("mc-dropout", 2):
        network.eval()
        for module in network.modules():
            if isinstance(module, nn.Dropout):
                module.train()
        rows = [
            torch.stack([network(x).logits for _ in range(3)], dim=1)
            for x in by.inputs.clean(by.task.train, LABELLED).split(4)
        ]
    torch.testing.assert_close(found, torch.cat(rows))
    assert by.mc_logits(network, LABELLED[:0], 2, 2).shape == (0, 2, 3)
    bare = training(by).network
    with pytest.raises(PairError, match="MLP has no such module"):
        by.mc_logits(bare, LABELLED, 3, 2)


def test_a_snapshot_is_a_copy_on_the_host() -> None:
    module = nn.BatchNorm1d(2)
    kept = snapshot({"a": module})
    assert set(kept) == {"a"}
    assert kept["a"].keys() == module.state_dict().keys()
    with torch.no_grad():
        module.weight += 1
        module.running_mean += 1  # type: ignore[operator]
    assert kept["a"]["weight"].tolist() == [1, 1]
    assert kept["a"]["running_mean"].tolist() == [0, 0]
    assert not kept["a"]["weight"].requires_grad
