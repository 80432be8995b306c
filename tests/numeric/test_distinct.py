"""Copies are one item with a weight: the rows that differ, and what acquisitions do with them."""

import copy
from importlib import import_module

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tolerance import assert_rounded
from views import acquire, array_view

from labelgap.axes.registry import ACQUISITIONS
from labelgap.check.synthetic import synthetic_view
from labelgap.methods.gcn import separation
from labelgap.select import typical
from labelgap.select.coverage import balls, counted, greedy_cover, planes
from labelgap.select.distinct import Distinct, differing, distinct
from labelgap.select.graph import Graph
from labelgap.select.kmeans import _lloyd, kmeans, representatives
from labelgap.select.seeds import greedy_seeds
from labelgap.select.top import top, top_differing
from labelgap.select.typical import typicality

FLOATS = st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e-45, float("inf")])


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape)).float()


@given(st.lists(st.lists(FLOATS, min_size=3, max_size=3), max_size=30), st.booleans())
def test_rows_are_grouped_as_a_dictionary_groups_them(rows, drawn):
    z = torch.tensor(rows, dtype=torch.float32).reshape(-1, 3)
    ties = np.random.default_rng(0).random(len(rows)) if drawn else None
    found = distinct(z[:, :1], z[:, 1:], ties=ties)
    groups: dict = {}
    for i, row in enumerate(rows):
        groups.setdefault(tuple(x + 0.0 for x in row), []).append(i)
    rank = (lambda i: ties[i]) if drawn else (lambda i: i)
    stands = sorted(min(members, key=rank) for members in groups.values())
    assert found.first.tolist() == stands
    assert found.counts.sum() == len(rows)
    for members in groups.values():
        (at,) = {int(found.inverse[i]) for i in members}
        assert found.first[at] in members
        assert found.counts[at] == len(members)
    assert sorted([*found.others(), *found.first]) == list(range(len(rows)))
    assert found.copies == (len(groups) < len(rows))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16,
                                   torch.int64, torch.uint8, torch.bool])  # fmt: skip
@pytest.mark.parametrize("width", [1, 3, 8])
def test_every_type_and_width(dtype, width):
    z = torch.arange(40).reshape(-1, 1).expand(-1, width).remainder(7).to(dtype)
    assert len(distinct(z)) == (2 if dtype == torch.bool else 7)
    assert len(distinct(z[:0])) == 0
    assert len(distinct(z.T.contiguous().T)) == len(distinct(z))  # of any layout


def test_rows_of_one_hash_are_told_apart(monkeypatch):
    z = normal(5000, 3).repeat(2, 1)
    expected = distinct(z)
    module = import_module("labelgap.select.distinct")
    monkeypatch.setattr(module, "_hashes", lambda words: words[:, 0] % np.uint64(5))
    found = distinct(z)
    assert found.first.tolist() == expected.first.tolist()
    assert found.inverse.tolist() == expected.inverse.tolist()


def test_signs_and_orders_are_no_copies():
    """What a plain sum of words would take for one row: two signs flipped, two values swapped."""
    z = normal(1000, 4)
    flipped, swapped = z.clone(), z[:, [1, 0, 2, 3]]
    flipped[:, 1:3] *= -1
    assert not distinct(torch.cat([z, -z, flipped, swapped, swapped[:, [0, 1, 3, 2]]])).copies


def test_copies_come_last_and_by_the_draw():
    found = distinct(torch.tensor([[1.0], [2.0], [1.0], [1.0]]), ties=np.array([3.0, 9, 1, 2]))
    assert found.first.tolist() == [1, 2]
    assert found.filled(np.array([1, 0]), 4, np.array([3.0, 9, 1, 2])).tolist() == [2, 1, 3, 0]
    assert found.filled(np.array([1]), 1, np.zeros(4)).tolist() == [2]


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30), st.data())
def test_the_best_that_differ_come_first(values, data):
    score = torch.tensor(values, dtype=torch.float64)
    rng = np.random.default_rng(1)
    ties, rows = rng.random(len(values)), torch.from_numpy(rng.integers(4, size=(len(values), 1)))
    n, found = data.draw(st.integers(0, len(values))), distinct(rows)
    order, seen, expected, later = top(score, len(values), ties).tolist(), set(), [], []
    for i in order:
        (later if int(rows[i]) in seen else expected).append(i)
        seen.add(int(rows[i]))
    assert top_differing(score, n, ties, found).tolist() == (expected + later)[:n]
    assert top_differing(score, n, ties, None).tolist() == order[:n]


