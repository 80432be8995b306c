"""What is computed of each shard: features, the mixture's sums, the best rows."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from torch import Tensor

from labelgap.core.errors import DataError
from labelgap.mixtures.statistics import Statistics, expectation, statistics
from labelgap.score.parts import Task, read_part
from labelgap.score.reading import feature_blocks
from labelgap.score.scorer import Scorer
from labelgap.score.shards import Shard

NAMED = 1000
"""Rows left out that a shard's result names; all of them are counted."""


@dataclass(frozen=True)
class Source:
    """Where a shard's features are: in the shard itself, or where `embedding` kept them.

    width: d that they must have.  out: the folder of results.
    """

    width: int
    out: Path
    embedding: Task | None = None

    @property
    def digest(self) -> str:
        return "" if self.embedding is None else self.embedding.digest

    def blocks(self, shard: Shard) -> Iterator[tuple[Int64[np.ndarray, " n"], Tensor, list[str]]]:
        """Rows, their features and the names of those left out since they are not finite."""
        start = 0
        for block in self._whole(shard):
            finite = np.isfinite(block).all(axis=1)
            bad = [str(start + i) for i in np.flatnonzero(~finite).tolist()]
            rows = start + np.flatnonzero(finite)
            yield rows, torch.from_numpy(block if not bad else block[finite]), bad
            start += len(block)

    def _whole(self, shard: Shard) -> Iterator[Float32[np.ndarray, "n d"]]:
        if self.embedding is None:
            yield from feature_blocks(shard, self.width)
            return
        found = read_part(self.out, self.embedding, shard)["features"]
        if len(found) and found.shape[1] != self.width:
            raise DataError(
                f"{shard.name}: the network gives {found.shape[1]} features, and the labelled "
                f"items have {self.width}.",
                "Name the network that made the labelled features by --network.",
            )
        yield from (found,) if len(found) else ()


@dataclass(frozen=True)
class Moments:
    """A shard's sufficient statistics of ψ_U: by the classifier's softmax, or by ψ_U itself."""

    source: Source
    scorer: Scorer
    step: int
    covariance: str

    @property
    def stage(self) -> str:
        return f"moments-{self.step}"

    @property
    def digest(self) -> str:
        return _hash(self.scorer.digest, self.source.digest, self.step, self.covariance)

    def __call__(self, shard: Shard) -> dict[str, NDArray[Any]]:
        total: Statistics | None = None
        for _, z, _ in self.source.blocks(shard):
            if not len(z):
                continue
            if self.scorer.psi_u is None:
                r = self.scorer.responsibilities(z)
                found = statistics(z, r, covariance=self.covariance)
            else:
                found = expectation(self.scorer.psi_u, z)
            total = found if total is None else total.merge(found)
        return pack(total)


@dataclass(frozen=True)
class Best:
    """A shard's `most` rows of the highest score, equal ones in the order of their rows."""

    source: Source
    scorer: Scorer
    most: int

    @property
    def stage(self) -> str:
        return "score"

    @property
    def digest(self) -> str:
        return _hash(self.scorer.digest, self.source.digest, self.most)

    def __call__(self, shard: Shard) -> dict[str, NDArray[Any]]:
        rows = np.empty(0, dtype=np.int64)
        score, pseudo = np.empty(0, dtype=np.float32), np.empty(0, dtype=np.int64)
        counts = np.zeros(len(self.scorer.classes), dtype=np.int64)
        scored, bad = 0, list[str]()
        for number, z, wrong in self.source.blocks(shard):
            found = self.scorer.score(z)
            scored += len(number)
            bad += wrong
            counts += np.bincount(found.pseudo, minlength=len(counts))
            rows = np.concatenate([rows, number])
            score = np.concatenate([score, found.gap])
            pseudo = np.concatenate([pseudo, found.pseudo])
            if not np.isfinite(score).all():
                first = rows[int(np.flatnonzero(~np.isfinite(score))[0])]
                raise DataError(
                    f"{shard.name}: the score of row {first} is not finite.",
                    "Its features are probably of another network, or far too large.",
                )
            keep = np.lexsort((rows, -score))[: self.most]
            rows, score, pseudo = rows[keep], score[keep], pseudo[keep]
        return {
            "rows": rows,
            "score": score,
            "pseudo": pseudo,
            "classes": counts,
            "scored": np.array(scored),
            "left_out": np.array(len(bad)),
            "left_out_rows": np.array([int(row) for row in bad[:NAMED]], dtype=np.int64),
        }


def pack(s: Statistics | None) -> dict[str, NDArray[Any]]:
    """Statistics as arrays for a file; none of an empty shard."""
    if s is None:
        return {"count": np.array(0)}
    value = np.nan if s.log_likelihood is None else s.log_likelihood
    return {
        "count": np.array(s.count),
        "mass": s.mass.numpy(),
        "mean": s.mean.numpy(),
        "moment": s.moment.numpy(),
        "log_likelihood": np.array(value),
    }


def unpack(arrays: dict[str, NDArray[Any]]) -> Statistics | None:
    """What `pack` was given."""
    if not int(arrays["count"]):
        return None
    value = float(arrays["log_likelihood"])
    mass, mean, moment = (torch.from_numpy(arrays[n]) for n in ("mass", "mean", "moment"))
    return Statistics(mass, mean, moment, int(arrays["count"]), None if np.isnan(value) else value)


def _hash(*facts: object) -> str:
    return hashlib.sha256(repr(facts).encode()).hexdigest()
