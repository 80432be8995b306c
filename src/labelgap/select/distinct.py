"""Exact copies among rows: which rows differ, and how often each is there.

Copies of an item tell an acquisition nothing that one of them does not. They are one row with a
weight: so the work is that of the rows that differ, and a batch holds no row twice while others
are left.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt64
from torch import Tensor

from labelgap.select.arrays import ROWS

# Odd constants of a mixing step (Steele et al. 2014, SplitMix64).
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_STREAM = 0x9E3779B97F4A7C15
_LEADING = 32
"""Columns that are looked at first."""
_BLOCK = 512
"""Rows that are hashed at a time: what is made of them stays in the processor's cache."""
_FETCHED = 16_384
"""The same of rows that come from an accelerator, where every fetch waits."""


@dataclass(frozen=True)
class Distinct:
    """The rows that differ.

    Attributes
    ----------
    first: position of the row that stands for each, ascending.
    inverse: for every item which of these rows it is.
    counts: how many items are that row, at least 1.
    """

    first: Int64[np.ndarray, " u"]
    inverse: Int64[np.ndarray, " n"]
    counts: Int64[np.ndarray, " u"]

    def __len__(self) -> int:
        return len(self.first)

    @property
    def copies(self) -> bool:
        """Whether any row is there twice."""
        return len(self.first) < len(self.inverse)

    @property
    def rows(self) -> Int64[Tensor, " u"]:
        """`first` as a tensor."""
        return torch.from_numpy(self.first)

    def others(self) -> Int64[np.ndarray, " m"]:
        """Positions of all items that stand for no row, ascending."""
        spare = np.ones(len(self.inverse), dtype=bool)
        spare[self.first] = False
        return np.flatnonzero(spare).astype(np.int64)

    def filled(
        self, chosen: Int64[np.ndarray, " _"], n: int, ties: Float[np.ndarray, " n"]
    ) -> Int64[np.ndarray, " _"]:
        """n items: those of the chosen distinct rows, then copies, the smaller draw first."""
        spare = self.others()
        spare = spare[np.argsort(ties[spare], kind="stable")]
        taken: Int64[np.ndarray, " _"] = np.concatenate([self.first[chosen], spare])[:n]
        return taken


def distinct(*arrays: Tensor, ties: Float[np.ndarray, " n"] | None = None) -> Distinct:
    """The distinct rows of one or more arrays [n, ...] side by side, in linear time.

    Rows are equal when all their values are (0 and −0 are, NaN of the same bits too). They are
    told apart by a hash of their bytes, and what has one hash is then compared.

    Parameters
    ----------
    ties: one draw per item; the copy of the smallest stands for its row. None: the first does.

    Memory: a block of rows, and a few numbers an item.
    """
    n = len(arrays[0])
    flat = [a.detach().reshape(n, -1) for a in arrays] if n else []
    widest = max(flat, key=lambda a: a.shape[1], default=None)
    if widest is not None and widest.shape[1] > 2 * _LEADING:
        # Rows that differ early need not be read to their end.
        every = np.arange(n, dtype=np.int64)
        if len(np.unique(_hashed([widest[:, :_LEADING]], n))) == n:
            return Distinct(every, every.copy(), np.ones(n, dtype=np.int64))
    hashes = _hashed(flat, n)
    _, first, inverse = np.unique(hashes, return_index=True, return_inverse=True)
    if len(first) < n and not _equal(flat, first[inverse]):
        inverse = _sorted(flat)
    return _numbered(inverse.astype(np.int64), ties)


def differing(
    labelled: Tensor, candidates: Tensor, ties: Float[np.ndarray, " n"]
) -> tuple[Int64[np.ndarray, " u"], Int64[np.ndarray, " c"]]:
    """Candidates that differ from each other and from all labelled items; and the other ones.

    Positions in the candidates [n, ...]: the first ascending, the others the smaller draw first.
    ties: as in `distinct`.
    """
    known = len(labelled)
    draws = np.concatenate([np.full(known, -1.0), ties])  # a labelled item stands for its copies
    first = distinct(torch.cat([labelled, candidates]), ties=draws).first
    new = first[first >= known] - known
    spare = np.setdiff1d(np.arange(len(candidates)), new)
    return new, spare[np.argsort(ties[spare], kind="stable")].astype(np.int64)


