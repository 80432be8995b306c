"""Frozen backbones: a task of images becomes the same task of features, computed once.

The cache has one folder per array of images and backbone. Its name is a hash of everything that
the features depend on: the pixels, the backbone's name and weights, the preprocessing. A split
that occurs in several tasks (other labels, another seed's simulation) is computed once.
"""

import hashlib
import json
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, UInt8

from labelgap.core.config import NetworkSettings, RunConfig
from labelgap.core.device import Machine
from labelgap.core.errors import ConfigError, NumericalError
from labelgap.core.streams import Streams
from labelgap.data.cache import cache_folder, content_digest, write_record
from labelgap.data.progress import late_progress
from labelgap.data.types import Augment, Split, Task
from labelgap.frozen.embedding import NAME as EMBEDDING
from labelgap.frozen.embedding import embedded
from labelgap.frozen.engine import (
    OPENVINO,
    TORCH,
    Extract,
    compile_operations,
    engine_of,
    of_compiled,
    of_openvino,
    of_torch,
)
from labelgap.frozen.lite import Lite, packaged_lite
from labelgap.frozen.rows import CHUNK, Features, Stored, stored
from labelgap.learn.learner import Learner
from labelgap.networks.timm import Backbone, Preprocessing, import_timm, load_backbone, timm_name
from labelgap.networks.weights import weights_digest
from labelgap.networks.weights_file import HUB, pretrained, weights_file

VERSION = 1
"""Of the computation and the layout of the cache; part of every key."""
CPU_BATCH = 16
"""Larger batches fall out of the CPU's caches: EfficientNet-Lite0 at 128 pixels takes 1.6 times
as long an image in batches of 256 as in batches of 16."""
DEVICE_BATCH = 256

AUTO = "auto"
"""network.name of who names none."""

Progress = Callable[[str, int, int], None]
Images = UInt8[np.ndarray, "n h w c"]


