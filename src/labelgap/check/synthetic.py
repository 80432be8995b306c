"""A pool of synthetic arrays: what a query costs in time and memory, without data or training."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from labelgap.axes.view import PoolView
from labelgap.core.streams import Streams
from labelgap.core.types import Ids
from labelgap.networks.mlp import MLP

_ROWS = 10_000
"""Rows made at a time."""


def synthetic_view(
    candidates: int,
    outputs: Iterable[str] = (),
    *,
    labelled: int = 1000,
    width: int = 512,
    classes: int = 10,
    passes: int = 10,
    seed: int = 0,
) -> PoolView:
    """A view with features, an embedding, logits, and what else is named.

    Features are what a ReLU leaves of noise around one mean a class, logits those of a linear
    head that is often right. The embedding is the features' own array. The network is an adapter
    of the features' width, the features are its inputs.

    Parameters
    ----------
    candidates, labelled: their numbers; candidates have the ids after the labelled items'.
    outputs: "mc_logits", or an objective's: one number an item, logits where the name says so.
    width: d.   passes: T of the stochastic logits [n, T, K].
    """
    rng, n = np.random.default_rng(seed), candidates + labelled
    means = rng.standard_normal((classes, width), dtype=np.float32)
    which = rng.integers(classes, size=n)
    z = np.empty((n, width), dtype=np.float32)
    for start in range(0, n, _ROWS):
        part = z[start : start + _ROWS]
        rng.standard_normal(out=part, dtype=np.float32)
        part += 0.5 * means[which[start : start + _ROWS]]
        np.maximum(part, 0, out=part)
    weight = (means - means.mean(axis=0)) * (0.55 / width**0.5)
    logits = z @ weight.T
    arrays = {"features": z, "embedding": z, "logits": logits}
    for name in sorted(set(outputs) - set(arrays)):
        shape: tuple[int, ...] = (n, classes) if name.endswith("logits") else (n,)
        if name == "mc_logits":
            shape = (n, passes, classes)
        arrays[name] = rng.standard_normal(shape, dtype=np.float32)
    if "mc_logits" in arrays:
        arrays["mc_logits"] += 2 * logits[:, None]
    tensors = {name: torch.from_numpy(value) for name, value in arrays.items()}
    streams = Streams(seed)
    with streams.scope("synthetic network"):
        network = MLP(width, classes, hidden=(width,)).eval().requires_grad_(False)
    network.head.weight.copy_(torch.from_numpy(weight))
    network.head.bias.zero_()

    def inputs(ids: Ids) -> Tensor:
        return tensors["features"][torch.from_numpy(ids)]

    return PoolView(
        round=1,
        num_classes=classes,
        labelled_ids=np.arange(labelled, dtype=np.int64),
        labels=which[:labelled].astype(np.int64),
        candidate_ids=np.arange(labelled, n, dtype=np.int64),
        labelled={name: value[:labelled] for name, value in tensors.items()},
        candidates={name: value[labelled:] for name, value in tensors.items()},
        streams=streams,
        network=network,
        inputs=inputs,
    )
