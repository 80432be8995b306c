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
from labelgap.core.errors import LabelgapError, NumericalError
from labelgap.learn.inputs import Endless, Inputs
from labelgap.learn.optimiser import Descent
from labelgap.networks.network import dropout_modules


class StageRunner:
    """One stage's optimisers and schedules; `step` is the whole of a training step."""

    def __init__(self, inputs: Inputs, training: Training, stage: Stage) -> None:
        self.inputs: Inputs = inputs
        self.training: Training = training
        self.stage: Stage = stage
        self.players: dict[str, nn.Module] = {"network": training.network, **training.modules}
        purpose = f"batches/{stage.name}"
        self.labelled: Endless = Endless(
            np.arange(len(training.labelled_ids)), training.streams, purpose, training.round
        )
        self.unlabelled: Endless = Endless(
            training.unlabelled_ids, training.streams, f"{purpose}/unlabelled", training.round
        )
        self.updated: set[str] = {name for phase in stage.phases for name in phase.modules}
        self.optimisers: list[Descent] = [self._optimiser(phase) for phase in stage.phases]
        self.params = [self._parameters(phase) for phase in stage.phases]
        self.others = [self._others(phase) for phase in stage.phases]
        self.labels: Tensor = torch.from_numpy(training.labels).to(training.device)
        self.refreshing = True
        """Off when an estimate times steps and refreshes apart."""
        self._set_modes()

    def _parameters(self, phase: Phase) -> list[nn.Parameter]:
        return [p for name in phase.modules for p in self.players[name].parameters()]

    def _others(self, phase: Phase) -> list[nn.Parameter]:
        # Listed once: to walk through the modules at every turn costs as much as a small layer.
        others = [self.players[name] for name in self.updated if name not in phase.modules]
        return [p for module in others for p in module.parameters()]

    def _optimiser(self, phase: Phase) -> Descent:
        fused = self.training.device.type in ("cpu", "cuda")
        return Descent(phase.optimiser, self._parameters(phase), fused)

    def _set_modes(self) -> None:
        for name, module in self.players.items():
            module.train(name in self.updated)
            module.requires_grad_(name in self.updated)
        # Asked once: to walk through the modules at every step costs as much as a layer.
        dropping = "network" in self.updated and dropout_modules(self.training.network)
        self.dropping: bool = bool(dropping)

    def batch(self, step: int) -> Batch:
        """The step's labelled and unlabelled images: a pure function of round and step."""
        t, stage, inputs = self.training, self.stage, self.inputs
        rng = t.streams.numpy(f"augment/{stage.name}", t.round, step)
        rows = self.labelled.window(step * stage.batch_size, stage.batch_size)
        ids = t.labelled_ids[rows]
        batch = Batch(
            x=inputs.augmented(ids, rng, "weak"),
            y=self.labels[torch.from_numpy(rows).to(t.device)],
            ids=torch.from_numpy(ids),
            step=step,
        )
        size = stage.unlabelled_batch
        if size:
            u_ids = self.unlabelled.window(step * size, size)
            batch.u, batch.u_ids = inputs.augmented(u_ids, rng, "weak"), torch.from_numpy(u_ids)
            batch.u_views = {
                name: inputs.augmented(u_ids, rng, kind) for name, kind in stage.views.items()
            }
        return batch

    def step(self, step: int) -> None:
        """Refresh what is due, draw the batch, let each phase take its turns.

        Raises
        ------
        NumericalError: a loss that is NaN or infinite; inputs that are so are named instead.
        """
        try:
            self._step(step)
        except LabelgapError:
            self._look_at_inputs()
            raise

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

    def _turn(self, index: int, phase: Phase, batch: Batch) -> None:
        for parameter in self.others[index]:
            parameter.requires_grad_(False)
        try:
            with self.inputs.machine.autocast():
                loss = phase.loss(batch)
            if self._due_for_check(batch.step) and not bool(torch.isfinite(loss)):
                raise NumericalError(
                    f"The loss of phase {phase.name!r} in stage {self.stage.name!r} is "
                    f"{float(loss.detach())} at step {batch.step} of round {self.training.round}.",
                    "Try a lower learning rate (`--set training.lr=0.03`) or "
                    "`--precision float32`.",
                )
            descend(self.optimisers[index], loss, self.params[index], phase.clip)
        finally:
            for parameter in self.others[index]:
                parameter.requires_grad_(True)

    def _due_for_check(self, step: int) -> bool:
        # Reading the loss waits for the device; on accelerators that is worth it only at times.
        return self.training.device.type == "cpu" or step % 20 == 0 or step == self.stage.steps - 1

    def state(self) -> dict[str, Any]:
        """Everything a checkpoint needs besides (stage, step)."""
        return {
            "players": {k: m.state_dict() for k, m in self.players.items()},
            "optimisers": [o.state_dict() for o in self.optimisers],
        }

    def load(self, saved: Mapping[str, Any]) -> None:
        for name, module in self.players.items():
            module.load_state_dict(saved["players"][name])
        for optimiser, state in zip(self.optimisers, saved["optimisers"], strict=True):
            optimiser.load_state_dict(state)


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
