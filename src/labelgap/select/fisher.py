"""Choose what makes a linear classifier's Fisher information like the pool's (BAIT).

Minimised is tr(M⁻¹F): F is the mean information of the pool, M that of the labelled items and the
chosen ones. With the two-class likelihood "is the top class right" an item's information has rank
one (Huseljic et al. 2024), so that a pick costs one pass over the pool.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from labelgap.select.arrays import wide, wide_pieces
from labelgap.select.top import check_budget

REFRESH = frozenset(16 * 4**k for k in range(12))
"""Steps at which all forms are computed anew, since updates add up roundings: early, while the
forms still fall by orders of magnitude, and then ever more rarely."""


def second_moment(
    w: Float[Tensor, "n d"], counts: Int64[np.ndarray, " n"] | None = None
) -> Float[Tensor, "d d"]:
    """Mean of w wᵀ over the rows, in float64; zeros without rows.

    counts: how many items each row stands for; None means one.
    """
    total = torch.zeros(w.shape[1], w.shape[1], dtype=wide(w.device), device=w.device)
    if counts is None:
        for _, part in wide_pieces(w):
            total.addmm_(part.T, part)
        return total / max(1, len(w))
    weights = torch.from_numpy(counts).to(total)
    for start, part in wide_pieces(w):
        total.addmm_((part * weights[start : start + len(part), None]).T, part)
    return total / max(1, int(counts.sum()))


def _products(
    w: Float[Tensor, "n d"], u: Float[Tensor, " d"], v: Float[Tensor, " d"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """w u and w v, in u's precision, in one pass over w: most of the time of a pick."""
    # Rows seen as columns: laid out as columns they take BLAS four times as long.
    both = torch.stack([u, v]).to(w.dtype).T
    first, second = (w @ both).to(u.dtype).unbind(1)
    return first.contiguous(), second.contiguous()


@dataclass
class _Forms:
    """w M⁻¹ w and w M⁻¹ F M⁻¹ w of every row of w, kept while single rows enter or leave M."""

    w: Float[Tensor, "n d"]
    target: Float[Tensor, "d d"]
    inverse: Float[Tensor, "d d"]

    def __post_init__(self) -> None:
        self.anew()

    def anew(self) -> None:
        """Both forms from M⁻¹ as it stands."""
        both = self.inverse @ self.target @ self.inverse
        self.first = torch.empty(len(self.w), dtype=self.inverse.dtype, device=self.w.device)
        self.second = torch.empty_like(self.first)
        for start, part in wide_pieces(self.w):
            rows = slice(start, start + len(part))
            self.first[rows] = ((part @ self.inverse) * part).sum(1)
            self.second[rows] = ((part @ both) * part).sum(1)

    def change(self, row: int, sign: int) -> None:
        """A row enters (+1) or leaves (−1): M ← M ± w wᵀ (Sherman & Morrison 1950)."""
        w = self.w[row].to(self.inverse.dtype)
        u = self.inverse @ w
        u = u / (1.0 + sign * (w @ u)).sqrt()
        onto = self.target @ u
        beta, gamma = _products(self.w, u, self.inverse @ onto)
        self.first -= sign * beta.square()
        self.second += beta.square() * (u @ onto) - 2 * sign * beta * gamma
        self.inverse -= sign * torch.outer(u, u)


def bait(
    w: Float[Tensor, "n d"],
    labelled: Float[Tensor, "l d"],
    picks: int,
    ties: Float[np.ndarray, " n"],
    *,
    ridge: float,
    more: float,
    counts: Int64[np.ndarray, " n"] | None = None,
) -> tuple[Int64[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Rows of w, the most valuable first, and what tr(M⁻¹F) would lose without each.

    Forward: `more` times as many rows as wanted enter, each that which lowers the trace most.
    Backward: those leave again whose loss raises it least (Ash et al. 2021).

    w, labelled: √(q (1 − q)) · h of candidates and labelled items, q the top class's probability.
    ridge: λ as a share of the mean eigenvalue of F, so that nothing depends on the scale of w.
    more: 1 or above; 2 in the paper.
    counts: how many candidates each row of w stands for, in F; one of them is labelled. None
        means one.

    Raises `BudgetError` for more picks than rows.
    """
    n, known = len(w), len(labelled)
    check_budget(picks, n)
    if picks == 0:
        return np.empty(0, np.int64), np.empty(0)
    pool, given = second_moment(w, counts), second_moment(labelled)
    items = n if counts is None else int(counts.sum())
    target = (items * pool + known * given) / (items + known)
    eye = torch.eye(w.shape[1], dtype=target.dtype, device=w.device)
    level = float(target.diagonal().mean())
    if level == 0.0:  # nothing is uncertain, or all features are equal: nothing tells items apart
        return np.argsort(ties, kind="stable")[:picks].astype(np.int64), np.zeros(picks)
    total = known + picks
    start = ridge * level * eye + (known / total) * given
    forms = _Forms(w / total**0.5, target, torch.linalg.inv(start))
    rows = _enter(forms, min(n, round(more * picks)), ties)
    some = torch.from_numpy(rows).to(w.device)
    kept = _Forms(forms.w[some], target, forms.inverse)
    left, loss = _leave(kept, len(rows) - picks, ties[rows])
    best = np.lexsort((ties[rows[left]], -loss))
    return rows[left][best], loss[best]


def _enter(forms: _Forms, number: int, ties: Float[np.ndarray, " n"]) -> Int64[np.ndarray, " m"]:
    rows = np.empty(number, np.int64)
    free = torch.zeros_like(forms.first)  # −∞ for rows that are in
    for step in range(number):
        if step in REFRESH:
            forms.anew()
        gain = forms.second / (1.0 + forms.first) + free
        best = torch.nonzero(gain == gain.max()).squeeze(1).cpu().numpy()
        row = int(best[np.argmin(ties[best])])
        rows[step] = row
        free[row] = -torch.inf
        forms.change(row, +1)
    return rows


def _leave(
    forms: _Forms, number: int, ties: Float[np.ndarray, " m"]
) -> tuple[Int64[np.ndarray, " p"], Float[np.ndarray, " p"]]:
    """Places that stay, and what each is worth."""
    gone = torch.zeros_like(forms.first)

    def worth() -> Tensor:
        # w M⁻¹ w < 1 for a row that is in M, but for rounding.
        rest = (1.0 - forms.first).clamp_min(torch.finfo(forms.first.dtype).eps)
        return forms.second / rest + gone

    for step in range(number):
        if step in REFRESH:
            forms.anew()
        value = worth()
        least = torch.nonzero(value == value.min()).squeeze(1).cpu().numpy()
        row = int(least[np.argmax(ties[least])])
        gone[row] = torch.inf
        forms.change(row, -1)
    left = torch.nonzero(gone == 0).squeeze(1)
    forms.anew()
    return left.cpu().numpy(), worth()[left].cpu().numpy()
