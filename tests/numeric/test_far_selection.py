"""Selection and mixtures of a device's tensors stay there: the same picks, and few numbers home.

What comes home are single numbers, or one for each item, pick or member of a block: what a choice
is made by. The n x d features do not, but for the leading columns by which copies are found.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from far_device import PLACE, Far, FarDevice
from torch import Tensor

from labelgap.mixtures.em import fit
from labelgap.mixtures.statistics import class_responsibilities
from labelgap.select.badge import badge
from labelgap.select.dsquared import d_squared
from labelgap.select.herding import cover
from labelgap.select.kcenter import k_center
from labelgap.select.kmeans import kmeans, representatives

copies = import_module("labelgap.select.distinct")  # by its plain name it is the function
N, D, K, PICKS = 600, 512, 7, 12
LEADING = 2 * 32 * N
"""`distinct` hashes the first 32 columns on the host: torch has no unsigned 64-bit products on
CUDA. Some functions ask it twice."""


def rng() -> np.random.Generator:
    return np.random.default_rng(5)


Z = torch.from_numpy(rng().standard_normal((N, D)).astype(np.float32)) * 3
LABELLED = torch.from_numpy(rng().standard_normal((40, D)).astype(np.float32)) * 2
LABELS = torch.from_numpy(rng().integers(0, K, N))
SOFT = torch.from_numpy(rng().standard_normal((N, K)).astype(np.float32)).softmax(dim=1)
TIES = rng().random(N)


def herd(at: Callable[[Tensor], Tensor]) -> Tensor:
    weights = at(torch.full((N,), 1 / N))
    return torch.from_numpy(cover(at(Z), at(LABELLED), weights, 900.0, PICKS, TIES, N)[0])


def gaussians(at: Callable[[Tensor], Tensor]) -> Tensor:
    # In float64: of steps upon steps in float32 no tolerance could be told.
    labels = at(class_responsibilities(LABELS, K).double())
    found = fit(at(Z.double()), labels, steps=3, average="statistics")
    return torch.cat([found.weights, found.means.flatten(), found.variances.flatten()])


SELECTIONS: dict[str, tuple[Callable[[Callable[[Tensor], Tensor]], Tensor], int]] = {
    # Each pick meets a block of 128, whose distances come home.
    "k-center": (lambda at: k_center(at(Z), at(LABELLED), PICKS, ties=TIES), PICKS * 512),
    # A block of proposals and the distances among them.
    "D² sampling": (lambda at: d_squared(at(Z), PICKS, rng()), 3 * 128 * 130),
    "badge": (lambda at: badge(at(SOFT), at(Z), PICKS, rng()), 3 * 128 * 130),
    # Seeds are drawn on the host.
    "k-means": (lambda at: kmeans(at(Z), K, rng())[1], 4 * N),
    "representatives": (lambda at: representatives(at(Z), K, rng()), 4 * N),
    # What each item would add.
    "herding": (herd, 4 * N),
    "EM": (gaussians, 100),
}
"""A function of tensors that `at` has placed, and how many numbers it may bring home, besides
those by which copies are found."""


@pytest.mark.parametrize("name", SELECTIONS)
def test_the_same_is_chosen_there_and_little_comes_home(name: str) -> None:
    function, allowed = SELECTIONS[name]
    here = function(lambda x: x)
    with FarDevice() as far:
        there: Any = function(lambda x: x.pin_memory().to(PLACE, non_blocking=True))
        home = far.home
    found = there.near if isinstance(there, Far) else there
    if name == "EM":
        torch.testing.assert_close(found, here, rtol=1e-9, atol=1e-9)  # BLAS and torch round apart
        assert home <= allowed
    else:
        assert found.tolist() == here.tolist()
        assert home <= allowed + LEADING
    assert home < N * D / 4


def test_representatives_are_named_without_a_reading_for_each() -> None:
    readings = []
    for k in (K, 5 * K):
        # Each centre is nearest to an item of its own, and k-means is there at once.
        z = Z[:k].repeat_interleave(4, dim=0) * 50 + Z[: 4 * k]
        with FarDevice() as far:
            there = z.pin_memory().to(PLACE, non_blocking=True)
            found: Any = representatives(there, k, rng())
        assert found.near.tolist() == representatives(z, k, rng()).tolist()
        # Seeds are drawn one by one.
        readings.append(len([w for w in far.waits if "seeds.py" not in w]))
    assert readings[1] - readings[0] < K


def test_rows_come_home_in_large_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = copies.distinct(torch.cat([Z, Z[:9]]))
    with FarDevice() as far:
        z = torch.cat([Z, Z[:9]]).pin_memory().to(PLACE, non_blocking=True)
        found = copies.distinct(z)
        # Leading columns, whole rows, and both of each pair of copies, whose places go there.
        assert len(far.waits) == 6
        monkeypatch.setattr(copies, "_FETCHED", 100)
        with far.counted() as waits:
            again = copies.distinct(z)
        assert len(waits) > 10
    for one in (found, again):
        np.testing.assert_array_equal(one.first, expected.first)
        np.testing.assert_array_equal(one.inverse, expected.inverse)
