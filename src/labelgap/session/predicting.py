"""Probabilities of images that are not in the task."""

from typing import Any

import numpy as np
from jaxtyping import Float32

from labelgap.core.config import NetworkSettings
from labelgap.core.errors import DataError
from labelgap.core.types import Progress
from labelgap.data.checks import as_inputs, kind_of
from labelgap.data.types import Split
from labelgap.frozen.embedding import NAME as EMBEDDING
from labelgap.frozen.freeze import features_of
from labelgap.learn.learner import Learner
from labelgap.networks.network import Network


def probabilities(
    images: Any,
    network: Network,
    learner: Learner,
    settings: NetworkSettings,
    progress: Progress | None = None,
) -> Float32[np.ndarray, "n k"]:
    """See `Session.predict`."""
    inputs = as_inputs(images, "The inputs")
    task = learner.task
    if settings.freeze and settings.name != EMBEDDING and inputs.ndim == 4:
        inputs = features_of(inputs, settings, learner.machine, progress=progress)
    if inputs.shape[1:] != task.input_shape:
        raise DataError(
            f"The inputs are {kind_of(inputs)}; items of {task.name!r} have the shape "
            f"{list(task.input_shape)}.",
            f"Give {task.train.inputs.dtype} [n, {', '.join(map(str, task.input_shape))}].",
        )
    split = Split(inputs, np.full(len(inputs), -1, dtype=np.int64))
    ids = np.arange(len(inputs), dtype=np.int64)
    out = learner.predict(network, ids, {"logits"}, split=split, progress=progress)
    if not len(inputs):
        return np.empty((0, task.num_classes), dtype=np.float32)
    return out["logits"].softmax(dim=1).numpy()
