"""Training and prediction: stages of alternating phases, one chunked pass for all outputs."""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int64
from torch import Tensor, nn

from labelgap.axes.objective import STANDARD_OUTPUTS, Objective
from labelgap.axes.stage import Stage
from labelgap.axes.training import Training
from labelgap.core.config import TrainingSettings
from labelgap.core.device import Machine
from labelgap.core.streams import Streams
from labelgap.core.types import Ids, Progress
from labelgap.data.types import Split, Task
from labelgap.learn.checkpoint import CHECKPOINT_SECONDS, Checkpoint, identity
from labelgap.learn.compiled import Compiled
from labelgap.learn.inputs import Inputs
from labelgap.learn.predict import mc_logits, predict
from labelgap.learn.stage import StageRunner
from labelgap.networks.network import Network


class Learner:
    """Trains networks and predicts with them on one machine, for one task.

    Parameters
    ----------
    task: images and classes; labels of its training split are never read here.
    machine: device, precision, memory format.
    """

    def __init__(
        self,
        task: Task,
        settings: TrainingSettings,
        streams: Streams,
        machine: Machine,
        preset: str = "",
    ) -> None:
        self.task: Task = task
        self.settings: TrainingSettings = settings
        self.streams: Streams = streams
        self.machine: Machine = machine
        self.preset: str = preset
        self.inputs: Inputs = Inputs(task, machine, settings.augment)

    # ------------------------------------------------------------------ training

    def new_network(self, build: Callable[[], Network], round: int) -> Network:
        """A network in this round's initial weights: equal for all methods of one seed."""
        with self.streams.scope("weights", round):
            network = build()
        return self.machine.place(network)

    def training(
        self,
        network: Network,
        objective: Objective,
        labelled_ids: Ids,
        labels: Int64[np.ndarray, " n"],
        unlabelled_ids: Ids,
        round: int,
    ) -> Training:
        """Everything the objective sees in this round, its extra modules made."""
        training = Training(
            network=network,
            modules={},
            settings=self.settings,
            num_classes=self.task.num_classes,
            input_shape=self.task.input_shape,
            labelled_ids=labelled_ids,
            labels=labels,
            unlabelled_ids=unlabelled_ids,
            streams=self.streams,
            round=round,
            preset=self.preset,
            device=self.machine.device,
            # A refresh goes on with them on the device.
            predict=lambda ids, names: self.predict(network, ids, names, on_host=False),
        )
        with self.streams.scope(f"modules/{objective.name}", round):
            made = objective.modules(training)
        training.modules.update({k: self.machine.place(m) for k, m in made.items()})
        return training

    def fit(
        self,
        training: Training,
        objective: Objective,
        *,
        checkpoint: Path | None = None,
        on_stage: Callable[[Stage], None] | None = None,
        progress: Progress | None = None,
    ) -> dict[str, float]:
        """Run the objective's stages; returns seconds per stage.

        Parameters
        ----------
        checkpoint: written at most every 60 s and read if it exists and is of this very training
            (`checkpoint.identity`), so that a killed one continues; removed by the caller once the
            trained weights are safe.
        on_stage: called with a stage when it has ended.

        Raises
        ------
        NumericalError: a loss that is NaN or infinite, naming stage, phase and step.
        DeviceError: a network that cannot be compiled where that was asked for.
        """
        stages = objective.stages(training)
        kept = Checkpoint(checkpoint, identity(training, objective)) if checkpoint else None
        saved = kept.load(self.machine.device) if kept else None
        seconds: dict[str, float] = dict(saved["seconds"]) if saved else {}
        first = int(saved["stage"]) if saved else 0
        longest = max((stage.steps for stage in stages), default=0)
        compiled: AbstractContextManager[None] = nullcontext()
        if self.machine.compiles(longest):
            compiled = Compiled(training.network)
        with compiled:
            for index in range(first, len(stages)):
                stage = stages[index]
                state = saved if saved and index == first else None
                started = time.perf_counter() - seconds.get(stage.name, 0.0)
                self._run_stage(training, stage, index, state, kept, seconds, progress, started)
                self.machine.synchronise()
                seconds[stage.name] = time.perf_counter() - started
                if on_stage:
                    on_stage(stage)
        training.network.eval()
        for module in training.modules.values():
            module.eval()
        return seconds

    def _run_stage(
        self,
        training: Training,
        stage: Stage,
        index: int,
        saved: dict[str, Any] | None,
        checkpoint: "Checkpoint | None",
        seconds: dict[str, float],
        progress: Progress | None,
        started: float,
    ) -> None:
        runner = StageRunner(self.inputs, training, stage)
        step = 0
        if saved:
            runner.load(saved)
            step = int(saved["step"])
        last_saved = time.monotonic()
        while step < stage.steps:
            runner.step(step)
            step = stage.steps if runner.learnt(step) else step + 1
            if progress:
                progress(stage.name, step, stage.steps)
            if checkpoint and time.monotonic() - last_saved > CHECKPOINT_SECONDS:
                so_far = {**seconds, stage.name: time.perf_counter() - started}
                checkpoint.save({**runner.state(), "stage": index, "step": step, "seconds": so_far})
                last_saved = time.monotonic()

    # ------------------------------------------------------------------ prediction

    def predict(
        self,
        network: Network,
        ids: Ids,
        names: Iterable[str] = STANDARD_OUTPUTS,
        *,
        split: Split | None = None,
        objective: Objective | None = None,
        modules: Mapping[str, nn.Module] | None = None,
        progress: Progress | None = None,
        on_host: bool = True,
    ) -> dict[str, Tensor]:
        """`learn.predict.predict` on this task, of its training images unless told otherwise."""
        return predict(
            network,
            self.inputs,
            ids,
            names,
            split=split,
            objective=objective,
            modules=modules,
            progress=progress,
            on_host=on_host,
        )

    def mc_logits(
        self, network: Network, ids: Ids, passes: int, round: int
    ) -> Float[Tensor, "n t k"]:
        """`learn.predict.mc_logits` on this task's training images."""
        return mc_logits(network, self.inputs, ids, passes, self.streams, round)


def snapshot(modules: Mapping[str, nn.Module]) -> dict[str, dict[str, Tensor]]:
    """Copies of all parameters and buffers on the host."""
    return {
        name: {k: v.detach().cpu().clone() for k, v in module.state_dict().items()}
        for name, module in modules.items()
    }
