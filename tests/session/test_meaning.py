"""Classes that change: what labels mean, against a plain model that renames every label."""

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from killing import killed_at_every_write

from labelgap.core.errors import LedgerError, UnknownName
from labelgap.core.types import NONE_OF_THESE, QueryItem
from labelgap.ledger.ledger import Ledger
from labelgap.ledger.meaning import Meaning, class_now
from labelgap.ledger.state import State

NAMES = ("cat", "dog", "owl")


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path / "ledger.sqlite") as opened:
        opened.set_classes(3, none_of_these=True, names=NAMES)
        yield opened


def named(ledger):
    """Item -> name of its class."""
    names = ledger.classes["names"]
    return {i: None if y == NONE_OF_THESE else names[y] for i, y in ledger.labels.items()}


def reopened(ledger):
    """The labels and the order of training, as a new process reads them."""
    with Ledger.open(ledger.path, read_only=True) as again:
        return named(again), again.labelled_ids().tolist(), again.outstanding_ids().tolist()


# ----- a plain model: every label holds its class, every change walks over all of them


def replayed(entries):
    """(class, name) in order, and item -> class, "none" or None, of labels and changes in order.

    A label is ("label", id, class); a change is (what, classes, new class or None, name).
    """
    classes, labels = [(name, name) for name in NAMES], {}
    for what, *rest in entries:
        known = [c for c, _ in classes]
        if what == "label":
            id, one = rest
            labels[id] = one if one in known else None
            continue
        old, new, name = rest
        if what == "add":
            classes.append((new, name))
            continue
        target = {"none": "none", "remove": None}.get(what, new)
        labels = {id: target if one in old else one for id, one in labels.items()}
        first = min(known.index(one) for one in old)
        kept = [(new, name) if k == first and new is not None else pair
                for k, pair in enumerate(classes)]  # fmt: skip
        classes = [pair for k, pair in enumerate(kept)
                   if known[k] not in old or (k == first and new is not None)]  # fmt: skip
    return classes, labels


WHAT = st.sampled_from(["label", "label", "add", "rename", "merge", "remove", "none", "undo"])


@given(st.data())
@settings(max_examples=200, deadline=None)
def test_any_history_equals_a_model_that_rewrites_every_label(data):
    with Ledger.open() as ledger:
        ledger.set_classes(3, none_of_these=True, names=NAMES)
        entries = []
        for step in range(data.draw(st.integers(1, 14))):
            what = data.draw(WHAT)
            classes, _ = replayed(entries)
            place = data.draw(st.integers(0, len(classes) - 1))
            changes = [k for k, entry in enumerate(entries) if entry[0] != "label"]
            if what == "label":
                id = data.draw(st.integers(0, 5))
                ledger.answer(id, place)
                entries.append(("label", id, classes[place][0]))
            elif what == "undo" and not changes:
                with pytest.raises(LedgerError, match="no change"):
                    ledger.undo_classes()
            elif what == "undo":
                ledger.undo_classes()
                del entries[changes[-1]]
            elif what == "add":
                ledger.change_classes("add", [f"new {step}"])
                entries.append(("add", [], f"class {step}", f"new {step}"))
            elif what == "rename":
                ledger.change_classes("rename", [classes[place][1]], f"new {step}")
                one = classes[place][0]
                entries.append(("rename", [one], one, f"new {step}"))
            else:
                chosen = data.draw(
                    st.lists(st.sampled_from(classes), min_size=1, max_size=3, unique=True)
                )
                old, names = [c for c, _ in chosen], [name for _, name in chosen]
                if what == "merge" and len(chosen) > 1:
                    into = data.draw(st.sampled_from([*chosen, (f"class {step}", f"new {step}")]))
                    ledger.change_classes("merge", names, into[1])
                    entries.append(("merge", old, *into))
                elif what != "merge" and len(chosen) == len(classes):
                    with pytest.raises(LedgerError, match="no class be left"):
                        ledger.change_classes(what, names)
                elif what != "merge":
                    ledger.change_classes(what, names)
                    entries.append((what, old, None, ""))
            classes, labels = replayed(entries)
            assert ledger.classes["names"] == [name for _, name in classes]
            of = dict(classes) | {"none": None}
            wanted = {id: of[one] for id, one in labels.items() if one is not None}
            assert named(ledger) == wanted
            assert ledger.unused() == len(labels) - len(wanted)
        state = State()
        state.apply(
            ledger._database.execute(
                "SELECT seq, kind, id, round, person, label, data FROM events ORDER BY seq"
            )
        )
        assert state.labels == ledger.labels  # replayed from nothing, as when it is opened
        assert state.meaning == ledger.meaning()
        assert Meaning.read(ledger.meaning().data()) == ledger.meaning()


