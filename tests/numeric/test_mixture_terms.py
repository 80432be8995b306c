"""Mixtures term by term: promised defaults, types and places, scales, blocks."""

import math

import numpy as np
import pytest
import torch
from random_sets import mixture, normal
from torch import Tensor

from labelgap.core.errors import ConfigError, DataError, NumericalError, UnknownName
from labelgap.mixtures import products
from labelgap.mixtures.em import fit
from labelgap.mixtures.mixture import Mixture, quadratic_terms
from labelgap.mixtures.products import (
    compute_dtype,
    is_constant,
    padded_columns,
    row_blocks,
    wide_device,
    wide_sum,
)
from labelgap.mixtures.statistics import (
    MINIMUM_MASS,
    Statistics,
    class_responsibilities,
    expectation,
    maximise_step,
    pooled_of,
    statistics,
)
from labelgap.mixtures.wasserstein import quantile_steps, sliced_wasserstein


def shares(n: int, k: int, seed: int = 1) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).dirichlet(np.ones(k), n))


def equal(a: Mixture, b: Mixture) -> bool:
    return all(torch.equal(a.state()[name], b.state()[name]) for name in a.state())


# --- the fit -------------------------------------------------------------------------------


def test_defaults_are_those_of_the_paper() -> None:
    """Diagonal, ten steps, batches of a hundred averaged by parameters, a floor of 1e-3."""
    z, r = normal(301, 3), shares(301, 4)
    z[:, 2] *= 1e-3  # below the floor
    spelled = {
        "covariance": "diagonal", "steps": 10, "average": "parameters", "batch_size": 100,
        "floor": 1e-3, "generator": None,
    }  # fmt: skip
    plain = fit(z, r)
    assert equal(plain, fit(z, r, **spelled))  # type: ignore[arg-type]
    for key, other in (("steps", 11), ("batch_size", 101), ("floor", 2e-3)):
        assert not equal(plain, fit(z, r, **{**spelled, key: other}))  # type: ignore[arg-type]


def test_refusals_name_the_argument() -> None:
    z, r = normal(9, 3), shares(9, 2)
    for key, value, error in (
        ("covariance", "full", UnknownName),
        ("average", "median", UnknownName),
        ("floor", 0.0, ConfigError),
        ("batch_size", 0, ConfigError),
        ("steps", -1, ConfigError),
    ):
        with pytest.raises(error, match=rf"^(Unknown )?{key}\b"):
            fit(z, r, **{key: value})  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match=r"\bcovariance\b"):
        statistics(z, r, covariance="full")
    with pytest.raises(UnknownName, match=r"\bcovariance\b"):
        statistics(z, r).mixture(covariance="full")
    with pytest.raises(ConfigError, match=r"^floor\b"):
        statistics(z, r).mixture(floor=0.0)
    with pytest.raises(DataError, match="no samples"):
        expectation(mixture(2, 3, 3), z[:0])
    with pytest.raises(DataError, match="4 dimensions"):
        expectation(mixture(2, 3, 3), normal(5, 4))


# --- types and places ----------------------------------------------------------------------


def test_a_mixture_moves_whole_and_keeps_its_kinds() -> None:
    psi = mixture(2, 3, 1)
    moved = psi.to("meta", torch.float32)
    for name, tensor in moved.state().items():
        assert tensor.device.type == "meta", name
        assert tensor.dtype == (torch.bool if name == "empty" else torch.float32), name
    for same in (psi.to(), psi.to("cpu"), psi.to(psi.means.device, psi.means.dtype)):
        assert same is psi
    assert psi.to("meta").means.device.type == "meta"
    assert mixture(2, 1, 1).covariance == "diagonal"
    assert mixture(2, 3, 1).covariance == "spherical"


def test_a_wider_z_or_a_wider_mixture_has_its_digits() -> None:
    psi, z = mixture(3, 4, 4), normal(6, 4)
    narrow = psi.to(dtype=torch.float32)
    for one, two in ((narrow, z), (psi, z.float())):
        exact = one.to(dtype=torch.float64).component_log_density(two.double())
        for some in (two, two.clone().requires_grad_()):
            found = one.component_log_density(some)
            assert found.dtype == torch.float64
            torch.testing.assert_close(found.detach(), exact, rtol=1e-12, atol=1e-12)


