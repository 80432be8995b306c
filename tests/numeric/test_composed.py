"""Acquisitions made of acquisitions: who asks when, what survives, and whose failure is whose."""

import numpy as np
import pytest
import torch
from views import acquire, array_view, normal

from labelgap.axes import check_pair
from labelgap.axes.objective import STANDARD_OUTPUTS
from labelgap.core.config import Settings
from labelgap.core.errors import ConfigError, LabelgapError, NumericalError, PairError, UnknownName
from labelgap.core.types import Query
from labelgap.methods import Acquisition, acquisition, lookup
from labelgap.methods.cross_entropy import CrossEntropy

TWO = {"first": "coreset", "then": "margin"}


def view_at(round, n=60, labels=(0, 1, 2), **more):
    return array_view(
        {"features": normal(n, 4), "logits": normal(n, 3, seed=1)},
        {"features": normal(len(labels), 4, seed=2), "logits": normal(len(labels), 3, seed=3)},
        labels,
        round=round,
        **more,
    )


# ------------------------------------------------------------------------------------ switch


def test_each_round_is_asked_as_its_acquisition_alone_would_ask():
    made = acquire("switch", **TWO, rounds=2)
    for round, name in ((1, "coreset"), (2, "coreset"), (3, "margin"), (9, "margin")):
        query = made.select(view_at(round), 7)
        alone = acquire(name).select(view_at(round), 7)
        assert query.ids.tolist() == alone.ids.tolist()
        assert query.parts.keys() == alone.parts.keys()
        assert query.notes["chosen_by"] == name


def test_the_number_of_labels_decides_where_it_is_given():
    made = acquire("switch", **TWO, labels=4)
    for labels, name in (((0, 1, 2), "coreset"), ((0, 1, 2, 0), "margin")):
        assert made.select(view_at(1, labels=labels), 5).notes["chosen_by"] == name


def test_options_reach_the_parts_and_wrong_ones_are_named():
    made = acquire("switch", first="power-margin", first_options={"beta": 1e9}, then="coreset")
    view = view_at(1)
    assert set(made.select(view, 9).ids) == set(acquire("margin").select(view, 9).ids)
    with pytest.raises(UnknownName, match=r"'bata' in acquisition\.first_options.*'beta'"):
        acquire("switch", first="power-margin", first_options={"bata": 1})
    with pytest.raises(UnknownName, match=r"'typiklust'.*'typiclust'"):
        acquire("switch", first="typiklust")
    with pytest.raises(ConfigError, match=r"acquisition\.then_options\.beta"):
        acquire("switch", then="power-margin", then_options={"beta": -1})


def test_a_pair_that_could_not_ask_in_a_later_round_is_refused_when_it_is_made():
    made = acquire("switch", first="margin", then="bald")
    with pytest.raises(PairError, match="needs mc_logits"):
        check_pair(CrossEntropy(Settings()), made, STANDARD_OUTPUTS)
    check_pair(CrossEntropy(Settings()), made, STANDARD_OUTPUTS | {"mc_logits"})


def test_no_rounds_of_the_first_is_the_second():
    view = view_at(1)
    query = acquire("switch", **TWO, rounds=0).select(view, 5)
    assert query.ids.tolist() == acquire("margin").select(view, 5).ids.tolist()


# ------------------------------------------------------------------------------------ refine


def test_only_what_was_proposed_is_left():
    """Two members that read the same score propose its best items; the final one draws of these."""
    view = view_at(1, n=300)
    made = acquire(
        "refine", members=("margin", "coreset"), final="random", depth=1, batches=2, sample=300
    )
    query = made.select(view, 10)
    proposed = {
        int(i) for name in ("margin", "coreset") for i in acquire(name).select(view, 10).ids
    }
    assert query.notes["left"] == len(proposed)
    assert set(query.ids.tolist()) <= proposed


def test_levels_repeat_the_published_steps():
    """A loop over members, batches and levels in its own words, on deterministic members."""
    n, depth, batches, share = 6, 3, 8, 0.4
    view = view_at(2, n=200)
    margin = dict(zip(view.candidate_ids.tolist(), score_of(view, "margin"), strict=True))
    left, seen = np.arange(200), 150
    for level in range(depth):
        rng, kept = view.rng(f"refine/{level}"), set()
        for _ in range(batches):
            part = np.sort(rng.permutation(left)[: max(n, min(seen, len(left)))])
            ids = view.candidate_ids[part].tolist()
            kept |= set(sorted(ids, key=lambda i: -margin[i])[:n])
        left = np.flatnonzero(np.isin(view.candidate_ids, list(kept)))
        seen = int(share * len(left))
    expected = sorted(view.candidate_ids[left].tolist(), key=lambda i: -margin[i])[:n]
    made = acquire(
        "refine", members=("margin",), final="margin", depth=depth, batches=batches, sample=150
    )
    query = made.select(view, n)
    assert query.ids.tolist() == expected
    assert query.notes["left"] == len(left)


def score_of(view, name):
    """The score of every candidate."""
    query = acquire(name).select(view, len(view.candidate_ids))
    by_id = dict(zip(query.ids.tolist(), query.score.tolist(), strict=True))
    return [by_id[i] for i in view.candidate_ids.tolist()]


