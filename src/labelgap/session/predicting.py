"""What the network says: how good it is on items whose class is known, and of other images."""

from typing import Any

import numpy as np
from jaxtyping import Float32

from labelgap.core.config import NetworkSettings
from labelgap.core.errors import DataError, LabelgapError
from labelgap.core.types import Metrics, Progress
from labelgap.data.checks import as_inputs, kind_of
from labelgap.data.types import Split
from labelgap.frozen.embedding import NAME as EMBEDDING
from labelgap.frozen.freeze import features_of
from labelgap.learn.learner import Learner
from labelgap.networks.network import Network
from labelgap.session.metrics import metrics
from labelgap.session.pool import Pool


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


def evaluated(network: Network, learner: Learner, pool: Pool, progress: Progress | None) -> Metrics:
    """Accuracy on the test split, or on the held-out labels where there is none.

    Raises `LabelgapError` where there is neither, or ids that no item has (`Pool.check`).
    """
    task, ledger = pool.task, pool.ledger
    pool.check()
    if len(task.test):
        ids = np.arange(len(task.test))
        split, truth = task.test, task.test.labels
    else:
        ids = np.sort(ledger.labelled_ids("held-out"))
        labels = ledger.labels
        split, truth = task.train, np.array([labels[int(i)] for i in ids], dtype=np.int64)
    if len(ids) == 0:
        raise LabelgapError(
            "There is nothing to evaluate on: no test images and no held-out labels.",
            "Label a held-out share first.",
        )
    out = learner.predict(network, ids, {"logits"}, split=split, progress=progress)
    return metrics(out["logits"].argmax(dim=1).numpy(), truth, task.num_classes)
