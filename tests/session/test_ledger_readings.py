"""What is read from a ledger: copies, orders, bounds, and events that are put down as they came."""

import json
import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labelgap.core.errors import LedgerError, StorageError, UnknownName
from labelgap.core.types import Answer, QueryItem
from labelgap.ledger.events import encode, finite, whole
from labelgap.ledger.leases import Leases
from labelgap.ledger.ledger import Ledger


def begun(classes: int = 10, **options: Any) -> Ledger:
    ledger = Ledger.open()
    ledger.set_classes(classes, **options)
    return ledger


def items(*ids: int) -> list[QueryItem]:
    return [QueryItem(id) for id in ids]


def ids_of(found: list[QueryItem]) -> list[int]:
    return [item.id for item in found]


# ---------------------------------------------------------------------- values


def test_ids_are_whole_from_0_up_to_62_bits() -> None:
    largest = (1 << 62) - 1
    assert [whole(n, "item id") for n in (0, 1, largest)] == [0, 1, largest]
    for n in (-1, largest + 1, 1 << 63):
        with pytest.raises(LedgerError, match=f"The item id {n} is out of range"):
            whole(n, "item id")
    with begun() as ledger:
        ledger.answer(largest, 3)
        assert ledger.labels == {largest: 3}
        with pytest.raises(LedgerError, match="round -1 is out of range"):
            ledger.answer(1, 1, round=-1)
        with pytest.raises(LedgerError, match="round -1 is out of range"):
            ledger.asked(-1, items(5))


@pytest.mark.parametrize(
    "write",
    [
        lambda ledger: ledger.asked(0, items(-3)),
        lambda ledger: ledger.answer(-3, 1),
        lambda ledger: ledger.answers({-3: 1}),
        lambda ledger: ledger.skip(-3),
        lambda ledger: ledger.undo(-3),
        lambda ledger: ledger.hold_out([-3]),
        lambda ledger: ledger.set_aside([-3], "no item"),
    ],
)
def test_an_id_below_0_is_named_as_one(write: Callable[[Ledger], object]) -> None:
    with begun() as ledger:
        with pytest.raises(LedgerError, match="The item id -3 is out of range"):
            write(ledger)
        assert ledger.seq == 1


def test_a_label_or_an_id_that_is_no_whole_number_is_shown() -> None:
    half = np.array(0.5)  # which says that it can be an index, and cannot
    with begun() as ledger:
        with pytest.raises(LedgerError, match=r"The label of item 3 is array\(0\.5\)") as caught:
            ledger.answer(3, half)
        assert caught.value.cure == "Give a whole number."
        with pytest.raises(LedgerError, match=r"The item id is array\(0\.5\)"):
            ledger.skip(half)
        assert ledger.seq == 1


def test_a_score_is_a_float_and_finite_or_absent() -> None:
    assert finite(None, "score", 3) is None
    found = finite(np.float64(0.5), "score", 3)
    assert type(found) is float
    assert found == 0.5
    with pytest.raises(LedgerError, match="The score of item 3 is inf"):
        finite(math.inf, "score", 3)


def test_a_kind_that_is_no_text_is_named() -> None:
    with begun() as ledger, pytest.raises(LedgerError, match=r"The kind .* is not valid text"):
        ledger.note("\ud800", {})


def test_what_is_no_json_is_refused() -> None:
    assert json.loads(encode({"a": [1, "ü"]})) == {"a": [1, "ü"]}
    for value in (math.nan, {1, 2}):
        with pytest.raises(LedgerError, match="cannot be stored as JSON"):
            encode({"a": value})


@pytest.mark.parametrize(
    "kind",
    ["labelled", "corrected", "skipped", "asked", "undone", "held-out", "set-aside", "classes"],
)
def test_a_note_has_no_kind_of_the_ledgers_own(kind: str) -> None:
    with begun() as ledger:
        seq = ledger.seq
        with pytest.raises(LedgerError, match=f"The kind '{kind}' is the ledger's own"):
            ledger.note(kind, {})
        assert ledger.seq == seq


@pytest.mark.parametrize(
    ("what", "arguments"),
    [("request id", {"request": "\ud800"}), ("person", {"person": "\ud800"})],
)
def test_text_that_is_none_is_named_by_what_it_is(what: str, arguments: dict[str, str]) -> None:
    with begun() as ledger:
        for write in (
            lambda: ledger.answer(1, 1, **arguments),
            lambda: ledger.skip(1, **arguments),
            lambda: ledger.undo(1, **arguments),
            lambda: ledger.note("fit", {}, **arguments),
        ):
            with pytest.raises(LedgerError, match=f"The {what} .* is not valid text"):
                write()
        assert ledger.seq == 1


