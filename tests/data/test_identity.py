"""What a folder's data are, and what differs from them: against counts made one by one."""

from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from labelgap.core.errors import DataError
from labelgap.data import one_name
from labelgap.data.difference import difference, extended, in_order
from labelgap.data.identity import Record, record_of, row_hashes
from labelgap.data.types import Augment, Split, Task

CLASSES = ("cat", "dog", "fox")
TEST = Split(np.full((2, 2), 9, np.float32), np.array([0, 1]))


def task(
    rows: list[tuple[int, int]], classes: tuple[str, ...] = CLASSES, test: Split = TEST
) -> Task:
    """Rows (value, label); equal values are equal rows."""
    inputs = np.array([[v, -v] for v, _ in rows], np.float32).reshape(-1, 2)
    labels = np.array([y for _, y in rows], np.int64)
    return Task.of("mine", classes, Split(inputs, labels), test, Augment())


# Few values: most rows occur several times, with several labels.
ROWS = st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 2)), min_size=1, max_size=12)


@given(ROWS, ROWS)
def test_rows_are_matched_as_often_as_they_occur(before, now):
    found = difference(record_of(task(before)), record_of(task(now))).train
    old, new = Counter(before), Counter(now)
    assert Counter(before[i] for i in found.same[:, 0]) == old & new
    assert [before[i] for i, _ in found.same] == [now[j] for _, j in found.same]
    rest_old, rest_new = old - new, new - old
    values = Counter(v for v, _ in rest_old.elements()) & Counter(v for v, _ in rest_new.elements())
    assert Counter(before[i][0] for i, _ in found.relabelled) == values
    assert all(before[i][0] == now[j][0] for i, j in found.relabelled)
    # Every row is in one of the parts, once.
    for n, parts in (
        (len(before), (found.same[:, 0], found.relabelled[:, 0], found.changed, found.removed)),
        (len(now), (found.same[:, 1], found.relabelled[:, 1], found.changed, found.added)),
    ):
        assert sorted(np.concatenate(parts).tolist()) == list(range(n))
    assert found.grew == (not old - new)


@given(ROWS, ROWS, st.randoms(use_true_random=False))
def test_ids_stay_what_they_are_when_data_grow_anywhere(before, more, random):
    later = [*before, *more]
    random.shuffle(later)
    first, now = task(before), task(later)
    record, ordered = extended(difference(record_of(first), record_of(now)), now)
    n = len(before)
    assert np.array_equal(ordered.train.inputs[:n], first.train.inputs)
    assert np.array_equal(ordered.train.labels[:n], first.train.labels)
    assert Counter(
        zip(ordered.train.inputs[:, 0].tolist(), ordered.train.labels.tolist(), strict=True)
    ) == (Counter((float(v), y) for v, y in later))
    assert record.rows == (n, len(later))
    assert record.given == now.fingerprint
    again = in_order(record, now)  # as a later call finds them
    assert np.array_equal(again.train.inputs, ordered.train.inputs)
    assert again.fingerprint == ordered.fingerprint == record.fingerprint
    # Twice: what was added comes before what is added then.
    third = task([*later[::-1], (7, 1)])
    _, grown = extended(difference(record, record_of(third)), third)
    assert np.array_equal(grown.train.inputs[: len(later)], ordered.train.inputs)


def test_a_pool_follows_its_rows() -> None:
    first, later = task([(1, 0), (2, 1)]), task([(5, 2), (2, 1), (1, 0), (6, 0)])
    later = Task(**{**vars(later), "pool": np.array([1, 3])})  # the rows of 2 and 6
    _, ordered = extended(difference(record_of(first), record_of(later)), later)
    assert ordered.train.inputs[ordered.pool, 0].tolist() == [2, 6]


def test_classes_in_another_order_are_the_same_labels_by_name() -> None:
    first = task([(1, 0), (2, 1)])
    other = task(
        [(2, 0), (1, 2), (3, 1)], ("dog", "fox", "cat"), Split(TEST.inputs, np.array([2, 0]))
    )
    found = difference(record_of(first), record_of(other))
    assert str(found) == "the classes are in another order; 1 training row added (row 2 here)"
    _, ordered = extended(found, other)
    assert (ordered.classes, ordered.train.labels.tolist()) == (CLASSES, [0, 1, 2])
    assert ordered.test.labels.tolist() == [0, 1]


