"""Kernels: which precision, which rounding is nothing, reaches of samples, bounds written out."""

import numpy as np
import pytest
import torch

from labelgap.select import kernel, similarities
from labelgap.select.kernel import (
    SimilarityTo,
    nearest_other,
    nearest_similarity,
    reach,
    similarity,
    squared,
    unit,
)
from labelgap.select.similarities import LOOSEST, Similarities

EPS = 2.0**-23


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).float()


def test_only_kernels_narrower_than_a_thousandth_are_computed_in_float64():
    for variance, kind in ((9e-4, torch.float64), (1e-3, torch.float32), (0.5, torch.float32)):
        assert SimilarityTo(normal(3, 2), variance).kind == kind
        assert similarity(normal(2, 2), normal(3, 2), variance).dtype == torch.float32


def test_squared_distances_below_the_rounding_of_the_largest_norms_are_none():
    """Norms of b are given, and b is 0: so d² is the norm of a plus the one that is given."""
    norms = EPS * torch.tensor([2.0**23, 6.0, 8.0, 9.0])  # of which the largest is 1
    found = squared(torch.tensor([[1.0], [0.0]]), torch.zeros(4, 1), norms)
    assert found[1].tolist() == [1.0, 0.0, 0.0, 9 * EPS]  # 4 eps (1 + 1)
    assert found[0].tolist() == [2.0, *(1 + norms[1:]).tolist()]
    a, b = normal(5, 3), normal(4, 3, seed=1)
    exact = (a.double()[:, None] - b.double()).square().sum(2)
    torch.testing.assert_close(
        squared(a, b, b.square().sum(1)).double(), exact, rtol=1e-5, atol=1e-5
    )


def reached(every, known, share, seed, anchors, sample):
    rng, rows = np.random.default_rng(seed), np.arange(len(every))
    if len(every) > sample:
        rows = np.sort(rng.choice(len(every), sample, replace=False))
    among = every[rows].double().numpy()
    chosen = rng.permutation(len(among))[:anchors]
    place = min(len(among) - 1, max(1, round(share * len(among))))
    away = [np.sort(((among[i] - among) ** 2).sum(1))[place] for i in chosen]
    return np.sort(away)[(len(away) - 1) // 2]  # the lower of two in the middle


@pytest.mark.parametrize("known", [0, 1, 8])
@pytest.mark.parametrize(("anchors", "sample"), [(7, 100), (20, 21), (6, 12), (5, 20), (99, 100)])
def test_the_reach_is_the_median_over_anchors_among_a_sample(known, anchors, sample):
    z = normal(21, 3)
    before = z[:known] if known else None
    for share in (0.01, 0.2, 0.9, 1.0):
        found = reach(z[known:], share, np.random.default_rng(3), anchors, sample, before)
        assert found == pytest.approx(reached(z, known, share, 3, anchors, sample), rel=1e-5)


def test_the_reach_of_two_items_is_their_distance_and_of_one_none():
    z = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
    assert reach(z, 0.5, np.random.default_rng(0)) == 25
    assert reach(z[:1], 0.5, np.random.default_rng(0), before=z[1:]) == 25
    assert reach(z[:1], 0.5, np.random.default_rng(0)) == 0


@pytest.mark.parametrize("rows", [4, 4096])
def test_directions_and_nearest_centres_in_pieces(rows, monkeypatch):
    monkeypatch.setattr(kernel, "ROWS", rows)
    z, centres = normal(11, 3) + 3, normal(9, 3, seed=1)
    mean = z.double().mean(0)
    seen = z.double() - mean
    found = unit(z, mean)
    assert found.dtype == torch.float32
    torch.testing.assert_close(
        found.double(), seen / seen.norm(dim=1, keepdim=True), rtol=0, atol=1e-6
    )
    gap = (z.double()[:, None] - centres.double()).square().sum(2).amin(1)
    for kind in (torch.float32, torch.float64):
        best = nearest_similarity(z.to(kind), centres.to(kind), 2.0)
        assert best.dtype == kind
        torch.testing.assert_close(best.double(), torch.exp(-gap / 2), rtol=1e-4, atol=1e-6)
    assert nearest_other(z[[0, 1, 0]]).tolist() == pytest.approx(
        [float((z[0] - z[1]).square().sum())] * 3, rel=1e-6
    )


def slack(a, b):
    """(of a row of a, of a row of b): how far a·b may lie above the product of the halves."""
    halves = [x.bfloat16().double() for x in (a, b)]
    errors = [(x.double() - h).norm(dim=1) for x, h in zip((a, b), halves, strict=True)]
    lengths = [h.norm(dim=1) for h in halves]
    half = 2.0**-9
    summed = 4 * a.shape[1] * EPS + half * (1 + half)
    rounding = summed * lengths[0].max() * lengths[1].max()
    of_a = errors[0] * (lengths[1].max() + errors[1].max()) + rounding
    return of_a, errors[1] * lengths[0].max()


@pytest.mark.parametrize("same", [True, False])
def test_bounds_are_those_of_cauchy_and_schwarz_written_out(same, monkeypatch):
    monkeypatch.setattr(similarities, "native_bfloat16", lambda _: True)
    a = 2 * normal(30, 6)
    a[0] *= 3  # the longest and the largest error are no other's
    b = a if same else 0.4 * normal(20, 6, seed=1)
    variance = 90.0
    made = Similarities(a, b, variance, bounded=True)
    if made.exact:
        variance = 1000.0
        made = Similarities(a, b, variance, bounded=True)
    of_a, of_b = slack(a, b)
    for found, of, x in ((made.of_a[:, 0], of_a, a), (made.of_b, of_b, b)):
        exact = (2 * of - x.double().square().sum(1)) / variance
        torch.testing.assert_close(
            found.double(), exact, rtol=0, atol=8 * EPS * float(exact.abs().max())
        )
    k = torch.exp(-(a.double()[:, None] - b.double()).square().sum(2) / variance)
    for rows, columns, block in made.blocks():
        assert (block <= 1).all()
        assert (block.double() >= k[rows, columns] * (1 - 2 * EPS)).all()


@pytest.mark.parametrize("same", [True, False])
def test_bounds_are_taken_up_to_a_certain_looseness(same, monkeypatch):
    monkeypatch.setattr(similarities, "native_bfloat16", lambda _: True)
    assert LOOSEST == 0.05
    a = normal(30, 6)
    b = a if same else 0.4 * normal(20, 6, seed=1)
    border = 4 * float(sum(x.max() for x in slack(a, b))) / LOOSEST
    assert not Similarities(a, b, 1.001 * border, bounded=True).exact
    assert Similarities(a, b, 0.999 * border, bounded=True).exact
    nan = a.clone()
    nan[0, 0] = torch.nan
    assert Similarities(nan, nan, border, bounded=True).exact
