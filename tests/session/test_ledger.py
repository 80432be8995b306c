"""The ledger's contract: what is stored, what is refused, what the events add up to."""

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from labelgap.core.errors import LedgerError, StorageError, UnknownName
from labelgap.core.types import NONE_OF_THESE, QueryItem
from labelgap.ledger.ledger import Ledger


@pytest.fixture
def ledger():
    with Ledger.open() as opened:
        opened.set_classes(10)
        yield opened


def items(*ids):
    return [QueryItem(id) for id in ids]


def test_query_comes_back_with_its_reasons_in_rank_order(ledger):
    asked = [
        QueryItem(30, 1.5, {"gap": 1.0, "critic": 0.5}, 3, "unlike what is labelled"),
        QueryItem(10, -0.25, {"gap": -0.25}, None, ""),
        QueryItem(20),
    ]
    ledger.asked(0, asked)
    found = ledger.queries(0)
    assert [(i.rank, i.round) for i in found] == [(1, 0), (2, 0), (3, 0)]
    assert [(i.id, i.score, dict(i.parts), i.pseudo_label, i.explanation) for i in found] == [
        (i.id, i.score, dict(i.parts), i.pseudo_label, i.explanation) for i in asked
    ]
    assert ledger.outstanding() == found
    assert ledger.outstanding(limit=2) == found[:2]
    ledger.asked(0, items(5))
    assert [(i.id, i.rank) for i in ledger.queries(0)][-1] == (5, 4)
    assert ledger.queries(7) == []
    assert ledger.asked_ids().tolist() == [30, 10, 20, 5]


def test_the_prediction_comes_with_its_probability_and_older_ledgers_without(ledger):
    ledger.asked(0, [QueryItem(3, pseudo_label=1, probability=0.75), QueryItem(4)])
    assert [i.probability for i in ledger.queries(0)] == [0.75, None]
    assert "probability" not in list(ledger.events())[-1].data  # as older versions wrote it
    with pytest.raises(LedgerError, match="probability of item 5 is nan"):
        ledger.asked(1, [QueryItem(5, probability=float("nan"))])


def test_numpy_ids_and_labels_are_accepted(ledger):
    ids = np.array([4, 2], dtype=np.int64)
    ledger.asked(0, [QueryItem(int(i)) for i in ids])
    ledger.answer(ids[0], ids[1])
    ledger.skip(ids[1])
    assert ledger.labels == {4: 2}
    ledger.undo(ids[0])
    ledger.hold_out(ids)
    assert ledger.held_out == {2, 4}


def test_labelled_ids_follow_round_and_rank_not_arrival(ledger):
    ledger.asked(0, items(9, 3, 7))
    ledger.asked(1, items(1, 8))
    for id in (8, 7, 1, 3):
        ledger.answer(id, 0)
    ledger.answer(6, 0, round=0)  # imported, never asked
    ledger.answer(2, 0, round=0)
    assert ledger.labelled_ids().dtype == np.int64
    assert ledger.labelled_ids().tolist() == [3, 7, 2, 6, 1, 8]
    assert ledger.labelled_in_round(0).tolist() == [3, 7, 2, 6]
    assert ledger.labelled_in_round(1).tolist() == [1, 8]
    assert ledger.outstanding_ids().tolist() == [9]
    assert ledger.round == 1


def test_held_out_and_none_of_these_are_never_trained_on():
    with Ledger.open() as ledger:
        ledger.set_classes(2, none_of_these=True)
        ledger.asked(0, items(1, 2, 3, 4))
        ledger.hold_out([2, 4, 2])
        ledger.hold_out([4])
        ledger.answers({1: 0, 2: 1, 3: NONE_OF_THESE, 4: NONE_OF_THESE})
        assert ledger.labelled_ids().tolist() == [1]
        assert ledger.labelled_ids("held-out").tolist() == [2]
        assert ledger.labelled_ids("all").tolist() == [1, 2, 3, 4]
        assert ledger.labels == {1: 0, 2: 1, 3: -1, 4: -1}
        assert [e.id for e in ledger.events() if e.kind == "held-out"] == [2, 4]
    assert NONE_OF_THESE == NONE_OF_THESE


