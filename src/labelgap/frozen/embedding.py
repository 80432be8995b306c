"""Embeddings that do not change from round to round, for TypiClust, ProbCover and cold starts."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from labelgap.core.disk import not_the_disk
from labelgap.core.errors import DataError
from labelgap.core.files import write_atomically
from labelgap.core.streams import Streams
from labelgap.data.cache import cache_folder
from labelgap.data.progress import late_progress
from labelgap.data.types import Augment, Split, Task, statistics
from labelgap.frozen import simclr
from labelgap.learn.learner import Learner
from labelgap.networks.network import Network

NAME = "embedding"
"""network.name of an adapter on the embedding."""
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
    DataError: a cached file is damaged.
    """
    if not task.train.is_images:
        return torch.from_numpy(np.array(task.train.inputs, dtype=np.float32))
    if is_small(task):
        return _pixels(task, task.train)
    return Learned(task, learner, recipe).of_training()


def embedded(task: Task, learner: Learner, recipe: simclr.Recipe | None = None) -> Task:
    """The same task, the images of both splits replaced by their embedding.

    An adapter on it learns from the features that TypiClust and ProbCover choose by, and so do
    Random and every other method: what is compared is the choice alone. Ids, pool and labels
    stay; nothing is augmented. A task of vectors is returned as it is.
    """
    if not task.train.is_images:
        return task
    if is_small(task):
        train, test, facts = _pixels(task, task.train), _pixels(task, task.test), "pixels"
    else:
        learned = Learned(task, learner, recipe)
        # In this order: a new encoder takes its training features with it.
        test, train, facts = learned.of_test(), learned.of_training(), learned.key
    mean, std = statistics(train.numpy())
    return replace(
        task,
        train=Split(train.numpy(), task.train.labels),
        test=Split(test.numpy(), task.test.labels),
        augment=Augment(),
        mean=mean,
        std=std,
        # Of the causes, not of the arrays: two machines' features differ in the last digits.
        fingerprint=hashlib.sha256(f"{NAME} {facts} {task.fingerprint}".encode()).hexdigest(),
    )


def is_small(task: Task) -> bool:
    """Whether the task's images are their own embedding."""
    return max(task.input_shape[:2]) <= PIXELS


def _pixels(task: Task, split: Split) -> Float[Tensor, "n d"]:
    """Pixels standardised by the training images' mean and deviation, each by its own."""
    values, of = (
        torch.from_numpy(np.asarray(s.inputs, dtype=np.float32).reshape(len(s), -1))
        for s in (task.train, split)
    )
    deviation = values.std(dim=0, correction=0)
    return (of - values.mean(dim=0)) / torch.where(deviation > 0, deviation, 1.0)


class Learned:
    """SimCLR's features, from the cache or through it; trained where the encoder is not there."""

    def __init__(self, task: Task, learner: Learner, recipe: simclr.Recipe | None = None) -> None:
        self.task: Task = task
        self.learner: Learner = learner
        self.recipe = recipe or simclr.RECIPES.get(learner.preset, simclr.RECIPES["cpu"])
        self.key: str = content_hash(task, self.recipe)
        self.folder: Path = cache_folder() / "embeddings"

    def of_training(self) -> Float[Tensor, "n d"]:
        return self._features(self.task.train, self._file(".npy"))

    def of_test(self) -> Float[Tensor, "n d"]:
        digest = hashlib.sha256()
        for block in _blocks(self.task.test):
            digest.update(block)
        return self._features(self.task.test, self._file(f"-{digest.hexdigest()[:16]}.npy"))

    def encoder(self) -> Network:
        """The trained encoder; one that is trained now makes training features kept before void."""
        path, machine = self._file(".safetensors"), self.learner.machine
        if path.is_file():
            with Streams(0).scope("simclr/weights"):
                encoder = simclr.new_encoder(self.task, self.recipe)
            try:
                encoder.load_state_dict(load_file(path))
            except (OSError, RuntimeError, SafetensorError) as error:
                not_the_disk(error, path)
                raise _damaged(path, str(error)) from error
            return machine.place(encoder).eval()
        with late_progress(
            "Learning the embedding", self.recipe.steps_for(len(self.task.pool))
        ) as advance:
            encoder = simclr.train(self.learner, self.task.pool, self.recipe, advance)
        self._file(".npy").unlink(missing_ok=True)
        state = {k: v.detach().cpu().contiguous() for k, v in encoder.state_dict().items()}
        data = save(state)
        write_atomically(path, lambda file: file.write(data))
        return encoder

    def _features(self, split: Split, path: Path) -> Float[Tensor, "n d"]:
        if path.is_file():
            return torch.from_numpy(_read(path, len(split)))
        values = simclr.embed(self.learner, self.encoder(), split)
        write_atomically(path, lambda file: np.save(file, values.numpy()))
        return values

    def _file(self, rest: str) -> Path:
        return self.folder / f"simclr-{self.key}{rest}"


def content_hash(task: Task, recipe: simclr.Recipe) -> str:
    """Hash of what decides a learned embedding: images, pool, crops' flips, recipe."""
    facts = [asdict(recipe), task.augment.flip, task.mean, task.std, list(task.input_shape)]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for block in _blocks(task.train):
        digest.update(block)
    digest.update(task.pool.astype("<i8").tobytes())
    return digest.hexdigest()[:32]


def _blocks(split: Split) -> Iterator[memoryview]:
    """The images' bytes, some at a time."""
    for start in range(0, len(split), _CHUNK):
        yield np.ascontiguousarray(split.inputs[start : start + _CHUNK]).data


def _read(path: Path, rows: int) -> Float[np.ndarray, "n d"]:
    try:
        values: Float[np.ndarray, "n d"] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        not_the_disk(error, path)
        raise _damaged(path, str(error)) from error
    if values.ndim != 2 or len(values) != rows:
        raise _damaged(path, f"shape {values.shape}, {rows} rows are needed")
    return values


def _damaged(path: Path, why: str) -> DataError:
    return DataError(
        f"The cached embedding {path} cannot be read ({why}).", "Remove it and run again."
    )
