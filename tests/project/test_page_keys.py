"""Which key chooses which class, a class's own key, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_project import CLASSES
from typer.testing import CliRunner

from labelgap.cli import with_commands
from labelgap.core.errors import ConfigError, UnknownName
from labelgap.project.keep.keys import FEW, LETTERS, SIGNS, class_keys, own_keys, page_keys, set_key
from labelgap.project.keep.store import Project

DIGITS = [
    ("names", ["cat", "dog"], ["1", "2"]),
    ("the ten digits", list("0123456789"), list("0123456789")),
    ("two digits", ["0", "1"], ["0", "1"]),
    ("digits that begin with 1", ["1", "2", "3"], ["1", "2", "3"]),
    ("digits and another", ["0", "1", "other"], ["0", "1", "2"]),
    ("ten names", [f"n{k}" for k in range(10)], list("1234567890")),
    ("more than keys", [f"n{k}" for k in range(11)], [*"1234567890", ""]),
    ("a number of two digits is a name", ["10", "2"], ["1", "2"]),
    ("many names that are typed", [str(k) for k in range(12)], [""] * 12),
    ("ten digits and another", [*"0123456789", "other"], [*"0123456789", ""]),
]


@pytest.mark.parametrize(("what", "names", "outcome"), DIGITS, ids=[case[0] for case in DIGITS])
def test_the_digit_of_a_class(what, names, outcome):
    assert [(keys or [""])[0] for keys in class_keys(names, {})] == outcome


NAMES = st.lists(st.text("ab01 9", min_size=1, max_size=3), min_size=1, max_size=14, unique=True)


@given(NAMES, st.data())
def test_no_two_classes_have_one_key(names, data):
    free = [key for key in "cdefhxy" if key not in LETTERS]
    places = data.draw(st.lists(st.sampled_from(range(len(names))), unique=True, max_size=4))
    own = dict(zip(places, free, strict=False))
    keys = class_keys(names, own)
    flat = [key for some in keys for key in some]
    assert len(flat) == len(set(flat))
    assert not set(flat) & set(SIGNS)
    assert all(keys[k][0] == key for k, key in own.items())
    if len(names) <= FEW:
        assert all(keys)
        assert all(name in some for name, some in zip(names, keys, strict=True)
                   if len(name) == 1 and name in "019")  # fmt: skip


@given(NAMES, NAMES)
def test_further_classes_move_no_key_of_a_name(names, further):
    """As long as they are words: a name that is a digit takes its digit from whoever has it."""
    before = [f"x{name}" for name in names]
    after = [*before, *(f"y{name}" for name in further)]
    assert class_keys(after, {})[: len(before)] == class_keys(before, {})


def test_letters_type_names_where_there_are_many():
    few = page_keys([f"n{k}" for k in range(10)], {})
    many = page_keys([f"n{k}" for k in range(11)], {})
    assert not few["typing"]
    assert many["typing"]
    assert few["acts"]["u"] == many["acts"]["."] == "unsure"
    assert not set(many["acts"]) & set(LETTERS)


def run(folder, *words):
    return CliRunner().invoke(with_commands(), ["classes", *words, "--project", str(folder)])


def test_an_own_key_stays_with_its_class(project, folder):
    project.close()
    assert "red c, green 2, blue 3" in run(folder, "--key", "red=C").output
    assert "nothing to do" in run(folder, "--key", "red=c").output
    assert run(folder, "--rename", "red=carmine").exit_code == 0
    assert run(folder, "--add", "ash").exit_code == 0
    with Project.open(folder) as p:
        assert own_keys(p.ledger) == {0: "c"}
        assert class_keys(p.classes, own_keys(p.ledger)) == [["c", "1"], ["2"], ["3"], ["4"]]
    assert run(folder, "--key", "carmine=").exit_code == 0
    assert run(folder, "--remove", "green").exit_code == 0
    assert run(folder, "--key", "ash=x").exit_code == 0
    with Project.open(folder) as p:
        assert own_keys(p.ledger) == {2: "x"}


@pytest.mark.parametrize(
    ("key", "said"),
    [("u", "unsure"), ("?", "keys"), ("2", "green"), ("ab", "one character"), ("\t", None),
     ("x", "blue"), ("\u0301", "one character")],
)  # fmt: skip
def test_a_key_that_cannot_be_is_refused_with_free_ones(project, key, said):
    set_key(project.ledger, "blue", "x")
    if said is None:  # blank: the key is taken away, and there was none
        assert not set_key(project.ledger, "red", key)
        return
    with pytest.raises(ConfigError, match=said) as refused:
        set_key(project.ledger, "red", key)
    assert "a, c, d" in refused.value.cure
    assert own_keys(project.ledger) == {2: "x"}


def test_what_is_no_class_has_no_key(project):
    with pytest.raises(UnknownName, match="rot"):
        set_key(project.ledger, "rot", "c")
    assert len(CLASSES) == len(project.classes)
