"""Labels go out in every format and come back the same; nothing is imported twice."""

import csv
import json
import os
import zipfile

import numpy as np
import pyarrow.parquet as pq
import pytest
from console import call
from small_project import CLASSES, image_of, make_images

from labelgap.core.errors import ConfigError, DataError, FolderError, UnknownName
from labelgap.project.exchange.begin import begin, keep_labels
from labelgap.project.exchange.exchange import NONE_LABEL, import_file
from labelgap.project.exchange.export import export, label_rows
from labelgap.project.images.tables import defused, fused
from labelgap.project.keep.backup import backup
from labelgap.project.keep.doctor import examine, repack
from labelgap.project.keep.settings import HOME
from labelgap.project.keep.store import Project


@pytest.fixture
def labelled(project):
    for i in range(12):
        project.ledger.answer(i, i % 3, person="anna")
    project.ledger.answer(12, -1, person="anna")
    project.ledger.answer(3, 2, person="bert")  # they disagree; the latest is in force
    return project


def test_csv_has_what_is_in_force(labelled, tmp_path):
    out = tmp_path / "labels.csv"
    assert export(labelled, out, "csv") == 13
    rows = list(csv.DictReader(out.open()))
    assert list(rows[0]) == ["path", "label", "annotator", "time", "round", "sha256", "held_out"]
    by_path = {row["path"]: row for row in rows}
    assert by_path["im0003.png"]["label"] == "blue"
    assert by_path["im0003.png"]["annotator"] == "bert"
    assert by_path["im0004.png"]["label"] == "green"
    assert by_path["im0012.png"]["label"] == NONE_LABEL


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_labels_come_back_into_another_project(labelled, tmp_path, format):
    file = tmp_path / f"labels.{format}"
    export(labelled, file, format)
    make_images(tmp_path / "other")
    with begin(tmp_path / "other", classes=CLASSES).project as other:
        report = import_file(other, file)
        assert report.stored == 13
        assert other.ledger.labels == labelled.ledger.labels
        people = {e.person for e in other.ledger.history(limit=50)}
        assert people == {"anna", "bert"}
        before = other.ledger.seq
        again = import_file(other, file)
        assert (again.stored, again.same) == (0, 13)
        assert other.ledger.seq == before


