"""Mixtures against independent implementations, closed forms and their own invariants."""

import inspect
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from sklearn.mixture import GaussianMixture
from tolerance import assert_rounded
from torch import Tensor

from labelgap.core import linalg
from labelgap.core.errors import ConfigError, DataError, NumericalError, UnknownName
from labelgap.mixtures import products
from labelgap.mixtures.em import fit
from labelgap.mixtures.mixture import COVARIANCES, Mixture
from labelgap.mixtures.statistics import (
    MINIMUM_MASS,
    Samples,
    Statistics,
    class_responsibilities,
    expectation,
    statistics,
)


def clusters(
    n: int, d: int, k: int, seed: int = 0, spread: float = 0.5, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Overlapping ReLU clusters and a classifier's softmax on them."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(k, size=n)
    z = np.maximum(spread * rng.standard_normal((k, d))[labels] + rng.standard_normal((n, d)), 0)
    logits = rng.standard_normal((n, k))
    logits[np.arange(n), labels] += 3
    return torch.from_numpy(z).to(dtype), torch.softmax(torch.from_numpy(logits), 1).to(dtype)


def random_mixture(
    d: int, k: int, covariance: str = "diagonal", seed: int = 0, zero: int = 0
) -> Mixture:
    """A float64 mixture; the first `zero` components have weight 0."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(k))
    weights[:zero] = 0
    variances = rng.uniform(0.2, 3, (k, d if covariance == "diagonal" else 1))
    return Mixture(
        torch.from_numpy(weights / weights.sum()),
        torch.from_numpy(rng.standard_normal((k, d))),
        torch.from_numpy(variances),
        torch.arange(k) < zero,
    )


def naive_log_density(m: Mixture, z: Tensor) -> Tensor:
    """log π_k + log N, written from the definition with torch's own distribution."""
    scale = m.variances.expand_as(m.means).sqrt()
    normal = torch.distributions.Normal(m.means, scale, validate_args=False)
    return m.weights.log() + normal.log_prob(z[:, None, :]).sum(dim=2)


def naive_statistics(z: Tensor, r: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Eq. 1's M step in numpy's float64, one component at a time: mass, μ, σ²."""
    x, g = z.double().numpy(), r.double().numpy()
    mass = g.sum(axis=0)
    mean = np.stack([np.average(x, axis=0, weights=g[:, k]) for k in range(g.shape[1])])
    var = np.stack(
        [np.average((x - mean[k]) ** 2, axis=0, weights=g[:, k]) for k in range(g.shape[1])]
    )
    return torch.from_numpy(mass), torch.from_numpy(mean), torch.from_numpy(var)


def close(a: Mixture, b: Mixture, tolerance: float) -> None:
    for name, tensor in a.state().items():
        other = b.state()[name]
        if tensor.dtype == torch.bool:
            assert torch.equal(tensor, other)
        else:
            torch.testing.assert_close(
                tensor.double(), other.double(), rtol=tolerance, atol=tolerance
            )


# --- densities -----------------------------------------------------------------------------


@pytest.mark.parametrize("covariance", COVARIANCES)
@pytest.mark.parametrize(("d", "k"), [(1, 1), (1, 4), (7, 3), (5, 10), (30, 100)])
def test_density_is_the_definition(covariance: str, d: int, k: int) -> None:
    m = random_mixture(d, k, covariance)
    z = torch.from_numpy(np.random.default_rng(1).standard_normal((40, d)))
    expected = naive_log_density(m, z)
    torch.testing.assert_close(m.component_log_density(z), expected)
    torch.testing.assert_close(m.component_log_density(z.requires_grad_()), expected)
    torch.testing.assert_close(m.log_likelihood(z), expected.logsumexp(1))
    torch.testing.assert_close(m.log_posterior(z), expected.log_softmax(1))


def test_density_spans_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "CPU_ROWS", 16)
    m = random_mixture(6, 3)
    z = torch.from_numpy(np.random.default_rng(1).standard_normal((100, 6)))
    torch.testing.assert_close(m.component_log_density(z), naive_log_density(m, z))


def test_density_far_from_the_origin_keeps_its_digits() -> None:
    """Without centring, 1000² − 2·1000·1000 + 1000² in float32 would leave no digit."""
    m = random_mixture(64, 5)
    shifted = Mixture(m.weights, m.means + 1000, m.variances, m.empty).to(dtype=torch.float32)
    z = torch.from_numpy(np.random.default_rng(1).standard_normal((50, 64))).float() + 1000
    expected = naive_log_density(shifted.to(dtype=torch.float64), z.double())
    # 64 values and their squares about the centre, each by a coefficient.
    assert_rounded(shifted.component_log_density(z), expected, 2 * 64, expected.abs().max())


def test_component_without_weight() -> None:
    m = random_mixture(6, 4, zero=2)
    z = torch.from_numpy(np.random.default_rng(1).standard_normal((9, 6))).requires_grad_()
    density = m.component_log_density(z)
    assert torch.isneginf(density[:, :2]).all()
    assert torch.isfinite(density[:, 2:]).all()
    assert torch.equal(m.log_posterior(z).exp()[:, :2], torch.zeros(9, 2, dtype=z.dtype))
    outputs = (
        m.log_likelihood(z).sum(),
        m.log_posterior(z)[:, 2:].sum(),
        m.log_posterior(z, temperature=7.0)[:, 3].sum(),
        m.log_posterior(z).exp().square().sum(),
    )
    for value in outputs:
        (gradient,) = torch.autograd.grad(value, z)
        assert torch.isfinite(gradient).all()
    # A label of a class that the mixture does not hold: infinite loss, still no NaN.
    loss = -m.log_posterior(z)[:, 0].sum()
    assert torch.isposinf(loss)
    assert torch.isfinite(torch.autograd.grad(loss, z)[0]).all()


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_gradients_first_and_second(covariance: str) -> None:
    m = random_mixture(3, 4, covariance, zero=1)
    z = torch.from_numpy(np.random.default_rng(1).standard_normal((5, 3))).requires_grad_()
    for function in (
        m.log_likelihood,
        lambda z: m.log_posterior(z)[:, 1:],
        lambda z: m.log_posterior(z, temperature=20.0)[:, 1:],
        lambda z: m.component_log_density(z)[:, 1:],
    ):
        assert torch.autograd.gradcheck(function, z)
        assert torch.autograd.gradgradcheck(function, z)


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_gradient_of_the_regulariser(covariance: str) -> None:
    """L_GMM = −log p(y|z;ψ) of §2.2 in float32 against autograd through the naive formula."""
    m = random_mixture(512, 10, covariance)
    labels = torch.arange(30) % 10
    z = torch.from_numpy(np.random.default_rng(1).standard_normal((30, 512)))

    def gradient(posterior: Tensor, z: Tensor) -> Tensor:
        return torch.autograd.grad(-posterior[torch.arange(30), labels].mean(), z)[0].double()

    a = z.clone().requires_grad_()
    b = z.float().requires_grad_()
    exact = gradient((naive_log_density(m, a) / 50).log_softmax(1), a)
    ours = gradient(m.to(dtype=torch.float32).log_posterior(b, temperature=50.0), b)
    # A posterior errs by the size of the log-densities, which are sums over 512 features twice.
    size = naive_log_density(m, z).abs().max() / 50
    assert_rounded(ours.float(), exact, 2 * 512, size * exact.abs().max())


def test_forward_derivative_is_not_dropped() -> None:
    m = random_mixture(4, 3)
    z, v = torch.from_numpy(np.random.default_rng(1).standard_normal((2, 5, 4)))
    _, along = torch.func.jvp(m.log_likelihood, (z,), (v,))
    leaf = z.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(m.log_likelihood(leaf).sum(), leaf)
    torch.testing.assert_close(along, (gradient * v).sum(1))


def test_temperature() -> None:
    m = random_mixture(20, 5)
    z = torch.from_numpy(np.random.default_rng(1).standard_normal((30, 20)))
    density = m.component_log_density(z)
    torch.testing.assert_close(m.log_posterior(z).exp(), torch.softmax(density, 1))
    torch.testing.assert_close(m.log_posterior(z, 4.0).exp(), torch.softmax(density / 4, 1))
    assert m.log_posterior(z, 1e9).exp().sub(0.2).abs().max() < 1e-6
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(ConfigError, match="temperature"):
            m.log_posterior(z, wrong)


def test_autocast_leaves_the_precision_alone() -> None:
    m = random_mixture(512, 10).to(dtype=torch.float32)
    z = torch.from_numpy(np.random.default_rng(1).standard_normal((8, 512))).float()
    plain = m.log_likelihood(z.clone().requires_grad_())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = m.log_likelihood(z.clone().requires_grad_())
        half = m.log_likelihood(z.bfloat16())
    assert cast.dtype == half.dtype == torch.float32
    assert torch.equal(plain, cast)
    assert_rounded(half, m.log_likelihood(z.bfloat16().float()), 2 * 2 * 512)


def test_first_use_in_inference_mode_does_not_forbid_training() -> None:
    z, r = clusters(60, 4, 3)
    with torch.inference_mode():
        m = fit(z, r, steps=1)
        m.log_likelihood(z)
    leaf = z.clone().requires_grad_()
    m.log_posterior(leaf)[:, 0].sum().backward()
    assert leaf.grad is not None
    assert torch.isfinite(leaf.grad).all()


def test_saturated_features_of_a_trained_network_stay_finite() -> None:
    """512-d ReLU features, tight classes far apart: densities of e^±50,000."""
    z, _ = clusters(400, 512, 10, spread=30)
    labels = torch.arange(400) % 10
    z = z * 0.001 + torch.relu(torch.eye(10)[labels].repeat(1, 52)[:, :512] * 50)
    m = fit(z, class_responsibilities(labels, 10), average="statistics")
    leaf = z.clone().requires_grad_()
    density, posterior = m.component_log_density(leaf), m.log_posterior(leaf)
    assert torch.isfinite(density).all()
    assert torch.isfinite(posterior).all()
    assert density.abs().max() > 5_000
    (gradient,) = torch.autograd.grad(-posterior.sum(), leaf)
    assert torch.isfinite(gradient).all()
    assert torch.equal(posterior.argmax(1), labels)


# --- statistics ----------------------------------------------------------------------------


@pytest.mark.parametrize("covariance", COVARIANCES)
@pytest.mark.parametrize(("n", "d", "k"), [(1, 3, 1), (50, 1, 4), (300, 20, 10), (3000, 5, 37)])
def test_first_m_step_is_equation_1(covariance: str, n: int, d: int, k: int) -> None:
    z, r = clusters(n, d, k, dtype=torch.float64)
    mass, mean, var = naive_statistics(z, r)
    got = statistics(z, r, covariance=covariance)
    if covariance == "spherical":
        var = var.mean(1, keepdim=True)
    torch.testing.assert_close(got.mass, mass)
    torch.testing.assert_close(got.mean, mean)
    torch.testing.assert_close(got.moment, var * mass[:, None])
    m = fit(z, r, covariance=covariance, steps=0, average="statistics", floor=1e-12)
    torch.testing.assert_close(m.weights, mass / n)
    torch.testing.assert_close(m.means, mean)
    if n > 1:
        torch.testing.assert_close(m.variances, var)


def test_float32_sums_match_float64() -> None:
    z, r = clusters(20_000, 64, 10, spread=3)
    exact = statistics((z + 100).double(), r.double())
    single = statistics(z + 100, r)
    assert single.mass.dtype == torch.float64
    # The sums of a block are float32, and about the common centre: the offset costs nothing.
    offset = exact.mean.mean(0)
    away = exact.mean - offset
    assert_rounded((single.mean - offset).float(), away, products.CPU_ROWS, away.abs().max())
    assert_rounded(single.moment.float(), exact.moment, products.CPU_ROWS)


@settings(max_examples=40, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 119), unique=True, max_size=5).map(sorted),
    order=st.randoms(use_true_random=False),
    covariance=st.sampled_from(COVARIANCES),
    seed=st.integers(0, 100),
)
def test_merge_is_the_whole(cuts: list[int], order, covariance: str, seed: int) -> None:
    z, r = clusters(120, 4, 5, seed, spread=4, dtype=torch.float64)
    # One class lives in the first tenth only: most parts have none of it.
    r[12:, 0] = 0
    r = r / r.sum(1, keepdim=True)
    m = random_mixture(4, 5, covariance, seed)
    edges = [0, *cuts, 120]
    parts = [slice(a, b) for a, b in itertools.pairwise(edges)]
    order.shuffle(parts)
    for function in (
        lambda s: statistics(z[s], r[s], covariance=covariance),
        lambda s: expectation(m, z[s]),
    ):
        whole = function(slice(0, 120))
        first, *rest = [function(s) for s in parts]
        left = first
        for part in rest:
            left = left.merge(part)
        right = first
        if rest:
            tail = rest[0]
            for part in rest[1:]:
                tail = part.merge(tail)
            right = tail.merge(first)
        for merged in (left, right):
            assert merged.count == 120
            torch.testing.assert_close(merged.mass, whole.mass)
            torch.testing.assert_close(merged.mean, whole.mean)
            torch.testing.assert_close(merged.moment, whole.moment)
            if whole.log_likelihood is None:
                assert merged.log_likelihood is None
            else:
                assert merged.log_likelihood == pytest.approx(whole.log_likelihood)


def test_expectation_is_posteriors_then_sums() -> None:
    m = random_mixture(6, 12, zero=1)
    z = torch.from_numpy(np.random.default_rng(1).standard_normal((2500, 6)))
    got = expectation(m, z)
    density = naive_log_density(m, z)
    mass, mean, var = naive_statistics(z, density.softmax(1)[:, 1:])
    torch.testing.assert_close(got.mass[1:], mass)
    torch.testing.assert_close(got.mean[1:], mean)
    torch.testing.assert_close(got.moment[1:], var * mass[:, None])
    assert got.mass[0] == 0
    assert got.log_likelihood == pytest.approx(float(density.logsumexp(1).sum()))


def test_plain_torch_products_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another device runs: torch's own product, no padded columns, one block."""
    z, r = clusters(3000, 32, 10, dtype=torch.float64)
    ours = fit(z, r, average="statistics")
    likelihood = ours.log_likelihood(z)
    monkeypatch.setattr(linalg, "matmul", torch.matmul)
    monkeypatch.setattr(products, "COLUMNS", 1)
    monkeypatch.setattr(products, "CPU_ROWS", 10_000)
    theirs = fit(z, r, average="statistics")
    close(ours, theirs, 1e-9)
    torch.testing.assert_close(likelihood, theirs.log_likelihood(z))


# --- EM ------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance", COVARIANCES)
@pytest.mark.parametrize("k", [10, 100])
def test_agrees_with_scikit_learn(covariance: str, k: int) -> None:
    steps = 5
    z, r = clusters(4000, 32, k, dtype=torch.float64)
    x = z.numpy()
    start = fit(z, r, covariance=covariance, steps=0, average="statistics")
    precisions = (1 / start.variances).numpy()
    peer = GaussianMixture(
        k,
        covariance_type="diag" if covariance == "diagonal" else "spherical",
        max_iter=steps,
        tol=0,
        reg_covar=0,
        weights_init=start.weights.numpy(),
        means_init=start.means.numpy(),
        precisions_init=precisions if covariance == "diagonal" else precisions[:, 0],
    )
    with pytest.warns(UserWarning, match="converge"):
        peer.fit(x)
    assert peer.n_iter_ == steps
    ours = fit(z, r, covariance=covariance, steps=steps, average="statistics", floor=1e-9)
    before = float(start.log_likelihood(z).sum())
    total = float(ours.log_likelihood(z).sum())
    theirs = float(peer.score_samples(x).sum())
    assert theirs > before + 1e-3 * abs(before)  # the steps did something to agree about
    assert total == pytest.approx(theirs)
    posterior = ours.log_posterior(z).exp().numpy()
    np.testing.assert_allclose(posterior, peer.predict_proba(x), atol=1e-9)
    np.testing.assert_allclose(ours.weights.numpy(), peer.weights_)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    n=st.integers(2, 80),
    d=st.integers(1, 6),
    k=st.integers(1, 8),
    covariance=st.sampled_from(COVARIANCES),
)
def test_likelihood_never_falls(seed: int, n: int, d: int, k: int, covariance: str) -> None:
    z, r = clusters(n, d, k, seed, spread=2, dtype=torch.float64)
    m = statistics(z, r, covariance=covariance).mixture()
    last = -math.inf
    for _ in range(8):
        s = expectation(m, z)
        assert s.log_likelihood is not None
        # A component that dies takes at most MINIMUM_MASS of a sample with it.
        assert s.log_likelihood >= last - k * 2 * MINIMUM_MASS - 1e-7 * abs(last)
        last, m = s.log_likelihood, s.mixture()
    assert (m.variances > 0).all()
    assert float(m.weights.sum()) == pytest.approx(1)


def test_streaming_over_parts_is_em_on_the_whole() -> None:
    z, r = clusters(1000, 8, 5, dtype=torch.float64)
    whole = fit(z, r, steps=3, average="statistics")
    parts = z.split(130)
    s = [statistics(a, b) for a, b in zip(parts, r.split(130), strict=True)]
    for _ in range(4):
        merged = s[0]
        for part in s[1:]:
            merged = merged.merge(part)
        m = merged.mixture()
        s = [expectation(m, part) for part in parts]
    close(m, whole, 1e-9)


@pytest.mark.parametrize("average", ["parameters", "statistics"])
def test_classes_may_be_renumbered(average: str) -> None:
    z, r = clusters(300, 6, 7, dtype=torch.float64)
    p = torch.tensor([3, 0, 6, 2, 5, 1, 4])
    a, b = fit(z, r, average=average), fit(z, r[:, p], average=average)
    close(Mixture(a.weights[p], a.means[p], a.variances[p], a.empty[p]), b, 1e-9)


@settings(max_examples=20, deadline=None)
@given(
    scale=st.floats(1e-3, 1e3), shift=st.floats(-50, 50), covariance=st.sampled_from(COVARIANCES)
)
def test_units_do_not_matter(scale: float, shift: float, covariance: str) -> None:
    """z → s·z + t moves μ and σ² along and shifts every log-likelihood by −d·log s."""
    z, r = clusters(150, 4, 3, dtype=torch.float64)
    a = fit(z, r, covariance=covariance, average="statistics")
    moved = z * scale + shift
    b = fit(moved, r, covariance=covariance, average="statistics")
    torch.testing.assert_close(b.means, a.means * scale + shift)
    torch.testing.assert_close(b.variances, a.variances * scale**2, rtol=1e-7, atol=0)
    expected = a.log_likelihood(z) - 4 * math.log(scale)
    torch.testing.assert_close(b.log_likelihood(moved), expected)


# --- averaging over batches ----------------------------------------------------------------


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_one_batch_is_the_whole(covariance: str) -> None:
    z, r = clusters(90, 5, 4, dtype=torch.float64)
    a = fit(z, r, covariance=covariance, average="parameters", batch_size=90)
    b = fit(z, r, covariance=covariance, average="statistics")
    close(a, b, 1e-9)


def test_average_with_absent_classes_in_closed_form() -> None:
    """Three batches of four; class 1 is in the first two, class 2 in the last, class 3 nowhere."""
    z = torch.tensor(
        [[0.0], [2.0], [10.0], [12.0], [4.0], [6.0], [20.0], [26.0], [1.0], [1.0], [30.0], [34.0]],
        dtype=torch.float64,
    )
    labels = torch.tensor([0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 2, 2])
    m = fit(
        z,
        class_responsibilities(labels, 4).double(),
        steps=0,
        average="parameters",
        batch_size=4,
        floor=1e-6,
    )
    floor = 1e-6 * float(z.var(correction=0))
    torch.testing.assert_close(m.weights, torch.tensor([3, 2, 1, 0]).double() / 6)
    pooled = float(z.mean())
    expected = torch.tensor([[(1 + 5 + 1) / 3], [(11 + 23) / 2], [32.0], [pooled]]).double()
    torch.testing.assert_close(m.means, expected)
    variances = [(1 + 1 + floor) / 3, (1 + 9) / 2, 4.0, float(z.var(correction=0))]
    torch.testing.assert_close(m.variances, torch.tensor(variances).double()[:, None])
    assert m.empty.tolist() == [False, False, False, True]


def test_average_is_the_mean_of_separate_fits() -> None:
    z, r = clusters(200, 4, 3, spread=4, dtype=torch.float64)
    # Every class in every batch and nothing near the floor: then batches know nothing of the rest.
    got = fit(z, r, steps=4, average="parameters", batch_size=50, floor=1e-9)
    each = [
        fit(a, b, steps=4, average="statistics", floor=1e-9)
        for a, b in zip(z.split(50), r.split(50), strict=True)
    ]
    torch.testing.assert_close(got.weights, torch.stack([m.weights for m in each]).mean(0))
    torch.testing.assert_close(got.means, torch.stack([m.means for m in each]).mean(0))
    torch.testing.assert_close(got.variances, torch.stack([m.variances for m in each]).mean(0))


@pytest.mark.parametrize("n", [101, 199, 7])
def test_a_last_batch_that_is_not_full(n: int) -> None:
    """n = 101 makes two batches of 51 and 50, not one of 100 and one of a single sample."""
    z, r = clusters(n, 4, 3, spread=4, dtype=torch.float64)
    got = fit(z, r, steps=2, average="parameters", batch_size=100, floor=1e-9)
    parts = zip(z.tensor_split(-(-n // 100)), r.tensor_split(-(-n // 100)), strict=True)
    each = [fit(a, b, steps=2, average="statistics", floor=1e-9) for a, b in parts]
    torch.testing.assert_close(got.means, torch.stack([m.means for m in each]).mean(0))


def test_shuffling_is_by_the_generator_alone() -> None:
    z, r = clusters(300, 4, 3, dtype=torch.float64)
    stored = fit(z, r, batch_size=30)
    a = fit(z, r, batch_size=30, generator=np.random.default_rng(5))
    b = fit(z, r, batch_size=30, generator=np.random.default_rng(5))
    order = torch.from_numpy(np.random.default_rng(5).permutation(300))
    assert torch.equal(a.means, b.means)
    assert not torch.equal(a.means, stored.means)
    close(fit(z[order], r[order], batch_size=30), a, 1e-9)


# --- corners -------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance", COVARIANCES)
@pytest.mark.parametrize("average", ["parameters", "statistics"])
@pytest.mark.parametrize(
    ("n", "d", "k"), [(1, 1, 1), (1, 512, 300), (3, 8, 10), (5, 1, 2), (250, 16, 300)]
)
@pytest.mark.parametrize("start", ["labels", "softmax", "uniform"])
def test_small_sets(covariance: str, average: str, n: int, d: int, k: int, start: str) -> None:
    z, r = clusters(n, d, k)
    if start == "labels":
        r = class_responsibilities(r.argmax(1), k)
    elif start == "uniform":
        r = torch.full((n, k), 1 / k)
    m = fit(z, r, covariance=covariance, average=average)
    assert (m.num_components, m.feature_dim) == (k, d)
    assert d == 1 or m.covariance == covariance
    assert_rounded(m.weights.double().sum(), 1.0, k, dtype="float32")
    assert torch.equal(m.weights == 0, m.empty)
    assert (m.variances > 0).all()
    assert torch.isfinite(m.means).all()
    assert torch.isfinite(m.log_likelihood(z)).all()
    assert not torch.isnan(m.log_posterior(z)).any()


def test_constant_features() -> None:
    """Some features constant: the floor. All constant: still a proper density."""
    z, r = clusters(100, 6, 3)
    z[:, 2] = 5.0
    z[:, 4] = 0.0
    m = fit(z, r, average="statistics", floor=1e-3)
    smallest = 1e-3 * float(z.double().var(0, correction=0).mean())
    assert_rounded(m.variances[:, [2, 4]], np.full((3, 2), smallest), 100)
    for value in (0.0, 7.0):
        flat = fit(torch.full((20, 4), value), class_responsibilities(torch.arange(20) % 2, 2))
        assert torch.isfinite(flat.log_likelihood(torch.full((1, 4), value))).all()
        assert_rounded(flat.means, np.full((2, 4), value), 20)
        assert_rounded(flat.weights, [0.5, 0.5], 20)
        # Without variance the size of the features is the scale, and 1 where that is 0 too.
        assert_rounded(flat.variances, np.full((2, 4), 1e-3 * (value**2 or 1.0)), 20)


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_empty_components_hold_the_whole_set(covariance: str) -> None:
    z, _ = clusters(200, 5, 4)
    labels = torch.arange(200) % 3
    m = fit(z, class_responsibilities(labels, 4), covariance=covariance, average="statistics")
    variance = z.double().var(0, correction=0)
    if covariance == "spherical":
        variance = variance.mean(0, keepdim=True)
    assert m.empty.tolist() == [False, False, False, True]
    assert m.weights[3] == 0
    assert_rounded(m.means[3], z.double().mean(0), 200)
    assert_rounded(m.variances[3], variance, 200)


def test_variance_never_under_the_floor() -> None:
    z, _ = clusters(12, 6, 3)
    m = fit(z, class_responsibilities(torch.arange(12), 12), floor=0.01, average="statistics")
    smallest = 0.01 * float(z.double().var(0, correction=0).mean())
    assert_rounded(m.variances, np.full((12, 6), smallest), 12)


def test_types_follow_the_features() -> None:
    z, r = clusters(50, 4, 3)
    assert fit(z, r).means.dtype == torch.float32
    assert fit(z.double(), r).means.dtype == torch.float64
    half = fit(z.bfloat16(), r.bfloat16())
    assert half.means.dtype == torch.float32
    assert half.log_likelihood(z.bfloat16()).dtype == torch.float32
    assert half.log_likelihood(z.double()).dtype == torch.float64
    assert half.to(dtype=torch.float64).means.dtype == torch.float64


def test_features_and_responsibilities_are_only_read() -> None:
    z, r = clusters(50, 4, 3)
    z.requires_grad_()
    before = z.detach().clone(), r.clone()
    m = fit(z, r)
    assert torch.equal(z.detach(), before[0])
    assert torch.equal(r, before[1])
    assert not m.means.requires_grad


def test_threads_are_given_back() -> None:
    """The fit lends torch's threads to BLAS; an error in between returns them as well."""
    z, r = clusters(50, 4, 3)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        m = fit(z, r, average="statistics")
        m.log_likelihood(z)
        assert torch.get_num_threads() == 3
        with pytest.raises(NumericalError):
            fit(z * math.nan, r)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)


def test_strided_features() -> None:
    z, r = clusters(60, 10, 3, dtype=torch.float64)
    close(fit(z[:, ::2], r), fit(z[:, ::2].contiguous(), r), 1e-9)
    close(fit(z.T.contiguous().T, r), fit(z, r), 1e-9)


def test_spherical_from_diagonal_statistics() -> None:
    z, r = clusters(80, 5, 3, dtype=torch.float64)
    diagonal = statistics(z, r)
    spherical = statistics(z, r, covariance="spherical")
    close(diagonal.mixture(covariance="spherical"), spherical.mixture(), 1e-9)
    with pytest.raises(ConfigError, match="diagonal"):
        spherical.mixture(covariance="diagonal")


def test_state_goes_through_safetensors() -> None:
    z, r = clusters(50, 4, 3)
    m = fit(z, r, covariance="spherical")
    again = Mixture.from_state(load(save(m.state())))
    close(again, m, 0)
    assert torch.equal(again.log_likelihood(z), m.log_likelihood(z))
    with pytest.raises(ConfigError, match="means"):
        Mixture.from_state({"weights": m.weights})


def test_errors_name_cause_and_cure() -> None:
    z, r = clusters(20, 4, 3)
    with pytest.raises(UnknownName, match="spherical"):
        statistics(z, r, covariance="sperical")
    with pytest.raises(UnknownName, match="parameters"):
        fit(z, r, average="mean")
    for key, value in (("floor", 0.0), ("batch_size", 0), ("steps", -1)):
        with pytest.raises(ConfigError, match=key):
            fit(z, r, **{key: value})  # type: ignore[arg-type]
    with pytest.raises(DataError, match="no samples"):
        fit(z[:0], r[:0])
    with pytest.raises(DataError, match="row 7"):
        fit(z, r.index_fill(0, torch.tensor([7]), 0.9))
    with pytest.raises(DataError, match="row 0"):
        fit(z, torch.full((20, 3), math.nan))
    with pytest.raises(DataError, match="19 rows"):
        # Unwrapped: the shape checker of the tests would refuse the call before the function does.
        inspect.unwrap(statistics)(z, r[:19])
    with pytest.raises(DataError, match="Label 3 at position 2"):
        class_responsibilities(torch.tensor([0, 1, 3]), 3)
    with pytest.raises(DataError, match="5 dimensions"):
        fit(z, r).log_likelihood(torch.zeros(2, 5))
    with pytest.raises(ConfigError, match="variances"):
        Mixture(torch.ones(2) / 2, torch.zeros(2, 3), torch.ones(2, 2), torch.zeros(2).bool())
    with pytest.raises(ConfigError, match="merge"):
        statistics(z, r).merge(statistics(z, r, covariance="spherical"))
    bad = z.clone()
    bad[3, 1], bad[9, 0] = math.nan, math.inf
    with pytest.raises(NumericalError, match="2 of 20"):
        fit(bad, r)
    with pytest.raises(NumericalError, match="range"):
        fit(z * 1e25, r)
    nothing = Statistics(*(torch.zeros(s).double() for s in ((2,), (2, 3), (2, 3))), count=0)
    with pytest.raises(DataError, match="no mass"):
        nothing.mixture()


@pytest.mark.parametrize("n", [40, 5000])
def test_em_that_has_arrived_stops(n: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Classes far apart: the first E step repeats their labels, to the last digit."""
    y = torch.arange(n) % 4
    z = 100.0 * torch.nn.functional.one_hot(y, 6).float() + torch.from_numpy(
        np.random.default_rng(0).normal(size=(n, 6)).astype(np.float32)
    )
    hot = torch.nn.functional.one_hot(y, 4).float()
    seen: list[int] = []
    expectation = Samples.expectation

    def counted(samples: Samples, mixture: Mixture) -> Statistics:
        seen.append(1)
        return expectation(samples, mixture)

    monkeypatch.setattr(Samples, "expectation", counted)
    found = fit(z, hot, steps=10, average="statistics")
    assert len(seen) == 1
    assert found.same(fit(z, hot, steps=0, average="statistics"))
