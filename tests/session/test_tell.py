"""What a person tells is what is stored, or nothing is and the reason is said."""

import contextlib
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from labelgap.core.errors import DataError, LabelgapError, LedgerError
from labelgap.core.types import Answer, Query, QueryItem
from labelgap.data.types import Task
from labelgap.ledger.ledger import LEDGER, Ledger
from labelgap.session.session import Session

CLASSES = ("cat", "dog", "True")
INPUTS = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
TRUTH = np.arange(20) % 3


def task() -> Task:
    return Task.from_arrays(INPUTS, TRUTH, test=(INPUTS[:6], TRUTH[:6]), classes=CLASSES)


def session(**values: Any) -> Session:
    return Session(task(), method="margin", training={"steps": 3}, **values)


GOOD = [
    (1, 1),
    (1.0, 1),
    (np.uint8(2), 2),
    (np.float32(2), 2),
    (np.array(2), 2),
    (torch.tensor(2), 2),
    (torch.tensor(1.0), 1),
    ("cat", 0),
    (" dog ", 1),
    (np.str_("dog"), 1),
    (True, 2),  # as in a column: the class of that name
]


@pytest.mark.parametrize(("given", "stored"), GOOD, ids=[repr(g[0]) for g in GOOD])
def test_a_label_in_any_clear_form_is_taken(given: Any, stored: int) -> None:
    with session() as s:
        id = int(s.ask(1).ids[0])
        s.tell({id: given})
        assert s.ledger.labels == {id: stored}


BAD = [
    (1.5, "is 1.5"),
    (float("inf"), "is inf"),
    (float("nan"), "without a label"),
    (np.float64("nan"), "without a label"),
    (None, "without a label"),
    ("", "without a label"),
    ("nan", "without a label"),
    ("cta", "'cta'.*Did you mean 'cat'"),
    ("1", "Unknown class '1'"),  # a name, and no class has it
    (False, "Unknown class 'False'"),
    (3, "Label 3"),
    (-1, "Label -1"),
    (1j, "is 1j"),
    ([1], r"is \[1\]"),
    (np.array([1, 2]), "label of item"),
    (torch.zeros(2), "label of item"),
    ({"label": 1}, "label of item"),
]


@pytest.mark.parametrize(("given", "said"), BAD, ids=[repr(g[0]) for g in BAD])
def test_what_is_no_label_is_refused_and_nothing_is_stored(given: Any, said: str) -> None:
    with session() as s:
        first, second = s.ask(2).ids.tolist()
        seq = s.ledger.seq
        with pytest.raises(LabelgapError, match=said):
            s.tell({first: 0, second: given})
        assert s.ledger.seq == seq


def test_pairs_queries_and_scalars_as_ids_are_taken() -> None:
    with session() as s:
        query = s.ask(8)
        ids = query.ids.tolist()
        s.tell([(ids[0], 1), [np.int32(ids[1]), "dog"]])
        s.tell({float(ids[2]): 2, torch.tensor(ids[3]): 0})
        s.tell(zip(query.ids[4:6], [1, 1], strict=True))
        s.tell(Query(query.ids[6:]), torch.tensor([2, 0]))
        wanted = dict(zip(ids, [1, 1, 2, 0, 1, 1, 2, 0], strict=True))
        assert s.ledger.labels == wanted
        s.tell(query, TRUTH[query.ids])
        assert s.ledger.labels == dict(zip(ids, TRUTH[query.ids].tolist(), strict=True))
        s.tell({})
        s.tell([])


FORMS = [
    (lambda q: (q,), "without labels"),
    (lambda q: (q.ids,), "ndarray was told"),
    (lambda q: (torch.tensor([1, 2]),), "Tensor was told"),
    (lambda q: (None,), "None was told"),
    (lambda q: (3,), "3 was told"),
    (lambda q: ("cat",), "'cat' was told"),
    (lambda q: (Answer(0, 1),), "Answer"),
    (lambda q: ([1, 2],), "no pair"),
    (lambda q: ([(1, 2, 3)],), "no pair"),
    (lambda q: (["ab"],), "no pair"),
    (lambda q: (q, [1]), "4 ids and 1 label"),
    (lambda q: (q, 1), "labels are 1"),
    (lambda q: (q, "abcd"), "labels are 'abcd'"),
    (lambda q: (q, np.array(1)), "labels are"),
    (lambda q: ({0: 1}, [1]), "ids are"),
    (lambda q: ({"3": 1},), "id '3'"),
    (lambda q: ({None: 1},), "id None"),
    (lambda q: ({True: 1},), "id True"),
    (lambda q: ({1.5: 1},), "id 1.5"),
    (lambda q: ([(int(q.ids[0]), 0), (int(q.ids[0]), 1)],), "told twice, as 0 and as 1"),
]


