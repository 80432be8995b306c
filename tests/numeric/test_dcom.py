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
from labelgap.select.coverage import planes


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


@given(st.integers(0, 10_000), st.floats(0.1, 1.0))
def test_radii_with_weights_are_those_of_the_copies_written_out(seed, purity):
    rng = np.random.default_rng(seed)
    points, z = sphere(30, seed), sphere(4, seed + 1)
    predicted, labels = torch.from_numpy(rng.integers(0, 2, 30)), torch.from_numpy(np.arange(4) % 2)
    counts = rng.integers(1, 9, 30)
    at = torch.from_numpy(np.repeat(np.arange(30), counts))
    found = pure_radii(z, labels, points, predicted, purity, 1.1, 0.05, counts)
    written_out = pure_radii(z, labels, points[at], predicted[at], purity, 1.1, 0.05)
    assert found.tolist() == written_out.tolist()


@given(st.integers(0, 10_000), st.floats(0, 1), st.integers(1, 20))
def test_weighted_picks_are_those_of_points_written_out(seed, weight, n):
    rng = np.random.default_rng(seed)
    inside, covered = rng.random((20, 27)) < 0.2, rng.random(27) < 0.3
    doubt, ties, counts = rng.random(20), rng.random(20), rng.integers(0, 2000, 27)
    at = np.repeat(np.arange(27), counts)
    found = greedy_competence(
        np.packbits(inside, axis=1), np.packbits(covered), doubt, weight, n, ties, planes(counts)
    )
    written_out = greedy_competence(
        np.packbits(inside[:, at], axis=1), np.packbits(covered[at]), doubt, weight, n, ties
    )
    for a, b in zip(found, written_out, strict=True):
        assert a.tolist() == b.tolist()


@pytest.mark.parametrize("sample", [10_000, 25])
def test_what_copies_cover_is_counted_by_their_number(sample):
    """Against balls drawn around every copy: the share at first, and the count of each pick."""
    z, rng = sphere(12, d=4), np.random.default_rng(1)
    at = rng.permutation(np.repeat(np.arange(12), rng.integers(1, 9, 12)))
    logits = normal(12, 3, seed=2)
    labelled = {"embedding": sphere(3, seed=5, d=4), "logits": torch.zeros(3, 3)}
    arrays = {"embedding": z[at], "logits": logits[at]}
    view = array_view(arrays, labelled, [0, 1, 2])
    query = acquire("dcom", delta=0.8, sample=sample).select(view, len(at))
    points = np.argsort(view.ties(), kind="stable")[:sample]
    predicted = logits.argmax(1)[at]

    def radii(share):
        return pure_radii(
            labelled["embedding"], torch.arange(3), arrays["embedding"][points], predicted[points],
            0.4 + 0.2 * share, 1.1, 0.05,
        )  # fmt: skip

    distance = cdist(labelled["embedding"].double(), arrays["embedding"][points].double())
    found = radii((distance < 0.8).any(0).mean())
    left = ~(distance < found[:, None]).any(0)
    assert query.notes["covered"] == pytest.approx(1 - left.mean())
    rows = query.ids - 1000
    assert sorted(at[rows[:12]]) == list(range(12))
    for row, gain in zip(rows, query.parts["newly_covered"], strict=True):
        ball = cdist(arrays["embedding"][[row]].double(), arrays["embedding"][points].double())[0]
        new = (ball < found.mean()) & left
        assert gain == new.sum()
        left &= ~new
