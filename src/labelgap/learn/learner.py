"""Training and prediction: stages of alternating phases, one chunked pass for all outputs."""

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from labelgap.axes.registry import STANDARD_OUTPUTS, Objective
from labelgap.core.config import TrainingSettings, canonical
from labelgap.core.device import Machine
from labelgap.core.errors import FolderError, NumericalError, PairError
from labelgap.core.files import write_atomically
from labelgap.core.streams import Streams
from labelgap.core.types import Batch, Ids, Optimiser, Phase, Stage
from labelgap.data.augment import augment, normalise
from labelgap.data.strong import strong
from labelgap.data.types import Augment, Split, Task
from labelgap.networks.build import Network, dropout_modules

CHECKPOINT_SECONDS = 60.0
"""A killed run loses at most this much training."""
PREDICT_BATCH = 512

Progress = Callable[[str, int, int], None]
"""Called as (stage name, step, steps)."""


class Endless:
    """The endless sequence of shuffled passes over `ids`: element i is a pure function of i.

    Batches are windows of it, so they are always full, every id comes once a pass, and a resumed
    run needs no saved state.
    """

    def __init__(self, ids: Ids, streams: Streams, purpose: str, round: int) -> None:
        self.ids, self.streams, self.purpose, self.round = ids, streams, purpose, round
        self._epoch, self._order = -1, ids

    def _pass(self, epoch: int) -> Ids:
        if epoch != self._epoch:
            rng = self.streams.numpy(self.purpose, self.round, epoch)
            self._epoch, self._order = epoch, self.ids[rng.permutation(len(self.ids))]
        return self._order

    def window(self, start: int, size: int) -> Ids:
        """Elements start … start + size − 1."""
        n, parts = len(self.ids), []
        while size > 0:
            epoch, offset = divmod(start, n)
            part = self._pass(epoch)[offset : offset + size]
            parts.append(part)
            start, size = start + len(part), size - len(part)
        return np.concatenate(parts) if len(parts) > 1 else parts[0]