# ------------------------------------------------------------------ what stands, and for whom


def test_a_removed_class_leaves_its_items_open_and_comes_back(ledger):
    ledger.asked(0, [QueryItem(id, pseudo_label=1) for id in range(3)])
    for id, label in ((0, 1), (1, 2), (7, 1)):
        ledger.answer(id, label, person="anna")
    ledger.skip(0, "unsure", person="ben")
    before = (named(ledger), ledger.outstanding_ids().tolist(), ledger.labelled_ids().tolist())
    ledger.change_classes("remove", ["dog"])
    assert named(ledger) == {1: "owl"}
    assert ledger.skipped == {0: "unsure"}  # what others said stands
    assert ledger.outstanding_ids().tolist() == [2]
    assert ledger.opinions(0) == {"ben": "unsure"}
    assert ledger.opinions(7) == {}
    assert [q.pseudo_label for q in ledger.queries(0)] == [None] * 3
    assert reopened(ledger) == (named(ledger), [1], [2])
    past = next(e for e in ledger.history(10, person="anna") if e.id == 7)
    assert (past.label, past.data["reason"]) == (None, "dog (a class that was removed)")
    with pytest.raises(LedgerError, match="not one of -1 … 1"):
        ledger.answer(1, 2)
    ledger.undo_classes()
    assert (
        named(ledger), ledger.outstanding_ids().tolist(), ledger.labelled_ids().tolist()
    ) == before  # fmt: skip
    assert [q.pseudo_label for q in ledger.queries(0)] == [1] * 3


def test_a_removed_answer_does_not_bring_back_what_its_person_said_before(ledger):
    ledger.answer(4, 0, person="anna")
    ledger.answer(4, 1, person="anna")
    ledger.change_classes("remove", ["dog"])
    assert named(ledger) == {}
    ledger.undo(4, person="anna")
    assert named(ledger) == {4: "cat"}


def test_people_who_meant_merged_classes_agree(ledger):
    ledger.answer(5, 0, person="anna")
    ledger.answer(5, 1, person="ben")
    assert list(ledger.conflicts()) == [5]
    ledger.change_classes("merge", ["cat", "dog"], "pet")
    assert ledger.conflicts() == {}
    assert ledger.opinions(5) == {"anna": 0, "ben": 0}
    ledger.undo_classes()
    assert [e.label for e in ledger.conflicts()[5]] == [0, 1]


def test_a_page_of_before_answers_in_the_classes_that_it_showed(ledger):
    shown = ledger.seq
    ledger.change_classes("remove", ["cat"])
    event = ledger.answer(3, 2, request="r1", as_of=shown)
    assert (event.label, named(ledger)) == (1, {3: "owl"})
    ledger.change_classes("merge", ["dog", "owl"], "other")
    again = ledger.answer(3, 2, request="r1", as_of=shown)
    assert (again.seq, again.label) == (event.seq, 0)
    with pytest.raises(LedgerError, match="removed meanwhile"):
        ledger.answer(4, 0, as_of=shown)
    with pytest.raises(LedgerError, match="now comes with"):
        ledger.answer(3, -1, request="r1", as_of=shown)
    # A retry of what was stored before its class was removed is no new answer.
    first = ledger.answer(6, 1, request="r2", as_of=shown)
    ledger.change_classes("add", ["fish"])
    ledger.change_classes("remove", ["other"])
    assert ledger.answer(6, 1, request="r2", as_of=shown).seq == first.seq
    assert named(ledger) == {}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (("rename", ["cta"], "x"), UnknownName, "Did you mean 'cat'"),
        (("rename", ["cat"], "dog"), LedgerError, "Two classes would have the name 'dog'"),
        (("rename", ["cat", "dog"], "x"), LedgerError, "it takes one"),
        (("merge", ["cat"], "x"), LedgerError, "it takes two or more"),
        (("merge", ["cat", "cat"], "x"), LedgerError, "it takes two or more"),
        (("merge", ["cat", "dog"], "owl"), LedgerError, "Two classes would have the name 'owl'"),
        (("remove", list(NAMES)), LedgerError, "no class be left"),
        (("add", ["owl"]), LedgerError, "Two classes"),
        (("forget", ["owl"]), UnknownName, "Valid: add, merge, none, remove, rename"),
    ],
)
def test_changes_that_cannot_be_are_refused_and_store_nothing(ledger, change, error, message):
    before = ledger.seq
    with pytest.raises(error, match=message):
        ledger.change_classes(*change)
    assert ledger.seq == before


