"""The cosine graph against its matrix written out; the floor of the divergence."""

import math

import numpy as np
import pytest
import torch

from labelgap.select import symmetric_kl
from labelgap.select.divergence import FLOOR
from labelgap.select.graph import Graph


def adjacency(features):
    """A = (XXᵀ − diag ‖x‖²) D⁻¹ + I with unit rows and column sums of at least 1."""
    x = features.astype(float)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    x = np.divide(x, length, out=np.zeros_like(x), where=length > 0)
    edges = x @ x.T
    np.fill_diagonal(edges, 0)
    return edges / np.maximum(edges.sum(0), 1.0) + np.eye(len(x)), x


@pytest.mark.parametrize("signed", [False, True])
def test_propagation_is_the_matrix_written_out(signed):
    rng = np.random.default_rng(0)
    features = rng.standard_normal((12, 4))
    if not signed:
        features = np.abs(features)
    features[3] = 0  # no edge, and nothing in common with itself
    a, x = adjacency(features)
    graph = Graph.of(torch.from_numpy(features).requires_grad_())
    h = rng.standard_normal((12, 2))
    np.testing.assert_allclose(graph.propagate(torch.from_numpy(h)), a @ h, atol=1e-12)
    np.testing.assert_allclose(graph.inputs(), a @ x, atol=1e-12)
    assert graph.own.flatten().tolist() == [1.0] * 3 + [0.0] + [1.0] * 8
    assert (graph.degree >= 1).all()
    assert not graph.x.requires_grad
    if signed:
        assert (graph.degree == 1).any()  # the floor is used


def test_zero_probabilities_are_told_from_others_down_to_a_floor():
    """p = (1, 0), q = (½, ½): ½ Σ (p − q)(log p − log q) with log 0 at the floor."""
    log_p = torch.tensor([[0.0, -math.inf]]).double()
    log_q = torch.full((1, 2), math.log(0.5), dtype=torch.float64)
    for floor in (FLOOR, -5.0):
        tiny = math.exp(floor)
        expected = 0.5 * (0.5 * math.log(2) + (tiny - 0.5) * (floor + math.log(2)))
        given = () if floor == FLOOR else (floor,)
        for one, two in ((log_p, log_q), (log_q, log_p)):
            assert float(symmetric_kl(one, two, *given)) == pytest.approx(expected, rel=1e-12)
    assert math.exp(FLOOR) == pytest.approx(1e-8, rel=1e-12)


def test_divergence_is_never_negative_and_wide():
    log_p = torch.log_softmax(torch.randn(30, 5, generator=torch.Generator().manual_seed(0)), 1)
    found = symmetric_kl(log_p, log_p.clone().requires_grad_())
    assert found.dtype == torch.float64
    assert (found >= 0).all()
    assert found.diagonal().max() < 1e-15
    assert not found.requires_grad
