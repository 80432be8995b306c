"""One stage of training: phases alternate on one batch a step."""

import math
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labelgap.axes.finite import refuse_not_finite
from labelgap.axes.stage import Batch, Optimiser, Phase, Stage
from labelgap.axes.training import Training
from labelgap.core.errors import LabelgapError
from labelgap.learn.batches import Batches
from labelgap.learn.inputs import Inputs
from labelgap.learn.optimiser import Descent
from labelgap.learn.watch import EVERY, Watch, not_finite
from labelgap.networks.network import dropout_modules


class StageRunner:
    """One stage's optimisers and schedules; `step` is the whole of a training step."""

    def __init__(self, inputs: Inputs, training: Training, stage: Stage) -> None:
        self.inputs: Inputs = inputs
        self.training: Training = training
        self.stage: Stage = stage
        self.players: dict[str, nn.Module] = {"network": training.network, **training.modules}
        self.batches: Batches = Batches(inputs, training, stage)
        self.watch: Watch = Watch(
            [phase.name for phase in stage.phases], stage.name, training.round, training.device
        )
        self.updated: set[str] = {name for phase in stage.phases for name in phase.modules}
        self.optimisers: list[Descent] = [
            Descent(phase.optimiser, self._parameters(phase)) for phase in stage.phases
        ]
        self.params = [self._parameters(phase) for phase in stage.phases]
        self.others = [self._others(phase) for phase in stage.phases]
        self.lost: Tensor = torch.zeros((), device=training.device)
        """Sum of the first phase's losses since the last look at it."""
        self.refreshing = True
        """Off when an estimate times steps and refreshes apart."""
        self._set_modes()

    def _parameters(self, phase: Phase) -> list[nn.Parameter]:
        return [p for name in phase.modules for p in self.players[name].parameters()]

    def _others(self, phase: Phase) -> list[nn.Parameter]:
        # Listed once: to walk through the modules at every turn costs as much as a small layer.
        others = [self.players[name] for name in self.updated if name not in phase.modules]
        return [p for module in others for p in module.parameters()]

    def _set_modes(self) -> None:
        for name, module in self.players.items():
            module.train(name in self.updated)
            module.requires_grad_(name in self.updated)
        # Asked once: to walk through the modules at every step costs as much as a layer.
        dropping = "network" in self.updated and dropout_modules(self.training.network)
        self.dropping: bool = bool(dropping)

    def batch(self, step: int) -> Batch:
        """The step's labelled and unlabelled images: a pure function of round and step."""
        return self.batches.batch(step)

    def step(self, step: int) -> None:
        """Refresh what is due, draw the batch, let each phase take its turns.

        Raises
        ------
        NumericalError: a loss that is NaN or infinite; inputs that are so are named instead.
        """
        try:
            self._step(step)
        except LabelgapError:
            self._look_further()
            raise

    def _look_further(self) -> None:
        """Items that are not finite themselves come first, then a loss that was noted before."""
        self._look_at_inputs()
        self.watch.read()

    def _look_at_inputs(self) -> None:
        """Refuse items that are not finite themselves, before anything else is suspected.

        All that the stage may have seen, not the batch alone: on an accelerator the loss is read
        at times, and an earlier batch may have spoilt the weights.
        """
        train, t = self.inputs.task.train, self.training
        if train.is_images:
            return  # bytes are finite
        ids = np.union1d(t.labelled_ids, t.unlabelled_ids)
        refuse_not_finite(ids, lambda part: self.inputs.clean(train, part))

    def _step(self, step: int) -> None:
        stage, machine = self.stage, self.inputs.machine
        for every, function in stage.refresh:
            if self.refreshing and step % every == 0:
                # Statistics come from evaluation mode; training modes are restored after.
                function(step)
        batch = self.batch(step)
        scope: AbstractContextManager[None] = nullcontext()
        if self.dropping:
            scope = self.training.streams.scope(f"dropout/{stage.name}", self.training.round, step)
        with scope:
            if stage.forward:
                with machine.autocast():
                    batch.shared = stage.forward(batch)
            for index, phase in enumerate(stage.phases):
                set_rate(self.optimisers[index], phase.optimiser, step, stage.steps)
                for batch.turn in range(phase.repeats):
                    self._turn(index, phase, batch)
        if self.training.device.type != "cpu" and self._due_for_check(step):
            self.watch.read()

    def learnt(self, step: int) -> bool:
        """Whether the stage may end after this step, since its loss is as small as is asked for.

        It is looked at every 20 steps, in the second half of the stage.
        """
        if not self.stage.enough or (step + 1) % EVERY:
            return False
        mean = float(self.lost) / EVERY / self.stage.phases[0].repeats
        self.lost.zero_()
        return 2 * (step + 1) >= self.stage.steps and mean < self.stage.enough

    def _turn(self, index: int, phase: Phase, batch: Batch) -> None:
        for parameter in self.others[index]:
            parameter.requires_grad_(False)
        try:
            with self.inputs.machine.autocast():
                loss = phase.loss(batch)
            self._check(index, loss, batch.step)
            if self.stage.enough and index == 0:
                self.lost += loss.detach()
            descend(self.optimisers[index], loss, self.params[index], phase.clip)
        finally:
            for parameter in self.others[index]:
                parameter.requires_grad_(True)

    def _check(self, index: int, loss: Tensor, step: int) -> None:
        # Reading a loss waits for the device. The CPU's is at hand; an accelerator notes the first
        # bad one of every phase, and the note is read at times.
        if self.training.device.type == "cpu":
            if self._due_for_check(step) and not bool(torch.isfinite(loss)):
                name, t = self.stage.phases[index].name, self.training
                raise not_finite(name, self.stage.name, float(loss.detach()), step, t.round)
            return
        self.watch.note(index, loss, step)

    def _due_for_check(self, step: int) -> bool:
        at_times = step % EVERY == 0 or step == self.stage.steps - 1
        return self.training.device.type == "cpu" or at_times

    def state(self) -> dict[str, Any]:
        """Everything a checkpoint needs besides (stage, step).

        Raises `NumericalError` for a loss that was not finite: what it spoilt is not kept.
        """
        try:
            self.watch.read()
        except LabelgapError:
            self._look_at_inputs()
            raise
        return {
            "players": {k: m.state_dict() for k, m in self.players.items()},
            "optimisers": [o.state_dict() for o in self.optimisers],
            "lost": self.lost,
        }

    def load(self, saved: Mapping[str, Any]) -> None:
        for name, module in self.players.items():
            module.load_state_dict(saved["players"][name])
        for optimiser, state in zip(self.optimisers, saved["optimisers"], strict=True):
            optimiser.load_state_dict(state)
        self.lost.copy_(saved["lost"])


def set_rate(optimiser: Descent, spec: Optimiser, step: int, steps: int) -> None:
    """Give the optimiser the rate of a step."""
    optimiser.lr = learning_rate(spec, step, steps)


def descend(
    optimiser: Descent,
    loss: Tensor,
    params: list[nn.Parameter],
    clip: float | None = None,
) -> None:
    """One step down the loss, the norm of all gradients at most `clip`."""
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    if clip is not None:
        nn.utils.clip_grad_norm_(params, clip)
    optimiser.step()


def learning_rate(spec: Optimiser, step: int, steps: int) -> float:
    """The rate at a step: warm-up, then step, cosine or constant; never above `spec.lr`."""
    done = step / steps
    if done < spec.warmup:
        # A warm-up of 2.5 steps is over in its third, of half a step in its first.
        return min(spec.lr, spec.lr * (step + 1) / (spec.warmup * steps))
    if spec.schedule == "cosine":
        rest = (done - spec.warmup) / (1.0 - spec.warmup)
        return spec.lr * 0.5 * (1.0 + math.cos(math.pi * rest))
    if spec.schedule == "step":
        return spec.lr * spec.gamma ** sum(done >= m for m in spec.milestones)
    return spec.lr
