"""k-center against the plain O(N²) greedy: the same picks, in the same order."""

from importlib import import_module

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import rel_entr
from tolerance import assert_rounded

from labelgap.core.errors import BudgetError, LabelgapError, NumericalError
from labelgap.core.streams import Streams
from labelgap.select import (
    badge,
    d_squared,
    k_center,
    k_center_by,
    k_center_in,
    representatives,
    symmetric_kl,
)
from labelgap.select.divergence import Divergences
from labelgap.select.geometry import Euclidean


def plain(z, centres, n, ties=None, first=None):
    """Differences in float64, rounded to float32; one pick at a time."""
    z64 = z.double().numpy()
    ties = np.arange(len(z)) if ties is None else ties

    def away(c):
        return ((z64 - c) ** 2).sum(1).astype(np.float32)

    picks = []
    if centres is not None and len(centres):
        d = np.min([away(c) for c in centres.double().numpy()], axis=0)
    else:
        if first is None:
            middle = away(z64.mean(0))
            first = np.lexsort((ties, middle))[0]
        picks = [int(first)]
        d = away(z64[first])
    d[picks] = -1
    while len(picks) < n:
        i = int(np.lexsort((ties, -d))[0])
        picks.append(i)
        d = np.minimum(d, away(z64[i]))
        d[picks] = -1
    return picks