def test_correction_and_undo_bring_back_what_was_there(ledger):
    ledger.asked(0, items(5))
    assert ledger.answer(5, 1).kind == "labelled"
    assert ledger.answer(5, 2).kind == "corrected"
    ledger.skip(5, "unsure")
    assert (ledger.labels, ledger.skipped) == ({}, {5: "unsure"})
    ledger.undo(5)
    assert (ledger.labels, ledger.skipped) == ({5: 2}, {})
    event = ledger.undo()
    assert event.kind == "undone"
    assert ledger.labels == {5: 1}
    ledger.undo(5)
    assert (ledger.labels, ledger.outstanding_ids().tolist()) == ({}, [5])
    with pytest.raises(LedgerError, match="item 5 by ''"):
        ledger.undo(5)
    with pytest.raises(LedgerError, match="by ''"):
        ledger.undo()
    assert [e.kind for e in ledger.history()] == [
        "undone", "undone", "undone", "skipped", "corrected", "labelled",
    ]  # fmt: skip
    assert [e.kind for e in ledger.history(1)] == ["undone"]
    assert ledger.history(id=4) == []


def test_undo_of_a_numbered_event_may_be_anybodys_and_happens_once(ledger):
    first = ledger.answer(5, 1, person="anna")
    ledger.answer(5, 2, person="anna")
    ledger.undo(seq=first.seq, person="boss")
    assert ledger.labels == {5: 2}
    with pytest.raises(LedgerError, match=f"Event {first.seq} cannot be undone"):
        ledger.undo(seq=first.seq)
    with pytest.raises(LedgerError, match="cannot be undone"):
        ledger.undo(5, person="bert")
    with pytest.raises(LedgerError, match="about item 5, not 6"):
        ledger.undo(6, seq=ledger.history(person="anna")[0].seq)


def test_two_persons_disagree_and_the_latest_label_is_in_force(ledger):
    ledger.asked(0, items(1, 2, 3, 4, 5))
    ledger.answer(1, 3, person="anna")
    ledger.answer(1, 4, person="bert")
    ledger.answer(2, 3, person="anna")
    ledger.answer(2, 3, person="bert")
    ledger.answer(3, 3, person="anna")
    ledger.skip(3, "unsure", person="bert")
    ledger.answer(4, 3, person="anna")
    ledger.skip(4, "bad image", person="bert")
    assert ledger.labels == {1: 4, 2: 3, 3: 3, 4: 3}
    assert ledger.skipped == {}
    found = ledger.conflicts()
    assert {id: [(e.person, e.label) for e in events] for id, events in found.items()} == {
        1: [("anna", 3), ("bert", 4)],
        4: [("anna", 3), ("bert", None)],
    }
    assert found[4][1].data == {"reason": "bad image"}
    ledger.answer(1, 4, person="anna")
    assert list(ledger.conflicts()) == [4]
    ledger.undo(4, person="bert")
    assert ledger.conflicts() == {}


def test_the_latest_label_wins_whoever_was_first(ledger):
    ledger.answer(1, 1, person="anna")
    ledger.answer(1, 2, person="bert")
    ledger.answer(1, 3, person="anna")
    assert ledger.labels == {1: 3}
    assert [e.label for e in ledger.conflicts()[1]] == [2, 3]
    ledger.skip(2, "unsure", person="anna")
    ledger.skip(2, "skip", person="bert")
    ledger.skip(2, "bad image", person="anna")
    assert ledger.skipped == {2: "bad image"}
    ledger.undo(1, person="anna")
    assert ledger.labels == {1: 2}


def test_leases_give_each_person_other_items_until_they_expire(ledger):
    now = [100.0]
    ledger._leases.monotonic = lambda: now[0]
    ledger.asked(0, items(9, 8, 7, 6, 5))

    def ids(found):
        return [item.id for item in found]

    assert ids(ledger.lease(2, "anna", 60)) == [9, 8]
    assert ids(ledger.lease(2, "bert", 60)) == [7, 6]
    assert ids(ledger.lease(3, "anna", 60)) == [9, 8, 5]
    assert ids(ledger.lease(1, "cleo", 60)) == []
    assert ids(ledger.outstanding("bert")) == [7, 6]
    ledger.answer(9, 0, person="anna")
    assert ids(ledger.lease(1, "anna", 60)) == [8]
    ledger.undo(9, person="anna")
    assert ids(ledger.lease(5, "cleo", 60)) == [9]
    now[0] += 61
    assert ids(ledger.lease(9, "cleo", 60)) == [9, 8, 7, 6, 5]
    assert ids(ledger.lease(9, "anna", 60)) == []
    assert ids(ledger.outstanding()) == [9, 8, 7, 6, 5]


