"""Training on an accelerator, by a device that only says that it is one (`far_device`).

It holds the CPU's numbers, so a training there must end with the same weights; it counts whatever
makes the host wait; and it refuses what an accelerator refuses. What it cannot show is speed.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from far_device import PLACE, Far, FarDevice
from torch import Tensor

from labelgap.axes.stage import Stage
from labelgap.axes.training import Training
from labelgap.check.case import Case, tiny_task
from labelgap.core import crossing
from labelgap.core.device import Machine
from labelgap.core.errors import NumericalError
from labelgap.learn import resident
from labelgap.learn.batches import BLOCK, Batches
from labelgap.learn.inputs import Inputs
from labelgap.learn.learner import snapshot
from labelgap.learn.stage import StageRunner
from labelgap.learn.supervised import supervised_stage
from labelgap.loop.oracle import Oracle
from labelgap.methods import METHODS, OBJECTIVES
from labelgap.session.session import Session

NEAR, FAR = Machine(torch.device("cpu"), "float32"), Machine(PLACE, "float32")
OF_OBJECTIVE = {entry.objective: name for name, entry in sorted(METHODS.items(), reverse=True)}
BY_HAND_ONLY = {
    "daal": "EM's products are the BLAS of numpy's on the CPU and torch's elsewhere",
}
"""Objectives whose last digits differ from device to device, and why."""
NO_FORWARD_AD = {"isal": "the far device knows no forward-mode derivatives"}


def session(method: str, machine: Machine, **values: Any) -> Session:
    made = Session(tiny_task(), Case(METHODS[method]).config(**values), machine=machine)
    made.tell(Oracle(made.task).answer(made.ask(made.config.loop.initial)))
    return made


def near(x: Tensor) -> Tensor:
    return x.near if isinstance(x, Far) else x


# ---------------------------------------------------------------------- the device itself


def test_the_far_device_notes_what_waits() -> None:
    with FarDevice() as far:
        x = torch.arange(4.0).pin_memory().to(PLACE, non_blocking=True)
        assert x.device == PLACE and not far.waits  # noqa: PT018
        y = (x * 2 + 1).relu().softmax(dim=0)[torch.zeros(2, dtype=torch.long, device=PLACE)]
        home = torch.empty(2).pin_memory()
        home.copy_(y, non_blocking=True)
        assert not far.waits
        for act, what in (
            (lambda: float(x.sum()), "_local_scalar_dense"),
            (lambda: bool((x > 1).any()), "_local_scalar_dense"),
            (lambda: x[x > 1], "index by a mask"),
            (lambda: x[torch.tensor([0])], "index by rows of the host"),
            (lambda: x[[0, 2]], "index by rows of the host"),
            (lambda: x.nonzero(), "nonzero"),
            (lambda: x.cpu(), "a copy home"),
            (lambda: x.tolist(), "a copy home"),
            (lambda: torch.empty(2).copy_(y, non_blocking=True), "a copy home"),
            (lambda: torch.ones(3).to(PLACE), "a copy there"),
            (lambda: torch.ones(3).to(PLACE, non_blocking=True), "a copy there"),
            (lambda: torch.tensor([1.0], device=PLACE), "a copy there"),
            (lambda: FAR.synchronise(), "synchronise"),
        ):
            with far.counted() as waits:
                act()
            assert len(waits) == 1, (what, waits)
            assert waits[0].startswith(f"{what} at "), waits
        with pytest.raises(RuntimeError, match="same device"):
            x + torch.ones(4)
        with pytest.raises(TypeError, match="numpy"):
            np.asarray(x)
        assert x[[3, 1]].tolist() == [3.0, 1.0]
        x[[0, 2]] = -1.0
    assert near(x).tolist() == [-1.0, 1.0, -1.0, 3.0]
    assert home.tolist() == near(y).tolist()


def test_arrays_cross_by_one_copy_that_nobody_waits_for() -> None:
    rng = np.random.default_rng(0)
    arrays = [
        rng.integers(0, 9, (3, 5)), np.array([True, False, True]), np.empty(0, dtype=np.int64),
        rng.random((7, 1, 1), dtype=np.float32), rng.integers(0, 255, 13).astype(np.uint8),
        rng.random((2, 3)).T,
    ]  # fmt: skip
    with FarDevice() as far:
        found = crossing.all_over(arrays, PLACE)
        assert len(far.pinned) == 1
        assert not far.waits
    assert all(isinstance(f, Far) for f in found)
    for array, far_one, at_home in zip(
        arrays, found, crossing.all_over(arrays, torch.device("cpu")), strict=True
    ):
        for tensor in (near(far_one), at_home):
            assert tensor.numpy().dtype == array.dtype
            np.testing.assert_array_equal(tensor.numpy(), array)


# ---------------------------------------------------------------------- steps


def test_every_objective_is_looked_at() -> None:
    assert set(OF_OBJECTIVE) == set(OBJECTIVES)


@pytest.mark.parametrize("objective", sorted(OF_OBJECTIVE))
def test_a_training_waits_for_nothing_and_ends_with_the_same_weights(objective: str) -> None:
    with FarDevice() as far, session(OF_OBJECTIVE[objective], FAR) as there:
        training = there.new_training(0)
        for stage in there.objective.stages(training):
            runner = StageRunner(there.learner.inputs, training, stage)
            for step in range(stage.steps):
                for every, function in stage.refresh:
                    if step % every == 0:
                        function(step)  # may wait: it decides by numbers
                runner.refreshing = False
                with far.counted() as waits:
                    runner.step(step)
                reads = runner._due_for_check(step)
                assert [w.split(" at ")[0] for w in waits] == ["a copy home"] * reads, waits
                assert all("watch.py" in w for w in waits)
        ended = snapshot({"network": training.network, **training.modules})
    with session(OF_OBJECTIVE[objective], NEAR) as here:
        training = here.new_training(0)
        here.learner.fit(training, here.objective)
        expected = snapshot({"network": training.network, **training.modules})
    for name, values in expected.items():
        for key, value in values.items():
            found = ended[name][key]
            if objective in BY_HAND_ONLY:
                torch.testing.assert_close(found, value, rtol=1e-3, atol=1e-4)
            else:
                assert torch.equal(found, value), (name, key)


REFRESHES = {
    "settings.py": "the labels' one-hot rows, made and checked on the host",
    "stages.py": "the same",
    "products.py": "responsibilities that are no distribution are refused",
    "statistics.py": "features that are not finite are refused; an EM step without mass, too",
    "mixture.py": "EM stops where a step changes nothing",
}
"""Where a refresh may wait, and why."""


@pytest.mark.parametrize(
    ("method", "values"),
    [
        ("daal", {}),
        ("daal", {"critic": {"sigmoid": True}}),
        ("daal", {"objective": {"batch_norm": "separate"}}),
        ("waal", {"objective": {"form": "published"}}),
        ("fixmatch", {"objective": {"ema": 0.9, "geometry": True}}),
        ("random", {"network": {"dropout": 0.3}}),
    ],
)
def test_other_settings_wait_for_nothing_either(method: str, values: dict[str, Any]) -> None:
    with FarDevice() as far, session(method, FAR, **values) as there:
        training = there.new_training(0)
        for stage in there.objective.stages(training):
            runner = StageRunner(there.learner.inputs, training, stage)
            with far.counted() as waits:
                runner.step(0)
            files = {w.split(" at ")[1].split(":")[0] for w in waits} - {"watch.py"}
            assert files <= REFRESHES.keys()
            assert not files or method == "daal"
            runner.refreshing = False
            for step in range(1, stage.steps - 1):
                with far.counted() as waits:
                    runner.step(step)
                assert not waits


@pytest.mark.slow
@pytest.mark.parametrize("method", sorted(METHODS.keys() - NO_FORWARD_AD.keys()))
def test_every_method_trains_asks_and_evaluates_there_as_here(method: str) -> None:
    def asked(machine: Machine) -> tuple[list[int], float]:
        with session(method, machine) as made:
            made.fit()
            return made.ask(7).ids.tolist(), made.evaluate().accuracy

    with FarDevice():
        there = asked(FAR)
    assert there == asked(NEAR)


# ---------------------------------------------------------------------- batches


def images() -> Any:
    return replace(tiny_task(), augment=replace(tiny_task().augment, flip=True))


def staged(machine: Machine, **values: Any) -> tuple[Training, Stage]:
    made = session("fixmatch", machine, **values)
    training = made.new_training(0)
    stage = replace(
        supervised_stage(training, unlabelled_batch=5), views={"a": "strong", "b": "warped"}
    )
    return training, replace(stage, steps=BLOCK + 9)


@pytest.mark.parametrize("block", [1, 7, None])
@pytest.mark.parametrize("keep", [True, False])
def test_batches_are_the_same_kept_or_streamed_one_by_one_or_ahead(
    keep: bool, block: int | None
) -> None:
    training, stage = staged(NEAR)
    task = images()
    plain = Batches(Inputs(task, NEAR, keep=False), training, stage, 1)
    other = Batches(Inputs(task, NEAR, keep=keep), training, stage, block or BLOCK)
    for step in (0, 1, 6, 7, 40, 3, BLOCK + 8, 0, BLOCK - 1, BLOCK):
        one, two = plain.batch(step), other.batch(step)
        assert one.u_ids is not None
        assert two.u_ids is not None
        assert one.u_views.keys() == two.u_views.keys() == {"a", "b"}
        for a, b in (
            (one.x, two.x), (one.y, two.y), (one.ids, two.ids), (one.u_ids, two.u_ids),
            (one.unlabelled(), two.unlabelled()),
            *((one.u_views[k], two.u_views[k]) for k in "ab"),
        ):  # fmt: skip
            assert torch.equal(a, b)


def test_a_block_never_goes_beyond_the_stage() -> None:
    training, stage = staged(NEAR)
    drawn: list[int] = []
    batches = Batches(Inputs(images(), NEAR), training, stage, BLOCK)
    plan = batches._plan
    batches._plan = lambda step: drawn.append(step) or plan(step)  # type: ignore
    for step in range(stage.steps):
        batches.batch(step)
    assert drawn == list(range(stage.steps))


def test_a_set_that_does_not_fit_is_told_of_and_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    task = images()
    size = task.train.inputs.nbytes
    with FarDevice() as far:
        free = int(size / resident.SHARE)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (free, free))
        kept = Inputs(task, FAR)
        assert kept._kept is not None
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (free - 2, free))
        streamed = Inputs(task, FAR)
        with pytest.warns(UserWarning, match="stays in the host's memory"):
            assert streamed._kept is None
        ids = np.array([5, 80, 5])
        with far.counted() as waits:
            one, two = kept.clean(task.train, ids), streamed.clean(task.train, ids)
        assert not waits  # what is streamed is pinned
    assert torch.equal(near(one), near(two))
    assert torch.equal(near(one), Inputs(task, NEAR).clean(task.train, ids))


def test_a_large_set_crosses_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resident, "_PIECE", 1000)  # 15 images of 64 bytes
    task = images()
    with FarDevice() as far:
        there = resident.on_device(task.train, FAR)
        assert len(far.pinned) == 7
    np.testing.assert_array_equal(near(there).numpy(), task.train.inputs)


# ---------------------------------------------------------------------- losses


def test_a_bad_loss_between_two_readings_is_named_by_its_step_and_phase() -> None:
    with FarDevice(), session("random", FAR) as made:
        training = made.new_training(0)
        network = training.network

        def loss(batch: Any) -> Tensor:
            # One step's loss alone: the next ones are finite again.
            scale = float("inf") if batch.step in (7, 9) else 0.0
            return network(batch.x).logits.sum() * 0.0 + scale

        stage = supervised_stage(training, loss)
        late = replace(stage.phases[0], name="other", loss=lambda b: network(b.x).logits.mean())
        stage = replace(stage, steps=60, phases=(late, stage.phases[0]))
        runner = StageRunner(made.learner.inputs, training, stage)
        for step in range(20):
            runner.step(step)
        with pytest.raises(NumericalError, match=r"'network' .* is inf at step 7 of round 0"):
            runner.step(20)
        with pytest.raises(NumericalError, match="at step 7"):
            runner.state()  # no checkpoint is made of what it spoilt


# ---------------------------------------------------------------------- prediction


def test_a_prediction_waits_once_and_gives_the_same() -> None:
    ids = np.arange(96)
    names = {"features", "logits"}
    with session("random", NEAR) as here, FarDevice() as far, session("random", FAR) as there:
        of_here = here.new_training(0).network
        of_there = there.new_training(0).network
        expected = here.learner.predict(of_here, ids, names)
        there.learner.predict(of_there, ids[:1], names)  # the training set is there now
        with far.counted() as waits:
            found = there.learner.predict(of_there, ids, names)
        assert [w.split(" at ")[0] for w in waits] == ["synchronise"]
        with far.counted() as waits:
            stays = there.learner.predict(of_there, ids, names, on_host=False)
        assert not waits
        for name in names:
            assert not isinstance(found[name], Far)
            assert isinstance(stays[name], Far)
            assert torch.equal(found[name], expected[name])
            assert torch.equal(near(stays[name]), expected[name])


def test_stochastic_passes_wait_once_and_give_the_same() -> None:
    ids, dropout = np.arange(96), {"dropout": 0.4}
    with session("random", NEAR, network=dropout) as here, FarDevice() as far:
        expected = here.learner.mc_logits(here.new_training(0).network, ids, 3, 0)
        with session("random", FAR, network=dropout) as there:
            network = there.new_training(0).network
            there.learner.mc_logits(network, ids[:1], 2, 0)  # the training set is there now
            with far.counted() as waits:
                found = there.learner.mc_logits(network, ids, 3, 0)
    assert [w.split(" at ")[0] for w in waits] == ["synchronise"]
    assert not isinstance(found, Far)
    assert torch.equal(found, expected)
