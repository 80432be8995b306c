"""Uncovered regions: a planted kind of image is found, and nothing where all is covered."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from labelgap.project.asking.regions import uncovered

KINDS, D = 4, 32


def features(seed, n=1200, planted=0):
    """n points of four kinds, the first `planted` of them of a fifth kind instead."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(KINDS + 1, D))
    kind = rng.integers(0, KINDS, n)
    kind[:planted] = KINDS
    return centres[kind] + 0.5 * rng.normal(size=(n, D)), kind


def regions(z, kind, labelled):
    free = np.setdiff1d(np.arange(len(z)), labelled)
    x = torch.from_numpy(z.astype(np.float32))
    predicted = torch.from_numpy(np.minimum(kind[free], KINDS - 1))
    rng = np.random.default_rng(7)
    return uncovered(x[labelled], kind[labelled], x[free], predicted, free, rng)


@pytest.mark.parametrize("seed", range(4))
def test_a_planted_kind_is_found_and_nothing_else(seed):
    z, kind = features(seed, planted=150)
    found = regions(z, kind, np.arange(150, 250))
    assert sum(r["size"] for r in found) == pytest.approx(150, abs=10)
    for region in found:
        assert all(kind[i] == KINDS for i in region["examples"])
        assert region["labelled"] == 0
        assert region["gap"] > region["usual"]
        assert region["predicted"] == [[KINDS - 1, region["size"]]]
        assert region["share"] == region["size"] / 1100
    assert [r["size"] for r in found] == sorted((r["size"] for r in found), reverse=True)


@pytest.mark.parametrize("seed", range(4))
def test_labelling_the_kind_covers_it(seed):
    z, kind = features(seed, planted=150)
    assert regions(z, kind, np.concatenate([np.arange(25), np.arange(150, 250)])) == []


@pytest.mark.parametrize("seed", range(4))
def test_a_uniform_sample_covers_all(seed):
    z, kind = features(seed)
    labelled = np.sort(np.random.default_rng(seed).choice(len(z), 80, replace=False))
    assert regions(z, kind, labelled) == []


def test_the_gap_is_the_difference_of_two_log_densities():
    """One component each, by scipy: the median over the images of a far component."""
    rng = np.random.default_rng(0)
    near, far = rng.normal(size=(300, 2)), rng.normal((40, 0), size=(300, 2))
    free = np.concatenate([near, far])
    labelled = rng.normal(size=(40, 2))
    found = uncovered(
        torch.from_numpy(labelled.astype(np.float32)),
        np.zeros(40, dtype=np.int64),
        torch.from_numpy(free.astype(np.float32)),
        torch.zeros(600, dtype=torch.int64),
        np.arange(600),
        np.random.default_rng(0),
    )
    assert all(i >= 300 for r in found for i in r["examples"])
    assert 280 <= sum(r["size"] for r in found) <= 300
    floor = 0.05 * labelled.var(axis=0).mean()
    assert (labelled.var(axis=0) > floor).all()
    density = multivariate_normal(labelled.mean(axis=0), np.diag(labelled.var(axis=0)))
    # ψ_UL is within a few nats of the far group's own entropy; ψ_L is hundreds below.
    expected = -np.median(density.logpdf(far))
    for region in found:
        assert region["gap"] == pytest.approx(expected, rel=0.2)


def test_nothing_is_said_of_few_labels_or_few_images():
    z, kind = features(0, planted=150)
    assert regions(z, kind, np.arange(150, 159)) == []
    assert regions(z[140:190], kind[140:190], np.arange(20, 40)) == []
