"""Pool views made from arrays, for tests and timings of acquisitions."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labelgap.axes.view import PoolView
from labelgap.core.config import build
from labelgap.core.streams import Streams
from labelgap.methods import ACQUISITIONS, Acquisition


def array_view(
    candidates: Mapping[str, Tensor],
    labelled: Mapping[str, Tensor] | None = None,
    labels: Any = (),
    *,
    classes: int = 3,
    seed: int = 0,
    round: int = 1,
    **more: Any,
) -> PoolView:
    """A view whose candidates have the ids 1000, 1001, … and whose labelled items 0, 1, …"""
    n = len(next(iter(candidates.values())))
    given = np.asarray(labels, dtype=np.int64)
    if labelled is None:
        labelled = {name: x[:0] for name, x in candidates.items()}
    return PoolView(
        round=round,
        num_classes=classes,
        labelled_ids=np.arange(len(given), dtype=np.int64),
        labels=given,
        candidate_ids=np.arange(1000, 1000 + n, dtype=np.int64),
        labelled=dict(labelled),
        candidates=dict(candidates),
        streams=Streams(seed),
        **more,
    )


def acquire(name: str, **options: Any) -> Acquisition:
    """A registered acquisition with some options."""
    cls = ACQUISITIONS[name]
    return cls(build(cls.Options, options, "acquisition"))


def normal(*shape: int, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
