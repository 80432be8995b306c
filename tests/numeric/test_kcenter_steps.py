"""k-center's parts: bounds that hold, true distances, and how seldom the whole pool is read."""

import numpy as np
import pytest
import torch

from labelgap.core.errors import BudgetError, NumericalError
from labelgap.select import k_center, k_center_by, kcenter
from labelgap.select.kcenter import _Columns, _Euclidean


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).float()


def squared(a, b):
    return ((a.double().numpy()[:, None] - b.double().numpy()[None]) ** 2).sum(-1)


def farthest_first(d2, nearest, n, ties=None, picks=()):
    """The greedy written out on a table of distances; the smaller draw among equals."""
    picks, near = list(picks), nearest.copy()
    ties = np.arange(len(near)) if ties is None else ties
    near[picks] = -1
    while len(picks) < n:
        i = int(np.lexsort((ties, -near))[0])
        picks.append(i)
        near = np.minimum(near, d2[:, i])
        near[picks] = -1
    return picks


@pytest.mark.parametrize("offset", [0.0, 300.0])
@pytest.mark.parametrize("seed", range(3))
def test_bounds_are_never_below_the_truth_and_hardly_above(offset, seed):
    z = offset + normal(60, 40, seed=seed)
    centres = torch.cat([offset + normal(300, 40, seed=seed + 10), z[5:6]])
    cover = _Euclidean(z)
    upper = cover.meet(centres).double().numpy()
    exact = squared(z, centres).min(1)
    norms = ((z.double() - z.double().mean(0)) ** 2).sum(1).numpy()
    eps = 2.0**-23
    assert (upper >= exact).all()
    # The rounding of the norms to the centre and of the sums, a few times over.
    assert (upper <= exact + 20 * 56 * eps * (exact + norms)).all()


def test_members_know_their_distance_to_all_centres_and_to_each_other():
    z = 50 + normal(30, 4)
    z[20] = z[3]
    cover = _Euclidean(z)
    first, second = 50 + normal(3, 4, seed=1), 50 + normal(2, 4, seed=2)
    cover.meet(first)
    cover.meet(second)
    members = torch.tensor([3, 20, 7, 11])
    true = cover.settle(members, torch.zeros(30))
    assert true.dtype == torch.float32
    exact = squared(z[members], torch.cat([first, second])).min(1)
    np.testing.assert_allclose(true, exact, rtol=1e-6)
    for j in range(4):
        within = cover.within(j)
        assert within.dtype == torch.float32
        np.testing.assert_allclose(within, squared(z[members], z[members])[:, j], rtol=1e-6)
    # Those picked are centres from now on.
    upper = cover.add(members, [2, 0])
    assert (upper.double().numpy() >= squared(z, z[[7, 3]]).min(1)).all()
    again = cover.settle(members, upper)
    assert again[[0, 1, 2]].tolist() == [0, 0, 0]


@pytest.mark.parametrize("rows", [5, 4096])
def test_members_in_pieces(rows, monkeypatch):
    monkeypatch.setattr(kcenter, "ROWS", rows)
    z = normal(40, 3)
    picks = k_center(z, None, 20, first=4).tolist()
    assert picks == farthest_first(squared(z, z), squared(z, z)[:, 4], 20, picks=[4])


def test_the_middle_is_the_item_nearest_the_mean_and_equals_go_by_the_draw():
    z = torch.tensor([[-3.0], [-1.0], [1.0], [3.0]])
    assert k_center(z, None, 1).tolist() == [1]
    assert k_center(z, None, 1, ties=np.array([0.4, 0.3, 0.2, 0.1])).tolist() == [2]
    for shift in (0, 7):  # a mean of zero is a mean like others
        assert k_center(z + shift, None, 4).tolist() == [1, 3, 0, 2]


def test_a_pool_of_one_item_is_chosen_whatever_the_centres():
    z = normal(1, 3)
    assert k_center(z, None, 1).tolist() == [0]
    assert k_center(z, normal(2, 3, seed=1), 1).tolist() == [0]
    assert k_center_by(lambda at: torch.zeros(1, 1), torch.ones(1), 1).tolist() == [0]


