"""The one rule for labels: what each value means, whatever file it came from.

`VALUES` and `REFUSED` are tables of (what, input, outcome).
"""

import time
import unicodedata

import numpy as np
import pyarrow as pa
import pytest

from labelgap.core.errors import DataError, UnknownName
from labelgap.data.labels import class_order, known_labels, label_of, read_labels

NAN = float("nan")
NFD = unicodedata.normalize("NFD", "zürich")

VALUES = [
    ("names", pa.array(["dog", "cat", "dog"]), ["dog", "cat", "dog"]),
    ("names with spaces around", pa.array([" cat", "cat ", "dog\t"]), ["cat", "cat", "dog"]),
    ("names in both forms of Unicode", pa.array([NFD, "zürich"]), ["zürich", "zürich"]),
    ("a null among names", pa.array(["cat", None]), ["cat", None]),
    ("an empty cell", pa.array(["cat", "", "  "]), ["cat", None, None]),
    ("NaN, null, NA as text", pa.array(["cat", "nan", "NaN", "null", "NULL", "NA", "<NA>"]),
     ["cat", None, None, None, None, None, None]),
    ("unlabeled, unlabelled", pa.array(["cat", "unlabeled", "Unlabelled"]), ["cat", None, None]),
    ("none in small letters is a name", pa.array(["none", "None"]), ["none", None]),
    ("whole numbers", pa.array([0, 2, 1]), ["0", "2", "1"]),
    ("−1 among whole numbers", pa.array([-1, 0, 1]), [None, "0", "1"]),
    ("−1 alone", pa.array([-1, -1]), [None, None]),
    ("a null among whole numbers", pa.array([0, None, 1]), ["0", None, "1"]),
    ("unsigned bytes", pa.array([0, 255], pa.uint8()), ["0", "255"]),
    ("whole numbers as floats", pa.array([0.0, 1.0]), ["0", "1"]),
    ("NaN among floats", pa.array([NAN, 1.0, None]), [None, "1", None]),
    ("−1.0 among floats", pa.array([-1.0, 0.0, 1.0]), [None, "0", "1"]),
    ("half floats", pa.array(np.array([1, 2], np.float16)), ["1", "2"]),
    ("whole numbers as text", pa.array(["0", "10", "2"]), ["0", "10", "2"]),
    ("floats as text", pa.array(["0.0", "1.0", ""]), ["0", "1", None]),
    ("−1 among numbers as text", pa.array(["-1", "0", "1"]), [None, "0", "1"]),
    ("−1 among names is a name", pa.array(["-1", "cat"]), ["-1", "cat"]),
    ("numbers with leading zeros are names", pa.array(["01", "1"]), ["01", "1"]),
    ("a number among names is a name", pa.array(["1.0", "cat"]), ["1.0", "cat"]),
    ("truth values", pa.array([True, False, None]), ["True", "False", None]),
    ("a dictionary of names", pa.array(["b", "a", None]).dictionary_encode(), ["b", "a", None]),
    ("nothing but nulls", pa.nulls(3), [None, None, None]),
    ("lists that are all null", pa.array([None, None], pa.list_(pa.int64())), [None, None]),
    ("no rows", pa.array([], pa.string()), []),
]  # fmt: skip

REFUSED = [
    ("a fraction", pa.array([0.0, 1.5]), r"1 value .*row 1 \(1\.5, a fraction\)"),
    ("a fraction as text", pa.array(["0", "1.5"]), r"row 1 \('1\.5', a fraction\)"),
    ("infinity", pa.array([0.0, float("inf")]), r"row 1 \(inf"),
    ("below −1", pa.array([0, -2]), r"row 1 \(-2\)"),
    ("±1, where −1 may be a class", pa.array([-1, 1, -1]), r"3 values .*may be two classes"),
    ("2⁶²", pa.array([2**62, 0]), rf"row 0 \({2**62}\)"),
    ("2⁶⁴ − 1", pa.array([2**64 - 1, 0], pa.uint64()), rf"row 0 \({2**64 - 1}\)"),
    ("10⁹", pa.array([0, 10**9]), r"row 1 \(1000000000\)"),
    ("10⁹ as a float", pa.array([0.0, 1e300]), r"row 1 \(1"),
    ("10⁹ as text", pa.array(["0", "1000000000"]), r"row 1 \(1000000000\)"),
    ("a list", pa.array([[1], None, [2, 3]]), r"2 values of type list.*row 0 \(\[1\]\), row 2"),
    ("a dictionary", pa.array([{"a": 1}]), r"1 value of type struct.*row 0 \(\{'a': 1\}\)"),
    ("a list as text", pa.array(["cat", '["cat", "dog"]']), r"row 1 .*several values"),
    ("a dictionary as text", pa.array(["cat", "{'choices': ['a']}"]), r"row 1 .*several values"),
    ("bytes", pa.array([b"cat"]), r"row 0 \(b'cat'\)"),
    ("a time", pa.array([0], pa.timestamp("s")), "1 value of type timestamp"),
    ("many", pa.array([-5] * 30), r"30 values .*row 19 \(-5\), … \(30 in all\)"),
]  # fmt: skip

