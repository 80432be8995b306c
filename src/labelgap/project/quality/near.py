"""Near-duplicates: photographs that show almost the same, by the cosine of their features.

Exact copies of a file are one item from the start; these are files that differ: saved again,
cropped a little, taken a moment later.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float32

from labelgap.core.errors import ConfigError

LEAST = 0.95
"""Cosine from which two images are near-duplicates, where nobody says otherwise. Of 200
photographs of a shop's shelves (96 pixels, training images) under EfficientNet-Lite0, one made a
little brighter keeps 0.97 and more with itself; one cut by 5 per cent 0.96 in the middle case and
0.947 in three of four. The nearest other of the 200 has 0.77 in the middle case and 0.94 at most;
among more images there are nearer ones. A JPEG of quality 40 (0.91) and a picture of half the size
(0.86) are missed: to find them would take others along."""
ROWS = 1024  # rows compared with all others at a time


def near_duplicates(
    features: Float32[np.ndarray, "n d"],
    least: float = LEAST,
    progress: Callable[[int, int], None] | None = None,
) -> list[list[int]]:
    """Groups of two or more rows, the largest first; each begins with the row that stands for it.

    Every member has a cosine of `least` or more with the first, so a group is never a chain whose
    ends have nothing in common: one label fits all. The row with most others near it (the first
    of equals) takes these, then the next among what is left. Rows without a length are in none.

    progress: called as (rows compared, rows).

    Raises `ConfigError` for a cosine that is not above 0 and at most 1. Time grows with n².
    """
    if not 0 < least <= 1:
        raise ConfigError(f"The cosine {least} is not between 0 and 1.", "Give one such as 0.95.")
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.where(norms > 0, norms, 1)
    n = len(unit)
    # A product of float32 may fall short of 1 for equal rows by its roundings.
    bound = least - 1e-5
    near: dict[int, list[int]] = {}
    for start in range(0, n, ROWS):
        rows, columns = np.nonzero(unit[start : start + ROWS] @ unit.T >= bound)
        for row, column in zip((rows + start).tolist(), columns.tolist(), strict=True):
            if row != column:
                near.setdefault(row, []).append(column)
        if progress is not None:
            progress(min(start + ROWS, n), n)
    return _stars(near)


def _stars(near: dict[int, list[int]]) -> list[list[int]]:
    free = set(near)
    groups = []
    for row in sorted(near, key=lambda row: (-len(near[row]), row)):
        if row not in free:
            continue
        group = [row, *(other for other in near[row] if other in free)]
        if len(group) > 1:
            groups.append(group)
        free.difference_update(group)
    return sorted(groups, key=lambda group: (-len(group), group[0]))
