"""UncertainGCN and CoreGCN: the graph without a graph equals the dense one; the nodes separate."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sessions import fitted
from tolerance import assert_rounded
from views import acquire, array_view, normal

from labelgap.core.errors import LabelgapError
from labelgap.core.linalg import constant_matmul
from labelgap.methods.gcn import Gcn, GcnOptions, separation, trained
from labelgap.select.graph import Graph


def dense(features: np.ndarray) -> np.ndarray:
    """A as published: cosines without the diagonal, columns summing to 1, plus I."""
    x = features / np.linalg.norm(features, axis=1, keepdims=True)
    s = x @ x.T - np.eye(len(x))
    return s @ np.diag(1 / s.sum(axis=0)) + np.eye(len(x))


@settings(deadline=None)  # the first call pays for the libraries' start
@given(seed=st.integers(0, 2**16), n=st.integers(5, 40), d=st.integers(3, 12), c=st.integers(1, 4))
def test_propagation_is_the_dense_form(seed: int, n: int, d: int, c: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.random((n, d)) + 0.05  # after a ReLU, all degrees above 1
    h = rng.standard_normal((n, c))
    a = dense(features)
    graph = Graph.of(torch.tensor(features))
    x = features / np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(graph.propagate(torch.tensor(h)).numpy(), a @ h, atol=1e-10)
    np.testing.assert_allclose(graph.inputs().numpy(), a @ x, atol=1e-10)


def test_network_is_the_dense_one() -> None:
    features = torch.rand(30, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    a = torch.tensor(dense(features.numpy()))
    graph = Graph.of(features)
    model = Gcn(7, 5, 0.3).double().eval()
    hidden, logit = model(graph, graph.inputs())
    expected = torch.relu(a @ (graph.x @ model.weight) + model.bias)
    torch.testing.assert_close(hidden, expected)
    torch.testing.assert_close(
        logit, (a @ (expected @ model.out_weight)).squeeze(1) + model.out_bias
    )


def test_the_first_layer_has_the_gradient_of_its_product() -> None:
    a, w = normal(9, 4).double(), normal(4, 3, seed=1).double().requires_grad_(True)
    torch.testing.assert_close(constant_matmul(a, w), a @ w)
    assert torch.autograd.gradcheck(lambda w: constant_matmul(a, w), w)


def test_zero_signed_and_lone_items_stay_finite() -> None:
    features = torch.cat([torch.zeros(2, 4), normal(6, 4), -normal(6, 4)])
    graph = Graph.of(features)
    assert torch.isfinite(graph.inputs()).all()
    assert (graph.degree >= 1).all()
    h = torch.ones(14, 1)
    assert_rounded(graph.propagate(h)[:2], h[:2], 14)  # no edges: unchanged
    lone = Graph.of(torch.ones(1, 4))
    assert_rounded(lone.propagate(torch.ones(1, 1)), [[1.0]], 4 + 2)


def test_loss_is_its_definition_and_finite_where_logs_are_not() -> None:
    logit = torch.tensor([0.3, -1.2, 2.0, 0.0], dtype=torch.float64)
    labelled = torch.tensor([True, False, False, True])
    s = logit.sigmoid()
    expected = -s[labelled].log().mean() - 1.2 * (1 - s[~labelled]).log().mean()
    torch.testing.assert_close(separation(logit, labelled, 1.2), expected)
    extreme = torch.tensor([-500.0, 500.0, 500.0, -500.0])
    assert torch.isfinite(separation(extreme, labelled, 1.2))


def planted() -> tuple[torch.Tensor, torch.Tensor]:
    """Labelled items in one direction; candidates half there and half in another."""
    ways = torch.eye(2).repeat_interleave(8, dim=1)
    labelled = ways[[0]] + 0.1 * normal(40, 16, seed=1).abs()
    near = ways[[0]] + 0.1 * normal(60, 16, seed=2).abs()
    far = ways[[1]] + 0.1 * normal(60, 16, seed=3).abs()
    return labelled, torch.cat([near, far])


def test_nodes_separate() -> None:
    labelled, candidates = planted()
    graph, mask = Graph.of(torch.cat([labelled, candidates])), torch.arange(160) < 40
    with torch.random.fork_rng():
        torch.manual_seed(0)  # the draws of the test's own network
        _, logit = trained(graph, mask, GcnOptions())
        _, idle = trained(graph, mask, GcnOptions(steps=1, lr=1e-9))
    assert logit[40:100].min() > logit[100:].max()  # beside the labelled ones, or not
    assert logit[40:100].mean() - logit[100:].mean() > 3 * (idle[40:100].mean() - idle[100:].mean())


@pytest.mark.parametrize("seed", range(3))
def test_queries_go_where_there_are_no_labels(seed: int) -> None:
    labelled, candidates = planted()
    view = array_view({"features": candidates}, {"features": labelled}, np.zeros(40), seed=seed)
    picked = acquire("uncertain-gcn").select(view, 20).ids - 1000
    assert len(set(picked.tolist())) == 20
    assert (picked >= 60).sum() >= 17  # of 60 near and 60 far; by chance below 0.2 %
    covering = acquire("coregcn").select(view, 20).ids - 1000
    assert len(set(covering.tolist())) == 20
    assert covering[0] >= 60  # the farthest from every label


def test_uncertain_picks_are_nearest_to_the_margin_and_core_picks_use_the_embedding() -> None:
    session = fitted("uncertain-gcn", steps=20)
    view = session.view(1)
    assert session.acquisition.name == "uncertain-gcn"
    query = session.acquisition.select(view, 15)
    _, logit, split = session.acquisition.nodes(view)
    distance = (logit[split:].double().sigmoid() - 0.1).abs().numpy()
    chosen = np.isin(view.candidate_ids, query.ids)
    assert distance[chosen].max() <= distance[~chosen].min()
    assert query.score is not None
    assert_rounded(-query.score, np.sort(distance)[:15], 4, 1.0)

    core = acquire("coregcn")
    hidden, logit, split = core.nodes(view)
    z = torch.cat([hidden, logit[:, None]], dim=1).double()
    assert z.shape[1] == 129
    nearest = torch.cdist(z[split:], z[:split]).amin(1)
    # Every pick is the farthest of its turn; two that are equally far in float32 may take turns.
    for id in core.select(view, 8).ids:
        i = int(np.flatnonzero(view.candidate_ids == id)[0])
        assert_rounded(nearest[i], nearest.max(), 2, dtype="float32")
        nearest = torch.minimum(nearest, torch.cdist(z[split:], z[split:][i, None])[:, 0])


def test_without_labels_it_says_so() -> None:
    view = array_view({"features": normal(9, 3)})
    with pytest.raises(LabelgapError, match="no item has a label"):
        acquire("coregcn").select(view, 2)
