"""What is left out is counted and named: one line for each kind, `--verbose` lists."""

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from console import call
from small_project import CLASSES, make_images
from test_ingest import encoded

from labelgap.core.errors import ConfigError, DataError
from labelgap.data.left_out import NO_SUFFIX, kind_of_file, summary
from labelgap.project.exchange.begin import begin

PNG = encoded(0)

KINDS = [
    ("a.CR2", b"x", "camera RAW file"),
    ("a.mp4", b"x", "video"),
    ("a.pdf", b"x", "PDF"),
    ("a.dcm", b"x", "image of a format that is not read"),
    ("a.zip", b"x", "archive"),
    ("labels.csv", b"path,label\n", "table"),
    ("a", PNG, NO_SUFFIX),
    ("a.png.bak", PNG, NO_SUFFIX),
    ("a.image", b"\xff\xd8\xff\xe0rest", NO_SUFFIX),
    ("a.dat", b"RIFF\0\0\0\0WEBPVP8 ", NO_SUFFIX),
    ("a.dat", b"\0\0\0\x18ftypheic", NO_SUFFIX),
    ("a.dat", b"\0\0\0\x18ftypmp42", "video"),
    ("a.dat", b"%PDF-1.4", "PDF"),
    ("notes.txt", b"seen at noon", None),
    ("Thumbs.db", b"\xd0\xcf", None),
    ("empty", b"", None),
]


@pytest.mark.parametrize(("name", "contents", "kind"), KINDS)
def test_what_kind_a_file_is(tmp_path, name, contents, kind):
    (tmp_path / name).write_bytes(contents)
    assert kind_of_file(tmp_path / name) == kind


def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert kind_of_file(tmp_path / "pipe") is None
    assert kind_of_file(tmp_path / "gone") is None


def test_a_summary_counts_and_names():
    left_out = [("PDF", "a.pdf"), ("video", "x.mov"), ("PDF", "b.pdf")]
    assert summary(left_out) == ["left out: 2 PDFs, e.g. a.pdf", "left out: 1 video: x.mov"]
    assert summary(left_out, all_of_them=True) == [
        "left out: 2 PDFs", "  a.pdf", "  b.pdf", "left out: 1 video", "  x.mov"
    ]  # fmt: skip


def test_init_and_add_tell_what_they_leave_out(tmp_path, capsys):
    """A linked class folder above all: its class was missing without a word."""
    make_images(tmp_path / "cats", 3)
    folder = tmp_path / "images"
    make_images(folder / "dog", 3, seed=1)
    (folder / "cat").symlink_to(tmp_path / "cats")
    for name in ("a.cr2", "b.CR2"):
        (folder / name).write_bytes(b"x")
    (folder / "dog" / "noname").write_bytes(PNG)
    _, said = call(capsys, "init", str(folder), "--classes", "cat,dog")
    assert "left out: 2 camera RAW files, e.g. a.cr2" in said
    assert "left out: 1 link to a folder, not followed: cat" in said
    assert "left out: 1 image without the suffix of one: dog/noname" in said
    assert "b.CR2" not in said
    _, said = call(capsys, "add", "--verbose", "--project", str(folder))
    assert "left out: 2 camera RAW files a.cr2 b.CR2" in said


def test_a_folder_of_nothing_else_says_what_there_is(tmp_path):
    (tmp_path / "1.pdf").write_bytes(b"x")
    with pytest.raises(DataError, match=r"has no images .* Left out: 1 PDF: 1\.pdf\."):
        begin(tmp_path, classes=CLASSES)


def test_the_training_split_is_proposed(tmp_path):
    for split in ("train", "valid", "test"):
        make_images(tmp_path / split / "cat", 1)
    with pytest.raises(ConfigError, match=r"labelgap init \S+/train`"):
        begin(tmp_path)


def write(folder, name, labels, column="label"):
    folder.mkdir(exist_ok=True)
    images = pa.array([encoded(i + len(name) * 100) for i in range(len(labels))], pa.binary())
    pq.write_table(pa.table({"image": images, column: labels}), folder / f"{name}.parquet")


def labels_of(project):
    items = {item.id: item.path for item in project.items.all()}
    return {items[i]: project.classes[k] for i, k in project.ledger.labels.items()}


TABLES = [
    ("floats", pa.array([0.0, 10.0, 2.0]), ("0", "2", "10")),
    ("NaN", pa.array([float("nan"), 1.0, 0.0]), ("0", "1")),
    ("−1", pa.array([-1, 1, 0]), ("0", "1")),
    ("text", pa.array(["cat", " dog", "unlabeled"]), ("cat", "dog")),
]


@pytest.mark.parametrize(("what", "labels", "outcome"), TABLES, ids=[case[0] for case in TABLES])
def test_labels_of_a_table_follow_the_rule(tmp_path, what, labels, outcome):
    """05-tables: NaN, −1 and 0.0 became classes."""
    write(tmp_path, "train", labels)
    with begin(tmp_path).project as project:
        assert project.classes == outcome
        unlabelled = {"NaN": {0}, "−1": {0}, "text": {2}}.get(what, set())
        assert {int(path[-1]) for path in labels_of(project)} == {0, 1, 2} - unlabelled


def test_tables_that_contradict_each_other_are_refused(tmp_path):
    write(tmp_path, "one", pa.array(["cat", "dog"]))
    write(tmp_path, "second", pa.array([0, 1]))
    with pytest.raises(DataError, match=r"second\.parquet: has numbers .*one\.parquet names"):
        begin(tmp_path)
    write(tmp_path, "second", pa.array([[0], [1]]))
    with pytest.raises(DataError, match=r"second\.parquet: 2 values of type list"):
        begin(tmp_path)


def test_a_table_whose_labels_have_another_name_says_so(tmp_path):
    write(tmp_path, "train", pa.array([0, 1]), column="y")
    begun = begin(tmp_path, classes=("a", "b"))
    with begun.project:
        assert begun.places.notes == [
            "train.parquet has no column 'label' (y: int64): without labels"
        ]


def test_a_table_without_rows_is_named(tmp_path):
    write(tmp_path, "train", pa.array([], pa.int64()))
    with pytest.raises(DataError, match=r"train\.parquet: has no rows"):
        begin(tmp_path)
