"""A set as the critic sees it: ψ in buffers, its standardised likelihood, the columns in order."""

import pytest
import torch
from random_sets import mixture, normal
from torch import Tensor

from labelgap.mixtures.characteristic import Characteristic, critic_input, statistics_width
from labelgap.mixtures.mixture import Mixture


def player(psi: Mixture, reference: Tensor) -> Characteristic:
    k, d = psi.means.shape
    psi_of = Characteristic(k, d, psi.variances.shape[1] == d and d > 1).double()
    psi_of.set(psi, reference)
    return psi_of


def test_before_the_first_refresh_it_is_equal_standard_gaussians() -> None:
    for diagonal, columns in ((True, 3), (False, 1)):
        psi = Characteristic(4, 3, diagonal)
        assert psi.get_buffer("weights").tolist() == [0.25] * 4
        assert torch.equal(psi.get_buffer("means"), torch.zeros(4, 3))
        assert torch.equal(psi.get_buffer("variances"), torch.ones(4, columns))
        assert psi.get_buffer("empty").all()
        assert float(psi.get_buffer("centre")) == 0
        assert float(psi.get_buffer("scale")) == 1
        assert set(psi.state_dict()) == {
            "weights", "means", "variances", "empty", "centre", "scale",
        }  # fmt: skip


@pytest.mark.parametrize("columns", [3, 1])
def test_columns_are_z_both_posteriors_both_likelihoods(columns: int) -> None:
    both = normal(50, 3, seed=5)
    one, two = mixture(4, 3, columns, seed=1), mixture(4, 3, columns, seed=2)
    z = normal(7, 3, seed=6)
    h = critic_input(z, player(one, both), player(two, both), temperature=2.0)
    assert h.shape == (7, 3 + 2 * 4 + 2) == (7, statistics_width(3, 4, True))
    torch.testing.assert_close(h[:, :3], z)
    for i, psi in enumerate((one, two)):
        posterior = torch.softmax(psi.component_log_density(z) / 2.0, 1)
        torch.testing.assert_close(h[:, 3 + 4 * i : 7 + 4 * i], posterior)
        reference, own = psi.log_likelihood(both), psi.log_likelihood(z)
        expected = (own - reference.mean()) / reference.std()
        torch.testing.assert_close(h[:, 11 + i], expected)


def test_the_papers_temperature_and_full_gradients_are_the_defaults() -> None:
    both, z = normal(50, 3, seed=5), normal(7, 3, seed=6).requires_grad_()
    psi = player(mixture(2, 3, 3), both)
    torch.testing.assert_close(
        critic_input(z, psi, psi), critic_input(z, psi, psi, temperature=1.0)
    )
    (gradient,) = torch.autograd.grad(critic_input(z, psi, psi)[:, 3:5].square().sum(), z)
    assert gradient.abs().sum() > 0


def test_without_both_mixtures_the_input_is_the_features() -> None:
    z = normal(7, 3)
    psi = player(mixture(2, 3, 3), z)
    for labelled, unlabelled in ((None, None), (psi, None), (None, psi)):
        assert torch.equal(critic_input(z, labelled, unlabelled), z)
    assert statistics_width(3, 2, False) == 3


@pytest.mark.parametrize("n", [1, 2])
def test_a_reference_of_equal_likelihoods_divides_by_nothing_small(n: int) -> None:
    """One item has no deviation, and equal ones have none: 1, and the smallest allowed."""
    psi = mixture(2, 3, 3)
    z = normal(1, 3).repeat(n, 1)
    own = player(psi, z)
    assert float(own.get_buffer("centre")) == pytest.approx(float(psi.log_likelihood(z[:1])[0]))
    assert float(own.get_buffer("scale")) == pytest.approx(1.0 if n == 1 else 1e-6)


def test_two_items_have_a_deviation() -> None:
    psi, z = mixture(2, 3, 3), normal(2, 3)
    own = player(psi, z)
    a, b = psi.log_likelihood(z).tolist()
    assert float(own.get_buffer("scale")) == pytest.approx(abs(a - b) / 2**0.5)


def test_the_mixture_is_made_anew_only_when_its_buffers_change() -> None:
    reference = normal(20, 3)
    own = player(mixture(2, 3, 3, seed=1), reference)
    first = own.mixture
    assert own.mixture is first
    own.set(mixture(2, 3, 3, seed=2), reference)
    second = own.mixture
    assert second is not first
    torch.testing.assert_close(second.means, mixture(2, 3, 3, seed=2).means)
    # What the first one holds has not moved under it.
    torch.testing.assert_close(first.means, mixture(2, 3, 3, seed=1).means)
    own.load_state_dict(player(mixture(2, 3, 3, seed=1), reference).state_dict())
    torch.testing.assert_close(own.mixture.means, first.means)
    for name in ("weights", "means", "variances", "empty"):
        before = own.mixture
        own.get_buffer(name).copy_(own.get_buffer(name).clone())
        assert own.mixture is not before, name
