"""Greedy coverage with a kernel: MaxHerding (Bae, Noh & Sutherland 2024), exact and lazy.

What a set of centres covers of an item is its similarity to the nearest of them. Each step takes
the candidate that raises the weighted sum of it most. Gains only fall as centres are added, so an
old gain is an upper bound (Minoux 1978): a candidate is looked at again only when its bound leads.
So is a gain from similarities that are bounds themselves: most candidates never need exact ones.
"""

import math

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from labelgap.core import scratch
from labelgap.select.distinct import distinct
from labelgap.select.kernel import nearest_similarity
from labelgap.select.similarities import Similarities
from labelgap.select.top import check_budget

_ROWS = 512
"""Rows of similarities that are looked at at a time: with 10,000 columns 20 MB."""
_AGAIN = 64
"""At most so many candidates are looked at again at a time."""
_FEW = 0.01
"""Up to this share of the candidates, to bound all similarities and make exact what leads costs
less than to make all exact: about three rows a pick, each a pass over all features."""


class _Gains:
    """Similarities of candidates to reference items, and what each candidate would add.

    The similarities may be upper bounds at first (`Similarities`): then so is every gain, and the
    rows of those that lead are made exact before one of them is taken.
    """

    def __init__(
        self,
        candidates: Float[Tensor, "n d"],
        reference: Float[Tensor, "m d"],
        covered: Float[Tensor, " m"],
        weights: Float[Tensor, " m"],
        variance: float,
        bounded: bool,
    ) -> None:
        self.covered, self.weights = covered.float().clone(), weights.float()
        self.made = Similarities(candidates, reference, variance, bounded)
        self.rows = torch.empty(len(candidates), len(reference), device=candidates.device)
        self.exact = np.full(len(candidates), self.made.exact)
        first = torch.zeros(len(candidates), dtype=torch.float64, device=candidates.device)
        for rows, columns, block in self.made.blocks():
            self.rows[rows, columns] = block
            first[rows] += self._added(block, columns)
            if self.made.mirrored(rows, columns):
                mirror = block.T.contiguous()  # a copy into a part of rows is ten times slower
                self.rows[columns, rows] = mirror
                first[columns] += self._added(mirror, rows)
        self.bound: np.ndarray = first.cpu().numpy()

    def _added(self, rows: Tensor, columns: slice = slice(None)) -> Tensor:
        return (rows - self.covered[columns]).relu_() @ self.weights[columns]

    def look_again(self, rows: Int64[np.ndarray, " s"], exactly: bool) -> None:
        for some in np.array_split(rows, -(-len(rows) // _ROWS)):
            at = torch.from_numpy(some).to(self.rows.device)
            if exactly:
                self.rows[at] = self.made.exactly(at)
                self.exact[some] = True
            self.bound[some] = self._added(self.rows[at]).double().cpu().numpy()

    def take(self, row: int) -> None:
        torch.maximum(self.covered, self.rows[row], out=self.covered)
        self.bound[row] = -np.inf


def herd(
    candidates: Float[Tensor, "n d"],
    reference: Float[Tensor, "m d"],
    covered: Float[Tensor, " m"],
    weights: Float[Tensor, " m"],
    variance: float,
    picks: int,
    ties: Float[np.ndarray, " n"],
) -> tuple[Int64[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Rows of `candidates`, in the order in which they are taken, and what each of them added.

    covered: similarity of each reference item to its nearest centre so far; 0 without any.
    weights: what each reference item counts, 0 or more.
    ties: a draw for each candidate; among equal gains the smaller one goes first, so that once
        everything is covered what follows is uniform.

    Memory: n · m similarities in float32.

    Raises `BudgetError` where there are fewer candidates than picks.
    """
    check_budget(picks, len(candidates))
    chosen, added = np.empty(picks, np.int64), np.empty(picks)
    if picks == 0:
        return chosen, added
    few = picks <= _FEW * len(candidates)
    gains = _Gains(candidates, reference, covered, weights, variance, bounded=few)
    seen = np.zeros(len(candidates), np.int64)  # how many centres each bound knows of
    for step in range(picks):
        again = exact = 1  # mostly the leader stays it; where not, more and more are looked at
        while True:
            leading = np.flatnonzero(gains.bound == gains.bound.max())
            if len(old := leading[seen[leading] < step]):
                old = _and_next(old, gains.bound, seen < step, again)
                gains.look_again(old, exactly=False)
                again = min(2 * again, _AGAIN)
            elif len(old := leading[~gains.exact[leading]]):
                old = _and_next(old, gains.bound, ~gains.exact, exact)
                gains.look_again(old, exactly=True)
                exact = min(2 * exact, _AGAIN)
            else:
                break
            seen[old] = step
        row = int(leading[np.argmin(ties[leading])])
        chosen[step], added[step] = row, gains.bound[row]
        gains.take(row)
    return chosen, added


def _and_next(
    leading: Int64[np.ndarray, " l"], bound: Float[np.ndarray, " n"], some: np.ndarray, number: int
) -> Int64[np.ndarray, " s"]:
    """Those that lead, and of `some` those of highest bound after them, `number` in all."""
    if len(leading) >= number:
        return leading
    rows = np.flatnonzero(some & np.isfinite(bound))
    if len(rows) <= number:
        return rows
    return rows[np.argpartition(-bound[rows], number)[:number]]


def cover(
    z: Float[Tensor, "n d"],
    centres: Float[Tensor, "c d"],
    weights: Float[Tensor, " n"],
    variance: float,
    picks: int,
    ties: Float[np.ndarray, " n"],
    sample: int,
) -> tuple[Int64[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """`herd` over a pool of any size: rows of z, and the share of all weight that each adds.

    sample: items that are covered and chosen among at a time. A larger pool is drawn from, by the
        smallest ties; and a batch of more than a quarter of it comes in parts, each from items of
        its own, so that memory is sample² however large pool and batch are.
    """
    check_budget(picks, len(z))
    found = distinct(z, ties=ties)
    if found.copies:  # one item with the weight of all
        total = np.bincount(found.inverse, weights=weights.double().cpu().numpy())
        few = min(picks, len(found))
        some, gains = _cover(
            scratch.rows(z, found.rows.to(z.device)), centres,
            torch.from_numpy(total).to(weights.device), variance, few,
            ties[found.first], sample,
        )  # fmt: skip
        return found.filled(some, picks, ties), np.append(gains, np.zeros(picks - few))
    return _cover(z, centres, weights, variance, picks, ties, sample)


def _cover(
    z: Float[Tensor, "n d"],
    centres: Float[Tensor, "c d"],
    weights: Float[Tensor, " n"],
    variance: float,
    picks: int,
    ties: Float[np.ndarray, " n"],
    sample: int,
) -> tuple[Int64[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    n = len(z)
    parts = max(1, math.ceil(picks / max(1, sample // 4))) if n > sample else 1
    order = np.argsort(ties, kind="stable")
    chosen: list[np.ndarray] = []
    added: list[np.ndarray] = []
    left = picks
    for part in range(parts):
        number = math.ceil(left / (parts - part))
        free = order if not chosen else order[~np.isin(order, np.concatenate(chosen))]
        # A further part looks at items that the parts before have not seen, while there are any.
        begin = part * sample if (part + 1) * sample <= n else 0
        rows = np.sort(free[begin : begin + sample]) if len(free) > sample else np.sort(free)
        if len(rows) < number:
            rows = np.sort(free[:sample])
        some = z[torch.from_numpy(rows).to(z.device)] if len(rows) < n else z
        weight = weights[torch.from_numpy(rows).to(weights.device)].float()
        known = centres
        if chosen:
            taken = torch.from_numpy(np.concatenate(chosen)).to(z.device)
            known = torch.cat([centres, z[taken]])
        covered = nearest_similarity(some, known, variance)
        found, gains = herd(some, some, covered, weight, variance, number, ties[rows])
        chosen.append(rows[found])
        added.append(gains / max(float(weight.double().sum()), np.finfo(np.float64).tiny))
        left -= number
    return np.concatenate(chosen), np.concatenate(added)
