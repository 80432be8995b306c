"""A run told to a tracker as it goes: TensorBoard, MLflow, Weights & Biases. Nothing leaves the
machine unless the tracker's own settings say so."""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from labelgap.core.config import RunConfig
from labelgap.core.errors import ConfigError, UnknownName
from labelgap.core.files import write_text
from labelgap.core.installing import extra

TRACKED = "tracking.json"
"""In a run's folder: what each tracker calls the run, and which rounds it has."""


class Tracker(ABC):
    """What a tracker is told. A number is told once, also where the run was killed and goes on.

    `Tracking` notes a round after it was told. A kill between the two leaves a round that is told
    and not noted, so a tracker that goes on reads what it has first.
    """

    module: ClassVar[str]
    extra: ClassVar[str]

    def __init__(self, folder: Path, config: RunConfig, known: str | None) -> None:
        self.folder: Path = folder
        self.config: RunConfig = config
        self.run: str = self.begin(known)
        self._told = self.told() if known is not None else frozenset()

    def tell(self, values: Mapping[str, float], labels: int) -> None:
        """Numbers at so many labels, but for those that it has."""
        new = {name: value for name, value in values.items() if (name, labels) not in self._told}
        if new:
            self.log(new, labels)

    @abstractmethod
    def told(self) -> frozenset[tuple[str, int]]:
        """What a run that goes on has already: names of numbers, and at how many labels."""

    @abstractmethod
    def begin(self, known: str | None) -> str:
        """Begin, or go on with the run of that name; returns its name."""

    @abstractmethod
    def log(self, values: Mapping[str, float], labels: int) -> None:
        """Numbers at so many labels."""

    @abstractmethod
    def end(self) -> None:
        """Everything is on the disk after it."""


class TensorBoard(Tracker):
    module: ClassVar[str] = "torch.utils.tensorboard"
    extra: ClassVar[str] = "tensorboard"

    def begin(self, known: str | None) -> str:
        from torch.utils.tensorboard.writer import SummaryWriter

        self.writer = SummaryWriter(str(self.folder / "tensorboard"))
        if known is None:
            text = "    " + json.dumps(_settings(self.config), indent=1).replace("\n", "\n    ")
            self.writer.add_text("configuration", text)
        return "tensorboard"

    def told(self) -> frozenset[tuple[str, int]]:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        # 0 keeps all: by default long runs are thinned out.
        read = EventAccumulator(str(self.folder / "tensorboard"), size_guidance={"scalars": 0})
        read.Reload()
        names = read.Tags()["scalars"]
        return frozenset((name, event.step) for name in names for event in read.Scalars(name))

    def log(self, values: Mapping[str, float], labels: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, labels)
        self.writer.flush()

    def end(self) -> None:
        self.writer.close()


class MLflow(Tracker):
    """In `mlflow.db` beside the run's folder, unless MLFLOW_TRACKING_URI names another place."""

    module: ClassVar[str] = "mlflow"
    extra: ClassVar[str] = "mlflow"

    def begin(self, known: str | None) -> str:
        from mlflow.tracking import MlflowClient

        base = self.folder.absolute().parent
        self.client = MlflowClient(
            os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{base / 'mlflow.db'}"
        )
        if known is not None:
            return known
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "labelgap"
        found = self.client.get_experiment_by_name(name)
        if found is None:
            place = None
            if "MLFLOW_TRACKING_URI" not in os.environ:
                place = (base / "mlruns").as_uri()
            experiment = self.client.create_experiment(name, artifact_location=place)
        else:
            experiment = found.experiment_id
        run = self.client.create_run(experiment, run_name=self.folder.name).info.run_id
        for key, value in _flat(_settings(self.config)):
            self.client.log_param(run, key, str(value)[:500])
        return str(run)

    def told(self) -> frozenset[tuple[str, int]]:
        names = self.client.get_run(self.run).data.metrics
        return frozenset(
            (name, metric.step)
            for name in names
            for metric in self.client.get_metric_history(self.run, name)
        )

    def log(self, values: Mapping[str, float], labels: int) -> None:
        for name, value in values.items():
            self.client.log_metric(self.run, name, value, step=labels)

    def end(self) -> None:
        self.client.set_terminated(self.run)