@dataclass
class Training:
    """What an objective may know and use while one round trains. Labels: labelled ids only."""

    network: Network
    modules: dict[str, nn.Module]
    settings: TrainingSettings
    num_classes: int
    input_shape: tuple[int, ...]
    labelled_ids: Ids
    labels: Int64[np.ndarray, " n"]
    unlabelled_ids: Ids
    streams: Streams
    round: int
    preset: str
    device: torch.device
    predict: Callable[[Ids, Iterable[str]], dict[str, Tensor]]

    @property
    def steps(self) -> int:
        """Steps of the supervised stage."""
        if self.settings.steps is not None:
            return self.settings.steps
        epochs = self.settings.epochs or 200.0
        return max(1, math.ceil(epochs * len(self.labelled_ids) / self.settings.batch_size))

    @property
    def batch_size(self) -> int:
        return self.settings.batch_size

    def optimiser(self) -> Optimiser:
        """The run's optimiser of the network, as configured."""
        s = self.settings
        return Optimiser(
            kind=s.optimiser,
            lr=s.lr,
            momentum=s.momentum,
            weight_decay=s.weight_decay,
            nesterov=s.nesterov,
            schedule=s.schedule,
            milestones=s.milestones,
            warmup=s.warmup,
        )

    def rng(self, purpose: str, step: int = 0, turn: int = 0) -> np.random.Generator:
        """A generator of this round for a purpose of the objective's own; each turn has its own."""
        name = f"objective/{purpose}/{turn}" if turn else f"objective/{purpose}"
        return self.streams.numpy(name, self.round, step)

    def identity(self, objective: Objective) -> str:
        """Equal for trainings that do the same from the same start: whose a checkpoint is."""
        facts: dict[str, Any] = {
            "round": self.round,
            "seed": self.streams.seed,
            "objective": objective.name,
            "options": objective.options.model_dump(mode="json"),
            "settings": self.settings.model_dump(mode="json"),
            "preset": self.preset,
        }
        for name, module in {"network": self.network, **self.modules}.items():
            facts[name] = {k: list(v.shape) for k, v in module.state_dict().items()}
        digest = hashlib.sha256(canonical(facts).encode())
        for array in (self.labelled_ids, self.labels, self.unlabelled_ids):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


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
        self.task, self.settings, self.streams = task, settings, streams
        self.machine, self.preset = machine, preset

    # ------------------------------------------------------------------ data on the device

    def inputs(self, split: Split, ids: Ids) -> Tensor:
        """Raw inputs of ids, on the device: uint8 [b, h, w, c] or float32 [b, d]."""
        return torch.from_numpy(np.ascontiguousarray(split.inputs[ids])).to(self.machine.device)

    def clean(self, split: Split, ids: Ids) -> Tensor:
        """Unaugmented, normalised inputs of ids."""
        return normalise(self.inputs(split, ids), self.task.mean, self.task.std)

    def _augmented(self, ids: Ids, rng: np.random.Generator, kind: str) -> Tensor:
        raw = self.inputs(self.task.train, ids)
        if self.task.train.is_images:
            # Without crop and flip a strong view is still another view.
            usual = self.task.augment if self.settings.augment else Augment()
            if kind in ("strong", "warped"):
                raw = strong(raw, usual, rng, geometry=kind == "warped")
            elif self.settings.augment:
                raw = augment(raw, usual, rng)
        return normalise(raw, self.task.mean, self.task.std)

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
            predict=lambda ids, names: self.predict(network, ids, names),
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
        on_stage: Callable[[str], None] | None = None,
        progress: Progress | None = None,
    ) -> dict[str, float]:
        """Run the objective's stages; returns seconds per stage.

        Parameters
        ----------
        checkpoint: written at most every 60 s and read if it exists and is of this very training
            (`Training.identity`), so that a killed one continues; removed by the caller once the
            trained weights are safe.
        on_stage: called with a stage's name when it has ended.

        Raises
        ------
        NumericalError: a loss that is NaN or infinite, naming stage, phase and step.
        """
        stages = objective.stages(training)
        kept = Checkpoint(checkpoint, training.identity(objective)) if checkpoint else None
        saved = kept.load(self.machine.device) if kept else None
        seconds: dict[str, float] = dict(saved["seconds"]) if saved else {}
        first = int(saved["stage"]) if saved else 0
        for index in range(first, len(stages)):
            stage = stages[index]
            state = saved if saved and index == first else None
            started = time.perf_counter() - seconds.get(stage.name, 0.0)
            self._run_stage(training, stage, index, state, kept, seconds, progress, started)
            self.machine.synchronise()
            seconds[stage.name] = time.perf_counter() - started
            if on_stage:
                on_stage(stage.name)
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
        runner = StageRunner(self, training, stage)
        step = 0
        if saved:
            runner.load(saved)
            step = int(saved["step"])
        last_saved = time.monotonic()
        while step < stage.steps:
            runner.step(step)
            step += 1
            if progress:
                progress(stage.name, step, stage.steps)
            if checkpoint and time.monotonic() - last_saved > CHECKPOINT_SECONDS:
                so_far = {**seconds, stage.name: time.perf_counter() - started}
                checkpoint.save({**runner.state(), "stage": index, "step": step, "seconds": so_far})
                last_saved = time.monotonic()

    # ------------------------------------------------------------------ prediction

    @torch.no_grad()
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
    ) -> dict[str, Tensor]:
        """One chunked pass in eval mode and float32 that fills all named outputs, on the host.

        Float32 whatever the training's precision: bfloat16 logits tie.
        """
        split = split or self.task.train
        wanted = sorted(set(names))
        parts: dict[str, list[Tensor]] = {name: [] for name in wanted}
        modules = modules or {}
        with evaluation_mode([network, *modules.values()]):
            for start in range(0, len(ids), PREDICT_BATCH):
                x = self.clean(split, ids[start : start + PREDICT_BATCH])
                out = network(x)
                known = {"features": out.features.float(), "logits": out.logits.float()}
                for i, block in enumerate(out.blocks):
                    known[f"block{i}"] = block
                for name in wanted:
                    if name in known:
                        value = known[name]
                    elif objective is not None and name in objective.outputs:
                        value = objective.output(name, network, modules, x, known)
                    else:
                        raise KeyError(name)
                    parts[name].append(value.float().cpu())
                if progress:
                    progress("predict", min(start + PREDICT_BATCH, len(ids)), len(ids))
        empty = torch.zeros(0)
        return {name: torch.cat(p) if p else empty for name, p in parts.items()}

    @torch.no_grad()
    def mc_logits(
        self, network: Network, ids: Ids, passes: int, round: int
    ) -> Float[Tensor, "n t k"]:
        """Logits of `passes` stochastic passes: dropout drawn, batch-norm as in evaluation.

        Raises PairError for a network without dropout, whose passes would all be one.
        """
        dropping = dropout_modules(network)
        if not dropping:
            raise PairError(
                f"Stochastic passes need dropout; {type(network).__name__} has no such module.",
                "Give the network one, or choose an acquisition of a single pass.",
            )
        rows = []
        with evaluation_mode([network]), self.streams.scope("mc-dropout", round):
            for module in dropping:
                module.train()
            for start in range(0, len(ids), PREDICT_BATCH):
                x = self.clean(self.task.train, ids[start : start + PREDICT_BATCH])
                rows.append(
                    torch.stack([network(x).logits.float() for _ in range(passes)], dim=1).cpu()
                )
        return torch.cat(rows)


