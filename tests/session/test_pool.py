"""What may be trained on, seen and asked; and what a query sees of it."""

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from labelgap.axes.acquisition import Acquisition, check_query
from labelgap.axes.view import PoolView
from labelgap.check.case import Case, tiny_task
from labelgap.core.errors import LabelgapError
from labelgap.core.streams import Streams
from labelgap.core.types import NONE_OF_THESE, Query, QueryItem
from labelgap.data.types import Augment, Split, Task
from labelgap.ledger import Ledger
from labelgap.methods import METHODS
from labelgap.session.looking import look, provided
from labelgap.session.pool import Pool
from labelgap.session.session import Session

SEED, ITEMS, IDS = 5, 40, np.array([0, 2, 3, 5, 8, 13, 21, 34, 39], dtype=np.int64)


def task(pool: Iterable[int] | None = None) -> Task:
    made = tiny_task(ITEMS)
    return made if pool is None else replace(made, pool=np.array(list(pool), dtype=np.int64))


def pool(given: Task | None = None, **options: Any) -> Pool:
    ledger = Ledger.open()
    ledger.set_classes(3, none_of_these=True)
    return Pool(given or task(), ledger, Streams(SEED), **options)


def ask(at: Pool, ids: Iterable[int], round: int = 0) -> None:
    at.ledger.asked(round, [QueryItem(id) for id in ids])


# ---------------------------------------------------------------------- standings


def test_training_sees_labels_in_the_order_of_ids_and_no_others() -> None:
    at = pool(without={7, 30})
    ask(at, [9, 4, 7, 2, 30, 1])
    at.ledger.answers({9: 2, 4: 0, 7: 1, 2: NONE_OF_THESE, 30: NONE_OF_THESE})
    at.ledger.answer(12, 1)  # imported
    at.ledger.hold_out([12, 20])
    ids, labels = at.labelled()
    assert (ids.tolist(), labels.tolist()) == ([4, 9], [0, 2])
    assert ids.dtype == labels.dtype == np.int64
    assert at.rejected().tolist() == [2]
    assert at.rejected().dtype == np.int64
    at.ledger.answers({3: NONE_OF_THESE, 0: NONE_OF_THESE})
    assert at.rejected().tolist() == [0, 2, 3]
    empty = pool()
    assert all(len(part) == 0 and part.dtype == np.int64 for part in empty.labelled())


def test_a_label_that_comes_while_the_standings_are_read_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at = pool()
    at.ledger.answer(4, 1)
    labelled_ids = at.ledger.labelled_ids

    def meanwhile(which: Any) -> Any:
        at.ledger.answer(5, 2)
        return labelled_ids(which)

    monkeypatch.setattr(at.ledger, "labelled_ids", meanwhile)
    assert [part.tolist() for part in at.labelled()] == [[4], [1]]


def test_what_has_an_answer_of_any_kind_is_not_unlabelled() -> None:
    at = pool(task(IDS))
    assert at.unlabelled() is at.task.pool
    at.ledger.answer(3, 1)
    at.ledger.skip(8, "unsure")
    at.ledger.hold_out([21])
    at.ledger.answer(4, 1)  # not of the pool
    ask(at, [39, 5])
    assert at.unlabelled().tolist() == [0, 2, 5, 13, 34, 39]
    assert at.candidates(1).tolist() == [0, 2, 13, 34]


def test_each_round_looks_at_a_subset_that_all_methods_share() -> None:
    at = pool(subset=6)
    order = Streams(SEED).numpy("pool subset", 2).permutation(ITEMS)
    assert at.permutation(2).tolist() == order.tolist()
    ask(at, [1, 2])
    at.ledger.answer(1, 0)
    free = [i for i in range(ITEMS) if i not in (1, 2)]
    assert at.candidates(2).tolist() == sorted([i for i in order if i in free][:6])
    assert at.candidates(3).tolist() != at.candidates(2).tolist()
    few = np.array([3, 30, 31, 39, 4, 0], dtype=np.int64)
    assert at.subset_of(few, 2) is few
    assert len(at.subset_of(np.append(few, 7), 2)) == 6
    everything = pool()
    assert everything.subset is None
    assert everything.candidates(2).tolist() == list(range(ITEMS))


def test_the_initial_set_is_uniform_from_a_stream_of_its_own() -> None:
    at = pool(task(IDS), subset=7)
    order = Streams(SEED).numpy("initial set").permutation(ITEMS)
    candidates = at.candidates(0)
    assert len(candidates) == 7
    assert at.initial(4).tolist() == [i for i in order if i in candidates][:4]


