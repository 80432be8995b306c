"""What a ledger does for many items at once: test batches, everybody's answers, several undos."""

import pytest

from labelgap.core.errors import LedgerError
from labelgap.core.types import Answer, QueryItem
from labelgap.ledger.ledger import TESTED, Ledger


def begun() -> Ledger:
    ledger = Ledger.open()
    ledger.set_classes(3, names=["cat", "dog", "owl"])
    return ledger


def kinds(ledger: Ledger) -> list[str]:
    return [event.kind for event in ledger.events(0)]


# ---------------------------------------------------------------------- test batches


def test_items_asked_to_test_are_held_out_and_noted_with_their_facts() -> None:
    with begun() as ledger:
        ledger.hold_out([5])
        before = len(kinds(ledger))
        stored = ledger.asked(0, [QueryItem(5), QueryItem(8)], to_test={"strata": 2})
        assert [item.id for item in stored] == [5, 8]
        # 5 was held out already, and is not held out twice.
        assert kinds(ledger)[before:] == ["asked", "asked", "held-out", "test-batch"]
        assert ledger.held_out == {5, 8}
        (note,) = ledger.notes("test-batch")
        assert (note.round, note.data) == (0, {"strata": 2, "ids": [5, 8]})
        (held,) = [e for e in ledger.events(before) if e.kind == "held-out"]
        assert (held.id, held.round) == (8, 0)
    assert TESTED == "test-batch"  # projects have it in their files


def test_a_later_test_batch_belongs_to_its_round() -> None:
    with begun() as ledger:
        ledger.asked(0, [QueryItem(1)])
        ledger.asked(3, [QueryItem(2)], to_test={})
        (note,) = ledger.notes(TESTED)
        (held,) = [e for e in ledger.events(0) if e.kind == "held-out"]
        assert (note.round, held.round, note.data) == (3, 3, {"ids": [2]})
        assert not [e for e in ledger.events(0) if e.kind == "held-out" and e.id == 1]


# ---------------------------------------------------------------------- answers


def test_answers_of_all_are_everybody_s_standing_ones() -> None:
    with begun() as ledger:
        first = ledger.answer(4, 0, person="ada")
        second = ledger.answer(4, 2, person="bob")
        skipped = ledger.skip(6, "bad image", person="ada")
        ledger.answer(7, 1, person="ada")
        ledger.undo(7, person="ada")
        expected: dict[int, list[tuple[int, str, int | str]]] = {
            4: [(first.seq, "ada", 0), (second.seq, "bob", 2)],
            6: [(skipped.seq, "ada", "bad image")],
        }
        assert ledger.answers_of_all() == expected
        assert {id: ledger.opinions(id) for id in expected} == {
            id: {who: value for _, who, value in said} for id, said in expected.items()
        }


def test_answers_of_a_class_that_is_gone_are_counted_and_not_told() -> None:
    with begun() as ledger:
        ledger.answer(4, 0, person="ada")
        ledger.answer(5, 1, person="ada")
        kept = ledger.answer(5, 2, person="bob")
        assert ledger.unused() == 0
        ledger.change_classes("remove", ["dog"])
        assert ledger.unused() == 1
        assert 4 in ledger.answers_of_all()
        assert ledger.answers_of_all()[5] == [(kept.seq, "bob", 1)]  # "owl" moved up
        ledger.change_classes("remove", ["cat"])
        assert ledger.unused() == 2
        assert 4 not in ledger.answers_of_all()


def test_labels_told_together_may_be_of_the_classes_of_before() -> None:
    with begun() as ledger:
        shown = ledger.answer(1, 0).seq
        ledger.change_classes("remove", ["cat"])
        told = ledger.tell([Answer(2, 1), Answer(3, 2)], as_of=shown)
        assert [event.label for event in told] == [0, 1]
        assert ledger.labels == {2: 0, 3: 1}


# ---------------------------------------------------------------------- undos


def answered(ledger: Ledger) -> dict[str, str]:
    for number, id in enumerate((3, 4, 5)):
        ledger.answer(id, number, person="ada", request=f"a{id}")
    return {f"a{id}": f"u{id}" for id in (3, 4, 5)}


def test_several_undos_are_one_event_each_and_a_retry_returns_the_same() -> None:
    with begun() as ledger:
        requests = answered(ledger)
        undone = ledger.undo_all(requests, person="ada")
        assert [(e.kind, e.id, e.person, e.request) for e in undone] == [
            ("undone", id, "ada", f"u{id}") for id in (3, 4, 5)
        ]
        assert ledger.labels == {}
        events = len(kinds(ledger))
        assert [e.seq for e in ledger.undo_all(requests, person="ada")] == [e.seq for e in undone]
        assert len(kinds(ledger)) == events


def test_what_is_undone_already_is_passed_over_and_a_later_answer_stays() -> None:
    with begun() as ledger:
        requests = answered(ledger)
        ledger.undo(3, person="ada")
        ledger.answer(4, 2, person="ada")
        assert [event.id for event in ledger.undo_all(requests, person="ada")] == [4, 5]
        assert ledger.labels == {4: 2}


@pytest.mark.parametrize("person", ["bob", ""])
def test_undos_of_what_somebody_else_or_nobody_answered_undo_nothing(person: str) -> None:
    with begun() as ledger:
        requests = answered(ledger)
        ledger.answer(9, 1, person=person, request="mine")
        events = len(kinds(ledger))
        for some in ({"mine": "u", **requests}, {"mine": "u", "a-typo": "v"}):
            with pytest.raises(LedgerError, match=r"stored no answer by .*: nothing is undone"):
                ledger.undo_all(some, person=person)
        assert len(kinds(ledger)) == events
        assert set(ledger.labels) == {3, 4, 5, 9}
        ledger.change_classes("add", ["fox"], person=person, request="fox")  # of no item
        with pytest.raises(LedgerError, match="Request 'fox' stored no answer"):
            ledger.undo_all({"fox": "u"}, person=person)


def test_an_undo_s_request_is_no_other_s() -> None:
    with begun() as ledger:
        answered(ledger)
        with pytest.raises(LedgerError, match="Request 'a4' was stored as event"):
            ledger.undo_all({"a3": "a4"}, person="ada")
        assert ledger.labels == {3: 0, 4: 1, 5: 2}
        ledger.undo_all({"a3": "u"}, person="ada")
        ledger.answer(3, 1, person="bob", request="b3")
        with pytest.raises(LedgerError, match="Request 'u' was stored as event"):
            ledger.undo_all({"b3": "u"}, person="bob")  # ada's
        assert ledger.labels == {3: 1, 4: 1, 5: 2}


def test_a_name_that_no_file_can_hold_is_refused() -> None:
    with begun() as ledger:
        answered(ledger)
        with pytest.raises(LedgerError, match=r"The person .* is not valid text"):
            ledger.undo_all({"a3": "u"}, person="\ud800")
