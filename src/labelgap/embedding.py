"""Embeddings that do not change from round to round, for TypiClust, ProbCover and cold starts."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from labelgap.data.types import Task
from labelgap.learner import Learner
from labelgap.streams import Streams

PIXELS = 16
"""Images up to this side are their own embedding, as standardised pixels."""


def has_embedding(task: Task) -> bool:
    """Whether the task has an embedding: features of a frozen backbone, or few pixels."""
    return not task.train.is_images or max(task.input_shape[:2]) <= PIXELS


def embedding(task: Task, streams: Streams, learner: Learner) -> Float[Tensor, "n d"]:
    """One row per training image: frozen features, or standardised pixels of small images."""
    flat = np.asarray(task.train.inputs, dtype=np.float32).reshape(len(task.train), -1)
    values = torch.from_numpy(flat)
    if task.train.is_images:
        deviation = values.std(dim=0)
        values = (values - values.mean(dim=0)) / torch.where(deviation > 0, deviation, 1.0)
    return values