# ---------------------------------------------------------------------- what a query sees


class Recorder(Acquisition):
    """Sees what it declares and asks for the first candidates."""

    def __init__(self, needs: set[str], uses: set[str]) -> None:
        self.needs, self.uses = frozenset(needs), frozenset(uses)
        self.name = "recorder"

    def select(self, view: PoolView, n: int) -> Query:
        return Query(view.candidate_ids[:n])


def fitted(method: str = "random", **values: Any) -> Session:
    return Case(METHODS[method]).fitted(**values)


def seen(
    session: Session, needs: set[str], uses: set[str] | None = None, round: int = 1
) -> PoolView:
    recorder = Recorder(needs, uses or set())
    return look(session.trained, recorder, session.config, round)


def test_a_view_holds_what_is_declared_row_by_row() -> None:
    session = fitted("daal")
    view = seen(session, {"features"}, {"critic", "nobody has it"})
    ids, labels = session.labelled()
    assert view.labelled_ids.tolist() == ids.tolist()
    assert view.labels.tolist() == labels.tolist()
    assert view.candidate_ids.tolist() == session.candidate_ids(1).tolist()
    assert (view.round, view.num_classes, view.preset) == (1, 3, "smoke")
    assert view.network is session.training.network
    assert sorted(view._candidates) == sorted(view._labelled) == ["critic", "features", "logits"]
    for rows, of in ((view.labelled, view.labelled_ids), (view.candidates, view.candidate_ids)):
        alone = session.learner.predict(
            session.training.network, of, {"features", "logits", "critic"},
            objective=session.objective, modules=session.training.modules,
        )  # fmt: skip
        for name, value in alone.items():
            torch.testing.assert_close(rows(name), value)
    assert view.inputs is not None
    clean = session.learner.inputs.clean(session.task.train, IDS)
    assert torch.equal(view.inputs(IDS), clean)


def test_a_look_tells_how_far_it_is() -> None:
    session, calls = fitted(), []
    session.progress = lambda *facts: calls.append(facts)
    session.acquisition = Recorder({"features"}, set())
    session.view(1)
    assert calls == [("predict", 96, 96)]
    calls.clear()
    session.view(1).temperature()  # of a second training
    assert ("supervised", 6, 6) in calls


def test_only_what_is_declared_is_computed() -> None:
    session = fitted()
    view = seen(session, set(), {"critic"})
    assert view._candidates == view._labelled == {}
    view = seen(session, {"embedding"})
    assert sorted(view._candidates) == ["embedding", "logits"]
    pixels = torch.from_numpy(session.task.train.inputs.astype(np.float32).reshape(96, -1))
    spread = pixels.std(dim=0, correction=0)
    rows = (pixels - pixels.mean(dim=0)) / torch.where(spread > 0, spread, 1.0)
    torch.testing.assert_close(view.candidates("embedding"), rows[view.candidate_ids])
    torch.testing.assert_close(view.labelled("embedding"), rows[view.labelled_ids])


def test_vectors_are_seen_as_they_came() -> None:
    rng = np.random.default_rng(2)
    rows = Split(rng.standard_normal((30, 4)).astype(np.float32), np.arange(30) % 3)
    made = Task.of("v", ("a", "b", "c"), rows, rows, Augment())
    session = Case(METHODS["random"]).session(made, network={"name": "mlp"})
    session.tell({int(i): int(i) % 3 for i in session.ask(6).ids})
    session.fit()
    view = seen(session, {"inputs"})
    assert sorted(view._candidates) == ["inputs", "logits"]
    assert torch.equal(view.candidates("inputs"), torch.from_numpy(rows.inputs[view.candidate_ids]))
    assert torch.equal(view.labelled("inputs"), torch.from_numpy(rows.inputs[view.labelled_ids]))


def test_stochastic_passes_are_there_with_dropout_alone() -> None:
    assert seen(fitted(), {"logits"}).passes is None
    session = fitted(network={"dropout": 0.3})
    view = seen(session, {"mc_logits"})
    assert sorted(view._candidates) == ["logits"]
    assert view.passes is not None
    found = view.passes(IDS, 4)
    assert found.shape == (len(IDS), 4, 3)
    assert torch.equal(found, session.learner.mc_logits(session.training.network, IDS, 4, 1))


