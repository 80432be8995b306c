"""Many clusters of wide items, first sought in the items' leading directions."""

from importlib import import_module

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from tolerance import rounding

from labelgap.select.kmeans import kmeans, representatives
from labelgap.select.narrow import narrowed
from labelgap.select.seeds import greedy_seeds

module = import_module("labelgap.select.kmeans")  # by its plain name it is the function
N, D, K = 900, 300, 70


def items(n: int = N, seed: int = 0) -> torch.Tensor:
    """Groups in a space whose directions matter less and less, as features have it."""
    rng = np.random.default_rng(seed)
    scale = 1 / np.sqrt(1 + np.arange(D))
    z = rng.normal(size=(K, D))[rng.integers(K, size=n)] * 2 + rng.normal(size=(n, D))
    return torch.from_numpy((z * scale + 3).astype(np.float32))


@pytest.mark.parametrize("n", [N, 5000])
def test_nearly_as_much_is_kept_as_by_the_best_directions(n: int) -> None:
    x = items(n)
    x = x - x.mean(0)
    found = narrowed(x, 20, np.random.default_rng(0))
    assert found.dtype == x.dtype
    best = torch.linalg.svdvals(x.double())[:20].square().sum()
    kept = found.double().square().sum()
    assert 0.95 * best < kept <= best * (1 + rounding("float32", D) * 2)
    apart = torch.cdist(x[:50].double(), x[:50].double())
    narrow = torch.cdist(found[:50].double(), found[:50].double())
    size = float(x.double().norm(dim=1).max())
    assert bool((narrow <= apart + 2 * size * rounding("float32", D)).all())


