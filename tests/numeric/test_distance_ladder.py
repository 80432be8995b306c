"""Distances by products, wide products and differences: each rung against differences alone."""

import numpy as np
import pytest
import torch

from labelgap.select import geometry
from labelgap.select.arrays import wide_mean
from labelgap.select.geometry import Euclidean, Geometry, accurate, accurate_nearest, closer


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def squared(a, b):
    return ((a.double().numpy()[:, None] - b.double().numpy()[None]) ** 2).sum(-1)


def ladder(dtype=torch.float32):
    """Items whose neighbours are far, near, nearly equal and equal."""
    z = (30 + normal(24, 6)).to(dtype)
    z[8:12] = z[:4]
    z[12:16] = z[:4] + 1e-5
    z[16:20] = z[:4] + 1e-2
    return z


@pytest.mark.parametrize("gather", [1, 5, 1 << 20])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_pairs_have_nine_digits_and_zero_for_duplicates(dtype, gather, monkeypatch):
    monkeypatch.setattr(geometry, "GATHER", gather)
    z = ladder(dtype)
    d2 = accurate(z, z[:12], wide_mean(z))
    assert d2.dtype == torch.float64
    np.testing.assert_allclose(d2, squared(z, z[:12]), rtol=1e-9)
    assert (np.diag(d2[:12].numpy()) == 0).all()
    assert (np.diag(d2[8:12, :4].numpy()) == 0).all()


def test_differences_are_taken_where_a_wide_product_has_no_digits():
    """Two items 1e-7 apart at 1,000 from their mean: the product is good to 1e-10, d² is 1e-14."""
    z = torch.tensor([[1000.0], [1000.0 + 1e-7], [-1000.0], [-1000.0 - 1e-7]], dtype=torch.float64)
    np.testing.assert_allclose(accurate(z, z, wide_mean(z)), squared(z, z), rtol=1e-12)


@pytest.mark.parametrize("rows", [3, 1000])
def test_nearest_of_all_is_in_pieces(rows, monkeypatch):
    monkeypatch.setattr(geometry, "ROWS", rows)
    z, few = ladder(), (30 + normal(700, 6, seed=2)).float()
    found = accurate_nearest(z, few, wide_mean(z))
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found, squared(z, few).min(1), rtol=1e-9)
    # The nearest is among the last of more than 512.
    few[-1] = z[5]
    assert accurate_nearest(z, few, wide_mean(z))[5] == 0


@pytest.mark.parametrize("scale", [1.0, 1e3])
@pytest.mark.parametrize("gather", [1, 7, 1 << 20])
def test_items_are_a_geometry_and_the_near_ones_are_measured_anew(gather, scale, monkeypatch):
    monkeypatch.setattr(geometry, "GATHER", gather)
    z = scale * ladder()
    items = Euclidean(z.clone().requires_grad_())
    assert isinstance(items, Geometry)
    assert len(items) == 24
    assert items.device == torch.device("cpu")
    cols = torch.tensor([1, 2, 3, 0])
    exact = squared(z, z[cols])
    np.testing.assert_allclose(items.pairs(torch.arange(24), cols), exact, rtol=1e-9)
    found = items.nearest(cols)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found, exact.min(1), rtol=1e-5)
    assert (found[:4] == 0).all()
    assert (found[8:12] == 0).all()


@pytest.mark.parametrize("gather", [1, 9, 1 << 20])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_closer_is_below_the_radius_not_at_it(dtype, gather, monkeypatch):
    monkeypatch.setattr(geometry, "GATHER", gather)
    a = torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0], [0.0, 1.0]], dtype=dtype)
    mean = wide_mean(a)
    assert (closer(a, a, mean, 5.0) == (squared(a, a) < 25)).all()
    assert not closer(a[:1], a[1:2], mean, 5.0).any()  # exactly at it
    assert closer(a[:1], a[1:2], mean, 5.0 + 1e-12).all()
    assert not closer(a[:1], a[1:2], mean, 5.0 - 1e-12).any()
    z = ladder(dtype)
    for radius in (1e-6, 1e-2, 1.0, 3.0):
        assert (closer(z, z, wide_mean(z), radius) == (squared(z, z) < radius**2)).all()
