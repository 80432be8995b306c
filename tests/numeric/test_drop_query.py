"""DropQuery against loops over items and passes, and what happens at its borders."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tolerance import assert_rounded
from views import acquire, array_view, normal

from labelgap.core.errors import LabelgapError
from labelgap.methods.drop_query import directions, mismatches, unsure
from labelgap.networks.mlp import MLP


def network(width, classes=3, seed=0):
    torch.manual_seed(seed)
    return MLP(width, classes, hidden=(width,)).eval().requires_grad_(False)


@pytest.fixture(autouse=True)
def own_global_stream():
    with torch.random.fork_rng(devices=[]):
        yield


def view_of(z, net, **more):
    with torch.no_grad():
        logits = net.head(z)
    return array_view({"features": z, "logits": logits}, network=net, **more)


def test_mismatches_are_counted_as_a_loop_counts_them():
    z, net = normal(40, 6), network(6)
    view = view_of(z, net)
    predicted = view.pseudo_labels
    found = mismatches(view, z, predicted, 5, 0.5)
    # The same stream, read as the passes read it: one mask after the other.
    generator = view.torch_rng("dropout")
    masks = [torch.rand(z.shape, generator=generator) >= 0.5 for _ in range(5)]
    weight, bias = net.head.weight.double(), net.head.bias.double()
    for i in range(len(z)):
        changed = 0
        for mask in masks:
            kept = [2 * float(z[i, j]) if mask[i, j] else 0.0 for j in range(6)]
            logits = [float(weight[k] @ torch.tensor(kept).double() + bias[k]) for k in range(3)]
            changed += int(np.argmax(logits)) != int(predicted[i])
        assert int(found[i]) == changed
    assert 0 < int((found > 0).sum()) < 40


def test_about_the_wanted_share_is_dropped():
    """A head that adds the features up: the sign of a mean that survives keeps its class."""
    z = torch.ones(2000, 8)
    net = network(8, classes=2)
    net.head.weight.copy_(torch.stack([torch.ones(8), torch.zeros(8)]))
    net.head.bias.copy_(torch.tensor([0.0, 1e-3]))
    changed = mismatches(view_of(z, net), z, torch.zeros(2000, dtype=torch.int64), 1, 0.75)
    # Class 1 wins only where all eight are dropped: 0.75⁸ = 0.1001.
    assert 0.08 < float(changed.double().mean()) < 0.12


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(1, 5), st.integers(0, 40))
def test_the_level_is_the_highest_that_gives_enough(counts, passes, wanted):
    counts = [min(c, passes) for c in counts]
    found = unsure(torch.tensor(counts), passes, wanted).tolist()
    levels = [t for t in range(passes // 2 + 1) if sum(c > t for c in counts) >= wanted]
    level = max(levels, default=0)
    assert found == [c > level for c in counts]


def test_directions_are_standardised_rows_of_unit_length():
    z = 3 + 5 * normal(50, 4)
    z[:, 2] = 7.0  # a constant feature says nothing
    rows = torch.tensor([3, 8, 41])
    found = directions(z, rows)
    x = z.double().numpy()
    scaled = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
    expected = scaled[rows.numpy()]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    # Mean and variance of 50, the difference's size as the deviation of the feature or its mean.
    assert_rounded(found, expected, 200, spread=1.0)
    assert torch.equal(found[:, 2], torch.zeros(3))


def test_items_that_change_come_before_those_that_do_not():
    """All features of most items say class 0; those of five contradict each other."""
    z = torch.ones(60, 16)
    z[::12, :8] = -1.0
    z += 1e-5 * normal(60, 16)  # no two alike: copies would come last
    net = network(16, classes=2)
    net.head.weight.copy_(torch.stack([torch.ones(16), torch.zeros(16)]))
    net.head.bias.copy_(torch.tensor([0.0, 1e-3]))
    view = view_of(z, net, classes=2)
    query = acquire("drop-query", passes=9, drop=0.5).select(view, 8)
    assert query.notes["candidate_set"] == 5
    assert query.notes["random"] == 3
    assert set(query.ids[:5].tolist()) == set((1000 + np.arange(0, 60, 12)).tolist())
    assert (query.score[:5] > 0).all()
    assert query.score[5:].tolist() == [0.0] * 3


def test_constant_features_and_a_batch_of_all_are_answered():
    net = network(5)
    same = torch.ones(12, 5)
    for n in (1, 7, 12):
        assert len(set(acquire("drop-query").select(view_of(same, net), n).ids.tolist())) == n


def test_a_view_without_a_network_is_refused_by_name():
    z = normal(10, 4)
    view = array_view({"features": z, "logits": normal(10, 3)})
    with pytest.raises(LabelgapError, match="DropQuery needs the network's head"):
        acquire("drop-query").select(view, 2)