class StageRunner:
    """One stage's optimisers and schedules; `step` is the whole of a training step."""

    def __init__(self, learner: Learner, training: Training, stage: Stage) -> None:
        self.learner, self.training, self.stage = learner, training, stage
        self.players: dict[str, nn.Module] = {"network": training.network, **training.modules}
        purpose = f"batches/{stage.name}"
        self.labelled = Endless(
            np.arange(len(training.labelled_ids)), training.streams, purpose, training.round
        )
        self.unlabelled = Endless(
            training.unlabelled_ids, training.streams, f"{purpose}/unlabelled", training.round
        )
        self.updated = {name for phase in stage.phases for name in phase.modules}
        self.optimisers = [self._optimiser(phase) for phase in stage.phases]
        self.params = [self._parameters(phase) for phase in stage.phases]
        self.labels = torch.from_numpy(training.labels).to(training.device)
        self.refreshing = True
        """Off when an estimate times steps and refreshes apart."""
        self._set_modes()

    def _parameters(self, phase: Phase) -> list[nn.Parameter]:
        return [p for name in phase.modules for p in self.players[name].parameters()]

    def _optimiser(self, phase: Phase) -> torch.optim.Optimizer:
        spec, params = phase.optimiser, self._parameters(phase)
        fused = self.training.device.type in ("cpu", "cuda")
        if spec.kind == "adam":
            return torch.optim.Adam(
                params, lr=spec.lr, betas=spec.betas, weight_decay=spec.weight_decay, fused=fused
            )
        return torch.optim.SGD(
            params,
            lr=spec.lr,
            momentum=spec.momentum,
            weight_decay=spec.weight_decay,
            nesterov=spec.nesterov,
            fused=fused,
        )

    def _set_modes(self) -> None:
        for name, module in self.players.items():
            module.train(name in self.updated)
            module.requires_grad_(name in self.updated)

    def batch(self, step: int) -> Batch:
        """The step's labelled and unlabelled images: a pure function of round and step."""
        t, stage, learner = self.training, self.stage, self.learner
        rng = t.streams.numpy(f"augment/{stage.name}", t.round, step)
        rows = self.labelled.window(step * stage.batch_size, stage.batch_size)
        ids = t.labelled_ids[rows]
        batch = Batch(
            x=learner._augmented(ids, rng, "weak"),
            y=self.labels[torch.from_numpy(rows).to(t.device)],
            ids=torch.from_numpy(ids),
            step=step,
        )
        size = stage.unlabelled_batch
        if size:
            u_ids = self.unlabelled.window(step * size, size)
            batch.u, batch.u_ids = learner._augmented(u_ids, rng, "weak"), torch.from_numpy(u_ids)
            batch.u_views = {
                name: learner._augmented(u_ids, rng, kind) for name, kind in stage.views.items()
            }
        return batch

    def step(self, step: int) -> None:
        """Refresh what is due, draw the batch, let each phase take its turns."""
        stage, machine = self.stage, self.learner.machine
        for every, function in stage.refresh:
            if self.refreshing and step % every == 0:
                # Statistics come from evaluation mode; training modes are restored after.
                function(step)
        batch = self.batch(step)
        scope: AbstractContextManager[None] = nullcontext()
        if dropout_modules(self.training.network) and "network" in self.updated:
            scope = self.training.streams.scope(f"dropout/{stage.name}", self.training.round, step)
        with scope:
            if stage.forward:
                with machine.autocast():
                    stage.forward(batch)
            for phase, optimiser, params in zip(
                stage.phases, self.optimisers, self.params, strict=True
            ):
                rate = learning_rate(phase.optimiser, step, stage.steps)
                for group in optimiser.param_groups:
                    group["lr"] = rate
                for batch.turn in range(phase.repeats):
                    self._turn(phase, optimiser, params, batch)

    def _turn(
        self,
        phase: Phase,
        optimiser: torch.optim.Optimizer,
        params: list[nn.Parameter],
        batch: Batch,
    ) -> None:
        others = [self.players[name] for name in self.updated if name not in phase.modules]
        for module in others:
            module.requires_grad_(False)
        try:
            with self.learner.machine.autocast():
                loss = phase.loss(batch)
            if self._due_for_check(batch.step) and not bool(torch.isfinite(loss)):
                raise NumericalError(
                    f"The loss of phase {phase.name!r} in stage {self.stage.name!r} is "
                    f"{float(loss.detach())} at step {batch.step} of round {self.training.round}.",
                    "Try a lower learning rate (`--set training.lr=0.03`) or "
                    "`--precision float32`.",
                )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        finally:
            for module in others:
                module.requires_grad_(True)
        if phase.clip is not None:
            nn.utils.clip_grad_norm_(params, phase.clip)
        optimiser.step()

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