@pytest.mark.parametrize("reason", ["skip", "unsure", "bad image"])
def test_each_reason_to_skip_is_known(reason: str) -> None:
    with begun() as ledger:
        ledger.skip(4, reason)
        assert ledger.skipped == {4: reason}
        assert ledger.opinions(4) == {"": reason}
        with pytest.raises(UnknownName, match=reason):
            ledger.skip(4, f"{reason}s")


# ---------------------------------------------------------------------- classes


def test_one_class_is_enough_and_its_bounds_hold() -> None:
    with begun(1) as ledger:
        ledger.answer(0, 0)
        with pytest.raises(LedgerError, match="Label 1 of item 7 is not one of 0 … 0"):
            ledger.answer(7, 1)
        assert ledger.labels == {0: 0}
    with begun(2, none_of_these=True) as ledger:
        with pytest.raises(LedgerError, match="Label -2 of item 7 is not one of -1 … 1"):
            ledger.answer(7, -2)
        ledger.answers({1: -1, 2: 1})
        assert ledger.labels == {1: -1, 2: 1}


def test_names_may_come_later_once_and_then_more_of_them() -> None:
    with Ledger.open() as ledger:
        with pytest.raises(LedgerError, match="does not know its classes by name"):
            ledger.change_classes("add", ["a"])
        ledger.set_classes(2)
        with pytest.raises(LedgerError, match="does not know its classes by name"):
            ledger.change_classes("add", ["a"])
        with pytest.raises(LedgerError, match="are fixed"):  # names do not carry another change
            ledger.set_classes(2, none_of_these=True, names=["a", "b"])
        ledger.set_classes(2, names=("a", "b"))
        seq = ledger.seq
        ledger.set_classes(2, names=["a", "b"])
        ledger.set_classes(2)
        assert ledger.seq == seq
        ledger.change_classes("add", ["c", "d"])
        assert ledger.classes == {
            "num_classes": 4, "none_of_these": False, "names": ["a", "b", "c", "d"],
        }  # fmt: skip
        with pytest.raises(LedgerError, match="are fixed"):
            ledger.set_classes(2)


# ---------------------------------------------------------------------- events as they came


def test_every_event_is_put_down_whole() -> None:
    when = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    with begun() as ledger:
        ledger._now = lambda: when
        item = QueryItem(8, score=2.0, parts={"gap": 1.0}, pseudo_label=3, explanation="far")
        (asked,) = ledger.asked(4, [item])
        assert (asked.round, asked.rank, asked.id, asked.score) == (4, 1, 8, 2)
        answered = ledger.answer(8, 5, person="anna", request="a")
        skipped = ledger.skip(9, "unsure", person="bert", request="s")
        undone = ledger.undo(9, person="bert", request="u")
        noted = ledger.note("fit", {"x": (1, 2)}, round=4, person="cleo", request="n")
        ledger.hold_out([8])
        found = list(ledger.events())[1:]
    time = "2026-01-02T03:04:05.000678+00:00"
    data = {
        "rank": 1, "score": 2.0, "parts": {"gap": 1.0}, "pseudo_label": 3, "explanation": "far",
    }  # fmt: skip
    rows = [
        (2, time, "asked", 8, 4, "", None, None, data),
        (3, time, "labelled", 8, 4, "anna", 5, "a", {}),
        (4, time, "skipped", 9, 4, "bert", None, "s", {"reason": "unsure"}),
        (5, time, "undone", 9, 4, "bert", None, "u", {"undoes": 4}),
        (6, time, "fit", None, 4, "cleo", None, "n", {"x": [1, 2]}),
        (7, time, "held-out", 8, 4, "", None, None, {}),
    ]
    assert [tuple(event.as_dict().values()) for event in found] == rows
    assert [answered, skipped, undone, noted] == found[1:5]


