"""Doubted labels, near-duplicates, regions and the map: against naive forms, and what they find."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.linear_model import LogisticRegression
from tolerance import assert_rounded

from labelgap.core.errors import BudgetError, ConfigError
from labelgap.project.quality.label_errors import (
    FOLDS,
    can_be_judged,
    doubts,
    folds_of,
    out_of_fold,
    principal,
)
from labelgap.project.quality.map import components, plane, regions
from labelgap.project.quality.near import near_duplicates

CLASSES, EACH, WIDTH = 4, 30, 40


def photographs(seed=0, apart=2.0):
    """120 rows of four overlapping classes, and their classes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(CLASSES * EACH) % CLASSES
    centres = rng.standard_normal((CLASSES, WIDTH)) * apart / np.sqrt(WIDTH) * 3
    z = centres[labels] + rng.standard_normal((len(labels), WIDTH))
    return z.astype(np.float32), labels.astype(np.int64)


@pytest.mark.parametrize("seed", range(8))
def test_four_planted_errors_are_among_the_first_ten(seed):
    z, truth = photographs(seed)
    rng = np.random.default_rng([seed, 1])
    planted = rng.choice(len(truth), 4, replace=False)
    labels = truth.copy()
    labels[planted] = (truth[planted] + rng.integers(1, CLASSES, 4)) % CLASSES
    p = out_of_fold(principal(z), labels, rng)
    found = doubts(labels, p, np.arange(len(labels)))
    first = found.queue()[:10]
    assert set(planted) <= set(found.rows[first])
    for row in planted:
        assert found.suggested[row] == truth[row]


def test_out_of_fold_is_each_fold_fitted_without_itself():
    z, labels = photographs()
    p = out_of_fold(z, labels, np.random.default_rng(3))
    fold = folds_of(labels, np.random.default_rng(3))
    for row in (0, 17, 60, 119):
        others = fold != fold[row]
        alone = LogisticRegression(max_iter=1000).fit(z[others], labels[others])
        # Logits are sums of WIDTH products in float32; a probability changes by no more than they.
        exact = alone.predict_proba(z[row : row + 1].astype(np.float64))[0]
        assert_rounded(p[row], exact, WIDTH + 8, 8.0, dtype=np.float32(0).dtype)
    assert_rounded(p.sum(axis=1), np.ones(len(p)), CLASSES + 8, dtype=np.float32(0).dtype)


@given(arrays(np.int64, st.integers(4, 60), elements=st.integers(0, 5)))
def test_a_class_of_two_labels_is_taught_in_every_fold(labels):
    fold = folds_of(labels, np.random.default_rng(0))
    assert ((fold >= 0) & (fold < FOLDS)).all()
    for k in np.unique(labels):
        counts = np.bincount(fold[labels == k], minlength=FOLDS)
        assert counts.max() - counts.min() <= 1
        assert (counts.max() < (labels == k).sum()) or (labels == k).sum() == 1


def test_too_few_labels_are_said_plainly():
    with pytest.raises(BudgetError, match="at least 2 labels each; 1 class has so many now"):
        can_be_judged(np.array([0, 0, 1, 2, -1, -1]))
    with pytest.raises(BudgetError, match="0 classes have"):
        can_be_judged(np.array([], dtype=np.int64))
    judged = can_be_judged(np.array([0, 0, 1, 2, 2, -1, -1]))
    assert judged.tolist() == [True, True, False, True, True, False, False]


# ------------------------------------------------------------------------------- duplicates


def naive_groups(features, least):
    """One row after the other, by the definition: most neighbours first."""
    n = len(features)
    norms = [np.sqrt(sum(float(v) ** 2 for v in row)) for row in features]
    near = {
        i: [
            j for j in range(n)
            if j != i and norms[i] > 0 and norms[j] > 0
            and float(features[i].astype(float) @ features[j]) / norms[i] / norms[j] >= least
        ]
        for i in range(n)
    }  # fmt: skip
    free, groups = set(range(n)), []
    for i in sorted(near, key=lambda i: (-len(near[i]), i)):
        group = [i, *(j for j in near[i] if j in free)]
        if i in free and len(group) > 1:
            groups.append(group)
            free -= set(group)
    return sorted(groups, key=lambda group: (-len(group), group[0]))