def test_proposals_of_one_round_are_drawn_anew():
    """Equal batches of random would leave n items; anew they leave many more."""
    made = acquire("refine", members=("random",), final="random", depth=1, batches=10, sample=100)
    query = made.select(view_at(1, n=100), 5)
    assert query.notes["left"] > 25


def test_the_same_view_gives_the_same_query_and_another_seed_another():
    made = acquire("refine", members=("random", "badge"), final="badge", batches=4, depth=2)
    first, again, other = (made.select(view_at(1, seed=s), 9).ids.tolist() for s in (0, 0, 1))
    assert first == again
    assert first != other


def test_at_most_so_many_are_left_but_never_fewer_than_asked_for():
    made = acquire("refine", members=("random",), final="random", depth=1, batches=20, most=12)
    assert made.select(view_at(1), 5).notes["left"] == 12
    assert len(set(made.select(view_at(1), 30).ids.tolist())) == 30


@pytest.fixture
def broken(forget):
    @acquisition("broken")
    class Broken(Acquisition):
        """Fails as a user's own method may."""

        needs = frozenset({"logits"})

        def select(self, view, n):
            raise ZeroDivisionError("all scores are equal")

    @acquisition("repeating")
    class Repeating(Acquisition):
        """Asks for one item again and again."""

        def select(self, view, n):
            return Query(np.repeat(view.candidate_ids[:1], n))


@pytest.mark.parametrize(
    ("name", "why"),
    [("broken", "ZeroDivisionError: all scores are equal"), ("repeating", "1 distinct")],
)
def test_a_member_that_fails_is_refused_by_name(broken, name, why):
    made = acquire("refine", members=("margin", name), final="margin", batches=4)
    with pytest.raises(LabelgapError, match=f"'{name}', a part of `refine`, failed.*{why}"):
        made.select(view_at(1), 5)


def test_or_left_out_with_a_warning_and_a_note(broken):
    made = acquire(
        "refine",
        members=("broken", "margin"),
        final="margin",
        batches=4,
        depth=1,
        sample=60,
        failing="leave-out",
    )
    with pytest.warns(UserWarning, match="'broken', a part of `refine`, failed") as told:
        query = made.select(view_at(1), 5)
    assert len(told) == 1
    assert query.notes["left_out"] == "broken: all scores are equal"
    assert query.ids.tolist() == acquire("margin").select(view_at(1), 5).ids.tolist()


def test_nobody_left_is_refused(broken):
    made = acquire("refine", members=("broken",), final="margin", failing="leave-out")
    with (
        pytest.warns(UserWarning, match="left out of this query"),
        pytest.raises(LabelgapError, match="Every member of `refine` failed: broken: all"),
    ):
        made.select(view_at(1), 5)


def test_the_final_one_cannot_be_left_out(broken):
    made = acquire("refine", members=("margin",), final="broken", failing="leave-out")
    with pytest.raises(LabelgapError, match="'broken', a part of `refine`, failed"):
        made.select(view_at(1), 5)


def test_what_is_not_finite_is_no_members_failure():
    view = view_at(1)
    view.candidates("features")[3] = float("nan")
    view._checked = set()
    made = acquire("refine", members=("margin", "badge"), final="margin", failing="leave-out")
    with pytest.raises(NumericalError, match="'features'"):
        made.select(view, 5)


def test_members_are_named_once_and_options_belong_to_members():
    with pytest.raises(ConfigError, match="none twice"):
        acquire("refine", members=("margin", "margin"))
    with pytest.raises(ConfigError, match="at least one name"):
        acquire("refine", members=())
    with pytest.raises(ConfigError, match="'bald', which takes no part"):
        acquire("refine", members=("margin",), member_options={"bald": {"passes": 3}})


def test_a_refine_may_be_part_of_a_switch():
    inner = {"members": ["margin"], "final": "margin", "depth": 1, "batches": 1, "sample": 60}
    made = acquire("switch", first="refine", first_options=inner, then="random")
    view = view_at(1)
    assert made.select(view, 5).ids.tolist() == acquire("margin").select(view, 5).ids.tolist()
    assert lookup("acquisition", "refine").needs == frozenset()  # the class has no parts
    assert "logits" in made.needs


# -------------------------------------------------------------------------- parts of a view


def test_a_subset_of_a_view_has_the_same_rows_and_streams_of_its_own_where_asked_for():
    view = view_at(1, n=20)
    rows = np.array([2, 5, 11])
    same, own = view.subset(rows), view.subset(rows, "part", 3)
    assert same.candidate_ids.tolist() == [1002, 1005, 1011]
    assert torch.equal(same.candidates("features"), view.candidates("features")[[2, 5, 11]])
    assert torch.equal(same.labelled("features"), view.labelled("features"))
    np.testing.assert_array_equal(same.ties(), view.ties()[rows])
    assert (own.ties() != same.ties()).all()
    assert (view.subset(rows, "part", 4).ties() != own.ties()).all()
    np.testing.assert_array_equal(view.subset(rows, "part", 3).ties(), own.ties())
