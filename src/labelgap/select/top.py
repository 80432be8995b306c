"""The n best of a score, exactly; and scores made comparable with each other."""

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from labelgap.core.errors import BudgetError, NumericalError
from labelgap.select.arrays import wide
from labelgap.select.distinct import Distinct


def check_finite(scores: dict[str, Float[Tensor, " n"]]) -> None:
    """Raise `NumericalError` naming every score that is not finite, and how many items it hits."""
    bad = {name: int((~torch.isfinite(x)).sum()) for name, x in scores.items()}
    found = [f"{name!r} ({n} of {len(scores[name])} items)" for name, n in bad.items() if n]
    if found:
        raise NumericalError(
            f"NaN or infinity in the score {', '.join(found)}.",
            "Look at the network's loss and features; no item was chosen.",
        )


def check_budget(n: int, supply: int, what: str = "candidates") -> None:
    """Raise `BudgetError` unless 0 <= n <= supply."""
    if not 0 <= n <= supply:
        raise BudgetError(f"{n} items asked for, {supply} {what} there.", "Ask for fewer.")


def best_first(
    scores: Float[np.ndarray, " n"], ties: Float[np.ndarray, " n"]
) -> Int64[np.ndarray, " n"]:
    """All positions, best score first; among equal scores the smaller draw first."""
    return np.lexsort((ties, -scores)).astype(np.int64)


def top(scores: Float[Tensor, " n"], n: int, ties: Float[np.ndarray, " n"]) -> Int64[Tensor, " b"]:
    """Positions of the n highest scores, best first.

    Exact: nothing outside has a higher score, and among equal scores (at the border too) the
    smaller draw comes first. With draws that belong to the items (`Streams.ties`) the answer
    does not depend on how the items are stored.

    Raises
    ------
    NumericalError: a score is NaN or infinite.   BudgetError: n exceeds the items.
    """
    check_finite({"score": scores})
    check_budget(n, len(scores))
    if n == 0:
        return torch.empty(0, dtype=torch.int64, device=scores.device)
    # Everything above the n-th value is in; of the rest only its equals compete.
    border = scores.topk(n, sorted=False).values.min()
    rivals = torch.nonzero(scores >= border).squeeze(1)
    value = scores[rivals].detach().cpu().numpy()
    order = best_first(value, ties[rivals.cpu().numpy()])[:n]
    return rivals[torch.from_numpy(order).to(rivals.device)]


def top_differing(
    scores: Float[Tensor, " n"],
    n: int,
    ties: Float[np.ndarray, " n"],
    found: Distinct | None,
) -> Int64[Tensor, " b"]:
    """`top`, but of each row's copies one alone as long as other rows are left.

    found: which items are copies; None or no copies at all is plain `top`.
    """
    if found is None or not found.copies:
        return top(scores, n, ties)
    check_finite({"score": scores})
    check_budget(n, len(scores))
    order = best_first(scores.detach().cpu().numpy(), ties)
    leads = np.zeros(len(order), dtype=bool)
    leads[np.unique(found.inverse[order], return_index=True)[1]] = True
    chosen = np.concatenate([order[leads], order[~leads]])[:n]
    return torch.from_numpy(chosen).to(scores.device)


def standardise(x: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Mean 0 and (population) standard deviation 1 over the scored pool; zeros for a constant.

    Makes terms of different units addable before a weight such as β of Eq. 4. Computed and
    returned in float64.
    """
    y = x.detach().to(wide(x.device))
    if len(y) == 0:
        return y
    centred = y - y.mean()
    deviation = centred.square().mean().sqrt()
    # A constant leaves rounding of its mean behind, which must not be blown up to unit size.
    if deviation <= 8 * torch.finfo(y.dtype).eps * y.abs().max():
        return torch.zeros_like(y)
    return centred / deviation


def ranks(x: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Average ranks scaled to [0, 1]: the lowest score 0, the highest 1, equals alike.

    A single item, or a pool of equals, has rank 1/2.
    """
    if len(x) < 2:
        return torch.full_like(x, 0.5, dtype=wide(x.device))
    from scipy.stats import rankdata  # here, since it takes seconds to load

    rank = (rankdata(x.detach().cpu().numpy(), method="average") - 1.0) / (len(x) - 1)
    return torch.from_numpy(rank).to(device=x.device, dtype=wide(x.device))
