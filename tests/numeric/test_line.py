"""Lines of items, GALAXY and DIRECT: against loops, and against pools whose borders are known."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from views import acquire, array_view, normal

from labelgap.methods.direct import AROUND, SEARCH, plan
from labelgap.methods.galaxy import probe
from labelgap.select.line import balance, border, lead, runs, shrink

SIGNS = st.lists(st.sampled_from([-1, 0, 0, 1]), min_size=1, max_size=25).map(np.array)


@given(st.integers(0, 10_000), st.integers(2, 5))
def test_lead_is_the_distance_to_the_next_class(seed, classes):
    logits = 2 * normal(7, classes, seed=seed)
    p = torch.softmax(logits.double(), 1).numpy()
    for k in range(classes):
        others = np.delete(p, k, axis=1).max(1)
        assert_allclose(lead(logits, k), p[:, k] - others + 1e-8 * p.max(1))


@given(SIGNS)
def test_balance_counts_right_minus_wrong_at_every_threshold(signs):
    n = len(signs)
    expected = [sum(signs[:t]) - sum(signs[t:]) for t in range(n + 1)]
    assert balance(signs).tolist() == expected


@given(SIGNS)
def test_the_border_is_outside_what_labels_settle(signs):
    low, high = border(signs)
    assert 0 <= low <= high < len(signs)
    labelled = [(i, s) for i, s in enumerate(signs) if s]
    lead_, tail = 0, len(signs) - 1
    while labelled and labelled[0][1] > 0:
        lead_ = labelled.pop(0)[0]
    labelled = [(i, s) for i, s in enumerate(signs) if s]
    while labelled and labelled[-1][1] < 0:
        tail = labelled.pop()[0]
    assert (low, high) == (min(lead_, tail), max(lead_, tail))


@given(SIGNS)
def test_runs_are_neighbours_of_unlike_labels(signs):
    labelled = [i for i in range(len(signs)) if signs[i]]
    expected = [(a, b) for a, b in pairwise(labelled) if signs[a] != signs[b]]
    assert runs(signs) == expected


@given(SIGNS, st.integers(0, 10), st.integers(0, 1000))
def test_shrinking_stops_at_the_width_and_keeps_the_best_threshold(signs, width, seed):
    free, value = signs == 0, balance(signs)
    n = len(signs)
    low, high = shrink(0, n - 1, free, value, width, np.random.default_rng(seed))
    assert 0 <= low <= high < n
    assert free[low : high + 1].sum() <= max(width, 1)
    inner = value[:n]
    best = np.flatnonzero(inner == inner.max())
    if len(best) == 1 and width:
        assert low <= best[0] <= high


# ------------------------------------------------------------------------------------ plans


@given(st.integers(1, 500), st.integers(1, 12), st.integers(1, 80), st.integers(0, 99))
def test_a_plan_spends_the_budget(budget, classes, least, seed):
    counts = np.random.default_rng(seed).integers(0, 50, classes)
    steps = plan(budget, counts, least, np.random.default_rng(seed))
    assert sum(items for _, _, items in steps) == budget
    assert all(items > 0 for _, _, items in steps)
    searched = [k for part, k, _ in steps if part == SEARCH]
    others = [counts[k] for k in range(classes) if k not in searched]
    assert all(counts[k] <= min(others, default=math.inf) for k in searched)
    parts = [part for part, _, _ in steps]
    assert parts == sorted(parts)
    around = [items for part, _, items in steps if part == AROUND]
    assert not around or max(around) - min(around) <= 1


@pytest.mark.parametrize(("budget", "searched"), [(1200, 10), (1199, 9), (240, 2), (100, 1)])
def test_every_class_is_searched_where_each_has_the_least_else_the_rarest(budget, searched):
    counts = np.arange(10)[::-1].copy()
    steps = plan(budget, counts, 60, np.random.default_rng(0))
    found = [k for part, k, _ in steps if part == SEARCH]
    assert sorted(found) == list(range(10 - searched, 10))


# ------------------------------------------------------------------- known lines, answered


def on_a_line(n, positives, rng):
    """Two classes whose logits put the items on a line; the first `positives` are of class 1."""
    place = np.sort(rng.random(n))[::-1]
    logits = np.stack([np.zeros(n), 6 * (place - place[positives])], axis=1)
    return torch.from_numpy(logits).float(), (np.arange(n) < positives).astype(np.int64)


def answered(name, logits, truth, known, n, portion, *, budget=None, **options):
    """Ask in portions as a benchmark does; the ids (rows) in the order asked, and the queries."""
    made, known, asked, queries = acquire(name, **options), list(known), [], []
    memory: dict[str, list] = {}
    budget = budget or n
    while len(asked) < n:
        free = np.setdiff1d(np.arange(len(truth)), known)
        labels = np.sort(np.array(known, dtype=np.int64))
        view = array_view(
            {"logits": logits[torch.from_numpy(free)]},
            {"logits": logits[torch.from_numpy(labels)]},
            truth[labels],
            classes=logits.shape[1],
            memory={1: {k: np.array(v) for k, v in memory.items()}} if memory else None,
        )
        view.candidate_ids, view.labelled_ids = free, labels
        now = min(portion, n - len(asked))
        view.later = budget - len(asked) - now
        query = made.select(view, now)
        rows = query.ids.tolist()
        for key, values in {"ids": query.ids, **query.memory}.items():
            memory.setdefault(key, []).extend(np.asarray(values).tolist())
        known += rows
        asked += rows
        queries.append(query)
    return asked, queries


def test_galaxy_bisects_when_it_reads_every_answer():
    """Between one label of each kind, 2⁹ items apart, nine answers find where the class ends."""
    logits, truth = on_a_line(513, 200, np.random.default_rng(3))
    asked, queries = answered("galaxy", logits, truth, [0, 512], 10, 1)
    assert {199, 200} <= {*asked, 0, 512}
    assert sum(q.notes["bisections"] for q in queries) >= 9


def test_a_portion_of_galaxy_is_not_spent_on_one_side_of_a_stretch():
    signs, taken = np.array([1, *[0] * 7, -1]), np.zeros(9, dtype=bool)
    rng, found = np.random.default_rng(0), []
    for _ in range(7):
        where, reason = probe(signs, taken, rng)
        assert reason == 0
        taken[where] = True
        found.append(where)
    assert found[0] == 4
    assert set(found[1:3]) == {2, 6}
    assert sorted(found) == list(range(1, 8))


def test_galaxy_goes_outside_a_closed_pair_and_by_lot_without_one():
    rng = np.random.default_rng(0)
    signs = np.array([0, 0, 0, 1, -1, 0, 0])
    assert {probe(signs, np.zeros(7, bool), rng) for _ in range(30)} == {(2, 1), (5, 1)}
    alone = np.array([0, 1, 1, 0])
    assert {probe(alone, np.zeros(4, bool), rng) for _ in range(30)} == {(0, 2), (3, 2)}


@pytest.mark.parametrize("seed", range(5))
def test_direct_finds_the_end_of_a_rare_class_and_asks_around_it(seed):
    """5 of 2,000 items are rare: the search closes in, and the rest is asked next to its end."""
    logits, truth = on_a_line(2000, 5, np.random.default_rng(seed))
    known = np.random.default_rng(seed).choice(np.arange(5, 2000), 20, replace=False)
    asked, queries = answered("direct", logits, truth, known, 120, 20)
    assert len(set(asked)) == 120
    assert [q.notes["searching"] for q in queries] == [20, 20, 20, 0, 0, 0]
    assert truth[asked].sum() >= 4  # 0.3 of a uniform draw
    around = np.array(asked[60:])
    assert np.median(around) < 100


def test_the_search_draws_from_a_stretch_that_shrinks_by_the_published_roots():
    logits, truth = on_a_line(1000, 300, np.random.default_rng(1))
    # The class 0 is as rare among the labels as class 1: ask which is searched.
    _, queries = answered("direct", logits, truth, [0, 999], 60, 20, budget=120)
    searched = {int(k) for q in queries for k in q.memory["class"]}
    assert len(searched) == 1
    k = searched.pop()
    value = lead(logits, k)
    widths = []
    asked: list[int] = []
    for query in queries:
        high, low = query.memory["high"][0], query.memory["low"][0]
        inside = (value <= high) & (value >= low)
        widths.append(int(inside.sum()) - int(np.isin(np.flatnonzero(inside), asked).sum()))
        asked += query.ids.tolist()
    # 1000 − the two labels; then the cube root of what is left is divided out, then the square.
    first = 998 - 20
    second = math.ceil(first / first ** (1 / 3))
    assert widths[0] - 2 == 998
    assert second - 1 <= widths[1] <= second + 1
    third = widths[1] - 20
    assert widths[2] <= math.ceil(third / third**0.5) + 1


def test_more_than_a_portion_at_once_is_answered_without_reading():
    for name in ("direct", "galaxy"):
        for n in (1, 33, 60):
            view = array_view({"logits": normal(60, 4)}, classes=4)
            assert len(set(acquire(name).select(view, n).ids.tolist())) == n


def test_one_class_and_equal_items_are_answered():
    same = {"logits": torch.zeros(30, 3)}
    labelled = {"logits": torch.zeros(4, 3)}
    for name in ("direct", "galaxy"):
        query = acquire(name).select(array_view(same, labelled, [1, 1, 1, 1]), 12)
        assert len(set(query.ids.tolist())) == 12