def test_the_round_of_an_answer_is_that_of_its_item() -> None:
    with begun() as ledger:
        assert ledger.answer(50, 1).round == 0  # before any query
        ledger.hold_out([70])
        assert list(ledger.events())[-1].round == 0
        ledger.asked(2, items(1))
        ledger.asked(5, items(2))
        assert ledger.answer(1, 1).round == 2
        assert ledger.answer(51, 1).round == 5
        assert ledger.skip(52).round == 5
        assert ledger.answer(52, 1).round == 5
        assert ledger.labelled_ids().tolist() == [50, 1, 51, 52]
        assert ledger.answer(1, 2, round=7).round == 7
        assert ledger.labelled_in_round(2).tolist() == [1]
        assert ledger.undo(1).round == 7
        assert ledger.answer(50, 2).round == 0
        assert [e.round for e in ledger.answers({60: 1, 61: 1}, round=3)] == [3, 3]
        assert ledger.skip(62, round=1).round == 1


def test_many_answers_are_by_one_person_each_with_a_request_of_its_own() -> None:
    with begun() as ledger:
        events = ledger.answers({4: 1, 7: 2}, person="anna", request="r")
        assert [(e.id, e.label, e.person, e.request) for e in events] == [
            (4, 1, "anna", "r#4"), (7, 2, "anna", "r#7"),
        ]  # fmt: skip
        assert [e.request for e in ledger.answers({8: 1})] == [None]


def test_told_answers_are_labels_and_skips_with_person_and_request() -> None:
    with begun() as ledger:
        told = [
            Answer(1, 4, person="anna", request="a"),
            Answer(2, None, "unsure", person="bert", request="b"),
            Answer(3, None),
            Answer(4, 0),
        ]
        events = ledger.tell(iter(told))
        assert [(e.kind, e.id, e.label, e.person, e.request, e.data) for e in events] == [
            ("labelled", 1, 4, "anna", "a", {}),
            ("skipped", 2, None, "bert", "b", {"reason": "unsure"}),
            ("skipped", 3, None, "", None, {"reason": "skip"}),
            ("labelled", 4, 0, "", None, {}),
        ]
        assert ledger.tell(told[:2]) == events[:2]


def test_a_retry_must_be_the_same_in_all_that_it_says() -> None:
    with begun() as ledger:
        ledger.skip(1, "unsure", person="anna", request="s")
        ledger.answer(2, 3, person="anna", request="a")
        ledger.undo(2, person="anna", request="u")
        ledger.note("fit", {}, round=1, request="n")
        seq = ledger.seq
        others = {
            "id": lambda: ledger.skip(9, "unsure", person="anna", request="s"),
            "person": lambda: ledger.skip(1, "unsure", person="bert", request="s"),
            "data": lambda: ledger.skip(1, "skip", person="anna", request="s"),
            "label": lambda: ledger.answer(2, 4, person="anna", request="a"),
            "kind 'labelled'": lambda: ledger.skip(2, "skip", person="anna", request="a"),
            "kind 'skipped'": lambda: ledger.answer(1, 3, person="anna", request="s"),
            "kind 'undone'": lambda: ledger.note("fit", {}, round=1, request="u"),
            "round": lambda: ledger.note("fit", {}, round=2, request="n"),
        }
        for name, other in others.items():
            with pytest.raises(LedgerError, match=f"with {name}.* and now comes with"):
                other()
        with pytest.raises(LedgerError, match="with person 'anna'"):
            ledger.undo(2, person="bert", request="u")
        with pytest.raises(LedgerError, match="with id 2"):
            ledger.undo(1, person="anna", request="u")
        assert ledger.undo(person="anna", request="u").seq == 4
        assert ledger.seq == seq


def test_an_undo_takes_back_ones_own_last_answer() -> None:
    with begun() as ledger:
        ledger.answer(1, 1, person="anna")
        ledger.answer(1, 2, person="anna")
        last = ledger.answer(1, 3, person="bert")
        noted = ledger.note("fit", {}, person="anna")
        with pytest.raises(LedgerError, match=f"Event {noted.seq} cannot be undone"):
            ledger.undo(seq=noted.seq)
        assert ledger.undo(person="anna").data == {"undoes": last.seq - 1}
        assert ledger.opinions(1) == {"anna": 1, "bert": 3}
        assert ledger.undo(1, seq=last.seq).data == {"undoes": last.seq}
        assert ledger.opinions(1) == {"anna": 1}
        assert ledger.labels == {1: 1}
        assert ledger.opinions(np.int64(2)) == {}
    with Ledger.open() as ledger:  # an event of any number may be another's
        ledger.skip(1, person="bert")
        with pytest.raises(LedgerError, match="An answer about item 1 by 'anna' cannot be undone"):
            ledger.undo(1, person="anna")