BASE = [(k, k % 3) for k in range(8)]
SAID = [
    (task([*BASE, (9, 0)]), "1 training row added (row 8 here)"),
    (task(BASE[1:]), "1 training row removed (row 0 there)"),
    (task([*BASE[:3], (99, 0), *BASE[4:]]), "1 training row with other contents (row 3)"),
    (task([(0, 2), *BASE[1:-1], (7, -1)]),
     "2 training rows with another label (0: cat → fox, 7: dog → none)"),
    (task(BASE[::-1]), "the training rows are in another order"),
    (task([(k + 50, 0) for k in range(8)]),
     "8 training rows with other contents (rows 0, 1, 2, 3, 4, …)"),
    (task(BASE, test=Split(TEST.inputs, np.array([0, 2]))),
     "1 test row with another label (1: dog → fox)"),
    (task(BASE, (*CLASSES, "owl")), "new class 'owl'"),
    (task(BASE, ("cat", "wolf", "fox")),
     "new class 'wolf'; missing class 'dog'; 3 training rows with another label "
     "(1: dog → wolf, 4: dog → wolf, 7: dog → wolf); 1 test row with another label "
     "(1: dog → wolf)"),
    (Task.of("wide", CLASSES, Split(np.zeros((8, 3), np.float32), np.zeros(8, np.int64)),
             Split(np.zeros((1, 3), np.float32), np.zeros(1, np.int64)), Augment()),
     "items of 2 there, of 3 here"),
]  # fmt: skip


@pytest.mark.parametrize(("other", "said"), SAID, ids=[s[1] for s in SAID])
def test_what_differs_is_said(other: Task, said: str) -> None:
    found = difference(record_of(task(BASE)), record_of(other))
    assert str(found) == said
    if found.only_grew:
        return
    with pytest.raises(DataError, match="put back"):
        extended(found, other)


def test_only_added_or_moved_training_rows_are_growth() -> None:
    grew = [difference(record_of(task(BASE)), record_of(other)).only_grew for other, _ in SAID]
    assert grew == [True, False, False, False, True, False, False, False, False, False]


def test_a_record_is_read_as_it_was_written_or_named_as_damaged(tmp_path: Path) -> None:
    names = ("a\u2028b", "ä", " c")
    first, later = task(BASE, names), task([(77, 1), *BASE[::-1]], names)
    record, _ = extended(difference(record_of(first), record_of(later)), later)
    for kept in (record_of(first), record):
        kept.save(tmp_path / "data.npz")
        read = Record.load(tmp_path / "data.npz")
        for name in ("name", "classes", "shape", "fingerprint", "given", "rows"):
            assert getattr(read, name) == getattr(kept, name)
        assert np.array_equal(read.order, kept.order)
        assert not len(difference(kept, read).train.added)
        assert difference(kept, read).train.grew
    whole = (tmp_path / "data.npz").read_bytes()
    for damaged in (b"", whole[:100], whole[:-40], b"not a zip"):
        (tmp_path / "data.npz").write_bytes(damaged)
        with pytest.raises(DataError, match="remove this file"):
            Record.load(tmp_path / "data.npz")


def test_a_row_is_known_by_its_values_its_shape_and_its_type() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5000, 4, 2, 3), dtype=np.uint8)
    found = row_hashes(images)
    assert len(np.unique(found)) == len(images)
    assert np.array_equal(row_hashes(images[::-1]), found[::-1])
    assert not np.isin(row_hashes(images.reshape(-1, 2, 4, 3)), found).any()
    assert row_hashes(np.zeros((0, 4), np.float32)).shape == (0,)


def test_one_folder_has_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, away = tmp_path / "here", tmp_path / "away"
    for folder in (here / "data", here / "digits", away):
        folder.mkdir(parents=True)
    (here / "link").symlink_to(here / "data")
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(here))
    for typed in ("data", "./data", "data/", "../here/data", str(here / "data"), "link", "~/data"):
        assert one_name(typed) == "data"
    assert one_name("digits") == "digits"  # the built-in set
    assert one_name("./digits") == one_name(str(here / "digits")) == "./digits"
    assert one_name("../away") == one_name(str(away)) == away.resolve().as_posix()
    assert one_name("no such") == "no such"
    assert one_name("") == ""