def test_weighted_steps_are_those_of_the_copies_written_out():
    """One step of Lloyd from given centres, the inertia and the stopping rule."""
    z, counts = normal(40, 5), np.random.default_rng(2).integers(1, 6, 40)
    every = z[np.repeat(np.arange(40), counts)]
    for steps in (1, 300):
        centres, cluster, inertia = kmeans(every, 4, np.random.default_rng(3), steps=steps)
        gap = (every - centres[cluster]).double().square().sum()
        assert inertia == pytest.approx(float(gap), rel=1e-5)
        if steps == 300:
            means = torch.stack([every[cluster == c].double().mean(0) for c in range(4)])
            assert_rounded(centres, means, 400, float(every.abs().max()))
    plain, ones = (_lloyd(z, 4, np.random.default_rng(5), w) for w in (None, np.ones(40)))
    assert ones[2] == pytest.approx(plain[2], rel=0.2)


def test_a_first_seed_is_drawn_as_often_as_its_weight_says():
    z, weights = torch.tensor([[0.0], [1.0], [2.0]]), np.array([1.0, 0.0001, 8.0])
    firsts = [
        int(greedy_seeds(z, 1, np.random.default_rng(i), weights=weights)) for i in range(900)
    ]
    share = np.bincount(firsts, minlength=3) / 900
    assert share == pytest.approx([1 / 9, 0, 8 / 9], abs=0.05)


def test_fewer_rows_than_clusters():
    z = normal(3, 4)[[0, 1, 2, 0, 1, 0]]
    centres, cluster, inertia = kmeans(z, 5, np.random.default_rng(0))
    assert torch.equal(centres[cluster], z)
    assert inertia == 0.0
    assert sorted(representatives(z, 3, np.random.default_rng(0)).tolist()) == [0, 1, 2]
    assert len(set(representatives(z, 5, np.random.default_rng(0)).tolist())) == 5


@pytest.mark.parametrize("sample", [1000, 30])
def test_typicality_of_copies_is_that_written_out(sample, monkeypatch):
    z = normal(12, 4)[np.random.default_rng(4).integers(12, size=80)]
    found = typicality(z, 20, sample, np.random.default_rng(5))
    none = Distinct(np.arange(80), np.arange(80), np.ones(80, dtype=np.int64))
    monkeypatch.setattr(typical, "distinct", lambda z: none)
    expected = typicality(z, 20, sample, np.random.default_rng(5))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_weights_count_what_balls_cover():
    z, rng = normal(30, 2), np.random.default_rng(6)
    counts = rng.integers(1, 5, 30)
    every = z[np.repeat(np.arange(30), counts)]
    few, many = balls(z, z, 0.7), balls(z, every, 0.7)
    assert counted(few, planes(counts)).tolist() == counted(many).tolist()
    none = [np.zeros(c.shape[1], dtype=np.uint8) for c in (few, many)]
    ties = rng.random(30)
    weighted = greedy_cover(few, none[0], 12, ties, planes(counts))
    written_out = greedy_cover(many, none[1], 12, ties)
    for a, b in zip(weighted, written_out, strict=True):
        assert a.tolist() == b.tolist()


def test_a_graph_of_copies_is_that_written_out():
    z, counts = normal(9, 5).abs(), np.array([1, 4, 2, 1, 1, 3, 1, 1, 2])
    at = torch.from_numpy(np.repeat(np.arange(9), counts))
    few, every = Graph.of(z, torch.from_numpy(counts)), Graph.of(z[at])
    h = normal(9, 3, seed=1)
    assert_rounded(few.degree[at], every.degree.double(), 200, 1.0)
    assert_rounded(few.propagate(h)[at], every.propagate(h[at]).double(), 200, 3.0)
    assert_rounded(few.inputs()[at], every.inputs().double(), 200, 3.0)
    logit, known = normal(9, seed=2), torch.arange(9) < 4
    weighted = separation(logit, known, 1.2, few.weights)
    assert_rounded(weighted, separation(logit[at], known[at], 1.2).double(), 60, 1.0)


MAKES_COPIES = {"random", "bald", "mc-dropout"}
"""Random draws items, not rows. Stochastic passes differ from copy to copy."""
KINDS = {
    "three": np.r_[np.arange(2), np.full(398, 2)],
    "all equal": np.zeros(400),
    "half": np.r_[np.arange(200), np.arange(200)],
    "few": np.random.default_rng(8).integers(9, size=400),
}


def with_copies(name, rows):
    view = synthetic_view(400, ACQUISITIONS[name].needs, labelled=40, width=16)
    at = torch.from_numpy(rows.astype(np.int64))
    view._candidates = {key: value[at] for key, value in view._candidates.items()}
    inputs = view.inputs
    view.inputs = lambda ids: inputs(np.where(ids < 40, ids, 40 + rows[ids - 40].astype(np.int64)))
    return view


METHODS = sorted(name for name, cls in ACQUISITIONS.items() if not cls.upper_line)
"""The upper line asks for the batch of one of these; it trains and looks at true labels."""