@pytest.mark.parametrize(
    ("round", "ids", "message"),
    [
        (1, [1], "Item 1 has a label"),
        (1, [2], r"Item 2 was skipped \(unsure\)"),
        (1, [3], "Item 3 was asked in round 1 and is outstanding"),
        (1, [7, 8, 7], "Item 7 is twice"),
        (0, [9], "Round 0 cannot be asked after round 1"),
        (1, [-1], "item id -1 is out of range"),
        (1, [1 << 63], "out of range"),
    ],
)
def test_a_wrong_query_is_refused_whole(ledger, round, ids, message):
    ledger.asked(1, items(1, 2, 3))
    ledger.answer(1, 0)
    ledger.skip(2, "unsure")
    before = list(ledger.events())
    with pytest.raises(LedgerError, match=message):
        ledger.asked(round, items(40, *ids))
    assert list(ledger.events()) == before
    ledger.asked(1, items(40))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_scores_must_be_finite(ledger, bad):
    with pytest.raises(LedgerError, match="score of item 1 is"):
        ledger.asked(0, [QueryItem(1, bad)])
    with pytest.raises(LedgerError, match="score 'critic' of item 1 is"):
        ledger.asked(0, [QueryItem(1, 0.0, {"critic": bad})])
    assert ledger.round == -1


@pytest.mark.parametrize("label", [-1, 10, 1 << 70, -(1 << 70)])
def test_a_label_outside_the_classes_is_refused(ledger, label):
    with pytest.raises(LedgerError, match="is not one of 0 … 9"):
        ledger.answer(3, label)
    with pytest.raises(LedgerError, match="is not one of 0 … 9"):
        ledger.answers({1: 1, 2: label})
    assert ledger.labels == {}


def test_classes_are_set_once():
    with Ledger.open() as ledger:
        assert ledger.classes is None
        with pytest.raises(LedgerError, match="set_classes first"):
            ledger.answer(1, 1)
        with pytest.raises(LedgerError, match="num_classes is 0"):
            ledger.set_classes(0)
        ledger.set_classes(3)
        seq = ledger.seq
        ledger.set_classes(3)
        assert ledger.seq == seq
        assert ledger.classes == {"num_classes": 3, "none_of_these": False}
        for other in ((4, False), (3, True)):
            with pytest.raises(LedgerError, match="fixed"):
                ledger.set_classes(other[0], none_of_these=other[1])


def test_names_of_classes_are_kept_and_grow_at_the_end():
    with Ledger.open() as ledger:
        ledger.set_classes(2, none_of_these=True)
        with pytest.raises(LedgerError, match="by name"):
            ledger.change_classes("add", ["bird"])
        with pytest.raises(LedgerError, match="fixed"):
            ledger.set_classes(3, none_of_these=True, names=["cat", "dog", "bird"])
        for _ in range(2):
            ledger.set_classes(2, none_of_these=True, names=["cat", "dog"])
        ledger.set_classes(2, none_of_these=True)  # no names: nothing else than before
        assert len(ledger.notes("classes")) == 2
        with pytest.raises(LedgerError, match="fixed"):
            ledger.set_classes(2, none_of_these=True, names=["dog", "cat"])
        with pytest.raises(LedgerError, match="is not one of"):
            ledger.answer(1, 2)
        ledger.change_classes("add", ["bird"])
        names = ["cat", "dog", "bird"]
        assert ledger.classes == {"num_classes": 3, "none_of_these": True, "names": names}
        ledger.answer(1, 2)
        ledger.answer(2, -1)


def test_a_retry_is_stored_once_and_returns_the_same_event(ledger):
    first = ledger.answer(1, 2, person="anna", request="a")
    ledger.answer(1, 3, person="anna", request="b")
    skipped = ledger.skip(2, "unsure", person="anna", request="c")
    undone = ledger.undo(1, person="anna", request="d")
    many = ledger.answers({4: 1, 5: 2}, request="e")
    noted = ledger.note("fit", {"steps": 400, "loss": [0.5]}, round=0, request="f")
    seq = ledger.seq
    assert ledger.answer(1, 2, person="anna", request="a") == first
    assert ledger.skip(2, "unsure", person="anna", request="c") == skipped
    assert ledger.undo(1, person="anna", request="d") == undone
    assert ledger.answers({4: 1, 5: 2}, request="e") == many
    assert ledger.note("fit", {"steps": 400, "loss": [0.5]}, round=0, request="f") == noted
    assert ledger.seq == seq
    assert ledger.labels == {1: 2, 4: 1, 5: 2}