def learning_rate(spec: Optimiser, step: int, steps: int) -> float:
    """The rate at a step: warm-up, then step, cosine or constant."""
    done = step / steps
    if done < spec.warmup:
        return spec.lr * (step + 1) / (spec.warmup * steps)
    if spec.schedule == "cosine":
        rest = (done - spec.warmup) / (1.0 - spec.warmup)
        return spec.lr * 0.5 * (1.0 + math.cos(math.pi * rest))
    if spec.schedule == "step":
        return spec.lr * spec.gamma ** sum(done >= m for m in spec.milestones)
    return spec.lr


class evaluation_mode(AbstractContextManager[None]):
    """Modules in eval mode, their own modes restored after: prediction changes nothing."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.modules = modules

    def __enter__(self) -> None:
        self.modes = [[(m, m.training) for m in module.modules()] for module in self.modules]
        for module in self.modules:
            module.eval()

    def __exit__(self, *exc: object) -> None:
        for modes in self.modes:
            for module, training in modes:
                module.training = training


def cross_entropy(logits: Float[Tensor, "b k"], y: Int64[Tensor, " b"]) -> Float[Tensor, ""]:
    """Mean cross-entropy in float32."""
    return F.cross_entropy(logits.float(), y)


def snapshot(modules: Mapping[str, nn.Module]) -> dict[str, dict[str, Tensor]]:
    """Copies of all parameters and buffers on the host."""
    return {
        name: {k: v.detach().cpu().clone() for k, v in module.state_dict().items()}
        for name, module in modules.items()
    }


@dataclass(frozen=True)
class Checkpoint:
    """Where the state of a training that may be killed is kept, and which training it is.

    Another training's state is as good as none: it has other labels, or other players.
    """

    path: Path
    identity: str

    def save(self, state: Mapping[str, Any]) -> None:
        content = {**state, "identity": self.identity}
        write_atomically(self.path, lambda file: torch.save(content, file))

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The state of this very training, if it was kept.

        Raises
        ------
        FolderError: a file that cannot be read.
        """
        if not self.path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(self.path, map_location=device, weights_only=True)
        except (OSError, RuntimeError, EOFError, UnpicklingError, BadZipFile) as error:
            raise FolderError(
                f"{self.path} cannot be read: {error}.",
                "Remove it: this round's training starts again.",
            ) from error
        return state if state.get("identity") == self.identity else None
