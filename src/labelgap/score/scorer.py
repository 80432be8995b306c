"""What a score is made of, computed so that no cut of the pool changes it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from labelgap.core.device import set_threads
from labelgap.core.errors import ConfigError, DataError
from labelgap.data.features import read_npz
from labelgap.methods.daal.settings import MixtureSettings
from labelgap.mixtures.mixture import Mixture
from labelgap.mixtures.statistics import class_responsibilities

BLOCK = 4096
"""Rows of one product. Blocks that are not full are filled up with zeros: products of another
shape round in another order, and then the score of an item would depend on its shard's end."""


class Scores(NamedTuple):
    """Eq. 3's likelihood gap, in nats, and the class that the head predicts."""

    gap: Float32[np.ndarray, " n"]
    pseudo: Int64[np.ndarray, " n"]


@dataclass(frozen=True)
class Scorer:
    """ψ_L, ψ_U and a linear classifier on the same features.

    Attributes
    ----------
    classes: names, in the order of the mixtures' components.
    weight, bias: [k, d] and [k]: its softmax starts ψ_U, its maximum is the pseudo-label.
    psi_l: of the labelled items.  psi_u: of the pool; None until it was fitted.
    """

    classes: tuple[str, ...]
    weight: Float32[Tensor, "k d"]
    bias: Float32[Tensor, " k"]
    psi_l: Mixture
    psi_u: Mixture | None = None

    @property
    def width(self) -> int:
        return self.weight.shape[1]

    @cached_property
    def digest(self) -> str:
        """Hash of every number that a score depends on."""
        made = hashlib.sha256("\0".join(self.classes).encode())
        mixtures = [self.psi_l] if self.psi_u is None else [self.psi_l, self.psi_u]
        tensors = [self.weight, self.bias, *(t for m in mixtures for t in m.state().values())]
        for tensor in tensors:
            made.update(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
            made.update(tensor.contiguous().numpy().tobytes())
        return made.hexdigest()

    def with_pool(self, psi_u: Mixture) -> "Scorer":
        """The same with another ψ_U, in float32."""
        return replace(self, psi_u=psi_u.to(dtype=torch.float32))

    def responsibilities(self, z: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """The classifier's softmax, from which ψ_U starts (paper §2.1)."""
        return torch.softmax(z @ self.weight.T + self.bias, dim=1)

    @torch.no_grad()
    def score(self, z: Float[Tensor, "n d"]) -> Scores:
        """log p(z; ψ_U) − log p(z; ψ_L) of each row, and its pseudo-label.

        A row's values do not depend on the rows beside it, bit for bit. Unlike `daal` there is no
        critic: it would have to be trained on the whole pool.

        Raises
        ------
        ConfigError: ψ_U was not fitted.
        """
        if self.psi_u is None:
            raise ConfigError("The pool's mixture was not fitted.", "Fit it first: `score_pool`.")
        gaps, labels = [], []
        for block in _filled(z):
            gaps.append(self.psi_u.log_likelihood(block) - self.psi_l.log_likelihood(block))
            labels.append((block @ self.weight.T + self.bias).argmax(dim=1))
        if not gaps:
            return Scores(np.empty(0, dtype=np.float32), np.empty(0, dtype=np.int64))
        n = len(z)
        return Scores(torch.cat(gaps)[:n].float().numpy(), torch.cat(labels)[:n].numpy())


def _filled(z: Tensor) -> Iterator[Tensor]:
    for start in range(0, len(z), BLOCK):
        block = z[start : start + BLOCK]
        if len(block) < BLOCK:
            block = torch.cat([block, block.new_zeros(BLOCK - len(block), z.shape[1])])
        yield block


def scorer_of(file: Path, settings: MixtureSettings) -> Scorer:
    """ψ_L and a classifier from an `.npz` of labelled features.

    The file has `features` [n, d] and `labels` [n] (names or numbers; rows without one are left
    out), as those of `--data FOLDER` have. `weight` [k, d] and `bias` [k], if they are there, are
    the classifier, its rows in the sorted order of the labels; else it is scikit-learn's logistic
    regression.

    Raises
    ------
    DataError: a damaged file, no labelled row, or a classifier of another shape.
    """
    # In one thread: sums in another order would make other weights, and void all results.
    before = torch.get_num_threads()
    set_threads(1)
    try:
        return _scorer(file, settings)
    finally:
        set_threads(before)


def _scorer(file: Path, settings: MixtureSettings) -> Scorer:
    x, labels = read_npz(file)
    known = labels.values >= 0
    if not known.any():
        raise DataError(f"{file}: no row has a label.", "Label some first.")
    present, y = np.unique(labels.values[known], return_inverse=True)
    names = tuple(str(i) if labels.names is None else labels.names[i] for i in present.tolist())
    z = torch.from_numpy(np.ascontiguousarray(x[known]))
    weight, bias = _head(file, z, y, len(names))
    hot = class_responsibilities(torch.from_numpy(y), len(names))
    return Scorer(names, weight, bias, settings.fit(z, hot, np.random.default_rng(0)))


def _head(file: Path, z: Tensor, y: Int64[np.ndarray, " n"], k: int) -> tuple[Tensor, Tensor]:
    with np.load(file, allow_pickle=False) as opened:
        given = [np.asarray(opened[n], np.float32) for n in ("weight", "bias") if n in opened.files]
    if given:
        shapes = [a.shape for a in given]
        if shapes != [(k, z.shape[1]), (k,)]:
            raise DataError(
                f"{file}: the classifier's arrays have the shapes {shapes}, for {k} classes and "
                f"{z.shape[1]} features.",
                f"Give weight ({k}, {z.shape[1]}) and bias ({k},), or leave both out.",
            )
        return torch.from_numpy(given[0]), torch.from_numpy(given[1])
    if k == 1:
        return torch.zeros(1, z.shape[1]), torch.zeros(1)
    from sklearn.linear_model import LogisticRegression

    mean, scale = z.mean(dim=0), z.std(dim=0, correction=0).clamp_min(1e-6)
    fitted = LogisticRegression(max_iter=1000).fit(((z - mean) / scale).numpy(), y)
    w = torch.from_numpy(fitted.coef_).float() / scale
    b = torch.from_numpy(fitted.intercept_).float() - w @ mean
    if k == 2:  # scikit-learn gives the second class's row alone
        w, b = torch.cat([torch.zeros_like(w), w]), torch.cat([torch.zeros_like(b), b])
    return w, b