@pytest.mark.parametrize(("call", "said"), FORMS, ids=[f[1] for f in FORMS])
def test_calls_of_another_form_are_refused_with_the_forms_there_are(call: Any, said: str) -> None:
    with session() as s:
        query = s.ask(4)
        seq = s.ledger.seq
        with pytest.raises(DataError, match=said):
            s.tell(*call(query))
        assert s.ledger.seq == seq


def test_a_history_of_answers_is_taken_in_its_order() -> None:
    with session() as s:
        one, two = s.ask(2).ids.tolist()
        s.tell([Answer(one, 0), Answer(one, 1), Answer(two, None, "unsure")])
        assert s.ledger.labels == {one: 1}
        assert s.ledger.skipped == {two: "unsure"}


def test_ids_that_were_never_asked_need_a_word_and_those_outside_the_pool_are_refused() -> None:
    pool = np.arange(15)
    data = Task.from_arrays(INPUTS, TRUTH, classes=CLASSES, pool=pool)
    with Session(data, method="margin") as s:
        asked = s.ask(3).ids.tolist()
        free = [i for i in pool.tolist() if i not in asked]
        seq = s.ledger.seq
        with pytest.raises(LedgerError, match=f"2 ids that were never asked: {free[0]}, {free[1]}"):
            s.tell({asked[0]: 1, free[0]: 1, free[1]: 2})
        for id in (17, 20, 10**7, -3, 2**70):
            for allowed in (False, True):
                with pytest.raises(LedgerError, match=f"1 id that is not in the pool.*: {id}"):
                    s.tell({asked[0]: 1, id: 1}, allow_unasked=allowed)
        with pytest.raises(LedgerError, match=r"500 ids.*: 100, .*119, … \(500 in all\)"):
            s.tell({id: 1 for id in range(100, 600)})
        with pytest.raises(LedgerError, match="not in the pool"):
            s.start_with(np.array([99_999]))
        assert s.ledger.seq == seq
        s.tell({free[0]: 1}, allow_unasked=True)
        assert s.ledger.labels == {free[0]: 1}


BY_HAND = """
import numpy as np
import labelgap
from labelgap.core.types import Answer

x, y = np.zeros((20, 3), np.float32), np.arange(20) % 3
task = labelgap.Task.from_arrays(x, y, classes=("cat", "dog", "fox"))
session = labelgap.Session(task, method="margin")
ids = session.ask(5).ids.tolist()
session.tell([Answer(ids[0], "dog"), Answer(float(ids[1]), np.float32(2))])
assert session.ledger.labels == {ids[0]: 1, ids[1]: 2}
for call in (
    *(lambda n=n: session.ask(n) for n in (True, 2.5, "5", None, 0, -1, np.array([1, 2]))),
    lambda: session.tell([Answer(ids[2], 1.5)]),
    lambda: session.tell([Answer("3", 1)]),
    lambda: session.ledger.answer(ids[2], "cat"),
    lambda: session.ledger.answer(ids[2], 1.5),
    lambda: session.ledger.answer(1.5, 1),
    lambda: labelgap.load(None),
    lambda: labelgap.load(3),
    lambda: labelgap.load(x),
    lambda: labelgap.Session(task, method=labelgap.Session),
    lambda: labelgap.Session(task, method=None, objective_name=3, acquisition_name="random"),
    lambda: labelgap.Session(task, "margin"),
    lambda: labelgap.Session("digits"),
    lambda: labelgap.Session(x),
    lambda: labelgap.Session(None),
    lambda: labelgap.Session(task, extend=True),
):
    try:
        call()
    except labelgap.LabelgapError as error:
        print(error)
    else:
        raise AssertionError("taken")
assert session.ledger.labels == {ids[0]: 1, ids[1]: 2}
"""