def pool(kind, n, d, seed):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, d))
    if kind == "clusters":
        z = 20 * rng.normal(size=(5, d))[rng.integers(0, 5, n)] + 0.01 * z
    elif kind == "relu":
        z = np.maximum(z, 0) + 5
    elif kind == "low rank":
        z = rng.normal(size=(n, 2)) @ rng.normal(size=(2, d))
    elif kind == "duplicates":
        z = z[rng.integers(0, max(1, n // 4), n)]
    elif kind == "grid":
        z = rng.integers(0, 2, size=(n, d)).astype(float)
    elif kind == "offset":
        z = 1000 + z
    elif kind == "constant":
        z = np.ones((n, d)) * 0.1
    return torch.from_numpy(z).float()


KINDS = ["normal", "clusters", "relu", "low rank", "duplicates", "grid", "offset", "constant"]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.integers(1, 60),
    st.integers(1, 20),
    st.integers(0, 5),
    st.sampled_from([1, 2, 7, 128]),
    st.booleans(),
    st.data(),
)
def test_same_picks_as_plain_greedy(kind, size, d, labelled, block, drawn, data):
    z = pool(kind, size, d, seed=size * 31 + d)
    centres = pool(kind, labelled, d, seed=d) if labelled else None
    n = data.draw(st.integers(1, size))
    ties = np.random.default_rng(9).random(size) if drawn else None
    got = k_center(z, centres, n, ties=ties, block=block)
    assert got.tolist() == plain(z, centres, n, ties)


@pytest.mark.parametrize("kind", KINDS)
def test_same_picks_on_a_larger_pool(kind):
    z = pool(kind, 3000, 64, seed=1)
    centres = pool(kind, 600, 64, seed=2)[:550]
    got = k_center(z, centres, 150, block=32).tolist()
    assert got == plain(z, centres, 150)
    assert len(set(got)) == 150


def test_first_pick_may_be_given():
    z = pool("normal", 50, 3, seed=0)
    assert k_center(z, None, 10, first=17).tolist() == plain(z, None, 10, first=17)
    assert k_center(z, z[:0], 10).tolist() == plain(z, None, 10)


def test_far_outliers_do_not_disturb_the_rest():
    z = pool("normal", 400, 16, seed=3)
    z[7] = 1e4
    assert k_center(z, z[:3].clone(), 40, block=8).tolist() == plain(z, z[:3], 40)


def test_ties_follow_the_id_under_shuffled_storage():
    z = pool("grid", 200, 6, seed=4)
    ids, streams = np.arange(200) + 1000, Streams(3)
    order = np.random.default_rng(0).permutation(200)
    one = k_center(z, None, 60, ties=streams.ties(ids, "query"))
    two = k_center(z[order], None, 60, ties=streams.ties(ids[order], "query"))
    assert ids[one].tolist() == ids[order][two].tolist()


def test_refusals():
    z = pool("normal", 5, 2, seed=0)
    assert k_center(z, None, 0).tolist() == []
    assert sorted(k_center(z, z[:1], 5).tolist()) == [0, 1, 2, 3, 4]
    with pytest.raises(BudgetError):
        k_center(z, None, 6)
    with pytest.raises(LabelgapError, match="No centre"):
        k_center_by(lambda i: torch.zeros(5, len(i)), None, 2)
    z[2, 1] = torch.nan
    with pytest.raises(NumericalError, match="1 of 5"):
        k_center(z, None, 2)


def test_symmetric_kl_is_its_definition_and_survives_zero():
    p = np.random.default_rng(0).dirichlet(np.ones(5), 30)
    log_p = torch.from_numpy(np.log(p))
    want = np.array([[(rel_entr(a, b) + rel_entr(b, a)).sum() / 2 for b in p[:9]] for a in p])
    assert_rounded(symmetric_kl(log_p, log_p[:9]), want, 4 * 5, float(log_p.abs().max()))
    certain = torch.tensor([[0.0, -torch.inf], [-torch.inf, 0.0]])
    apart = symmetric_kl(certain, certain)
    assert torch.isfinite(apart).all()
    assert_rounded(apart.diagonal(), [0.0, 0.0], 4 * 2, float(apart[0, 1]))
    assert apart[0, 1] > 1


@pytest.mark.parametrize("block", [1, 3, 16, 300])
def test_any_distance_gives_the_plain_greedy_on_it(block):
    rng = np.random.default_rng(1)
    log_p = torch.from_numpy(np.log(rng.dirichlet(np.ones(4), 120)))
    log_p[60:80] = log_p[:20]  # duplicates
    table = symmetric_kl(log_p, log_p)
    ties = rng.random(120)
    nearest = table[:, :5].amin(1)
    d, picks = nearest.clone().numpy(), []
    for _ in range(100):
        picks.append(int(np.lexsort((ties, -d))[0]))
        d = np.minimum(d, table[:, picks[-1]].numpy())
        d[picks] = -1
    got = k_center_by(lambda i: table[:, i], nearest, 100, ties=ties, block=block)
    assert got.tolist() == picks
    start = k_center_by(lambda i: table[:, i], None, 3, first=11)
    assert start[0] == 11
    assert start[1] == int(table[:, 11].argmax())


@pytest.mark.parametrize("rows", [1, 7, 4096])
def test_divergences_are_the_symmetric_kl_in_pieces_of_any_size(rows, monkeypatch):
    monkeypatch.setattr("labelgap.select.divergence._ROWS", rows)
    monkeypatch.setattr("labelgap.select.divergence._COLUMNS", rows)
    log_p = torch.from_numpy(np.log(np.random.default_rng(0).dirichlet(np.ones(5), 40)))
    log_p[3, 2] = -torch.inf
    space, few = Divergences(log_p), torch.tensor([3, 9, 11])
    table, size = symmetric_kl(log_p, log_p), float(log_p[4:].abs().max()) + 19
    assert len(space) == 40
    assert_rounded(space.pairs(few, few), table[few][:, few], 4 * 5, size)
    assert_rounded(space.nearest(few), table[:, few].amin(1), 4 * 5, size)
    assert_rounded(space.nearest_of(log_p[few]), table[:, few].amin(1), 4 * 5, size)
    assert (space.nearest(few) >= 0).all()


@pytest.mark.parametrize("block", [1, 16, 300])
def test_a_space_gives_the_plain_greedy_on_it(block):
    z = pool("normal", 120, 6, seed=3)
    table = (z.double()[:, None] - z.double()).square().sum(2)
    nearest, ties = table[:, :4].amin(1).float(), np.random.default_rng(0).random(120)
    want = k_center_by(lambda i: table[:, i].float(), nearest, 90, ties=ties, block=block)
    got = k_center_in(Euclidean(z), nearest, 90, ties=ties, block=block)
    assert got.tolist() == want.tolist()
    start = k_center_in(Euclidean(z), None, 2, first=11)
    assert start.tolist() == [11, int(table[:, 11].argmax())]
    assert k_center_in(Euclidean(z), nearest, 0).tolist() == []
    with pytest.raises(LabelgapError, match="No centre"):
        k_center_in(Euclidean(z), None, 2)
    with pytest.raises(BudgetError):
        k_center_in(Euclidean(z), nearest, 121)


@pytest.mark.parametrize("kind", ["normal", "relu"])
def test_the_torch_path_of_devices_makes_the_same_picks(kind, monkeypatch):
    z = pool(kind, 300, 12, seed=8)
    a = torch.from_numpy(np.random.default_rng(0).normal(size=(300, 3))).float()
    on_cpu = (
        k_center(z, z[:5].clone(), 80, block=16).tolist(),
        d_squared(z, 80, np.random.default_rng(1)).tolist(),
        badge(a, z, 80, np.random.default_rng(1)).tolist(),
        representatives(z, 20, np.random.default_rng(1)).tolist(),
    )
    for name in ("arrays", "badge", "geometry", "kcenter", "kmeans", "seeds"):
        module = import_module(f"labelgap.select.{name}")
        monkeypatch.setattr(module, "views", lambda *tensors: (torch, tensors))
    as_on_device = (
        k_center(z, z[:5].clone(), 80, block=16).tolist(),
        d_squared(z, 80, np.random.default_rng(1)).tolist(),
        badge(a, z, 80, np.random.default_rng(1)).tolist(),
        representatives(z, 20, np.random.default_rng(1)).tolist(),
    )
    assert as_on_device[0] == on_cpu[0]
    # Two BLAS libraries round differently, which moves a draw once in very many.
    for one, two in zip(as_on_device[1:], on_cpu[1:], strict=True):
        assert len(set(one)) == len(two)
        assert one[:5] == two[:5]
