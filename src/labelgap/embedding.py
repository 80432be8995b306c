"""Embeddings that do not change from round to round, for TypiClust, ProbCover and cold starts."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from labelgap import simclr
from labelgap.data.cache import cache_folder
from labelgap.data.progress import late_progress
from labelgap.data.types import Task
from labelgap.errors import DataError
from labelgap.files import write_atomically
from labelgap.learner import Learner

PIXELS = 16
"""Images up to this side are their own embedding, as standardised pixels."""
_CHUNK = 4096


def has_embedding(task: Task) -> bool:
    """Whether the task has an embedding: every one has, learned where nothing better is there."""
    return len(task.train) > 0


def embedding(
    task: Task, learner: Learner, recipe: simclr.Recipe | None = None
) -> Float[Tensor, "n d"]:
    """One row per training image, float32.

    Vectors (features of a frozen backbone) are their own embedding; images up to 16 pixels a side
    are standardised pixel by pixel; for larger ones SimCLR is trained once on the pool's images,
    by the recipe of the learner's preset, and its features of all training images are kept in the
    cache folder under a hash of images, pool and recipe. Neither labels nor the run's seed enter.

    Raises
    ------
    DataError: the cached file is damaged.
    """
    if not task.train.is_images:
        return torch.from_numpy(np.array(task.train.inputs, dtype=np.float32))
    if max(task.input_shape[:2]) <= PIXELS:
        flat = np.asarray(task.train.inputs, dtype=np.float32).reshape(len(task.train), -1)
        values = torch.from_numpy(flat)
        deviation = values.std(dim=0, correction=0)
        return (values - values.mean(dim=0)) / torch.where(deviation > 0, deviation, 1.0)
    recipe = recipe or simclr.RECIPES.get(learner.preset, simclr.RECIPES["cpu"])
    path = cache_folder() / "embeddings" / f"simclr-{content_hash(task, recipe)}.npy"
    if path.is_file():
        return torch.from_numpy(_read(path, len(task.train)))
    with late_progress("Learning the embedding", recipe.steps_for(len(task.pool))) as advance:
        encoder = simclr.train(learner, task.pool, recipe, advance)
    values = simclr.embed(learner, encoder, np.arange(len(task.train), dtype=np.int64))
    write_atomically(path, lambda file: np.save(file, values.numpy()))
    return values


def content_hash(task: Task, recipe: simclr.Recipe) -> str:
    """Hash of what decides a learned embedding: images, pool, crops' flips, recipe."""
    facts = [asdict(recipe), task.augment.flip, task.mean, task.std, list(task.input_shape)]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for start in range(0, len(task.train), _CHUNK):
        digest.update(np.ascontiguousarray(task.train.inputs[start : start + _CHUNK]).data)
    digest.update(task.pool.astype("<i8").tobytes())
    return digest.hexdigest()[:32]


def _read(path: Path, rows: int) -> Float[np.ndarray, "n d"]:
    try:
        values: Float[np.ndarray, "n d"] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"The cached embedding {path} cannot be read ({error}).", "Remove it and run again."
        ) from error
    if values.ndim != 2 or len(values) != rows:
        raise DataError(
            f"The cached embedding {path} has shape {values.shape}, {rows} rows are needed.",
            "Remove it and run again.",
        )
    return values