def test_import_keeps_both_where_it_differs_and_says_so(labelled, tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text(
        "path,label\nim0000.png,blue\nim0001.png,green\n./im0050.png,red\nnone.png,red\n"
    )
    report = import_file(labelled, file)
    assert report.differing == [("im0000.png", "red", "blue")]
    assert report.unmatched == ["none.png"]
    assert labelled.ledger.labels[0] == 2
    assert 0 in labelled.ledger.conflicts()
    assert 1 not in labelled.ledger.conflicts()
    assert labelled.ledger.labels[50] == 0  # never asked


def test_one_annotator_with_two_labels_is_left_out(labelled, tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text("path,label\nim0040.png,blue\nim0040.png,green\nim0041.png,red\n")
    report = import_file(labelled, file)
    assert report.ambiguous == ["im0040.png"]
    assert 40 not in labelled.ledger.labels
    assert labelled.ledger.labels[41] == 0


def test_parquet_and_coco(labelled, tmp_path):
    export(labelled, tmp_path / "l.parquet", "parquet")
    assert pq.read_table(tmp_path / "l.parquet").num_rows == 13
    export(labelled, tmp_path / "l.json", "coco")
    made = json.loads((tmp_path / "l.json").read_text())
    assert [c["name"] for c in made["categories"]] == list(CLASSES)
    assert len(made["images"]) == 13
    assert len(made["annotations"]) == 12
    by_id = {i["id"]: i for i in made["images"]}
    for note in made["annotations"]:
        image = by_id[note["image_id"]]
        assert note["bbox"] == [0, 0, image["width"], image["height"]]
        assert note["category_id"] - 1 == labelled.ledger.labels[image["id"]]


@pytest.mark.parametrize("link", [False, True])
def test_folders(labelled, tmp_path, link):
    out = tmp_path / "sorted"
    export(labelled, out, "folders", link=link)
    files = sorted(p for p in out.rglob("*") if p.is_file())
    assert len(files) == 13
    for path in files:
        item = int(path.name.partition("-")[0])
        label = labelled.ledger.labels[item]
        assert path.parent.name == (CLASSES[label] if label >= 0 else NONE_LABEL)
        source = labelled.root / labelled.items.get(item).path
        assert path.read_bytes() == source.read_bytes()
        assert path.is_symlink() is link
    with pytest.raises(FolderError, match="not an empty folder"):
        export(labelled, out, "folders")
    with pytest.raises(FolderError, match="inside the project"):
        export(labelled, labelled.root / "x", "folders")


def test_formulas_are_defused_and_come_back(tmp_path):
    names = ["=HYPERLINK(1).png", "+1.png", "-1.png", "@a.png", "'quoted.png", "plain.png"]
    folder = tmp_path / "images"
    folder.mkdir()
    for i, name in enumerate(names):
        image_of(0, np.random.default_rng(i)).save(folder / name)
    with begin(folder, classes=["=1+1", "-"]).project as project:
        for item in project.items.all():
            project.ledger.answer(item.id, item.id % 2, person="@anna")
        export(project, tmp_path / "l.csv", "csv")
        for row in csv.reader((tmp_path / "l.csv").open()):
            assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)
        before = project.ledger.labels
        report = import_file(project, tmp_path / "l.csv")
        assert (report.unmatched, report.stored, report.same) == ([], 0, len(names))
        assert project.ledger.labels == before
        assert project.ledger.opinions(0).keys() == {"@anna"}


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@x", "\tx", "x", "'x", "'=1", "''-", ""])
def test_defusing_is_undone(text):
    assert fused(defused(text)) == text
    assert not defused(text).startswith(("=", "+", "-", "@", "\t", "\r"))


def test_a_label_that_comes_while_the_rows_are_made_waits(labelled, monkeypatch):
    ledger = labelled.ledger
    before, real = label_rows(labelled), ledger.events

    def meanwhile(after=0):
        yield from real(after)
        ledger.answer(40, 1, person="anna")

    monkeypatch.setattr(ledger, "events", meanwhile)
    assert label_rows(labelled) == before
    monkeypatch.undo()
    assert [r["id"] for r in label_rows(labelled)] == [*(r["id"] for r in before), 40]


def test_a_label_that_is_corrected_while_the_rows_are_made_is_not_lost(labelled, monkeypatch):
    ledger = labelled.ledger
    before, real = label_rows(labelled), ledger.opinions

    def meanwhile(id):
        if id == 4:
            ledger.answer(4, 0, person="anna")
        return real(id)

    monkeypatch.setattr(ledger, "opinions", meanwhile)
    assert label_rows(labelled) == before


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("what", ["deleted", "deleted, added"])
def test_folders_name_the_file_that_is_missing_and_leave_nothing(labelled, tmp_path, what, link):
    path, out = labelled.root / "im0002.png", tmp_path / "deep" / "sorted"
    original = path.read_bytes()
    path.unlink()
    if "added" in what:
        labelled.add()
    with pytest.raises(DataError, match=r"^im0002\.png of the labelled item 2 .*labelgap add"):
        export(labelled, out, "folders", link=link)
    assert not out.exists()
    path.write_bytes(original)
    os.utime(path, ns=(1, 1))
    labelled.add()
    assert export(labelled, out, "folders", link=link) == 13


@pytest.mark.parametrize("there", [False, True])
def test_folders_that_fail_half_way_can_be_tried_again(labelled, tmp_path, monkeypatch, there):
    out, copied = tmp_path / "sorted", []
    if there:
        out.mkdir()

    def full(source, target):
        copied.append(target)
        if len(copied) == 5:
            raise OSError(28, "No space left on device")
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr("labelgap.project.exchange.class_folders.shutil.copy2", full)
    with pytest.raises(FolderError, match="the disk is full"):
        export(labelled, out, "folders")
    assert list(out.iterdir()) == [] if there else not out.exists()
    monkeypatch.undo()
    assert export(labelled, out, "folders") == 13


def test_unknown_format(project, tmp_path):
    with pytest.raises(UnknownName, match="csv"):
        export(project, tmp_path / "x", "xlsx")


def test_a_file_that_cannot_be_written_leaves_the_old_one(labelled, tmp_path, monkeypatch):
    out = tmp_path / "labels.csv"
    out.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("labelgap.core.files.os.fsync", full)
    with pytest.raises(FolderError, match="the disk is full"):
        export(labelled, out, "csv")
    assert out.read_text() == "old"
    assert os.listdir(tmp_path / "images") != []


def test_backup_restores_everything(labelled, tmp_path):
    file = backup(labelled, tmp_path / "b.zip")
    rows, labels = label_rows(labelled), labelled.ledger.labels
    make_images(tmp_path / "again")
    with zipfile.ZipFile(file) as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path / "again")
        events = [json.loads(line) for line in archive.read("labels.jsonl").splitlines()]
        assert len(events) == labelled.ledger.seq
    with Project.open(tmp_path / "again") as project:
        assert project.ledger.labels == labels
        assert label_rows(project) == rows
    assert [f.check for f in examine(tmp_path / "again") if f.state == "error"] == ["pixels"]
    with Project.open(tmp_path / "again") as project:
        assert repack(project) == (60, [])
        np.testing.assert_array_equal(project.pixels.open(60), labelled.pixels.open(60))
    assert {f.check for f in examine(tmp_path / "again") if f.state != "ok"} == {"conflicts"}