# ---------------------------------------------------------------------- readings


def test_what_is_handed_out_changes_nothing_inside() -> None:
    with begun(names=[str(k) for k in range(10)]) as ledger:
        ledger.answer(1, 1)
        ledger.skip(2)
        assert ledger.classes is not None
        for handed in (ledger.labels, ledger.skipped, ledger.classes):
            handed.clear()  # type: ignore[attr-defined]
        ledger.opinions(1).clear()
        assert ledger.labels == {1: 1}
        assert ledger.skipped == {2: "skip"}
        assert ledger.classes["num_classes"] == 10
        assert ledger.opinions(1) == {"": 1}


def test_a_round_has_all_that_was_answered_in_it_also_what_no_training_sees() -> None:
    with begun(none_of_these=True) as ledger:
        ledger.answer(8, 1)
        assert ledger.labelled_ids().tolist() == [8]  # the first reading of all
        ledger.asked(1, items(5, 3, 4))
        ledger.hold_out([3])
        ledger.answers({4: 2, 3: 1, 5: -1})
        assert ledger.labelled_in_round(1).tolist() == [5, 3, 4]
        assert ledger.labelled_in_round(0).tolist() == [8]
        assert ledger.labelled_in_round(2).tolist() == []


def test_the_order_of_training_follows_every_change() -> None:
    with begun() as ledger:
        assert ledger.labelled_ids().tolist() == []
        ledger.answer(8, 1, round=3)
        assert ledger.labelled_ids().tolist() == [8]  # after a single event about an item
        ledger.undo(8)
        ledger.asked(0, items(5, 3, 4))
        ledger.answers({3: 1, 4: 2})
        assert ledger.labelled_ids().tolist() == [3, 4]
        ledger.answer(5, 0)
        assert ledger.labelled_ids().tolist() == [5, 3, 4]
        ledger.undo(3)
        assert ledger.labelled_ids().tolist() == [5, 4]
        ledger.hold_out([4])
        assert ledger.labelled_ids().tolist() == [5]
        assert ledger.labelled_ids("held-out").tolist() == [4]
        assert ledger.labelled_ids("all").tolist() == [5, 4]
        for which in ("train", "held-out", "all"):
            assert ledger.labelled_ids(which).dtype == np.int64  # type: ignore[arg-type]
    with begun() as empty:
        assert empty.labelled_ids().dtype == empty.labelled_in_round(0).dtype == np.int64
        assert empty.outstanding_ids().dtype == empty.asked_ids().dtype == np.int64


def test_labels_that_came_before_the_mark_are_told() -> None:
    with begun() as ledger:
        assert ledger.held_out_late() == {}
        first = ledger.answer(1, 1).seq
        ledger.answer(1, 2)
        ledger.hold_out([2])
        ledger.answer(2, 1)
        assert ledger.held_out_late() == {}
        ledger.skip(3)  # a skip teaches nothing
        undone = ledger.answer(4, 1).seq
        ledger.undo(4)
        ledger.hold_out([1, 3, 4])
        assert ledger.held_out_late() == {1: (first, ledger.seq - 2), 4: (undone, ledger.seq)}


def test_the_history_is_of_answers_the_latest_first_ten_unless_told() -> None:
    with begun() as ledger:
        ledger.asked(0, items(*range(12)))
        for id in range(12):
            ledger.answer(id, 0, person="anna" if id % 2 else "bert")
        ledger.note("fit", {})
        ledger.hold_out([5])
        ledger.undo(11, person="anna")
        ledger.skip(11, person="anna")
        assert [e.id for e in ledger.history()] == [11, 11, 11, 10, 9, 8, 7, 6, 5, 4]
        assert [e.kind for e in ledger.history(4)] == ["skipped", "undone", "labelled", "labelled"]
        assert [e.id for e in ledger.history(3, person="bert")] == [10, 8, 6]
        assert [e.seq for e in ledger.history(id=np.int64(4))] == [18]
        assert ledger.history(person="bert", id=5) == []
        assert [e.id for e in ledger.history(person="anna", id=5)] == [5]


def test_notes_are_of_their_kind_the_oldest_first() -> None:
    with begun() as ledger:
        seqs = [ledger.note(kind, {}).seq for kind in ("fit", "other", "fit")]
        ledger.answer(1, 1)
        assert [e.seq for e in ledger.notes("fit")] == [seqs[0], seqs[2]]
        assert ledger.notes("labelled") == []  # which are no notes


