"""Sums, norms and minima a piece at a time: the same as at once, in the type that is promised."""

import numpy as np
import pytest
import torch

from labelgap.select import arrays
from labelgap.select.arrays import (
    Factor,
    lowest,
    row_extents,
    row_norms,
    views,
    wide,
    wide_mean,
    wide_pieces,
    wide_sum,
)


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def test_the_wide_type_is_float64_where_there_is_one():
    assert wide(torch.device("cpu")) is torch.float64
    assert wide(torch.device("cuda:0")) is torch.float64
    assert wide(torch.device("mps")) is torch.float32


def test_views_are_numpys_for_floats_on_the_cpu_alone_and_share_memory():
    for dtype in (torch.float32, torch.float64):
        x = torch.zeros(3, dtype=dtype, requires_grad=True)
        library, (view,) = views(x)
        assert library is np
        view[0] = 7
        assert x[0] == 7
    half = torch.zeros(3, dtype=torch.float16)
    for tensors in ((half,), (torch.zeros(3), half), (torch.empty(3, device="meta"),)):
        library, found = views(*tensors)
        assert library is torch
        assert all(isinstance(x, torch.Tensor) for x in found)
    assert not views(torch.zeros(3, dtype=torch.float16, requires_grad=True))[1][0].requires_grad


@pytest.mark.parametrize("rows", [3, 5, 100])
def test_lowest_is_the_minimum_of_the_shifted_product_of_products(rows, monkeypatch):
    monkeypatch.setattr(arrays, "ROWS", rows)
    x, y, shift = normal(11, 4), normal(11, 2, seed=1), normal(6, seed=2)
    few, other = normal(6, 4, seed=3), normal(6, 2, seed=4)
    third, last = normal(11, 3, seed=5), normal(6, 3, seed=6)
    one = (x @ few.T + shift).amin(1)
    both = ((x @ few.T) * (y @ other.T) + shift).amin(1)
    torch.testing.assert_close(lowest([Factor(x, few)], shift), one)
    torch.testing.assert_close(lowest([Factor(x, few), Factor(y, other)], shift), both)
    three = ((x @ few.T) * (y @ other.T) * (third @ last.T) + shift).amin(1)
    factors = [Factor(x, few), Factor(y, other), Factor(third, last)]
    torch.testing.assert_close(lowest(factors, shift), three)
    none = lowest([Factor(x[:0].float(), few.float())], shift.float())
    assert none.shape == (0,)
    assert none.dtype == torch.float32


@pytest.mark.parametrize("rows", [1, 4, 100])
def test_pieces_are_wide_and_cover_every_row_once(rows, monkeypatch):
    monkeypatch.setattr(arrays, "ROWS", rows)
    x = normal(9, 3).float().requires_grad_()
    found = [(start, part.clone()) for start, part in wide_pieces(x)]
    assert [start for start, _ in found] == list(range(0, 9, rows))
    assert all(part.dtype == torch.float64 and not part.requires_grad for _, part in found)
    assert torch.equal(torch.cat([part for _, part in found]), x.detach().double())
    torch.testing.assert_close(wide_sum(x), x.detach().double().sum(0))
    torch.testing.assert_close(wide_mean(x), x.detach().double().mean(0))
    norms = row_norms(x.detach())
    assert norms.dtype == torch.float32
    assert torch.equal(norms, x.detach().double().square().sum(1).float())


def test_wide_sums_keep_what_float32_loses():
    x = torch.tensor([[1e8], [1.0], [-1e8]])
    assert wide_sum(x).tolist() == [1.0]
    assert wide_mean(x).tolist() == [1 / 3]


def test_row_extents_are_the_largest_sizes_and_say_what_is_not_finite(monkeypatch):
    monkeypatch.setattr(arrays, "ROWS", 4)
    x = normal(9, 3)
    assert torch.equal(row_extents(x), x.abs().amax(1))
    x[2, 1], x[5, 0], x[8, 2] = torch.nan, -torch.inf, torch.inf
    assert torch.equal(torch.isfinite(row_extents(x)), torch.isfinite(x).all(1))
    assert row_extents(x[:, :0]).tolist() == [0.0] * 9
    assert row_extents(x[:0]).tolist() == []
