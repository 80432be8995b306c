"""Corners of selection: copies, equal draws, balls at their border, nothing there, refusals."""

from importlib import import_module

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from labelgap.core.errors import BudgetError, NumericalError
from labelgap.select import badge, d_squared, k_center
from labelgap.select.arrays import row_norms
from labelgap.select.competence import covered_by, greedy_competence, pure_radii
from labelgap.select.coverage import planes, purity_radius
from labelgap.select.distinct import distinct
from labelgap.select.divergence import Divergences
from labelgap.select.dsquared import sample
from labelgap.select.geometry import Euclidean
from labelgap.select.mixing import _lengths, _rate
from labelgap.select.top import top_differing

module = import_module("labelgap.select.competence")


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


# ------------------------------------------------------------------------------------- copies


def test_the_best_of_copies_must_be_finite_and_there():
    found = distinct(torch.tensor([[1.0], [1.0], [2.0]]))
    score, ties = torch.tensor([3.0, 3.0, 1.0]), np.array([0.2, 0.1, 0.3])
    for n, expected in ((0, []), (1, [1]), (2, [1, 2]), (3, [1, 2, 0])):
        assert top_differing(score, n, ties, found).tolist() == expected
    with pytest.raises(NumericalError, match=r"'score' \(1 of 3 items\)"):
        top_differing(torch.tensor([0.0, torch.nan, 1.0]), 1, ties, found)
    for n in (4, -1):
        with pytest.raises(BudgetError, match=f"{n} items asked for, 3 candidates"):
            top_differing(score, n, ties, found)


def test_k_center_starts_from_the_very_copy_that_is_named():
    z, ties = torch.tensor([[0.0], [5.0], [0.0], [2.0], [0.0]]), np.array([0.3, 0.5, 0.1, 0.2, 0.4])
    assert k_center(z, None, 5, ties=ties, first=4).tolist() == [4, 1, 3, 2, 0]
    assert k_center(z, None, 2, ties=ties, first=0).tolist() == [0, 1]


def test_rows_that_differ_by_nothing_in_float32_come_by_the_draw_with_the_copies():
    z = torch.tensor([[0.0], [1e-30], [0.0], [5.0]])
    ties = np.array([0.3, 0.9, 0.1, 0.5])
    assert k_center(z, None, 4, ties=ties, first=3).tolist() == [3, 2, 0, 1]
    assert k_center(z, z[3:], 4, ties=ties).tolist() == [2, 0, 3, 1]


def test_of_equal_items_equal_draws_keep_the_order():
    ties = np.random.default_rng(0).integers(0, 3, 60).astype(float)
    found = k_center(torch.ones(60, 2), torch.ones(1, 2), 60, ties=ties)
    assert found.tolist() == sorted(range(60), key=lambda i: ties[i])


@pytest.mark.parametrize("block", [1, 3, 128])
def test_d_squared_hands_over_what_it_is_given(block):
    z = normal(40, 3)
    found = d_squared(z, 20, np.random.default_rng(1), 4, block)
    assert found.tolist() == sample(Euclidean(z), 20, np.random.default_rng(1), 4, block).tolist()
    for call in (d_squared, badge):
        with pytest.raises(BudgetError, match="41 items asked for, 40 candidates"):
            call(*([z] if call is d_squared else [z, z]), 41, np.random.default_rng(0))


def test_the_radius_of_a_pool_with_copies_counts_each_item():
    which, rng = np.repeat(np.arange(3), 20), np.random.default_rng(1)
    z = 8 * torch.eye(3).double()[torch.from_numpy(which)] + normal(60, 3)
    at = rng.permutation(np.concatenate([np.arange(60), rng.integers(60, size=140)]))
    away = cdist(z.numpy(), z.numpy())
    away[which[:, None] == which] = np.inf
    nearest = away.min(1)[at]
    for purity in (0.5, 0.8, 1.0):
        found = purity_radius(z[at], 3, purity, np.random.default_rng(0))
        assert found == pytest.approx(np.quantile(nearest, 1 - purity, method="lower"))


# -------------------------------------------------------------------------------------- balls


def test_a_ball_is_open_and_halving_ends_at_the_step():
    """One item at 0; a point of another class at ½, which the ball of radius ½ does not hold."""
    z, own = torch.zeros(1, 1).double(), torch.zeros(1, dtype=torch.int64)
    points, other = torch.tensor([[0.5]]).double(), torch.ones(1, dtype=torch.int64)
    for step, radius in ((0.5, 0.5), (0.25, 0.5), (0.2, 0.5), (1.0, 0.0)):
        assert pure_radii(z, own, points, other, 1.0, 1.0, step).tolist() == [radius]
    # 0.4 is in the ball of ½, so halving goes down: to ¼ at steps of ¼, and to 3/8 at ⅛.
    points = torch.tensor([[0.4]]).double()
    for step, radius in ((0.25, 0.25), (0.125, 0.375)):
        assert pure_radii(z, own, points, other, 1.0, 1.0, step).tolist() == [radius]