def test_what_a_session_provides_follows_network_and_data() -> None:
    plain, dropping = (Case(METHODS["random"]).config(network={"dropout": p}) for p in (0.0, 0.1))
    standard = {"features", "logits"}
    assert provided(plain, tiny_task()) == standard | {"embedding"}
    assert provided(dropping, tiny_task()) == standard | {"embedding", "mc_logits"}
    nothing = Split(np.empty((0, 8, 8, 1), np.uint8), np.empty(0, np.int64))
    bare = Task("none", ("a",), nothing, nothing, Augment(), (0.0,), (1.0,), "0")
    assert provided(plain, bare) == standard
    rows = Split(np.zeros((2, 4), np.float32), np.zeros(2, np.int64))
    vectors = Task.of("v", ("a",), rows, rows, Augment())
    assert provided(plain, vectors) == standard | {"embedding", "inputs"}


def test_a_view_tells_rounds_and_what_was_rejected() -> None:
    session = Case(METHODS["random"]).session(data={"open_set": 0.5})
    for round, ids in ((0, [9, 4, 20, 60]), (1, [30, 8, 70])):
        session.ledger.asked(round, [QueryItem(i) for i in ids])
        session.tell({i: NONE_OF_THESE if i in (4, 8) else i % 3 for i in ids})
    session.fit()
    view = seen(session, {"logits"}, round=2)
    assert {round: ids.tolist() for round, ids in view.history.items()} == {
        0: [9, 4, 20, 60], 1: [30, 8, 70],
    }  # fmt: skip
    assert view.rejected_ids.tolist() == [4, 8]
    assert view.labelled_ids.tolist() == [9, 20, 30, 60, 70]


def test_queries_are_given_back_what_they_wanted_to_remember() -> None:
    session = fitted()
    assert seen(session, set()).memory == {}
    note = session.ledger.note
    note("memory", {"ids": [4, 5], "a": [1.0, 2.0], "b": [[1.0], [2.0]]}, round=1)
    note("memory", {"ids": [7, 5], "a": [3.0, 4.0], "b": [[3.0], [4.0]]}, round=1)
    note("memory", {"ids": [5], "a": [9.0], "b": [[9.0]]}, round=2)
    note("memory", {"ids": [6], "a": [8.0], "b": [[8.0]]})
    note("other", {"ids": [1], "a": [0.0]}, round=1)
    memory = seen(session, set()).memory
    assert {round: {k: v.tolist() for k, v in rows.items()} for round, rows in memory.items()} == {
        1: {"ids": [4, 5, 7], "a": [1.0, 4.0, 3.0], "b": [[1.0], [4.0], [3.0]]},
        2: {"ids": [5], "a": [9.0], "b": [[9.0]]},
        0: {"ids": [6], "a": [8.0], "b": [[8.0]]},
    }


# ---------------------------------------------------------------------- what a query gives


def view_of(candidates: Iterable[int]) -> PoolView:
    none = np.empty(0, np.int64)
    return PoolView(
        round=1, num_classes=3, labelled_ids=none, labels=none,
        candidate_ids=np.array(list(candidates), dtype=np.int64), labelled={}, candidates={},
        streams=Streams(0),
    )  # fmt: skip


def test_a_query_of_distinct_candidates_is_taken() -> None:
    check_query(Query(np.array([9, 3], dtype=np.int64)), view_of([3, 5, 9]), 2, "mine")
    check_query(Query(np.empty(0, dtype=np.int64)), view_of([3]), 0, "mine")


@pytest.mark.parametrize(
    ("ids", "n", "said"),
    [
        ([3, 5], 3, "2 ids, 2 distinct, 2 of them candidates; 3 distinct candidates"),
        ([3, 5, 9], 2, "3 ids, 3 distinct, 3 of them candidates; 2 distinct candidates"),
        ([3, 3], 2, "2 ids, 1 distinct, 2 of them candidates; 2 distinct candidates"),
        ([3, 4], 2, "2 ids, 2 distinct, 1 of them candidates; 2 distinct candidates"),
        ([4, 6], 2, "2 ids, 2 distinct, 0 of them candidates; 2 distinct candidates"),
    ],
)
def test_any_other_query_is_refused_by_the_acquisitions_name(
    ids: list[int], n: int, said: str
) -> None:
    query = Query(np.array(ids, dtype=np.int64))
    with pytest.raises(LabelgapError, match=re.escape(f"Acquisition 'mine' returned {said}")):
        check_query(query, view_of([3, 5, 9]), n, "mine")


def test_what_is_no_query_is_refused() -> None:
    with pytest.raises(LabelgapError, match="Acquisition 'mine' returned a ndarray"):
        check_query(IDS, view_of(IDS), len(IDS), "mine")