@pytest.mark.parametrize("seed", range(5))
def test_items_on_opposite_sides_of_the_mean_are_equals(seed):
    """Their distances in float64 differ in the last digit; rounded to float32 they tie."""
    v = torch.from_numpy(np.random.default_rng(seed).standard_normal((6, 5)))
    v[2] *= 0.1
    z = torch.cat([0.1 + v, 0.1 - v])
    for near, far in ((2, 8), (8, 2)):
        ties = np.linspace(0.4, 0.6, 12)
        ties[near], ties[far] = 0.1, 0.9
        assert k_center(z, None, 1, ties=ties).tolist() == [near]


def test_columns_are_asked_for_by_the_block():
    """Items on a line, ever farther apart: the first block holds all picks."""
    x = np.cumsum(2.0 ** np.arange(30))
    d, asked = np.abs(x[:, None] - x[None]), []

    def distance(at):
        asked.extend(at.tolist())
        return torch.from_numpy(d[:, at.numpy()])

    picks = k_center_by(distance, torch.from_numpy(d[:, 0].copy()), 4, block=8)
    assert picks.tolist() == farthest_first(d, d[:, 0], 4)
    assert sorted(asked) == list(range(22, 30))


def test_equal_distances_make_the_block_grow_until_one_can_be_chosen():
    d = 1.0 - np.eye(40)
    ties = np.random.default_rng(0).random(40)
    nearest = torch.ones(40).double()
    picks = k_center_by(
        lambda at: torch.from_numpy(d[:, at.numpy()]), nearest, 40, ties=ties, block=3
    )
    assert picks.tolist() == np.argsort(ties).tolist()


@pytest.mark.parametrize("block", [1, 2, 5, 64])
def test_any_table_gives_the_greedy_written_out(block):
    rng = np.random.default_rng(5)
    d = np.round(rng.random((25, 25)) * 4) / 4  # many equal, not symmetric, no zero diagonal
    for n in (1, 6, 25):
        got = k_center_by(
            lambda at: torch.from_numpy(d[:, at.numpy()]),
            torch.from_numpy(d[:, 3].copy()), n, block=block,
        )  # fmt: skip
        assert got.tolist() == farthest_first(d, d[:, 3], n)
        got = k_center_by(
            lambda at: torch.from_numpy(d[:, at.numpy()]), None, n, block=block, first=3
        )
        assert got.tolist() == farthest_first(d, d[:, 3], n, picks=[3])


def test_what_is_given_is_left_as_it_was():
    d = np.random.default_rng(5).random((9, 9))
    nearest = torch.from_numpy(d[:, 0].copy()).requires_grad_()
    picks = k_center_by(lambda at: torch.from_numpy(d[:, at.numpy()]), nearest, 4)
    assert nearest.detach().tolist() == d[:, 0].tolist()
    assert not picks.requires_grad
    assert k_center_by(lambda at: torch.zeros(9, len(at)), nearest, 0).tolist() == []
    with pytest.raises(BudgetError):
        k_center_by(lambda at: torch.zeros(9, len(at)), nearest, 10)


def test_a_distance_that_is_not_finite_is_named():
    with pytest.raises(NumericalError, match="'distance'"):
        k_center_by(lambda at: torch.full((5, len(at)), torch.nan), torch.ones(5), 2)
    table = torch.ones(5, 5)
    table[3, 2] = torch.inf
    with pytest.raises(NumericalError, match="'distance' \\(1 of 5"):
        k_center_by(lambda at: table[:, at], torch.ones(5), 2)
    z = normal(5, 2)
    z[1, 0] = -torch.inf
    with pytest.raises(NumericalError, match="'features' \\(1 of 5"):
        k_center(z, None, 2)
    assert k_center(torch.empty(0, 3), None, 0).tolist() == []


def test_a_table_is_taken_at_its_word():
    d = torch.arange(12.0).reshape(4, 3).double()
    columns = _Columns(lambda at: d)
    members, upper = torch.tensor([2, 0, 3]), torch.tensor([5.0, 6.0, 7.0, 8.0])
    assert columns.settle(members, upper).tolist() == [7, 5, 8]
    assert columns.within(1).tolist() == [7, 1, 10]
    assert columns.rows.dtype == torch.float32
    assert columns.add(members, [2, 1]).tolist() == [1, 4, 7, 10]