def test_events_come_in_order_from_where_one_left_off() -> None:
    with begun() as ledger:
        ledger.answers({id: 0 for id in range(4)})
        assert [e.seq for e in ledger.events()] == [1, 2, 3, 4, 5]
        assert [e.seq for e in ledger.events(3)] == [4, 5]
        assert [e.seq for e in ledger.events(-7)] == [1, 2, 3, 4, 5]
        assert list(ledger.events(5)) == list(ledger.events(9)) == []
        started = ledger.events(4)
        assert next(started).seq == 5
        ledger.answer(9, 1)
        assert list(started) == []  # up to the latest one at the time of the call
    with Ledger.open() as empty:
        assert list(empty.events(-1)) == []


def test_more_events_than_one_read_takes_come_each_once() -> None:
    with begun() as ledger:
        ledger.answers({id: 0 for id in range(5100)})
        assert [e.seq for e in ledger.events()] == list(range(1, 5102))


def test_conflicts_are_told_in_the_order_of_items_and_answers() -> None:
    with begun() as ledger:
        for id in (9, 2):
            ledger.answer(id, 1, person="bert")
            ledger.answer(id, 2, person="anna")
            ledger.answer(id, 3, person="bert")
        ledger.skip(4, "bad image", person="anna")
        ledger.skip(4, "unsure", person="bert")
        ledger.answer(5, 1, person="anna")
        ledger.answer(5, 1, person="bert")
        found = ledger.conflicts()
        assert [(id, [(e.person, e.label) for e in events]) for id, events in found.items()] == [
            (2, [("anna", 2), ("bert", 3)]), (9, [("anna", 2), ("bert", 3)]),
        ]  # fmt: skip
        ledger.answer(4, 1, person="bert")
        assert list(ledger.conflicts()) == [2, 4, 9]


# ---------------------------------------------------------------------- leases


def test_a_lease_lasts_as_long_as_it_was_given_for_ten_minutes_unless_told() -> None:
    now = [1000.0]
    with begun() as ledger:
        ledger._leases.monotonic = lambda: now[0]
        ledger.asked(0, items(3, 1, 2))
        assert ids_of(ledger.lease(2, "anna")) == [3, 1]
        now[0] += 599.0
        assert ids_of(ledger.lease(9, "bert", 1)) == [2]
        assert ledger.outstanding_ids("bert").tolist() == [2]
        assert ledger.outstanding_ids("anna").tolist() == [3, 1]
        assert ledger.outstanding_ids("cleo").tolist() == []
        assert ledger.outstanding_ids().tolist() == [3, 1, 2]
        assert ids_of(ledger.outstanding("anna", 1)) == [3]
        now[0] += 1.0
        assert ledger.outstanding_ids("cleo").tolist() == [3, 1, 2]


def test_what_one_has_on_lease_comes_in_its_rank_however_it_was_taken() -> None:
    now = [0.0]
    with begun() as ledger:
        ledger._leases.monotonic = lambda: now[0]
        ledger.asked(0, items(9, 8, 7, 6))
        ledger.lease(2, "bert", 5)
        assert ids_of(ledger.lease(1, "anna", 50)) == [7]
        now[0] = 10.0
        assert sorted(ids_of(ledger.lease(3, "anna", 50))) == [7, 8, 9]
        assert ids_of(ledger.lease(3, "anna", 50)) == [9, 8, 7]
        assert ids_of(ledger.lease(3, "anna", 50)) == ids_of(ledger.lease(4, "anna"))[:3]


def test_a_lease_is_renewed_for_what_is_taken_again_alone() -> None:
    now = [0.0]
    with begun() as ledger:
        ledger._leases.monotonic = lambda: now[0]
        ledger.asked(0, items(3, 1, 2))
        ledger.lease(2, "anna", 10)
        now[0] = 8.0
        assert ids_of(ledger.lease(1, "anna", 10)) == [3]
        now[0] = 12.0
        assert ids_of(ledger.lease(3, "bert", 10)) == [1, 2]


def test_leases_forget_what_is_over_or_answered() -> None:
    leases = Leases()
    leases.monotonic = lambda: 5.0
    leases.take([1, 2, 3], "anna", 1)
    leases.take([3], "bert", 2)
    assert leases.holders({1, 3, 4}) == {1: "anna", 3: "bert"}
    assert leases.holders({1, 2, 3}) == {1: "anna", 3: "bert"}  # 2 was answered meanwhile
    leases.monotonic = lambda: 6.0
    assert leases.holders({1, 2, 3}) == {3: "bert"}
    leases.monotonic = lambda: 7.0
    assert leases.holders({1, 2, 3}) == {}