DECLARED = [
    ("numbers", pa.array([1, 0]), ["dog", "cat"]),
    ("−1", pa.array([-1, 0]), [None, "cat"]),
    ("a null", pa.array([None, 0]), [None, "cat"]),
    ("floats", pa.array([1.0, NAN]), ["dog", None]),
    ("the names themselves", pa.array(["dog", "", "cat"]), ["dog", None, "cat"]),
]


def ids(cases):
    return [case[0] for case in cases]


@pytest.mark.parametrize(("what", "column", "outcome"), VALUES, ids=ids(VALUES))
def test_what_a_value_means(what, column, outcome):
    assert read_labels(column, "x").texts() == outcome
    assert read_labels(pa.chunked_array([column]), "x").texts() == outcome


@pytest.mark.parametrize(("what", "column", "outcome"), REFUSED, ids=ids(REFUSED))
def test_what_is_no_label_is_refused_by_row(what, column, outcome):
    with pytest.raises(DataError, match=outcome) as raised:
        read_labels(column, "the.file")
    assert str(raised.value).startswith("the.file: ")
    assert raised.value.cure


@pytest.mark.parametrize(("what", "column", "outcome"), DECLARED, ids=ids(DECLARED))
def test_numbers_mean_the_names_that_a_file_declares(what, column, outcome):
    read = read_labels(column, "x", ("cat", "dog"))
    assert read.texts() == outcome
    assert read.names == ("cat", "dog")


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array([0, 2]), r"row 1 \(2, where 2 are named\)"),
        (pa.array(["cat", "cow"]), r"row 1 \('cow', none of the file's classes cat, dog\)"),
    ],
)
def test_what_a_file_does_not_declare_is_refused(column, message):
    with pytest.raises(DataError, match=message):
        read_labels(column, "x", ("cat", "dog"))


def test_a_name_that_is_declared_twice_is_refused():
    with pytest.raises(DataError, match="names the class 'cat' twice"):
        read_labels(pa.array([0]), "x", ("cat", " cat"))


def test_numbers_are_ordered_as_numbers():
    assert class_order(["10", "9", "1"]) == ("1", "9", "10")
    assert class_order(["10", "9", "b"]) == ("10", "9", "b")
    assert read_labels(pa.array(["10", "9"]), "x").named().names == ("9", "10")


def test_the_rule_of_one_name_is_that_of_a_column():
    for what, column, outcome in VALUES[:8]:
        assert [label_of(t or "") for t in column.to_pylist()] == outcome, what


KNOWN = [
    ("names", ("cat", "dog"), pa.array(["dog", " cat", ""]), [1, 0, -1]),
    ("a class called None", ("None", "cat"), pa.array(["None", "", "nan"]), [0, -1, -1]),
    ("classes −1 and 1", ("-1", "1"), pa.array([-1, 1]), [0, 1]),
    ("classes −1 and 1 as text", ("-1", "1"), pa.array(["1", "-1"]), [1, 0]),
    ("numbers as floats", ("0", "1"), pa.array([0.0, NAN, 1.0]), [0, -1, 1]),
    ("numbers as text of floats", ("0", "1"), pa.array(["1.0", "0"]), [1, 0]),
    ("−1 is no label", ("0", "1"), pa.array([-1, 1]), [-1, 1]),
    ("a large number that is a class", (str(10**9), "x"), pa.array([10**9]), [0]),
]


@pytest.mark.parametrize(("what", "classes", "column", "outcome"), KNOWN, ids=ids(KNOWN))
def test_labels_of_known_classes(what, classes, column, outcome):
    assert known_labels(column, classes, "x").tolist() == outcome


def test_unknown_classes_are_named_with_all_their_rows():
    column = pa.array(["cat", "cta", "dgo", "cta"])
    with pytest.raises(UnknownName) as raised:
        known_labels(column, ("cat", "dog"), "the.file")
    assert "the.file, row 1 ('cta'), row 2 ('dgo'), row 3 ('cta')" in str(raised.value)
    with pytest.raises(UnknownName, match=r"'0' in x, row 0 \('0'\)"):
        known_labels(pa.array([0]), ("cat", "dog"), "x")  # never a place in the list
    with pytest.raises(DataError, match="several values"):
        known_labels(pa.array(['["cat"]']), ("cat", "dog"), "x")


def test_a_million_rows_take_no_loop():
    rng = np.random.default_rng(0)
    column = pa.array(rng.integers(0, 1000, 1_000_000).astype(str))
    started = time.perf_counter()
    values = read_labels(column, "x").named().values
    assert time.perf_counter() - started < 1.5  # 0.1 s; a loop over the cells takes 3
    assert values.tolist() == [int(k) for k in column.to_pylist()]