@pytest.mark.parametrize(("rows", "columns"), [(256, 4096), (5, 7), (1, 1)])
@pytest.mark.parametrize("weighted", [False, True])
def test_radii_are_the_largest_pure_ones_of_the_grid_in_pieces(
    rows, columns, weighted, monkeypatch
):
    monkeypatch.setattr(module, "_ROWS", rows)
    monkeypatch.setattr(module, "ROWS", columns)
    rng = np.random.default_rng(2)
    z, points = normal(12, 2), normal(25, 2, seed=1)
    labels, predicted = rng.integers(0, 2, 12), rng.integers(0, 2, 25)
    counts = rng.integers(1, 5, 25) if weighted else np.ones(25, dtype=np.int64)
    d2 = cdist(z.numpy(), points.numpy(), "sqeuclidean")
    expected = []
    for i in range(12):
        low, high = 0.0, 2.0
        while high - low > 0.05:
            middle = (low + high) / 2
            inside = d2[i] < middle**2
            agree = counts[inside & (predicted == labels[i])].sum()
            low, high = (middle, high) if agree >= 0.625 * counts[inside].sum() else (low, middle)
        expected.append(low)
    found = pure_radii(
        z, torch.from_numpy(labels), points, torch.from_numpy(predicted), 0.625, 2.0, 0.05,
        counts if weighted else None,
    )  # fmt: skip
    assert found.tolist() == expected
    covered = covered_by(z, found, points)
    inside = (d2 < found[:, None] ** 2).any(0)
    assert covered.tolist() == np.packbits(inside).tolist()


def test_without_labels_there_is_no_radius_and_no_batch():
    none = torch.zeros(0, dtype=torch.int64)
    found = pure_radii(normal(0, 2), none, normal(4, 2), torch.zeros(4).long(), 0.9, 1.0, 0.1)
    assert found.shape == (0,)
    assert found.dtype == np.float64
    covers = np.packbits(np.eye(9, dtype=bool), axis=1)
    empty = np.zeros(2, dtype=np.uint8)
    picks, scores, gains = greedy_competence(covers, empty, np.zeros(9), 0.5, 0, np.zeros(9))
    assert picks.dtype == gains.dtype == np.int64
    assert len(picks) == len(scores) == len(gains) == 0
    with pytest.raises(BudgetError):
        greedy_competence(covers, empty, np.zeros(9), 0.5, 10, np.zeros(9))


def test_counts_by_their_binary_digits():
    assert planes(np.empty(0, dtype=np.int64)) == []
    found = planes(np.array([1, 4, 5, 0]))
    assert [value for value, _ in found] == [1, 4]  # nobody has the digit 2
    assert [bits.tolist() for _, bits in found] == [[0b10100000], [0b01100000]]


# ---------------------------------------------------------------------- divergence and mixing


def test_divergences_are_wide_whatever_is_given():
    log_p = torch.log_softmax(normal(9, 3).float(), 1)
    found = Divergences(log_p)
    assert found.left.dtype == found.right.dtype == torch.float64
    p = log_p.double().exp()
    exact = 0.5 * ((p[:, None] - p) * (log_p.double()[:, None] - log_p.double())).sum(2)
    torch.testing.assert_close(
        found.pairs(torch.arange(9), torch.arange(9)), exact, rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_lengths_to_near_anchors_have_the_digits_of_differences(scale):
    to = scale * (30 + normal(3, 8)).float()
    rows = to[[2, 0, 1, 2, 0]] * (1 + 1e-4 * normal(5, 8, seed=1).float())
    rows = torch.cat([rows, scale * normal(4, 8, seed=2).float()])
    exact = torch.from_numpy(cdist(rows.double().numpy(), to.double().numpy()))
    found = _lengths(rows, to, row_norms(to))
    assert found.dtype == torch.float64
    torch.testing.assert_close(found[5:], exact[5:], rtol=1e-5, atol=0)
    for i, k in enumerate((2, 0, 1, 2, 0)):
        assert float(found[i, k]) == pytest.approx(float(exact[i, k]), rel=1e-5)


def test_rates_where_coordinates_stand_still():
    """Of six coordinates none, one, half, four, five or all: with what is left far smaller."""
    g, weight = normal(6, 6).float(), normal(4, 6, seed=1).float()
    still = torch.zeros(6, 6, dtype=torch.bool)
    for row, count in enumerate((0, 1, 3, 4, 5, 6)):
        still[row, :count] = True
        if count > 3:
            g[row, count:] *= 1e-6
    whole = (g @ weight.T).double()
    exact = (g.double() * ~still) @ weight.double().T
    found = _rate(whole, still, g, weight)
    torch.testing.assert_close(found[:3], exact[:3], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found[3:], exact[3:], rtol=1e-4, atol=1e-12)
    assert torch.equal(_rate(whole, torch.zeros_like(still), g, weight), whole)
