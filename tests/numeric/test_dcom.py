"""DCoM against its definition, written as loops; constant features, one class, no labels."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.spatial.distance import cdist
from views import acquire, array_view, normal

from labelgap.core.errors import LabelgapError
from labelgap.select.competence import (
    competence,
    covered_by,
    greedy_competence,
    pure_radii,
    unit_range,
)


def sphere(n, seed=0, d=3):
    return torch.nn.functional.normalize(normal(n, d, seed=seed), dim=1)


@given(st.integers(0, 10_000), st.floats(0.1, 1.0), st.integers(1, 6))
def test_radii_are_those_of_halving_item_by_item(seed, purity, labelled):
    points, z = sphere(30, seed), sphere(labelled, seed + 1)
    rng = np.random.default_rng(seed)
    predicted, labels = rng.integers(0, 2, 30), rng.integers(0, 2, labelled)
    distance = cdist(z.double().numpy(), points.double().numpy())
    expected = []
    for i in range(labelled):
        low, high = 0.0, 1.1
        while high - low > 0.05:
            middle = (low + high) / 2
            inside = [predicted[j] == labels[i] for j in range(30) if distance[i, j] < middle]
            if sum(inside) >= purity * len(inside):
                low = middle
            else:
                high = middle
        expected.append(low)
    found = pure_radii(
        z, torch.from_numpy(labels), points, torch.from_numpy(predicted), purity, 1.1, 0.05
    )
    assert_allclose(found, expected)


def test_covered_is_the_union_of_the_balls():
    points, z = sphere(43), sphere(5, seed=1)
    radii = np.array([0.2, 0.7, 0.2, 0.0, 0.4])
    distance = cdist(z.double().numpy(), points.double().numpy())
    expected = (distance < radii[:, None]).any(0)
    assert np.unpackbits(covered_by(z, radii, points))[:43].tolist() == expected.tolist()
    assert not covered_by(z[:0], radii[:0], points).any()


@given(st.floats(0, 1), st.floats(0.5, 1000), st.floats(0, 1))
def test_competence_is_the_published_formula(covered, steepness, middle):
    found = competence(covered, steepness, middle)
    assert 0 <= found <= 1
    if steepness * max(abs(covered - middle), 1 - middle) < 600:
        top, low = (1 + math.exp(-steepness * (x - middle)) for x in (1.0, covered))
        assert_allclose(found, top / low)
    assert_allclose(competence(1.0, steepness, middle), 1.0)


@given(st.integers(0, 10_000), st.floats(0, 1), st.integers(1, 20))
def test_picks_are_those_of_counting_everything_anew(seed, weight, n):
    rng = np.random.default_rng(seed)
    inside = rng.random((20, 27)) < 0.2
    doubt, ties = rng.random(20), rng.random(20)
    covered = rng.random(27) < 0.3
    found, value, gains = greedy_competence(
        np.packbits(inside, axis=1), np.packbits(covered), doubt, weight, n, ties
    )
    picks: list[int] = []
    for step in range(n):
        free = [i for i in range(20) if i not in picks]
        counts = np.array([(inside[i] & ~covered).sum() for i in free], dtype=float)
        spread = counts.max() - counts.min()
        scaled = (counts - counts.min()) / spread if spread else 0 * counts
        total = [weight * doubt[i] + (1 - weight) * c for i, c in zip(free, scaled, strict=True)]
        best = max(range(len(free)), key=lambda j: (total[j], -ties[free[j]]))
        picks.append(free[best])
        assert_allclose(value[step], total[best])
        assert gains[step] == counts[best]
        covered = covered | inside[free[best]]
    assert found.tolist() == picks


def test_a_range_of_one_value_is_zero():
    assert unit_range(np.array([3.0, 3.0])).tolist() == [0.0, 0.0]
    assert unit_range(np.array([2.0, 6.0, 3.0])).tolist() == [0.0, 1.0, 0.25]


def groups(sizes=(40, 30, 20), spread=0.03):
    """Groups around orthogonal directions."""
    which = np.repeat(np.arange(len(sizes)), sizes)
    return torch.eye(8)[torch.from_numpy(which)] + spread * normal(len(which), 8), which


def test_coverage_leads_while_little_is_covered_and_doubt_once_all_is():
    z, which = groups()
    logits = 8 * torch.eye(3)[torch.from_numpy(which)] + 0.01 * normal(90, 3)
    logits[5] = 0.0  # the one of doubt, in the largest group
    arrays = {"embedding": z, "logits": logits}
    # A label in the largest group alone: the next picks lie in the others.
    one = {"embedding": torch.eye(8)[:1], "logits": torch.zeros(1, 3)}
    query = acquire("dcom", delta=0.5).select(array_view(arrays, one, [0]), 2)
    assert which[query.ids - 1000].tolist() == [1, 2]
    assert query.notes["competence"] < 0.01
    # A label in each: everything is covered, and the doubtful one comes first.
    all_ = {"embedding": torch.eye(8)[:3], "logits": torch.zeros(3, 3)}
    query = acquire("dcom", delta=0.5).select(array_view(arrays, all_, [0, 1, 2]), 2)
    assert query.notes["covered"] == 1.0
    assert query.notes["competence"] == pytest.approx(1.0)
    assert query.ids[0] == 1005


def test_a_ball_whose_predictions_contradict_its_label_covers_nothing():
    z, which = groups()
    logits = 8 * torch.eye(3)[torch.from_numpy(which)]
    wrong = {"embedding": torch.eye(8)[:1], "logits": torch.zeros(1, 3)}
    view = array_view({"embedding": z, "logits": logits}, wrong, [2])
    query = acquire("dcom", delta=0.5).select(view, 1)
    # Its radius ends before the group's items begin.
    assert query.notes["covered"] < 0.05
    assert query.notes["delta"] < 0.2


def test_constant_features_ask_for_a_radius_or_go_by_doubt():
    logits = normal(20, 3)
    view = array_view({"embedding": torch.ones(20, 4), "logits": logits})
    with pytest.raises(LabelgapError, match=r"radius of the balls cannot be found.*delta=0\.5"):
        acquire("dcom").select(view, 3)
    query = acquire("dcom", delta=0.5).select(view, 20)
    assert sorted(query.ids.tolist()) == view.candidate_ids.tolist()
    assert query.parts["newly_covered"].tolist() == [20.0] + [0.0] * 19


def test_without_labels_it_covers_as_probcover_does():
    z, _ = groups()
    view = array_view({"embedding": z, "logits": torch.zeros(90, 3)})
    ours = acquire("dcom", delta=0.5).select(view, 6)
    theirs = acquire("probcover", delta=0.5).select(view, 6)
    assert ours.ids.tolist() == theirs.ids.tolist()
