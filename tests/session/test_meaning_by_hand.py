"""Changes of classes by hand: numbers, events, retries, and what cannot be taken back."""

import json

import pytest

from labelgap.core.errors import LedgerError, StorageError, UnknownName
from labelgap.core.types import NONE_OF_THESE, QueryItem
from labelgap.ledger.ledger import Ledger
from labelgap.ledger.meaning import Meaning

THREE = Meaning((0, 1, 2), (0, 1, 2), True, ("cat", "dog", "owl"))


def begun() -> Ledger:
    ledger = Ledger.open()
    ledger.set_classes(3, none_of_these=True, names=["cat", "dog", "owl"])
    return ledger


# ---------------------------------------------------------------------- numbers


def test_a_merge_into_one_of_them_keeps_its_number() -> None:
    found = THREE.merged([1, 2], "owl")
    assert found == Meaning((0, 2), (0, 1, 1), True, ("cat", "owl"))
    assert found.numbers(1) == (1, 2)
    assert found.numbers(0) == (0,)
    assert found.number(1) == 2
    assert not found.plain
    back = found.back(THREE)
    assert back == THREE
    assert back.plain


def test_a_merge_under_a_new_name_has_a_number_of_its_own() -> None:
    found = THREE.merged([2, 0, 2], "pet")
    assert found == Meaning((3, 1), (0, 1, 0, 0), True, ("pet", "dog"))
    assert found.back(THREE) == Meaning((0, 1, 2), (0, 1, 2, None), True, THREE.names)
    again = found.back(THREE).added(["fox"])
    assert again == Meaning((0, 1, 2, 4), (0, 1, 2, None, 3), True, (*(THREE.names or ()), "fox"))


def test_what_is_removed_means_nothing_or_none_of_these() -> None:
    removed, none = THREE.removed(1), THREE.as_none(1)
    assert removed == Meaning((0, 2), (0, None, 1), True, ("cat", "owl"))
    assert none == Meaning((0, 2), (0, NONE_OF_THESE, 1), True, ("cat", "owl"))
    assert removed.numbers(None) == (1,)
    assert none.numbers(NONE_OF_THESE) == (NONE_OF_THESE, 1)
    assert [none.of(n) for n in (-2, -1, 0, 1, 2, 3)] == [None, -1, 0, -1, 1, None]
    assert (none.number(NONE_OF_THESE), none.number(1)) == (NONE_OF_THESE, 2)
    assert THREE.renamed(1, "wolf") == Meaning((0, 1, 2), (0, 1, 2), True, ("cat", "wolf", "owl"))


def test_an_events_data_are_read_as_they_were_written_or_refused() -> None:
    for meaning in (THREE, THREE.merged([0, 1], "cat"), THREE.removed(0), THREE.as_none(2)):
        assert Meaning.read(meaning.data()) == meaning
    assert THREE.data() == {
        "num_classes": 3, "none_of_these": True, "names": ["cat", "dog", "owl"],
    }  # fmt: skip
    bare = Meaning.read({"num_classes": 2, "none_of_these": 0})
    assert bare == Meaning((0, 1), (0, 1), False, None)
    assert "names" not in bare.data()
    whole = {"num_classes": 2, "none_of_these": False}
    for own, stored in (([0], [0, 1]), ([0, 2], [0, 1]), ([0, 1, 2], [0, 1, 2])):
        with pytest.raises(ValueError, match="its classes and their numbers do not fit"):
            Meaning.read({**whole, "own": own, "stored": stored})


# ---------------------------------------------------------------------- events


def test_a_change_and_its_undo_are_events_by_somebody() -> None:
    with begun() as ledger:
        assert ledger.last_class_change() is None
        change = {"what": "add", "classes": ["fox"], "to": None}
        added = ledger.change_classes("add", ["fox"], person="anna", request="a")
        assert (added.kind, added.person, added.request) == ("classes", "anna", "a")
        assert added.data["change"] == change
        merge = {"what": "merge", "classes": ["cat", "dog"], "to": "pet"}
        merged = ledger.change_classes("merge", ["cat", "dog"], "pet", person="bert", request="b")
        assert (merged.kind, merged.person) == ("reclassed", "bert")
        assert ledger.last_class_change() == (merged.seq, merge)
        undone = ledger.undo_classes(merged.seq, person="cleo", request="c")
        assert (undone.person, undone.request) == ("cleo", "c")
        assert undone.data["undoes"] == merged.seq
        assert undone.data["undone"] == merge
        assert undone.kind == "reclassed"  # for a number that is not given out again
        assert ledger.last_class_change() == (added.seq, change)
        with pytest.raises(LedgerError, match=f"that is event {merged.seq} and the last one"):
            ledger.undo_classes(merged.seq)
        last = ledger.undo_classes(person="cleo")
        assert last.data["undoes"] == added.seq
        assert ledger.last_class_change() is None
        for seq, said in ((None, r"take back\."), (99, "that is event 99 and the last one")):
            with pytest.raises(LedgerError, match=said):
                ledger.undo_classes(seq)