@given(st.integers(0, 10_000), st.sampled_from([0.5, 0.8, 0.95]))
def test_groups_are_those_of_the_naive_form(seed, least):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((30, 3)).astype(np.float32)
    features[7] = 0
    cosine = (unit := features / np.maximum(np.linalg.norm(features, axis=1), 1e-9)[:, None]) @ (
        unit.T
    )
    if (np.abs(cosine - least) < 1e-4).any():
        return  # a cosine at the bound may fall on either side
    assert near_duplicates(features, least) == naive_groups(features, least)


def test_groups_of_many_blocks_have_no_chains():
    """An arc of rows each close to the next: no group's member is far from its first."""
    angles = np.linspace(0, np.pi, 2500)
    features = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    told = []
    groups = near_duplicates(features, 0.99, lambda *at: told.append(at))
    assert told == [(1024, 2500), (2048, 2500), (2500, 2500)]
    for first, *others in groups:
        assert (np.cos(angles[others] - angles[first]) >= 0.99 - 1e-4).all()
    rows = [row for group in groups for row in group]
    assert len(rows) == len(set(rows))


def test_equal_rows_are_near_at_a_cosine_of_one():
    row = np.random.default_rng(0).standard_normal(1280).astype(np.float32)
    assert near_duplicates(np.stack([row, -row, 3 * row, row]), 1.0) == [[0, 2, 3]]
    assert near_duplicates(np.zeros((3, 4), dtype=np.float32)) == []
    with pytest.raises(ConfigError, match="between 0 and 1"):
        near_duplicates(np.ones((2, 2), dtype=np.float32), 1.5)


# -------------------------------------------------------------------------------------- map


def test_components_are_those_of_the_singular_values():
    z, _ = photographs()
    found = components(z, 5)
    x = z.astype(np.float64) - z.astype(np.float64).mean(axis=0)
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    assert_rounded(np.abs(found), np.abs(u[:, :5] * s[:5]), 1e6, s[0])
    np.testing.assert_allclose(np.linalg.norm(found, axis=0), s[:5])


@pytest.mark.usefixtures("whole_layout")
def test_the_map_keeps_neighbours_together_and_inside():
    z, labels = photographs(apart=6.0)
    told = []
    rows, places = plane(z, 3, lambda *at: told.append(at))
    assert rows.tolist() == list(range(len(z)))
    assert places.min() >= 0
    assert places.max() <= 1
    distance = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert (labels[distance.argmin(axis=1)] == labels).mean() > 0.95
    assert told[-1][0] <= told[-1][1]
    assert [step for step, _ in told] == sorted(step for step, _ in told)


def test_maps_of_few_images():
    assert plane(np.empty((0, 4), dtype=np.float32), 0)[1].shape == (0, 2)
    for n in (1, 2, 7):
        z = np.random.default_rng(n).standard_normal((n, 4)).astype(np.float32)
        rows, places = plane(z, 0)
        assert len(rows) == len(places) == n
        assert np.isfinite(places).all()


def test_what_is_raised_while_the_map_is_drawn_ends_it():
    class Stop(Exception):
        pass

    def stop(step, steps):
        raise Stop

    with pytest.raises(Stop):
        plane(photographs()[0], 0, stop)


def test_regions_are_numbered_by_size_and_separate_what_is_apart():
    z, labels = photographs(apart=8.0)
    found = regions(z, 0)
    sizes = np.bincount(found)
    assert (np.diff(sizes) <= 0).all()
    for region in range(len(sizes)):
        assert len(np.unique(labels[found == region])) == 1
    assert regions(z[:10], 0).tolist() == [0] * 10