def test_a_request_id_used_for_another_answer_is_refused(ledger):
    ledger.answer(1, 2, person="anna", request="a")
    for other in (
        lambda: ledger.answer(1, 3, person="anna", request="a"),
        lambda: ledger.answer(2, 2, person="anna", request="a"),
        lambda: ledger.answer(1, 2, person="bert", request="a"),
        lambda: ledger.skip(1, person="anna", request="a"),
        lambda: ledger.undo(1, person="anna", request="a"),
        lambda: ledger.note("fit", {}, request="a"),
    ):
        with pytest.raises(LedgerError, match="Request 'a' was stored as event"):
            other()
    assert ledger.labels == {1: 2}


def test_notes_and_reasons_are_checked(ledger):
    with pytest.raises(UnknownName, match="Did you mean 'unsure'"):
        ledger.skip(1, "unsur")
    with pytest.raises(LedgerError, match="'labelled' is the ledger's own"):
        ledger.note("labelled", {})
    with pytest.raises(LedgerError, match="JSON"):
        ledger.note("fit", {"loss": float("nan")})
    for write in (
        lambda: ledger.answer(1, 1, person="\ud800"),
        lambda: ledger.answer(1, 1, request="\ud800"),
        lambda: ledger.note("\ud800", {}),
    ):
        with pytest.raises(LedgerError, match="not valid text"):
            write()
    ledger.note("fit", {"names": ["\ud800", "日本", "'); DROP TABLE events; --"]})
    ledger.note("fit", {})
    assert [e.data for e in ledger.notes("fit")] == [
        {"names": ["\ud800", "日本", "'); DROP TABLE events; --"]}, {},
    ]  # fmt: skip
    assert ledger.notes("other") == []


def test_one_bad_answer_of_many_stores_none(ledger):
    before = list(ledger.events())
    with pytest.raises(LedgerError):
        ledger.answers({1: 1, 2: 2, 3: 10})
    assert list(ledger.events()) == before
    ledger.answers({1: 1, 2: 2})
    assert ledger.labels == {1: 1, 2: 2}


def test_the_clock_may_go_back(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path) as ledger:
        ledger.set_classes(10)
        now = [datetime(2026, 1, 2, tzinfo=UTC)]
        ledger._now = lambda: now[0]
        ledger.asked(0, items(1))
        for label in range(10):
            ledger.answer(1, label)
            now[0] -= timedelta(days=7)
        assert ledger.labels == {1: 9}
        assert ledger.history(1)[0].label == 9
    with Ledger.open(path) as ledger:
        assert ledger.labels == {1: 9}
        assert [e.label for e in ledger.history(3)] == [9, 8, 7]
        times = [e.time for e in ledger.events()][1:]
        assert times == sorted(times, reverse=True)


def test_events_cannot_be_changed_or_removed_by_any_program(ledger):
    ledger.answer(1, 1)
    for sql in ("UPDATE events SET label = 2", "DELETE FROM events"):
        with pytest.raises(Exception, match="append-only"):
            ledger._database.execute(sql)
    assert ledger.labels == {1: 1}


def test_export_is_one_json_line_per_event(ledger, tmp_path):
    ledger.asked(0, [QueryItem(3, 0.5, {"gap": 0.5}, 1, "why")])
    ledger.answer(3, 2, person="日本", request="r")
    target = ledger.export_jsonl(tmp_path / "events.jsonl")
    lines = [json.loads(line) for line in target.read_text().splitlines()]
    assert lines == [event.as_dict() for event in ledger.events()]
    assert [line["seq"] for line in lines] == [1, 2, 3]
    assert lines[1]["data"]["parts"] == {"gap": 0.5}
    assert list(lines[2]) == [
        "seq", "time", "kind", "id", "round", "person", "label", "request", "data",
    ]  # fmt: skip
    assert [p.name for p in tmp_path.iterdir()] == ["events.jsonl"]