OPTIONS = {
    "probcover": {"delta": 0.5},
    # Which items are alike does not depend on how long a query trains or thins.
    "daal": {"critic_steps": 20},
    "coregcn": {"steps": 20},
    "uncertain-gcn": {"steps": 20},
    "refine": {"depth": 2, "batches": 9},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METHODS)
def test_no_item_is_asked_for_twice_while_others_are_left(name, kind):
    rows, options = KINDS[kind], OPTIONS.get(name, {})
    different = len(np.unique(rows))
    for n in (5, 30, 400):
        view = with_copies(name, rows)
        query = acquire(name, **options).select(view, n)
        assert len(np.unique(query.ids)) == n
        assert np.isin(query.ids, view.candidate_ids).all()
        for value in (query.score, *query.parts.values()):
            assert value is None or (len(value) == n and np.isfinite(value).all())
        if name not in MAKES_COPIES:
            assert len(np.unique(rows[query.ids - 40])) == min(n, different)


@given(st.lists(st.integers(0, 6), max_size=4), st.lists(st.integers(0, 6), max_size=20))
def test_what_differs_from_labels_and_each_other(labelled, candidates):
    given_, free = (
        torch.tensor(x, dtype=torch.int64).reshape(-1, 1) for x in (labelled, candidates)
    )
    ties = np.random.default_rng(3).random(len(candidates))
    new, spare = differing(given_, free, ties)
    stands = {}
    for i in sorted(range(len(candidates)), key=lambda i: ties[i]):
        if candidates[i] not in labelled:
            stands.setdefault(candidates[i], i)
    assert new.tolist() == sorted(stands.values())
    others = [i for i in range(len(candidates)) if i not in stands.values()]
    assert spare.tolist() == sorted(others, key=lambda i: ties[i])


@pytest.mark.parametrize("n", [90, 190, 250])
def test_drop_query_fills_up_with_items_that_differ(n):
    """More than are unsure: what is drawn beside them are no copies of them or of each other."""
    rows = KINDS["half"].astype(int)
    query = acquire("drop-query", drop=0.05).select(with_copies("drop-query", rows), n)
    assert query.notes["random"] > 0
    assert len(set(query.ids.tolist())) == n
    assert len(set(rows[query.ids - 40][: min(n, 200)])) == min(n, 200)


@pytest.mark.parametrize("name", ["direct", "galaxy"])
def test_on_a_line_a_copy_of_a_label_is_no_new_place(name):
    """Portion after portion, each with the labels of those before: every row once, then copies."""
    z, at = normal(30, 3), np.random.default_rng(4).permutation(np.repeat(np.arange(30), 3))
    asked = np.empty(0, dtype=np.int64)
    for portion in (4, 7, 12, 7, 20):
        free = np.setdiff1d(np.arange(90), asked)
        view = array_view(
            {"logits": z[at[free]]}, {"logits": z[at[asked]]}, at[asked] % 3, later=50 - len(asked)
        )
        view.labelled_ids, view.candidate_ids = asked, free
        asked = np.append(asked, acquire(name).select(view, portion).ids)
    assert len(set(asked.tolist())) == 50
    assert sorted(at[asked[:30]]) == list(range(30))


@pytest.mark.parametrize("name", sorted(n for n, c in ACQUISITIONS.items() if c.deterministic))
def test_the_order_of_storage_changes_nothing_with_copies(name):
    view = with_copies(name, KINDS["few"])
    order = np.random.default_rng(1).permutation(400)
    other = copy.copy(view)
    other.candidate_ids = view.candidate_ids[order]
    other._candidates = {k: v[torch.from_numpy(order)] for k, v in view._candidates.items()}
    one, two = (acquire(name).select(v, 30).ids.tolist() for v in (view, other))
    assert one == two


@given(st.integers(1, 40), st.integers(1, 6), st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_without_copies_every_item_stands_for_itself(n, d, seed):
    z = normal(n, d, seed=seed)
    found = distinct(z, ties=np.random.default_rng(0).random(n))
    assert not found.copies
    assert found.first.tolist() == found.inverse.tolist() == list(range(n))


@pytest.mark.parametrize("copied", [False, True])
def test_of_arrays_side_by_side_the_widest_may_tell_all_rows_apart(copied: bool) -> None:
    rng = np.random.default_rng(0)
    wide = torch.from_numpy(rng.random((30, 100)).astype(np.float32))
    narrow = torch.from_numpy(rng.integers(0, 2, (30, 1)).astype(np.float32))
    if copied:
        wide[20:] = wide[:10]  # copies where the narrow array agrees too
    found = distinct(narrow, wide)
    rows = torch.cat([narrow, wide], dim=1).tolist()
    assert len(found) == len({tuple(row) for row in rows})
    assert [rows[i] for i in found.first[found.inverse]] == rows