def _hashed(arrays: list[Tensor], n: int) -> UInt64[np.ndarray, " n"]:
    hashes = np.zeros(n, dtype=np.uint64)
    block = _BLOCK if all(a.device.type == "cpu" for a in arrays) else _FETCHED
    for start in range(0, n, block):
        part = slice(start, start + block)
        hashes[part] = _hashes(_bytes(arrays, part))
    return hashes


def _numbered(inverse: Int64[np.ndarray, " n"], ties: Float[np.ndarray, " n"] | None) -> Distinct:
    """Groups by any number -> groups in the order of the items that stand for them."""
    n = len(inverse)
    order = np.lexsort((np.arange(n), ties, inverse) if ties is not None else (inverse,))
    start = np.ones(n, dtype=bool)
    start[1:] = inverse[order][1:] != inverse[order][:-1]
    first = order[start]
    group = np.empty(n, dtype=np.int64)
    group[order] = np.cumsum(start) - 1
    by_place = np.argsort(first)
    rank = np.empty(len(first), dtype=np.int64)
    rank[by_place] = np.arange(len(first))
    found = rank[group]
    counts = np.bincount(found).astype(np.int64)
    return Distinct(first[by_place].astype(np.int64), found, counts)


def _bytes(arrays: list[Tensor], rows: slice | np.ndarray) -> UInt64[np.ndarray, "r w"]:
    """Some rows as words of 64 bits, the last filled up with zeros."""
    parts = []
    for array in arrays:
        part = array[rows if isinstance(rows, slice) else torch.from_numpy(rows)].cpu()
        if part.dtype == torch.bfloat16:
            part = part.float()
        values: np.ndarray = part.numpy()
        if values.dtype.kind == "f":
            values = values + 0.0  # −0 becomes 0
        parts.append(np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1))
    width = sum(part.shape[1] for part in parts)
    if len(parts) == 1 and width % 8 == 0:
        return parts[0].view(np.uint64)
    whole = np.zeros((len(parts[0]), -(-width // 8) * 8), dtype=np.uint8)
    at = 0
    for some in parts:
        whole[:, at : at + some.shape[1]] = some
        at += some.shape[1]
    return whole.view(np.uint64)


def _hashes(words: UInt64[np.ndarray, "r w"]) -> UInt64[np.ndarray, " r"]:
    """A sum over the words, each mixed and times an odd number of its place."""
    w = words.shape[1]
    place = np.arange(1, w + 1, dtype=np.uint64) * np.uint64(_STREAM)
    place = ((place ^ (place >> np.uint64(30))) * _MIX) | np.uint64(1)
    mixed = (words ^ (words >> np.uint64(32))) * place
    mixed ^= mixed >> np.uint64(29)
    total: UInt64[np.ndarray, " r"] = mixed.sum(axis=1)
    return total


def _equal(arrays: list[Tensor], like: np.ndarray) -> bool:
    """Whether every row equals the one at the given position."""
    copies = np.flatnonzero(like != np.arange(len(like)))
    for start in range(0, len(copies), ROWS):
        at = copies[start : start + ROWS]
        if not np.array_equal(_bytes(arrays, at), _bytes(arrays, like[at])):
            return False
    return True


def _sorted(arrays: list[Tensor]) -> np.ndarray:
    """Groups by sorting whole rows: what is left where two rows that differ have one hash."""
    words = _bytes(arrays, slice(None))
    whole = words.view(np.dtype((np.void, words.shape[1] * 8))).ravel()
    return np.unique(whole, return_inverse=True)[1]
