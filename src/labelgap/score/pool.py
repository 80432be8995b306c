"""`score_pool`: a pool of shards to the n items to label next."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from labelgap.core.errors import ConfigError, DataError
from labelgap.core.files import write_text
from labelgap.core.wording import shortened
from labelgap.methods.daal.settings import MixtureSettings
from labelgap.score.local import Engine, Local
from labelgap.score.merge import Top, merged, spread, top_of
from labelgap.score.parts import Task, read_part
from labelgap.score.reading import has_features
from labelgap.score.scorer import Scorer
from labelgap.score.shards import Shard
from labelgap.score.tasks import Best, Moments, Source, unpack

Progress = Callable[[str, int, int], object]
"""(stage, shards done, shards)."""


@dataclass(frozen=True)
class Scored:
    """What came of a pool.

    Attributes
    ----------
    chosen: the n items to label next, best first.  top: the M best, best first.
    ids: of `chosen`: "shard:row", or "shard:name" of images.
    scored: items with a score.  left_out: those without, since their features are not finite or
        the image cannot be read.  left_out_ids: the first of them in each shard.
    scorer: the mixtures and the classifier.
    """

    chosen: Top
    top: Top
    ids: tuple[str, ...]
    scored: int
    left_out: int
    left_out_ids: tuple[str, ...]
    scorer: Scorer


def score_pool(
    shards: Sequence[Shard],
    scorer: Scorer,
    out: Path,
    n: int,
    *,
    top: int = 100_000,
    settings: MixtureSettings | None = None,
    embedding: Task | None = None,
    engine: Engine | None = None,
    seed: int = 0,
    progress: Progress = lambda stage, done, of: None,
) -> Scored:
    """Fit ψ_U over all shards, score each, take the `top` best, and n of these, spread.

    Each shard's result is kept in `out` with what it was made of; a second call computes nothing.
    Several calls, on several machines too, may share `out`: a shard is computed by one of them.

    Parameters
    ----------
    top: M, the best of the pool. Memory and time of the last step grow with it alone.
    settings: how ψ_U is fitted; `em_steps` of them are as many passes over the features. Always
        by merged statistics, which is exact EM on the whole pool; the paper's mean of ψ over
        batches depends on how the pool is cut.
    embedding: makes features of images (`embed.Embed`); None where the shards have features.

    Raises
    ------
    DataError: shards that cannot be read, by name; the others are kept, and the next call does
        only these. No item at all.
    BudgetError: n is more than there are items.
    DiskError: the disk is full or refuses.
    """
    if not 1 <= n <= top:
        raise ConfigError(f"n is {n} and top is {top}.", "Give 1 ≤ n ≤ top.")
    settings = settings or MixtureSettings()
    shards = sorted(shards, key=lambda shard: shard.name)
    images = [shard.name for shard in shards if not has_features(shard)]
    if images and embedding is None:
        raise ConfigError(
            f"{shortened(images, 3)} {'has' if len(images) == 1 else 'have'} images, and no "
            "network is named that makes features of them.",
            "Name the one that made the labelled features: --network timm:NAME.",
        )
    if embedding is not None and len(images) < len(shards):
        raise ConfigError(
            "Some shards have features, some images.", "Score them apart, or embed all."
        )
    stages = _Stages(shards, out, progress, engine or Local(1))
    if embedding is not None:
        stages.compute(embedding)
    source = Source(scorer.width, out, embedding)
    for step in range(settings.em_steps + 1):
        sums = stages.parts(Moments(source, scorer, step, settings.covariance))
        whole = merged(unpack(part) for part in sums)
        scorer = scorer.with_pool(whole.mixture(settings.floor))
    parts = list(stages.parts(Best(source, scorer, top)))
    best = top_of(parts, top)
    features = features_at(source, shards, best)
    chosen = spread(best, features, shards, len(scorer.classes), n, seed)
    naming = _Names(shards, source)
    left_out = [
        naming.of(i, row) for i, part in enumerate(parts) for row in part["left_out_rows"].tolist()
    ]
    ids = tuple(
        naming.of(i, r) for i, r in zip(chosen.shard.tolist(), chosen.row.tolist(), strict=True)
    )
    found = Scored(
        chosen,
        best,
        ids,
        sum(int(part["scored"]) for part in parts),
        sum(int(part["left_out"]) for part in parts),
        tuple(left_out),
        scorer,
    )
    write_text(out / "chosen.json", json.dumps(_facts(found), indent=1))
    return found


class _Stages:
    """Tasks one after the other over all shards."""

    def __init__(
        self, shards: Sequence[Shard], out: Path, progress: Progress, engine: Engine
    ) -> None:
        self.shards, self.out, self.progress, self.engine = shards, out, progress, engine

    def compute(self, task: Task) -> None:
        done = 0

        def one() -> None:
            nonlocal done
            done += 1
            self.progress(task.stage, min(done, len(self.shards)), len(self.shards))

        failed = self.engine.run(task, self.shards, self.out, one)
        if failed:
            causes = " ".join(f.cause for f in failed[:5])
            raise DataError(
                f"{len(failed)} of {len(self.shards)} shards could not be read: {causes}",
                f"{failed[0].cure} Then run the same command: the others are kept.",
            )

    def parts(self, task: Task) -> Iterator[dict[str, NDArray[Any]]]:
        """The results of all shards, in their order."""
        self.compute(task)
        for shard in self.shards:
            yield read_part(self.out, task, shard)


class _Names:
    """What people call a row: its image's name, or its number."""

    def __init__(self, shards: Sequence[Shard], source: Source) -> None:
        self.shards, self.source = shards, source
        self._read: dict[int, NDArray[Any]] = {}

    def of(self, shard: int, row: int) -> str:
        name, task = self.shards[shard].name, self.source.embedding
        if task is None:
            return f"{name}:{row}"
        if shard not in self._read:
            self._read[shard] = read_part(self.source.out, task, self.shards[shard])["names"]
        return f"{name}:{self._read[shard][row]}"


def features_at(source: Source, shards: Sequence[Shard], top: Top) -> Float32[np.ndarray, "m d"]:
    """The features of some items: only the shards that hold one are read, each once."""
    found = np.empty((len(top), source.width), dtype=np.float32)
    for i in np.unique(top.shard).tolist():
        places = np.flatnonzero(top.shard == i)
        for rows, z, _ in source.blocks(shards[i]):
            at = np.searchsorted(rows, top.row[places])
            here = (at < len(rows)) & (rows[np.minimum(at, len(rows) - 1)] == top.row[places])
            found[places[here]] = z.numpy()[at[here]]
    return found


def _facts(found: Scored) -> dict[str, Any]:
    names = found.scorer.classes
    return {
        "scored": found.scored,
        "left_out": found.left_out,
        "left_out_ids": list(found.left_out_ids),
        "chosen": [
            {"id": id, "score": float(score), "class": names[int(k)]}
            for id, score, k in zip(found.ids, found.chosen.score, found.chosen.pseudo, strict=True)
        ],
    }


@contextmanager
def closing(engine: Engine) -> Iterator[Engine]:
    """End an engine's workers in any case."""
    try:
        yield engine
    finally:
        engine.close()