def test_doctor_finds_each_damage(project, folder):
    project.close()
    assert {f.state for f in examine(folder)} == {"ok"}
    image_of(0, np.random.default_rng(5)).save(folder / "im0000.png")
    (folder / "im0001.png").unlink()
    found = {f.check: f for f in examine(folder)}
    assert found["contents"].state == "warning"
    assert "1 are gone and 1 have other contents" in found["contents"].text
    pixels = folder / HOME / "pixels.u8"
    pixels.write_bytes(pixels.read_bytes()[:-10])
    assert {f.check for f in examine(folder) if f.state == "error"} == {"pixels"}
    ledger = folder / HOME / "ledger.sqlite"
    ledger.write_bytes(b"no ledger" * 100)
    assert {f.check for f in examine(folder) if f.state == "error"} == {"ledger"}


def test_packing_anew_on_a_full_disk_names_the_cure(project, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("labelgap.project.images.pixels.os.fsync", full)
    with pytest.raises(FolderError, match=r"the disk is full.*labelgap doctor --repack"):
        repack(project)
    monkeypatch.undo()
    before = project.pixels.open(60).copy()
    project.pixels.file.unlink()
    (project.root / "im0059.png").unlink()
    assert repack(project) == (60, ["im0059.png"])
    rows = project.pixels.open(60)
    np.testing.assert_array_equal(rows[:59], before[:59])
    assert not rows[59].any()


def test_a_label_of_a_quarantined_image_says_why(tmp_path):
    folder = tmp_path / "images"
    make_images(folder, 4)
    (folder / "broken.png").write_bytes(b"no image")
    table = tmp_path / "labels.csv"
    table.write_text(f"path,label\nbroken.png,{CLASSES[0]}\n")
    with (
        begin(folder, classes=CLASSES).project as project,
        pytest.raises(DataError, match=r"broken\.png \(quarantined: "),
    ):
        import_file(project, table)


def test_a_label_that_was_taken_back_does_not_return(tmp_path, labelled):
    file = tmp_path / "labels.csv"
    file.write_text("path,label\nim0040.png,red\nim0041.png,red\n")
    assert import_file(labelled, file).stored == 2
    labelled.ledger.undo(40, person="import")
    before = labelled.ledger.seq
    report = import_file(labelled, file)
    assert (report.stored, report.same, report.taken_back) == (0, 1, 1)
    assert labelled.ledger.seq == before
    assert 40 not in labelled.ledger.labels
    # Another label, or the same of somebody else, is new.
    assert import_file(labelled, file, "bert").stored == 2
    file.write_text("path,label\nim0040.png,blue\n")
    assert import_file(labelled, file).stored == 1
    # What was said after the undo is not taken back.
    file.write_text("path,label\nim0040.png,red\n")
    assert import_file(labelled, file).stored == 1


def test_a_folder_label_that_was_taken_back_does_not_return_with_add(tmp_path):
    make_images(tmp_path / "cat", 3)
    make_images(tmp_path / "dog", 3, seed=1)
    with begin(tmp_path).project as project:
        project.ledger.undo(0, person="folder")
        report = keep_labels(project, project.find())
        assert (report.stored, report.same, report.taken_back) == (0, 5, 1)
        assert 0 not in project.ledger.labels


def test_no_class_has_the_name_of_the_answer_none(tmp_path):
    make_images(tmp_path, 3)
    with pytest.raises(ConfigError, match="is how labelgap writes that an image is of no class"):
        begin(tmp_path, classes=["cat", "(None of these)"])


def test_a_table_of_ones_own_is_not_replaced_unasked(labelled, tmp_path, monkeypatch, capsys):
    (tmp_path / "away").mkdir()
    monkeypatch.chdir(tmp_path / "away")
    own, words = tmp_path / "away" / "labels.csv", ("export", "--project", str(labelled.root))
    labelled.close()
    own.write_text("path,label,note\nim0001.png,red,from the camera\n")
    status, said = call(capsys, *words)
    assert status == 2
    assert "labels.csv is there already, and no export of labelgap." in said
    assert "from the camera" in own.read_text()
    assert call(capsys, *words, "--out", "labels.csv")[0] == 0  # named, so it was meant
    assert call(capsys, *words)[0] == 0  # labelgap's own export is written anew
    assert len(own.read_text().splitlines()) == 14