@dataclass(frozen=True)
class Recipe:
    """What the features of an image depend on, besides the image.

    name: timm's name of the network.  weights: their sha256.  width: d.
    engine: what computes them; their last digits depend on it.
    """

    name: str
    weights: str
    preprocessing: Preprocessing
    width: int
    engine: str = TORCH

    def key(self, content: str) -> str:
        """Hash of the recipe and of what it is applied to."""
        facts = asdict(self)
        if self.engine == TORCH:  # all features of before were computed by it
            del facts["engine"]
        text = json.dumps([VERSION, facts, content], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def load_task_for(
    config: RunConfig,
    task: Task,
    machine: Machine,
    progress: Progress | None = None,
    *,
    cache: Path | None = None,
) -> Task:
    """The task that a configuration trains on: of features where it freezes a backbone.

    Vectors are taken as they are, as the features of whoever made them, unless a backbone is named.
    `network.name` = "embedding" takes the data's own embedding for features.

    Raises
    ------
    ConfigError: near-duplicates are to be simulated: they are made of images, and features of
        each seed's own images would have to be computed anew.
    """
    if not config.network.freeze or (config.network.name == AUTO and not task.train.is_images):
        return task
    if config.data.redundancy > 0:
        raise ConfigError(
            "data.redundancy copies images, and this run trains on frozen features.",
            "Leave out `--redundancy` or `--freeze`.",
        )
    if config.network.name == EMBEDDING:
        streams = Streams(config.seed)
        return embedded(task, Learner(task, config.training, streams, machine, config.preset))
    return freeze(task, config.network, machine, cache=cache, progress=progress)


def freeze(
    task: Task,
    settings: NetworkSettings,
    machine: Machine,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Task:
    """The same task, its images replaced by float32 features [n, d] of a frozen backbone.

    Name, classes, labels, ids and pool stay; mean and deviation are those of the training
    features; nothing is augmented. Features are computed in float32 whatever the machine's
    precision: in bfloat16 those of EfficientNet-Lite0 are off by 7 % of their norm and depend
    on the machine, to halve a time that is paid once. (On CUDA, convolutions are as exact as
    torch's setting for TF32 lets them be.)

    Parameters
    ----------
    settings: `name` = timm:NAME, `weights`, `input_size`, `engine`.
    cache: the cache folder; default as for data sets. Features that are there are mapped into
        memory without importing timm. A killed computation continues at its last 1,024 images.
    progress: called as ("features", images done, images); without it a bar appears after 2 s.

    Raises
    ------
    ConfigError: not a timm network; timm or its weights cannot be had; weights that do not fit;
        a task of vectors.
    UnknownName: timm has no such network.
    DataError: the weights file is missing or damaged, or the cache cannot be written.
    NumericalError: a feature is NaN or infinite.
    """
    if not task.train.is_images:
        raise ConfigError(
            f"A frozen backbone needs images; {task.name!r} has vectors.",
            "Leave out `--freeze`, or choose a data set of images.",
        )
    freezer = _Freezer(settings, machine, cache_folder(cache), progress)
    train = freezer.features(task.train.inputs)
    test = freezer.features(task.test.inputs)
    return Task(
        task.name,
        task.classes,
        Split(train.features, task.train.labels),
        Split(test.features, task.test.labels),
        Augment(),
        train.mean,
        train.std,
        # Of the causes, not of the arrays: two machines' features differ in the last digits.
        freezer.recipe.key(task.fingerprint),
        task.pool,
    )


def features_of(
    images: Images,
    settings: NetworkSettings,
    machine: Machine,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> Float32[np.ndarray, "n d"]:
    """Features of further images by the backbone of `freeze`; raises as `freeze`."""
    return _Freezer(settings, machine, cache_folder(cache), progress).features(images).features


class _Freezer:
    """Features of arrays of images; the backbone is loaded only if one has to be computed."""

    def __init__(
        self, settings: NetworkSettings, machine: Machine, cache: Path, progress: Progress | None
    ) -> None:
        self.settings, self.machine, self.cache = settings, machine, cache
        self.progress = progress
        self._backbone: Backbone | None = None
        self._extract: Extract | None = None
        self.engine = engine_of(settings.engine, machine.device)
        self.recipe = replace(self._recipe(), engine=self.engine)

    @cached_property
    def lite(self) -> Lite | None:
        """The backbone where OpenVINO computes it without timm."""
        return packaged_lite(self.settings) if self.engine == OPENVINO else None

    def backbone(self) -> Backbone:
        """The backbone on the machine's device, loaded at the first call."""
        if self._backbone is None:
            loaded = load_backbone(self.settings)
            self._backbone = replace(loaded, model=self.machine.place(loaded.model))
        return self._backbone

    def extract(self, images: Images) -> Features:
        """Features of one batch; the engine is made ready at the first call."""
        if self._extract is None:
            if self.lite is not None:
                run = compile_operations(self.lite.operations(self.batch), "f32")
                self._extract = of_compiled(run, self.lite.preprocessing, self.batch)
            elif self.engine == OPENVINO:
                self._extract = of_openvino(self.backbone(), self.batch)
            else:
                self._extract = of_torch(self.backbone(), self.machine.device)
        return self._extract(torch.from_numpy(images))

    @property
    def batch(self) -> int:
        return CPU_BATCH if self.machine.device.type == "cpu" else DEVICE_BATCH

    def features(self, images: Images) -> Stored:
        """All rows, from the cache or through it."""
        n, width = len(images), self.recipe.width
        if n == 0:
            return Stored(np.empty((0, width), dtype=np.float32), (0.0,) * width, (1.0,) * width)
        folder = self.cache / "features" / self.recipe.key(_pixels_digest(images))
        facts = {
            **asdict(self.recipe),
            "device": str(self.machine.device),
            "versions": {n: version(n) for n in {"torch", "timm", self.recipe.engine}},
        }
        with late_progress("Features of the frozen backbone", n) as advance:
            done = 0

            def report(rows: int) -> None:
                nonlocal done
                done += rows
                if self.progress is None:
                    advance(rows)
                else:
                    self.progress("features", done, n)

            def compute(start: int, stop: int) -> Features:
                return self._forward(images, start, stop, report)

            return stored(folder, self.cache, (n, width), compute, report, facts)

    def _forward(
        self, images: Images, start: int, stop: int, report: Callable[[int], None]
    ) -> Float32[np.ndarray, "k d"]:
        parts, batch = [], self.batch
        for row in range(start, stop, batch):
            raw = np.ascontiguousarray(images[row : min(row + batch, stop)])
            part = self.extract(raw)
            wrong = np.flatnonzero(~np.isfinite(part).all(axis=1))
            if len(wrong):
                raise NumericalError(
                    f"The features of timm:{self.recipe.name} are not finite for the image in "
                    f"row {row + wrong[0]}.",
                    "The weights are probably damaged or of another network.",
                )
            parts.append(part)
            report(len(raw))
        return np.concatenate(parts)

    def _recipe(self) -> Recipe:
        """Known from an earlier run without timm, else from the backbone itself."""
        record = self.cache / "backbones" / f"{self._request()}.json"
        if (known := _read_record(record)) is not None:
            return known
        backbone = self.lite or self.backbone()
        state = backbone.state if isinstance(backbone, Lite) else backbone.model.state_dict()
        recipe = Recipe(
            timm_name(self.settings),
            weights_digest(state),
            backbone.preprocessing,
            backbone.width,
        )
        write_record(record, json.dumps(asdict(recipe), indent=1).encode())
        return recipe

    def _request(self) -> str:
        """Hash of what was asked for; needs neither timm nor the weights in memory."""
        try:
            timm = version("timm")
        except PackageNotFoundError:
            import_timm()  # says how to install it
            raise
        path = weights_file(pretrained(timm_name(self.settings), self.settings.weights))
        weights = HUB if path is None else content_digest((path,), path.parent, self.cache)
        # Another version of timm may take other weights from the hub under the same name.
        request = [VERSION, timm, timm_name(self.settings), weights, self.settings.input_size]
        return hashlib.sha256(json.dumps(request).encode()).hexdigest()


def _read_record(path: Path) -> Recipe | None:
    if not path.is_file():
        return None
    try:
        known = json.loads(path.read_text())
        p = known["preprocessing"]
        preprocessing = Preprocessing(
            p["size"], tuple(p["mean"]), tuple(p["std"]), p["interpolation"]
        )
        return Recipe(known["name"], known["weights"], preprocessing, known["width"])
    except (ValueError, KeyError, TypeError) as error:
        warnings.warn(f"{path} is damaged ({error!r}): making it anew.", stacklevel=2)
        return None


def _pixels_digest(images: Images) -> str:
    """sha256 over shape and pixels."""
    digest = hashlib.sha256(str(images.shape).encode())
    with late_progress("Hashing images", len(images)) as advance:
        for start in range(0, len(images), CHUNK):
            block = np.ascontiguousarray(images[start : start + CHUNK])
            digest.update(block.data)
            advance(len(block))
    return digest.hexdigest()