def test_a_plain_order_of_classes_is_an_event_that_older_versions_know() -> None:
    with begun() as ledger:
        renamed = ledger.change_classes("rename", ["dog"], "wolf")
        assert renamed.kind == "classes"
        assert ledger.undo_classes().kind == "classes"
        assert ledger.meaning().names == ("cat", "dog", "owl")


def test_a_retry_of_a_change_is_the_same_change_by_the_same_person() -> None:
    with begun() as ledger:
        added = ledger.change_classes("add", ["fox"], person="anna", request="a")
        ledger.answer(1, 0, person="anna", request="label")
        assert ledger.change_classes("add", ["fox"], person="anna", request="a") == added
        undone = ledger.undo_classes(person="anna", request="u")
        assert ledger.undo_classes(person="anna", request="u") == undone
        for make, said in (
            (lambda: ledger.change_classes("add", ["bee"], person="anna", request="a"), "another"),
            (lambda: ledger.change_classes("add", ["fox"], person="bert", request="a"), "person"),
            (lambda: ledger.change_classes("add", ["x"], person="anna", request="label"), "kind"),
            (lambda: ledger.undo_classes(person="anna", request="a"), "another"),
            (lambda: ledger.undo_classes(person="bert", request="u"), "person"),
            (lambda: ledger.undo_classes(person="anna", request="label"), "kind"),
        ):
            with pytest.raises(LedgerError, match=f"Request .* was stored as event .*{said}"):
                make()
        assert [ledger.has_request(name) for name in ("a", "label", "u", "x")] == [
            True, True, True, False,
        ]  # fmt: skip


def test_an_undo_of_another_change_than_the_last_contradicts_what_came_before() -> None:
    with begun() as ledger:
        seq = ledger.change_classes("rename", ["cat"], "tiger").seq
        data = {**THREE.data(), "undoes": seq - 1}
        database = ledger._database
        assert database is not None
        database.execute(
            "INSERT INTO events (time, kind, person, data) VALUES ('', 'classes', '', ?)",
            (json.dumps(data),),
        )
        with pytest.raises(StorageError, match=f"Event {seq + 1} of .* contradicts"):
            ledger.note("fit", {})


def test_an_order_that_was_read_before_a_change_is_not_read_after_it() -> None:
    with begun() as ledger:
        ledger.answers({1: 0, 2: 1, 3: 2})
        assert ledger.labelled_ids().tolist() == [1, 2, 3]
        ledger.change_classes("remove", ["cat"])
        ledger.answer(4, 0)
        assert ledger.labelled_ids().tolist() == [2, 3, 4]


def test_what_is_skipped_is_not_outstanding() -> None:
    with begun() as ledger:
        ledger.asked(0, [QueryItem(5), QueryItem(6)])
        ledger.skip(5)
        assert ledger.outstanding_ids().tolist() == [6]
        ledger.undo(5)
        assert ledger.outstanding_ids().tolist() == [5, 6]


@pytest.mark.parametrize("what", ["remove", "none"])
def test_several_classes_go_at_once_whatever_their_order(what: str) -> None:
    with begun() as ledger:
        ledger.answers({1: 0, 2: 1, 3: 2, 4: -1})
        ledger.change_classes(what, ["cat", "owl"])
        gone = {} if what == "remove" else {1: NONE_OF_THESE, 3: NONE_OF_THESE}
        assert ledger.meaning().names == ("dog",)
        assert ledger.labels == {2: 0, 4: NONE_OF_THESE, **gone}
        with pytest.raises(LedgerError, match="no class be left"):
            ledger.change_classes(what, ["dog"])
        ledger.answer(5, 0)
        ledger.undo_classes()
        assert ledger.labels == {1: 0, 2: 1, 3: 2, 4: -1, 5: 1}


def test_the_latest_standing_answer_is_told_by_its_number() -> None:
    with begun() as ledger:
        assert ledger.last_answer() == 0
        first = ledger.answer(4, 1, person="bert").seq
        ledger.answer(4, 2, person="anna")
        skipped = ledger.skip(2).seq
        ledger.note("fit", {})
        assert ledger.last_answer() == skipped
        ledger.undo(2)
        assert ledger.last_answer() == skipped - 1
        ledger.undo(4, person="anna")
        assert ledger.last_answer() == first


def test_what_cannot_be_meant_is_refused() -> None:
    with Ledger.open() as ledger:
        with pytest.raises(LedgerError, match="does not know its classes yet") as caught:
            ledger.meaning()
        assert caught.value.cure == "Call set_classes first."
    with begun() as ledger:
        with pytest.raises(LedgerError, match="'reclassed' is the ledger's own"):
            ledger.note("reclassed", {})
        with pytest.raises(UnknownName, match="cow"):
            ledger.change_classes("remove", ["cow"])
        with pytest.raises(LedgerError, match="merge of 1 classes: it takes two or more"):
            ledger.change_classes("merge", ["cat", "cat"], "pet")
        with pytest.raises(LedgerError, match="Two classes would have the name 'dog'"):
            ledger.change_classes("rename", ["cat"], "dog")
        assert ledger.seq == 1
