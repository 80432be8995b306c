"""Near pairs are measured anew a piece at a time: no piece is larger than its share of memory."""

from importlib import import_module

import numpy as np
import pytest
import torch

from labelgap.select import geometry
from labelgap.select.geometry import Euclidean, accurate, closer

badge = import_module("labelgap.select.badge")


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def pieces(total, most):
    return [min(most, total - i) for i in range(0, total, most)]


@pytest.mark.parametrize(("gather", "d", "most"), [(1, 3, 1), (13, 3, 4), (6, 1, 6), (2, 1, 2)])
def test_differences_of_pairs_that_touch(gather, d, most, monkeypatch):
    monkeypatch.setattr(geometry, "GATHER", gather)
    z, sizes, einsum = normal(6, d).repeat(2, 1), [], np.einsum

    def spy(how, a, b):
        sizes.append(len(a))
        return einsum(how, a, b)

    monkeypatch.setattr(np, "einsum", spy)
    accurate(z, z[:6], torch.zeros(d).double())
    assert sizes == [12, 6, *pieces(12, most)]


@pytest.mark.parametrize(("gather", "d", "most"), [(1, 3, 1), (13, 3, 4), (6, 1, 6), (2, 1, 2)])
def test_differences_of_pairs_at_the_radius(gather, d, most, monkeypatch):
    monkeypatch.setattr(geometry, "GATHER", gather)
    a, b, sizes, as_tensor = torch.zeros(4, d), torch.zeros(3, d), [], torch.as_tensor
    b[:, 0] = 2.0

    def spy(x):
        sizes.append(x.shape)
        return as_tensor(x)

    monkeypatch.setattr(torch, "as_tensor", spy)
    assert not closer(a, b, torch.zeros(d).double(), 2.0).any()
    assert sizes == [(4, 3), *((n,) for n in pieces(12, most) for _ in "rc")]


@pytest.mark.parametrize(("gather", "d", "most"), [(1, 3, 1), (31, 3, 5), (31, 10, 3)])
def test_items_near_to_a_few(gather, d, most, monkeypatch):
    """A row has six distances and d differences: the larger counts."""
    monkeypatch.setattr(geometry, "GATHER", gather)
    items, sizes = Euclidean(normal(6, d).repeat(2, 1)), []
    pairs = items.pairs
    monkeypatch.setattr(
        items, "pairs", lambda rows, cols: sizes.append(len(rows)) or pairs(rows, cols)
    )
    assert (items.nearest(torch.arange(6)) == 0).all()
    assert sizes == pieces(12, most)


@pytest.mark.parametrize(("gather", "k", "d", "most"), [(1, 2, 3, 1), (31, 2, 3, 5), (31, 4, 6, 3)])
def test_gradients_near_to_a_few(gather, k, d, most, monkeypatch):
    monkeypatch.setattr(badge, "GATHER", gather)
    items, sizes, touching = (
        badge.Outer(normal(6, k).repeat(2, 1), normal(6, d).repeat(2, 1)),
        [],
        [],
    )
    pairs, close = items.pairs, badge._close
    monkeypatch.setattr(
        items, "pairs", lambda rows, cols: sizes.append(len(rows)) or pairs(rows, cols)
    )
    assert (items.nearest(torch.arange(6)) == 0).all()
    assert sizes == pieces(12, most)
    monkeypatch.setattr(badge, "_close", lambda a, *x: touching.append(len(a)) or close(a, *x))
    assert (pairs(torch.arange(12), torch.arange(6)).amin(1) == 0).all()
    assert touching == pieces(12, max(1, gather // (k + d)))