class WandB(Tracker):
    """Offline, in the run's folder, unless WANDB_MODE says otherwise; `wandb sync` sends it.

    What it has cannot be asked offline, so a round that was told just before a kill is told again
    there, at the same step.
    """

    module: ClassVar[str] = "wandb"
    extra: ClassVar[str] = "wandb"

    def begin(self, known: str | None) -> str:
        import wandb

        self.made = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or "labelgap",
            name=self.folder.name,
            id=known,
            resume="allow" if known else None,
            dir=str(self.folder),
            config=_settings(self.config),
            mode=None if os.environ.get("WANDB_MODE") else "offline",
        )
        return str(self.made.id)

    def told(self) -> frozenset[tuple[str, int]]:
        return frozenset()

    def log(self, values: Mapping[str, float], labels: int) -> None:
        self.made.log(dict(values), step=labels)

    def end(self) -> None:
        self.made.finish()


TRACKERS: Mapping[str, type[Tracker]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
    "wandb": WandB,
}


def check_trackers(names: list[str]) -> None:
    """Refuse, before anything is computed, a tracker that there is not or that is not installed.

    Raises
    ------
    UnknownName: not one of `TRACKERS`.
    ConfigError: its package cannot be imported; says how to install it.
    """
    for name in names:
        if name not in TRACKERS:
            raise UnknownName("tracker", name, TRACKERS)
        try:
            import_module(TRACKERS[name].module)
        except ImportError as error:
            raise ConfigError(
                f"--track {name}: its package cannot be imported: {error}.",
                f"Install it: {extra(TRACKERS[name].extra)}.",
            ) from error


class Tracking:
    """The trackers of one run. They begin with the first round that is told: until then the folder
    may be refused, and a folder that holds anything counts as one that was begun."""

    def __init__(self, names: list[str], folder: Path, config: RunConfig) -> None:
        self._names, self._folder, self._config = tuple(dict.fromkeys(names)), folder, config
        self._kept: dict[str, Any] = {}
        self._trackers: dict[str, Tracker] = {}

    def _begin(self) -> None:
        if self._trackers or not self._names:
            return
        if (file := self._folder / TRACKED).exists():
            self._kept = json.loads(file.read_text(encoding="utf-8"))
        for name in self._names:
            kept = self._kept.setdefault(name, {"run": None, "rounds": []})
            self._trackers[name] = TRACKERS[name](self._folder, self._config, kept["run"])
            kept["run"] = self._trackers[name].run
            self._keep()

    def listen(self, kind: str, facts: Mapping[str, Any]) -> None:
        """A run's listener (`labelgap.loop.run.run`)."""
        if kind != "round":
            return
        self._begin()
        for name, tracker in self._trackers.items():
            told = self._kept[name]["rounds"]
            if facts["round"] not in told:
                tracker.tell(_numbers(facts), int(facts["labels"]))
                told.append(int(facts["round"]))
                self._keep()

    def finish(self, result: Mapping[str, Any]) -> None:
        """The rounds that were not told yet, and the area under the curve."""
        for entry in result["rounds"]:
            self.listen("round", entry)
        for name, tracker in self._trackers.items():
            if not self._kept[name].get("finished"):
                tracker.tell({"aubc": float(result["aubc"])}, int(result["rounds"][-1]["labels"]))
                self._kept[name]["finished"] = True
                self._keep()

    def end(self) -> None:
        """Close the trackers, also where the run has failed."""
        for tracker in self._trackers.values():
            tracker.end()

    def _keep(self) -> None:
        write_text(self._folder / TRACKED, json.dumps(self._kept, indent=1))


@contextmanager
def tracking(names: list[str], folder: Path, config: RunConfig) -> Iterator[Tracking]:
    """Trackers that are closed at the end, whatever happens."""
    made = Tracking(names, folder, config)
    try:
        yield made
    finally:
        made.end()


def _numbers(entry: Mapping[str, Any]) -> dict[str, float]:
    found = {name: float(entry[name]) for name in ("accuracy", "balanced_accuracy")}
    found["round"] = float(entry["round"])
    return found | {f"seconds/{k}": float(v) for k, v in entry["seconds"].items()}


def _settings(config: RunConfig) -> dict[str, Any]:
    return config.model_dump(mode="json")


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value