def test_a_repeated_request_is_one_change(ledger):
    first = ledger.change_classes("rename", ["cat"], "lynx", request="r1")
    assert ledger.change_classes("rename", ["cat"], "lynx", request="r1") == first
    with pytest.raises(LedgerError, match="another change"):
        ledger.change_classes("rename", ["dog"], "wolf", request="r1")
    back = ledger.undo_classes(request="r2")
    assert ledger.undo_classes(request="r2") == back
    assert ledger.classes["names"] == list(NAMES)


def test_a_program_of_before_passes_by_what_it_would_read_wrongly(ledger):
    """Events of kind "classes" have labels by place; others have another kind."""
    for change in (("rename", ["cat"], "lynx"), ("add", ["fish"]), ("merge", ["lynx", "fish"], "x"),
                   ("rename", ["x"], "y")):  # fmt: skip
        ledger.change_classes(*change)
    kinds = [e.kind for e in ledger.events() if e.id is None]
    assert kinds == ["classes", "classes", "classes", "reclassed", "reclassed"]


def test_a_place_of_another_time():
    then = Meaning((0, 1, 2), (0, 1, 2), True, NAMES)
    now = then.merged([0, 1], "pet")
    assert [class_now(k, then, now) for k in range(4)] == [0, 0, 1, None]
    assert class_now(NONE_OF_THESE, then, now.removed(0)) == NONE_OF_THESE


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize(
    "what",
    [
        "remove",
        *(pytest.param(w, marks=pytest.mark.slow) for w in ("rename", "merge", "none", "undo")),
    ],
)
def test_killed_at_every_write_a_change_is_whole_or_not_there(tmp_path, what):
    names, to = (["cat", "dog"], "pet") if what == "merge" else (["cat"], "pet")

    def prepare(n):
        path = tmp_path / f"{n}.sqlite"
        with Ledger.open(path) as ledger:
            ledger.set_classes(3, none_of_these=True, names=NAMES)
            ledger.answers({0: 0, 1: 1, 2: 2}, person="anna")
            if what == "undo":
                ledger.change_classes("merge", ["cat", "dog"], "pet")
        return path

    def change(ledger):
        if what == "undo":
            return ledger.undo_classes(request="once")
        target = to if what in ("rename", "merge") else None
        return ledger.change_classes(what, names, target, request="once")

    def act(path):
        with Ledger.open(path) as ledger:
            change(ledger)

    def check(path):
        with Ledger.open(path) as ledger:
            before = ledger.seq
            assert before in (start, start + 1)
            change(ledger)  # the same request again: stored once
            assert ledger.seq == start + 1
            wanted = {
                "rename": {0: "pet", 1: "dog", 2: "owl"},
                "merge": {0: "pet", 1: "pet", 2: "owl"},
                "remove": {1: "dog", 2: "owl"},
                "none": {0: None, 1: "dog", 2: "owl"},
                "undo": {0: "cat", 1: "dog", 2: "owl"},
            }
            assert named(ledger) == wanted[what]
            assert reopened(ledger)[0] == wanted[what]

    with Ledger.open(prepare(0), read_only=True) as first:
        start = first.seq
    assert killed_at_every_write(prepare, act, check) > 5