def test_snapshot_is_a_ledger_and_replaces_only_its_own_elders(tmp_path):
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        ledger.set_classes(3)
        ledger.answer(1, 1)
        copy = ledger.snapshot(tmp_path / "copy.sqlite")
        ledger.answer(2, 2)
        with Ledger.open(copy, read_only=True) as old:
            assert old.labels == {1: 1}
        assert ledger.snapshot(copy) == copy
        with Ledger.open(copy) as same:
            assert list(same.events()) == list(ledger.events())
            same.answer(3, 0)
        stranger = tmp_path / "notes.txt"
        stranger.write_text("mine")
        for refused in (copy, stranger, tmp_path / "ledger.sqlite"):
            before = refused.read_bytes()
            with pytest.raises(LedgerError, match="not an older snapshot"):
                ledger.snapshot(refused)
            assert refused.read_bytes() == before
        with pytest.raises(LedgerError, match="could not be written"):
            ledger.snapshot(tmp_path / "absent" / "copy.sqlite")
        assert ledger.labels == {1: 1, 2: 2}
    assert not [p.name for p in tmp_path.iterdir() if p.name.endswith(".tmp")]


def test_threads_share_one_ledger_and_retries_meet_once(tmp_path):
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        ledger.set_classes(10)
        ledger.asked(0, items(*range(60)))
        start = threading.Barrier(4)
        events, errors = [[] for _ in range(4)], []

        def client(k):
            try:
                start.wait()
                for id in range(60):
                    events[k].append(ledger.answer(id, id % 10, person="anna", request=f"r{id}"))
                    ledger.labelled_ids()
                    ledger.lease(3, f"person {k}")
            except Exception as error:  # noqa: BLE001  (handed to the main thread)
                errors.append(error)

        threads = [threading.Thread(target=client, args=(k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert errors == []
        assert events[0] == events[1] == events[2] == events[3]
        answers = [e for e in ledger.events() if e.kind in ("labelled", "corrected")]
        assert sorted(e.request for e in answers) == sorted(f"r{id}" for id in range(60))
        assert ledger.labels == {id: id % 10 for id in range(60)}


def test_a_closed_ledger_says_so(tmp_path):
    ledger = Ledger.open(tmp_path / "ledger.sqlite")
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerError, match="is closed"):
        ledger.set_classes(3)
    with pytest.raises(LedgerError, match="is closed"):
        _ = ledger.labels


def test_read_only_sees_the_writer_and_writes_nothing(tmp_path: Path):
    path = tmp_path / "ledger.sqlite"
    with pytest.raises(LedgerError, match="There is no ledger"):
        Ledger.open(path, read_only=True)
    with Ledger.open(path) as writer, Ledger.open(path, read_only=True) as reader:
        writer.set_classes(3)
        writer.asked(0, items(1, 2))
        assert reader.outstanding_ids().tolist() == [1, 2]
        writer.answer(1, 2)
        assert reader.labels == {1: 2}
        with pytest.raises(LedgerError, match="open read-only"):
            reader.answer(2, 2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ledger.sqlite", "ledger.sqlite.lock"]


def test_an_unlocked_writer_and_the_holder_keep_one_order(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path, lock=False) as one, Ledger.open(path, lock=False) as two:
        one.set_classes(3)
        one.asked(0, items(1, 2))
        two.answer(1, 1)
        assert one.answer(1, 2).kind == "corrected"
        assert one.labels == two.labels == {1: 2}
        with pytest.raises(LedgerError, match="has a label"):
            two.asked(1, items(1))


def test_a_refused_event_and_a_ledger_that_cannot_write_are_told_apart(tmp_path):
    """What was refused stays refused; what the storage could not take can be sent again."""
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        ledger.set_classes(2)
        for label, person in ((7, "anna"), (0, "\ud800")):
            with pytest.raises(LedgerError) as caught:
                ledger.answer(1, label, person=person)
            assert not isinstance(caught.value, StorageError)
        with (
            Ledger.open(tmp_path / "ledger.sqlite", read_only=True) as reader,
            pytest.raises(StorageError, match="read-only"),
        ):
            reader.answer(1, 0)
    with pytest.raises(StorageError, match="closed"):
        ledger.answer(1, 0)
    with pytest.raises(StorageError, match="could not be written"):
        Ledger.open().export_jsonl(tmp_path / "no" / "folder" / "log.jsonl")


def test_a_query_leaves_out_what_was_answered_only_where_it_is_told_to(ledger):
    ledger.answer(4, 1)
    ledger.skip(6, "unsure")
    with pytest.raises(LedgerError, match="has a label"):
        ledger.asked(0, items(3, 4, 5, 6))
    stored = ledger.asked(0, items(3, 4, 5, 6), unless_answered=True)
    assert [item.id for item in stored] == [3, 5]
    assert [item.rank for item in ledger.outstanding()] == [1, 2]
    with pytest.raises(LedgerError, match="is outstanding"):
        ledger.asked(0, items(5, 7), unless_answered=True)