# ---------------------------------------------------------------------- several at one file


def test_two_writers_without_the_lock_read_each_others_events(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path, lock=False) as one, Ledger.open(path, lock=False) as two:
        one.set_classes(10)
        two.asked(0, items(4, 6))
        assert one.outstanding_ids().tolist() == [4, 6]
        assert ids_of(one.queries(0)) == [4, 6]
        one.answer(4, 2)
        assert two.labelled_ids().tolist() == [4]
        assert two.undo(4).kind == "undone"
        assert one.labels == {}
        assert one.seq == two.seq == 5


def test_a_read_only_ledger_says_so_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    Ledger.open(path).close()
    with (
        Ledger.open(path, read_only=True) as reader,
        pytest.raises(StorageError, match=rf"{path} is open read-only"),
    ):
        reader.note("fit", {})
    memory = Ledger.open()
    memory.close()
    with pytest.raises(StorageError, match=":memory: is closed"):
        memory.note("fit", {})


def test_a_database_that_fails_is_told_by_what_was_tried() -> None:
    ledger = begun()
    assert ledger._database is not None
    ledger._database.close()  # as a disk that is gone
    with pytest.raises(StorageError, match="The ledger in memory could not be read: "):
        ledger.queries(0)
    with pytest.raises(StorageError, match="The ledger in memory could not be written: "):
        ledger.answer(1, 1)


def test_times_are_in_universal_time() -> None:
    with begun() as ledger:
        ledger._now = lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
        assert ledger.answer(1, 1).time == "2026-01-02T03:04:05.000000+00:00"  # all of one length
    with begun() as ledger:
        then = datetime.fromisoformat(ledger.answer(1, 1).time)
    assert then.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - then) < timedelta(minutes=5)


# ---------------------------------------------------------------------- set aside


def test_what_is_set_aside_is_in_no_standing_and_may_come_again(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path) as ledger:
        ledger.set_classes(10)
        ledger.asked(2, items(1, 2, 3, 4))
        ledger.answer(1, 5, person="anna")
        ledger.answer(1, 6, person="bert")
        ledger.skip(2)
        ledger.hold_out([3, 90])
        ledger.answer(70, 1)
        assert ledger.beyond(4) == [4, 70, 90]
        assert ledger.beyond(70) == [70, 90]
        assert ledger.beyond(91) == []
        seq = ledger.seq
        ledger.set_aside([2, 1, 3, 90, 3, 55], "no such items")
        events = list(ledger.events(seq))
        assert [(e.kind, e.id, e.round, e.person, e.data) for e in events] == [
            ("set-aside", id, 2, "", {"reason": "no such items"}) for id in (2, 1, 3, 90)
        ]
    with Ledger.open(path) as ledger:
        assert (ledger.labels, ledger.skipped, ledger.held_out) == ({70: 1}, {}, frozenset())
        assert ledger.outstanding_ids().tolist() == [4]
        assert ledger.asked_ids().tolist() == [4]
        assert ledger.labelled_ids("all").tolist() == [70]
        assert ledger.conflicts() == {}
        assert ledger.opinions(1) == {}
        assert ledger.beyond(0) == [4, 70]
        ledger.set_aside([1], "again")  # which is not known any more
        assert ledger.seq == seq + 4
        with pytest.raises(LedgerError, match="cannot be undone"):
            ledger.undo(1, person="anna")
        (item,) = ledger.asked(2, items(1))
        assert item.rank == 5
        assert ledger.answer(1, 7).kind == "labelled"
        assert ledger.labels == {70: 1, 1: 7}
    with begun() as ledger:
        ledger.hold_out([3])
        ledger.set_aside([3], "before any round")
        assert list(ledger.events())[-1].round == 0


def test_late_marks_are_of_what_is_still_held_out() -> None:
    with begun() as ledger:
        first, second = ledger.answer(1, 1).seq, ledger.answer(2, 1).seq
        ledger.hold_out([1, 2])
        assert ledger.held_out_late() == {1: (first, 4), 2: (second, 5)}
        ledger.set_aside([1], "no such item")
        assert ledger.held_out_late() == {2: (second, 5)}