def test_wrong_calls_of_a_notebook_end_in_a_cause_and_a_cure() -> None:
    """In a process of its own: here types are checked before the code can say anything."""
    done = subprocess.run([sys.executable, "-c", BY_HAND], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for said in ("'5' items asked for", "loaded by its name", "by its name", "load('digits')"):
        assert said in done.stdout


def test_a_class_named_twice_is_refused() -> None:
    for names in (["a", "b", "a"], ["\u00e9", "e\u0301", "c"], ["a", " a", "c"]):
        with pytest.raises(DataError, match="twice"):
            Task.from_arrays(INPUTS, TRUTH, classes=names)
    one = task()
    with pytest.raises(DataError, match="'a' twice"):
        Task.of("mine", ("a", "b", "a"), one.train, one.test, one.augment)


# ------------------------------------------------------------- a ledger from before this check


def stored_by_an_older_version(ledger: Path) -> None:
    """A label, a question and a held-out mark of ids that no item has, written as they were."""
    with sqlite3.connect(ledger) as database:
        for kind, id, label, data in (
            ("labelled", 99_999, 1, None),
            ("asked", 77_777, None, '{"rank": 1, "score": null, "parts": {}}'),
            ("held-out", 88_888, None, None),
            ("skipped", 66_666, None, '{"reason": "skip"}'),
        ):
            database.execute(
                "INSERT INTO events (time, kind, id, round, person, label, data)"
                " VALUES ('2026-01-01T00:00:00+00:00', ?, ?, 0, '', ?, ?)",
                (kind, id, label, data),
            )
    database.close()


def test_a_folder_with_ids_of_no_item_says_so_and_is_repaired_by_an_event(tmp_path: Path) -> None:
    folder = tmp_path / "s"
    with session(folder=folder) as s:
        query = s.ask(6)
        s.tell(query, TRUTH[query.ids])
        labels = s.ledger.labels
    stored_by_an_older_version(folder / LEDGER)
    told = r"4 ids of no item.*66666, 77777, 88888, 99999.*set_aside_unknown"
    with pytest.warns(UserWarning, match=told):
        opened = session(folder=folder)
    with opened as s:
        for use in (s.fit, lambda: s.ask(3), s.labelled):
            with pytest.raises(LedgerError, match=told):
                use()
        before = [event.as_dict() for event in s.ledger.events()]
        assert s.set_aside_unknown() == [66_666, 77_777, 88_888, 99_999]
        assert s.set_aside_unknown() == []
        after = [event.as_dict() for event in s.ledger.events()]
        assert after[: len(before)] == before  # nothing is deleted
        assert [e["kind"] for e in after[len(before) :]] == ["set-aside"] * 4
        s.fit()
    with session(folder=folder) as s:  # and no warning any more
        assert s.ledger.labels == labels
        assert len(s.ask(3)) == 3
        assert 0 <= s.evaluate().accuracy <= 1


def test_what_is_set_aside_can_be_asked_and_answered_anew() -> None:
    with Ledger.open() as ledger:
        ledger.set_classes(3)
        ledger.answer(5, 1, person="anna")
        ledger.answer(5, 2, person="ben")
        ledger.hold_out([5])
        ledger.set_aside([5, 6], "a test")
        assert (ledger.labels, ledger.held_out, ledger.conflicts()) == ({}, frozenset(), {})
        with pytest.raises(LedgerError, match="undone"):
            ledger.undo(5, person="anna")
        event = ledger.answer(5, 0, person="anna")
        assert event.kind == "labelled"
        assert ledger.labels == {5: 0}
        assert ledger.labelled_ids().tolist() == [5]


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "answer", "skip", "hold", "undo", "aside"]),
        st.integers(0, 3),
        st.integers(0, 2),
        st.sampled_from(["anna", "ben"]),
    ),
    max_size=25,
)


def replayed(events: list[tuple[str, int, int, str]]) -> tuple[Any, ...]:
    """What stands after the events; those that are refused are left out."""
    with Ledger.open() as ledger:
        ledger.set_classes(3)
        for kind, id, label, person in events:
            with contextlib.suppress(LedgerError):
                if kind == "ask":
                    ledger.asked(0, [QueryItem(id)])
                elif kind == "answer":
                    ledger.answer(id, label, person=person)
                elif kind == "skip":
                    ledger.skip(id, person=person)
                elif kind == "hold":
                    ledger.hold_out([id])
                elif kind == "undo":
                    ledger.undo(id, person=person)
                else:
                    ledger.set_aside([id], "a test")
        late = set(ledger.held_out_late()) if ledger.held_out else set()
        return (
            ledger.labels,
            ledger.skipped,
            ledger.held_out,
            sorted(ledger.outstanding_ids().tolist()),
            sorted(ledger.asked_ids().tolist()),
            {id: ledger.opinions(id) for id in range(4)},
            sorted(ledger.conflicts()),
            late <= ledger.held_out,
        )


@given(EVENTS)
def test_an_item_set_aside_stands_as_if_nothing_had_been_before(events: Any) -> None:
    last = {id: i for i, (kind, id, _, _) in enumerate(events) if kind == "aside"}
    later = [event for i, event in enumerate(events) if i > last.get(event[1], -1)]
    assert replayed(events) == replayed(later)
