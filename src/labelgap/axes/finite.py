"""Whose inputs are not finite: asked before a learning rate is blamed."""

from collections.abc import Callable

import torch
from torch import Tensor

from labelgap.core.errors import NumericalError
from labelgap.core.types import Ids

_CHUNK = 4096  # items at a time: bounds the memory of a look at a whole pool
_NAMED = 10


def refuse_not_finite(ids: Ids, inputs: Callable[[Ids], Tensor]) -> None:
    """Raise `NumericalError` naming the items whose inputs are NaN or infinite.

    inputs: gives the inputs of ids, [b, ...], on whatever device.
    """
    found: list[int] = []
    for start in range(0, len(ids), _CHUNK):
        part = ids[start : start + _CHUNK]
        wrong = ~torch.isfinite(inputs(part).flatten(1)).all(dim=1)
        found += part[wrong.cpu().numpy()].tolist()
    if found:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise NumericalError(
            f"The inputs of the items {', '.join(map(str, found[:_NAMED]))}{more} are NaN or "
            "infinite.",
            "Remove these items, or fill their values in.",
        )