def test_terms_are_formed_in_float64_and_rounded_once() -> None:
    narrow = mixture(5, 300, 300).to(dtype=torch.float32)
    cpu = torch.device("cpu")
    wide = quadratic_terms(narrow.to(dtype=torch.float64), cpu, torch.float64)
    terms = quadratic_terms(narrow, cpu, torch.float32)
    assert terms.weight.dtype == terms.bias.dtype == terms.centre.dtype == torch.float32
    assert torch.equal(terms.centre, wide.centre.float())
    # About the rounded centre: bias and slope follow it, so compare what they say of items.
    z = normal(4, 300)
    x = z - terms.centre.double()
    found = torch.cat([x, x.square()], 1) @ terms.weight.double() + terms.bias.double()
    x = z - wide.centre
    exact = torch.cat([x, x.square()], 1) @ wide.weight + wide.bias
    torch.testing.assert_close(found, exact, rtol=1e-5, atol=1e-3)


def test_where_float64_lives() -> None:
    assert wide_device(torch.device("mps")) == torch.device("cpu")
    for name in ("cpu", "cuda", "meta"):
        assert wide_device(torch.device(name)) == torch.device(name)
    assert [compute_dtype(torch.zeros(1, dtype=t)) for t in (torch.float16, torch.float64)] == [
        torch.float32, torch.float64,
    ]  # fmt: skip
    ones = torch.full((5000, 2), 1 + 2.0**-20)
    assert wide_sum(ones, dim=0).tolist() == [5000 * (1 + 2.0**-20)] * 2
    assert wide_sum(ones, dim=1).dtype == torch.float64


def test_columns_are_padded_where_the_last_block_is_more_than_half_full() -> None:
    cpu = torch.device("cpu")
    got = [padded_columns(k, cpu) for k in (1, 8, 9, 15, 16, 17, 24, 25, 32)]
    assert got == [1, 8, 16, 16, 16, 17, 24, 32, 32]
    assert padded_columns(9, torch.device("cuda")) == 9


def test_whether_anybody_asks_for_a_derivative() -> None:
    z = torch.zeros(2, 2)
    assert is_constant(z)
    leaf = z.clone().requires_grad_()
    assert not is_constant(leaf)
    with torch.no_grad():
        assert is_constant(leaf)
    with torch.autograd.forward_ad.dual_level():
        assert not is_constant(torch.autograd.forward_ad.make_dual(z, z))


@pytest.mark.parametrize("rows", [3, 5, 100])
@pytest.mark.parametrize("columns", [3, 1])
def test_blocks_hold_the_centred_features_and_their_squares(
    rows: int, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "CPU_ROWS", rows)
    z, centre = normal(10, 3), normal(3, seed=1)
    x = z - centre
    q = x.square() if columns == 3 else x.square().sum(1, keepdim=True)
    seen = []
    for chosen, block in row_blocks(z, centre, 3 + columns):
        torch.testing.assert_close(block, torch.cat([x, q], 1)[chosen])
        seen += list(range(10))[chosen]
        assert len(block) <= rows
    assert seen == list(range(10))


def test_one_dimension_has_a_square_of_its_own() -> None:
    ((_, block),) = row_blocks(torch.tensor([[3.0], [5.0]]), torch.tensor([1.0]), 2)
    assert block.tolist() == [[2, 4], [4, 16]]


# --- statistics ----------------------------------------------------------------------------


def given(mass: list[float], mean: list[list[float]], moment: list[list[float]]) -> Statistics:
    return Statistics(
        *(torch.tensor(x, dtype=torch.float64) for x in (mass, mean, moment)), count=3
    )


def test_the_pooled_variance_is_within_plus_between() -> None:
    """Masses 1 and 3 at means 0 and 4: mean 3, between 3, within (2 + 6) / 4."""
    pooled = pooled_of(given([1, 3], [[0.0], [4.0]], [[2.0], [6.0]]))
    assert pooled.mean.tolist() == [[3.0]]
    assert pooled.variance.tolist() == [[5.0]]
    assert pooled.scale == 5.0


def test_the_scale_falls_back_on_the_size_of_the_features() -> None:
    for mean, moment, scale in (
        ([[3.0, 4.0]], [[0.0, 0.0]], 12.5),  # constant features
        ([[3.0, 4.0]], [[12.4e-12, 12.4e-12]], 12.5),  # rounding of their squares
        ([[3.0, 4.0]], [[12.6e-12, 12.6e-12]], 12.6e-12),
        ([[0.0, 0.0]], [[0.0, 0.0]], 1.0),  # nothing at all
        ([[0.0, 0.0]], [[1.0, 3.0]], 2.0),
        ([[3.0, 4.0]], [[1.0, 1.0]], 1.0),
        ([[0.3, 0.4]], [[0.0, 0.0]], 0.125),
    ):
        assert pooled_of(given([1.0], mean, moment)).scale == pytest.approx(scale)


