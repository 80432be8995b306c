"""Images of a shard to features: once, by a frozen network; a bad image is left out, not fatal."""

import hashlib
import os
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from labelgap.core.config import NetworkSettings
from labelgap.core.device import machine
from labelgap.core.errors import DataError
from labelgap.data.apart import decode_apart
from labelgap.data.source import Item
from labelgap.frozen.engine import OPENVINO, Extract, engine_of, of_openvino, of_torch
from labelgap.frozen.freeze import CPU_BATCH, DEVICE_BATCH
from labelgap.networks.timm import Backbone, load_backbone
from labelgap.networks.weights import weights_digest
from labelgap.score.reading import image_items
from labelgap.score.shards import Shard

VERSION = 1
"""Of the computation; part of every digest."""


@dataclass(frozen=True)
class Embed:
    """Features [n, d] of a shard's images, NaN where an image cannot be read, and all names.

    weights: sha256 of the network's weights, so that features of others are refused.
    """

    settings: NetworkSettings
    device: str
    weights: str
    engine: str

    stage = "embed"

    @property
    def digest(self) -> str:
        network = (self.settings.name, self.settings.input_size, self.weights, self.engine)
        return hashlib.sha256(repr((VERSION, network)).encode()).hexdigest()

    def __call__(self, shard: Shard) -> dict[str, NDArray[Any]]:
        batch = CPU_BATCH if _of(self).on_cpu else DEVICE_BATCH
        names, why, parts = list[str](), list[str](), list[NDArray[np.float32]]()
        items = image_items(shard)
        while block := list(islice(items, batch)):
            names += [name for name, _ in block]
            features, wrong = self._batch(block)
            parts.append(features)
            why += wrong
        width = _of(self).backbone.width
        return {
            "features": np.concatenate(parts) if parts else np.empty((0, width), np.float32),
            "names": np.array(names, dtype=np.str_),
            "why": np.array(why, dtype=np.str_),
        }

    def _batch(self, block: list[Item]) -> tuple[NDArray[np.float32], list[str]]:
        ready = _of(self)
        features = np.full((len(block), ready.backbone.width), np.nan, dtype=np.float32)
        images, rows, wrong = [], [], []
        for row, item in enumerate(block):
            try:
                images.append(decode_apart(item, 3, None, ready.backbone.preprocessing.size))
                rows.append(row)
            except DataError as error:
                wrong.append(error.cause)
        if images:
            features[rows] = ready.extract(torch.from_numpy(np.stack(images)))
        return features, wrong


class _Ready:
    """The network in memory: loaded by each worker, once."""

    def __init__(self, task: Embed) -> None:
        where = machine(task.device)
        loaded = load_backbone(task.settings)
        self.backbone: Backbone = replace(loaded, model=where.place(loaded.model))
        self.on_cpu: bool = where.device.type == "cpu"
        self._device, self._engine = where.device, task.engine

    @cached_property
    def extract(self) -> Extract:
        if self._engine == OPENVINO:
            return of_openvino(self.backbone, CPU_BATCH)
        return of_torch(self.backbone, self._device)


_ready: dict[tuple[int, str], _Ready] = {}


def _of(task: Embed) -> _Ready:
    key = (os.getpid(), task.digest)  # a fork's threads are not its own
    if key not in _ready:
        _ready[key] = _Ready(task)
    return _ready[key]


def embed_with(settings: NetworkSettings, device: str) -> Embed:
    """The task for a network.

    Raises
    ------
    ConfigError, UnknownName, DataError: as `labelgap.frozen.freeze.freeze`.
    DeviceError: a device that this machine does not have.
    """
    engine = engine_of(settings.engine, machine(device).device)
    return Embed(
        settings, device, weights_digest(load_backbone(settings).model.state_dict()), engine
    )