def test_the_directions_are_drawn_from_the_generator_alone() -> None:
    x = items()
    first, again = (narrowed(x, 8, np.random.default_rng(3)) for _ in range(2))
    assert torch.equal(first, again)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many directions were asked for, at every call."""
    seen: list[int] = []

    def noted(x: torch.Tensor, width: int, rng: np.random.Generator) -> torch.Tensor:
        seen.append(width)
        return narrowed(x, width, rng)

    monkeypatch.setattr(module, "narrowed", noted)
    return seen


def test_few_clusters_or_narrow_items_are_sought_plainly(asked: list[int]) -> None:
    kmeans(items(), 63, np.random.default_rng(0))
    kmeans(items()[:, :255], K, np.random.default_rng(0))
    assert asked == []
    kmeans(items()[:, :256], 64, np.random.default_rng(0))
    assert asked == [64]


def test_what_is_found_is_as_good_as_scikit_learn_finds_and_no_step_is_left(
    asked: list[int],
) -> None:
    z = items()
    found = [kmeans(z, K, np.random.default_rng(seed), tolerance=0.0) for seed in range(3)]
    assert len(asked) == 3
    peers = [KMeans(K, n_init=1, random_state=seed).fit(z.numpy()).inertia_ for seed in range(3)]
    assert np.mean([inertia for _, _, inertia in found]) < 1.02 * np.mean(peers)
    for centres, cluster, inertia in found:
        d2 = torch.cdist(z.double(), centres.double()).square()
        own = d2.gather(1, cluster[:, None]).squeeze(1)
        # Float32 products of centred rows say which is nearest.
        off = 4 * rounding("float32", D) * float((z - z.mean(0)).double().square().sum(1).max())
        assert bool((own <= d2.amin(1) + off).all())
        assert inertia == pytest.approx(float(own.sum()), rel=1e-4)
        for k in range(K):
            mean = z[cluster == k].double().mean(0)
            assert float((mean - centres[k]).abs().max()) < 16 * rounding("float32", 30)


def test_copies_count_and_stay_together(asked: list[int]) -> None:
    z = items(300)
    some = torch.arange(300).repeat_interleave(torch.arange(300) % 3 + 1)
    _, cluster, _ = kmeans(z[some], K, np.random.default_rng(1))
    for row in range(300):
        assert len(set(cluster[some == row].tolist())) == 1
    picks = representatives(z[some], K, np.random.default_rng(1))
    assert len(set(some[picks].tolist())) == K
    assert len(asked) == 2


def test_clusters_that_empty_among_few_directions_are_filled(asked: list[int]) -> None:
    """Items that differ in directions that were left out lie together in those that were not."""
    z = torch.zeros(400, D)
    z[:, :70] = torch.eye(70)[torch.arange(400) % 70] * torch.linspace(1, 2, 70)
    z += 1e-3 * items(400)
    _, cluster, _ = kmeans(z, 70, np.random.default_rng(0))
    assert asked
    assert len(set(cluster.tolist())) == 70


def plain_steps(
    x: np.ndarray, centres: np.ndarray, weights: np.ndarray, steps: int, tolerance: float
) -> np.ndarray:
    """Lloyd's steps in numpy, no cluster of which empties: each item's cluster."""

    def nearest() -> np.ndarray:
        return ((x**2).sum(1)[:, None] - 2 * x @ centres.T + (centres**2).sum(1)).argmin(1)

    spread = ((x**2).sum(1) * weights).sum() / weights.sum()
    cluster = nearest()
    for _ in range(steps):
        moved = means(x, cluster, weights, len(centres))
        shift, centres, before = ((moved - centres) ** 2).sum(), moved, cluster
        cluster = nearest()
        if shift <= tolerance * spread / x.shape[1] or (cluster == before).all():
            break
    return cluster


def means(x: np.ndarray, cluster: np.ndarray, weights: np.ndarray, k: int) -> np.ndarray:
    one = (cluster == np.arange(k)[:, None]) * weights
    assert (one.sum(1) > 0).all()
    found: np.ndarray = one @ x / one.sum(1, keepdims=True)
    return found


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("trials", [None, 1])
@pytest.mark.parametrize(("steps", "tolerance"), [(1, 0.0), (4, 0.0), (300, 0.0), (300, 0.05)])
def test_it_is_lloyd_among_the_directions_and_then_among_all_features(
    steps: int, tolerance: float, trials: int | None, weighted: bool
) -> None:
    z = items(N, seed=2).double()
    weights = np.random.default_rng(4).integers(1, 5, N).astype(np.float64)
    weights = weights if weighted else np.ones(N)
    given = weights if weighted else None
    found = module._lloyd(z, K, np.random.default_rng(7), given, steps, tolerance, trials)
    x = (z - torch.from_numpy(weights @ z.numpy() / weights.sum())).numpy()
    rng = np.random.default_rng(7)
    few = narrowed(torch.from_numpy(x), 64, rng)
    seeds = greedy_seeds(few, K, rng, trials, weights=given).numpy()
    first = plain_steps(few.numpy(), few.numpy()[seeds], weights, min(steps, 10), tolerance)
    cluster = plain_steps(x, means(x, first, weights, K), weights, steps, tolerance)
    assert found[1].tolist() == cluster.tolist()


def test_ten_steps_are_made_among_the_directions() -> None:
    x = torch.from_numpy(np.random.default_rng(5).standard_normal((3000, 256)))
    x -= x.mean(0)
    found = module._lloyd(x, 64, np.random.default_rng(7), None, 300, 0.0, 1)
    rng = np.random.default_rng(7)
    few = narrowed(x, 64, rng)
    start, one = few[greedy_seeds(few, 64, rng, 1)].numpy(), np.ones(len(x))
    ten, eleven = (plain_steps(few.numpy(), start, one, steps, 0.0) for steps in (10, 11))
    assert (ten != eleven).any()
    cluster = plain_steps(x.numpy(), means(x.numpy(), ten, one, 64), one, 300, 0.0)
    assert found[1].tolist() == cluster.tolist()


def test_the_sample_is_drawn_and_the_passes_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labelgap.select.narrow._SAMPLE", 500)
    x = items().double()
    found = narrowed(x, 5, np.random.default_rng(2))
    rng = np.random.default_rng(2)
    some = x.numpy()[np.sort(rng.choice(N, 500, replace=False))]
    directions = rng.standard_normal((D, 5))
    for _ in range(2):
        directions, _ = np.linalg.qr(some.T @ (some @ directions))
    np.testing.assert_allclose(np.abs(found.numpy()), np.abs(x.numpy() @ directions), atol=1e-9)