def test_a_component_is_empty_below_a_ten_thousandth_of_a_sample() -> None:
    s = given([1.0, MINIMUM_MASS, MINIMUM_MASS / 2], [[0.0], [2.0], [9.0]], [[1.0], [1.0], [1.0]])
    pooled = pooled_of(s)
    m = maximise_step(s, pooled, 1e-3)
    assert MINIMUM_MASS == 1e-4
    assert m.empty.tolist() == [False, False, True]
    torch.testing.assert_close(
        m.weights, torch.tensor([1, 1e-4, 0], dtype=torch.float64) / (1 + 1e-4)
    )
    torch.testing.assert_close(m.means[2], pooled.mean[0])
    torch.testing.assert_close(
        m.variances[:, 0], torch.tensor([1, 1e4, pooled.scale], dtype=torch.float64)
    )
    # Where all are that small, all that there is counts.
    s = given([4e-5, 0.0], [[1.0], [0.0]], [[4e-5], [0.0]])
    m = maximise_step(s, pooled_of(s), 1e-9)
    assert m.empty.tolist() == [False, True]
    assert m.weights.tolist() == [1.0, 0.0]
    torch.testing.assert_close(m.variances, torch.ones(2, 1).double())


@pytest.mark.parametrize("covariance", ["diagonal", "spherical"])
def test_a_class_of_no_item_is_all_zero(covariance: str) -> None:
    z = normal(6, 3) + 5
    one_hot = class_responsibilities(torch.tensor([0, 0, 2, 2, 2, 2]), 4)
    s = statistics(z, one_hot, covariance=covariance)
    assert s.mass.tolist() == [2, 0, 4, 0]
    assert s.mean[[1, 3]].tolist() == [[0.0] * 3] * 2
    assert s.moment[[1, 3]].abs().sum() == 0
    torch.testing.assert_close(s.mean[2], z[2:].mean(0))


def test_merging_adds_the_likelihoods_that_are_known() -> None:
    psi, z = mixture(2, 3, 3), normal(8, 3)
    known, other = expectation(psi, z[:4]), statistics(z[4:], shares(4, 2))
    exact = float(psi.log_likelihood(z[:4]).sum())
    assert known.log_likelihood == pytest.approx(exact, rel=1e-12)
    assert known.merge(known).log_likelihood == pytest.approx(2 * exact, rel=1e-12)
    assert known.count == 4
    assert known.merge(known).count == 8
    for one, two in ((known, other), (other, known), (other, other)):
        assert one.merge(two).log_likelihood is None
    # Nothing on one side, or on both, changes nothing.
    empty = given([0.0, 0.0], [[0.0] * 3] * 2, [[0.0] * 3] * 2)
    for merged in (other.merge(empty), empty.merge(other)):
        for name in ("mass", "mean", "moment"):
            torch.testing.assert_close(getattr(merged, name), getattr(other, name))
    assert torch.equal(empty.merge(empty).mean, empty.mean)


def test_merging_parts_of_a_sample_is_in_closed_form() -> None:
    """Masses ½ and ¼ at 0 and 3: mean 1, between ½ · ¼ / ¾ · 9. A likelihood of 0 is known."""
    nil = torch.zeros(1, 2).double()
    parts = [
        Statistics(torch.tensor([mass]).double(), nil + mean, nil + 1.0, 1, likelihood)
        for mass, mean, likelihood in ((0.5, 0.0, 0.0), (0.25, 3.0, -7.0))
    ]
    for one, two in (parts, parts[::-1]):
        merged = one.merge(two)
        assert merged.mass.tolist() == [0.75]
        torch.testing.assert_close(merged.mean, nil + 1.0)
        torch.testing.assert_close(merged.moment, nil + 2.0 + 1.5)
        assert merged.log_likelihood == -7.0
    spherical = [statistics(z, shares(5, 2), covariance="spherical") for z in (normal(5, 3),) * 2]
    both = statistics(normal(5, 3).repeat(2, 1), shares(5, 2).repeat(2, 1), covariance="spherical")
    torch.testing.assert_close(spherical[0].merge(spherical[1]).moment, both.moment)
    assert both.moment.shape == (2, 1)


def test_statistics_of_other_shapes_do_not_merge() -> None:
    z = normal(6, 3)
    two = statistics(z, shares(6, 2))
    others = (
        statistics(z, shares(6, 3)), statistics(z[:, :2], shares(6, 2)),
        statistics(z, shares(6, 2), covariance="spherical"),
    )  # fmt: skip
    for other in others:
        with pytest.raises(ConfigError, match="merge"):
            two.merge(other)


def test_the_same_covariance_may_be_asked_for_by_name() -> None:
    for covariance in ("diagonal", "spherical"):
        s = statistics(normal(9, 3), shares(9, 2), covariance=covariance)
        assert equal(s.mixture(covariance=covariance), s.mixture())
    diagonal = statistics(normal(9, 3), shares(9, 2))
    tight = diagonal.mixture(floor=0.9, covariance="spherical")
    assert float(tight.variances.min()) >= 0.9 * pooled_of(diagonal).scale * (1 - 1e-12)


def test_the_floor_of_an_m_step_is_a_thousandth() -> None:
    z = torch.tensor([[0.0], [0.0], [6.0], [6.0]]).double()
    s = statistics(z, class_responsibilities(torch.tensor([0, 0, 1, 1]), 2).double())
    torch.testing.assert_close(s.mixture().variances, torch.full((2, 1), 9e-3, dtype=torch.float64))


def test_labels_at_the_borders() -> None:
    assert class_responsibilities(torch.tensor([0, 2]), 3).tolist() == [[1, 0, 0], [0, 0, 1]]
    for wrong in (-1, 3):
        with pytest.raises(DataError, match=f"Label {wrong} at position 1"):
            class_responsibilities(torch.tensor([0, wrong, wrong]), 3)


@pytest.mark.parametrize("offset", [0.0099, -0.0099])
def test_rows_sum_to_one_within_a_percent(offset: float) -> None:
    z, r = normal(4, 2), torch.full((4, 2), 0.5, dtype=torch.float64)
    r[2, 0] += offset
    statistics(z, r)
    r[2, 0] += math.copysign(3e-4, offset)
    with pytest.raises(DataError, match=r"1 rows .* over the 2 .* row 2"):
        statistics(z, r)
    r[2] = torch.tensor([1.5, -0.5])
    with pytest.raises(DataError, match=r"1 rows .* row 2"):
        statistics(z, r)


# --- the sliced distance -------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2, 3])
def test_sliced_distance_is_the_matching_of_quantiles_along_each_direction(order: int) -> None:
    """Each of n values repeated m times against each of m repeated n times, sorted."""
    a, b = normal(4, 3).numpy(), normal(6, 3, seed=1).numpy() + 1
    u = np.random.default_rng(9).standard_normal((3, 50))
    u /= np.linalg.norm(u, axis=0)
    one, two = np.sort((a @ u).repeat(6, 0), 0), np.sort((b @ u).repeat(4, 0), 0)
    exact = (np.abs(one - two) ** order).mean() ** (1 / order)
    found = sliced_wasserstein(a, b, np.random.default_rng(9), projections=50, order=order)
    assert found == pytest.approx(exact)


def test_the_usual_sliced_distance_has_128_directions_and_order_1() -> None:
    a, b = normal(4, 3).numpy(), normal(6, 3, seed=1).numpy()
    usual = sliced_wasserstein(a, b, np.random.default_rng(0))
    spelled = sliced_wasserstein(a, b, np.random.default_rng(0), projections=128, order=1)
    assert usual == spelled
    assert sliced_wasserstein(a, b, np.random.default_rng(0), projections=1) > 0


def test_a_sliced_distance_refuses_what_has_none() -> None:
    a, rng = normal(4, 3).numpy(), np.random.default_rng(0)
    for one, two in ((a[:0], a), (a, a[:0])):
        with pytest.raises(ValueError, match="empty"):
            sliced_wasserstein(one, two, rng)
    for key in ("order", "projections"):
        with pytest.raises(ValueError, match="at least 1"):
            sliced_wasserstein(a, a, rng, **{key: 0})
    bad = a.copy()
    bad[2, 1] = np.nan
    for one, two, name in ((bad, a, "The first sample"), (a, bad, "The second sample")):
        with pytest.raises(NumericalError, match=name):
            sliced_wasserstein(one, two, rng)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 3), (2, 3), (4, 6), (5, 5)])
def test_quantile_steps_are_the_common_refinement(n: int, m: int) -> None:
    rows, columns, mass = quantile_steps(n, m)
    assert mass.sum() == pytest.approx(1)
    # Every rank of either sample has its whole share of the mass.
    np.testing.assert_allclose(np.bincount(rows, mass, n), np.full(n, 1 / n))
    np.testing.assert_allclose(np.bincount(columns, mass, m), np.full(m, 1 / m))
    assert len(mass) == n + m - math.gcd(n, m)
    assert (np.diff(rows) >= 0).all()
    assert (np.diff(columns) >= 0).all()
