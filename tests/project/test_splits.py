"""Exports for training elsewhere: two parts, a folder for each class, safe names."""

import csv
import json
import os
import sys
import unicodedata
from pathlib import Path, PureWindowsPath

import datasets
import numpy as np
import pytest
from console import call
from heic_files import heic_bytes
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from small_project import CLASSES, QUICK, make_images
from torchvision.datasets import ImageFolder

from labelgap.core.errors import ConfigError, DataError, FolderError
from labelgap.project.exchange import class_folders
from labelgap.project.exchange.begin import begin
from labelgap.project.exchange.export import export, label_rows
from labelgap.project.exchange.hugging_face import write_data_set
from labelgap.project.exchange.safe_names import LONGEST, safe_name, safe_names
from labelgap.project.exchange.splits import divided, write_split


@pytest.fixture
def labelled(project):
    """24 labels, of which 6 are held out, and one image that is none of the classes."""
    for i in range(24):
        project.ledger.answer(i, i % 3, person="anna")
    project.ledger.answer(24, -1, person="anna")
    project.ledger.hold_out(range(0, 24, 4))
    return project


def files_of(folder):
    return sorted(p for p in folder.rglob("*") if p.is_file())


def ids_of(folder):
    return {int(p.name.partition("-")[0]) for p in files_of(folder)}


# ------------------------------------------------------------------------- the held-out column


def test_every_table_says_what_is_held_out(labelled, tmp_path):
    export(labelled, tmp_path / "l.csv", "csv")
    with (tmp_path / "l.csv").open() as file:
        said = {row["path"]: row["held_out"] for row in csv.DictReader(file)}
    assert {p for p, held in said.items() if held == "true"} == {
        f"im{i:04d}.png" for i in range(0, 24, 4)
    }
    assert set(said.values()) == {"true", "false"}
    export(labelled, tmp_path / "l.jsonl", "jsonl")
    rows = [json.loads(line) for line in (tmp_path / "l.jsonl").read_text().splitlines()]
    assert {r["path"]: r["held_out"] for r in rows} == {p: h == "true" for p, h in said.items()}
    export(labelled, tmp_path / "l.json", "coco")
    images = json.loads((tmp_path / "l.json").read_text())["images"]
    assert {i["file_name"] for i in images if i["held_out"]} == {
        r["path"] for r in rows if r["held_out"]
    }


# -------------------------------------------------------------------------------- two parts


@pytest.mark.parametrize("link", [False, True])
def test_held_out_labels_are_val(labelled, tmp_path, link):
    out = tmp_path / "deep" / "for-training"
    made = write_split(labelled, out, link=link)
    assert (made.train, made.val, made.none_of_these, made.converted) == (18, 6, 1, 0)
    assert ids_of(out / "val") == labelled.ledger.held_out
    assert ids_of(out / "train") == set(range(24)) - labelled.ledger.held_out
    for path in files_of(out):
        id = int(path.name.partition("-")[0])
        source = labelled.root / labelled.items.get(id).path
        assert path.parent.name == CLASSES[labelled.ledger.labels[id]]
        assert path.samefile(source) is link
        assert path.read_bytes() == source.read_bytes()
    for part, number in (("train", 18), ("val", 6)):
        read = ImageFolder(out / part)
        assert (read.classes, len(read)) == (sorted(CLASSES), number)


def test_a_stated_share_is_drawn_by_the_contents(labelled, tmp_path):
    first = divided(labelled, 0.3)
    assert len(first.val) + len(first.train) == 24
    before = {r["path"] for r in first.val}
    for i in range(30, 60):
        labelled.ledger.answer(i, i % 3, person="anna")
    now = {r["path"] for r in divided(labelled, 0.3).val}
    assert before == {p for p in now if int(p[2:6]) < 24}  # nobody changes sides
    assert before <= {r["path"] for r in divided(labelled, 0.5).val}
    for share in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="is no share"):
            divided(labelled, share)
    with pytest.raises(ConfigError, match="`val` would be empty"):
        divided(labelled, 1e-9)


def test_without_held_out_labels_a_share_must_be_said(project, tmp_path):
    with pytest.raises(ConfigError, match=r"No image has a label.*labelgap ask 50"):
        write_split(project, tmp_path / "x")
    for i in range(12):
        project.ledger.answer(i, i % 3, person="anna")
    with pytest.raises(ConfigError, match=r"No label is held out.*--val 0\.2"):
        write_split(project, tmp_path / "x")
    assert not (tmp_path / "x").exists()
    assert write_split(project, tmp_path / "x", share=0.5).train > 0


def test_a_class_without_images_keeps_its_number(project, tmp_path):
    """Programs number the folders in order: one that is missing would shift the others."""
    for i in range(24):
        project.ledger.answer(i, i % 3, person="anna")
    project.ledger.hold_out([0, 1])  # red and green
    made = write_split(project, tmp_path / "x")
    assert made.without == {"train": [], "val": ["blue"]}
    train = ImageFolder(tmp_path / "x" / "train")
    val = ImageFolder(tmp_path / "x" / "val", allow_empty=True)
    assert train.class_to_idx == val.class_to_idx


def test_the_target_is_empty_and_outside(labelled, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    for out, match in (
        (tmp_path / "full", "not an empty folder"),
        (tmp_path / "full" / "mine.txt", "not an empty folder"),
        (labelled.root / "x", "inside the project"),
        (labelled.root, "not an empty folder"),
    ):
        for write in (write_split, write_data_set):
            if write is write_data_set and out == labelled.root / "x":
                continue  # its files are no images
            with pytest.raises(FolderError, match=match):
                write(labelled, out)
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    with pytest.raises(FolderError, match="not an empty folder"):
        write_split(labelled, tmp_path / "link")
    assert files_of(tmp_path / "full") == [tmp_path / "full" / "mine.txt"]


@pytest.mark.parametrize("when", ["gone", "edited"])
def test_an_image_that_is_another_now_is_named_and_nothing_stays(labelled, tmp_path, when):
    path = labelled.root / "im0007.png"
    if when == "gone":
        path.unlink()
    else:
        path.write_bytes((labelled.root / "im0050.png").read_bytes())
    for write in (write_split, write_data_set):
        with pytest.raises(DataError, match=r"im0007\.png.*labelgap add"):
            write(labelled, tmp_path / "out" / "x")
        assert not (tmp_path / "out" / "x").exists()


def test_links_that_a_disk_refuses_say_what_to_do(labelled, tmp_path, monkeypatch):
    def other_disk(source, target):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(class_folders.os, "link", other_disk)
    with pytest.raises(FolderError, match=r"cross-device.*Leave out --link"):
        write_split(labelled, tmp_path / "x", link=True)
    assert not (tmp_path / "x").exists()
    assert write_split(labelled, tmp_path / "x").train == 18


def test_kinds_that_training_programs_do_not_open_are_converted(tmp_path):
    folder, exif = tmp_path / "images", Image.Exif()
    folder.mkdir()
    exif[0x0112] = 6
    smooth = np.add.outer(np.arange(40), np.arange(60)).astype(np.uint8)
    image = Image.fromarray(np.stack([smooth, smooth * 2, 255 - smooth], axis=2))
    heic = heic_bytes(image, quality=-1, chroma=444, exif=exif.tobytes())
    (folder / "a.heic").write_bytes(heic)
    image.quantize(64).save(folder / "b.gif")
    image.save(folder / "c.jfif", "JPEG")
    image.save(folder / "d.tif")
    image.rotate(180).save(folder / "e.png", "JPEG")  # not what its name says
    with begin(folder, classes=["a", "b"]).project as project:
        assert project.items.count() == 5
        for item in project.items.all():
            project.ledger.answer(item.id, item.id % 2, person="anna")
        project.ledger.hold_out([1, 2])
        made = write_split(project, tmp_path / "out")
        data = write_data_set(project, tmp_path / "data")
    assert (made.converted, data.converted) == (2, 2)
    names = [p.name for p in files_of(tmp_path / "out")]
    assert {n.partition("-")[2] for n in names} == {"a.jpg", "b.png", "c.jpg", "d.tif", "e.jpg"}
    turned = next(p for p in files_of(tmp_path / "out") if p.stem.endswith("-a"))
    upright = np.asarray(image.transpose(Image.Transpose.ROTATE_270)).astype(int)
    with Image.open(turned) as found:
        assert np.abs(np.asarray(found).astype(int) - upright).mean() < 3
        assert not found.getexif().get(0x0112)
    both = [x for part in ("train", "val") for x, _ in ImageFolder(tmp_path / "out" / part)]
    assert len(both) == 5


# ------------------------------------------------------------------------------------ names

names = st.text(max_size=300) | st.sampled_from(
    ["..", ".", "", " ", "a/b", "../../x", "CON", "con.txt", "nul", "LPT1.jpg", "a\\b", "C:x", "x."]
)


@given(names)
def test_a_name_is_safe_everywhere(text):
    name = safe_name(text)
    assert name == safe_name(name)
    assert Path(name).name == PureWindowsPath(name).name == name
    assert name not in ("", ".", "..")
    assert len(name.encode()) <= LONGEST
    assert not name.startswith(".")
    assert not name.endswith((".", " "))
    reserved = getattr(os.path, "isreserved", PureWindowsPath(name).is_reserved)
    assert not reserved(name) if sys.version_info >= (3, 13) else not reserved()
    assert not any(unicodedata.category(c) == "Cc" for c in name)


@given(st.lists(names, unique=True, max_size=12))
def test_no_two_names_are_alike(texts):
    made = safe_names(texts)
    assert list(made) == texts
    folded = {unicodedata.normalize("NFC", name).casefold() for name in made.values()}
    assert len(folded) == len(texts)
    assert all(len(name.encode()) <= LONGEST for name in made.values())


def test_classes_with_odd_names_stay_in_the_target(tmp_path):
    truth = make_images(tmp_path / "images", 16)
    odd = ("..", "a/b", "CON", "Ünder: 100 %")
    with begin(tmp_path / "images", classes=odd).project as project:
        for i in range(len(truth)):
            project.ledger.answer(i, i % 4, person="anna")
        project.ledger.hold_out(range(4))
        made = write_split(project, tmp_path / "a" / "out")
        assert {r["label"] for r in label_rows(project)} == set(odd)
    assert set(made.renamed) == {"..", "a/b", "CON", "Ünder: 100 %"}
    assert sorted(p.name for p in (tmp_path / "a").iterdir()) == ["out"]
    assert len(files_of(tmp_path / "a" / "out")) == 16
    assert sorted(p.name for p in (tmp_path / "a" / "out").iterdir()) == ["train", "val"]


# ------------------------------------------------------------------------------ Hugging Face


def test_a_data_set_on_disk_has_images_classes_and_parts(labelled, tmp_path):
    made = write_data_set(labelled, tmp_path / "set")
    assert (made.train, made.val, made.none_of_these) == (18, 6, 1)
    found = datasets.load_from_disk(tmp_path / "set")
    assert found["train"].features["label"].names == list(CLASSES)
    rows = {r["path"]: r for r in label_rows(labelled)}
    held = {row["path"] for row in found["validation"]}
    assert held == {p for p, r in rows.items() if r["held_out"]}
    for part in found.values():
        for row in part:
            known = rows[row["path"]]
            assert (CLASSES[row["label"]], row["sha256"]) == (known["label"], known["sha256"])
            with Image.open(labelled.root / row["path"]) as image:
                np.testing.assert_array_equal(np.asarray(row["image"]), np.asarray(image))
    assert sorted(p.name for p in tmp_path.iterdir() if "set" in p.name) == ["set"]
    # A project can begin with it.
    with begin(tmp_path / "set", config=QUICK).project as again:
        assert set(again.classes) == set(CLASSES)
        assert again.items.count() == 24
        by_hash = {i.sha256: i.id for i in again.items.all()}
        for row in rows.values():
            if row["label"] in CLASSES:
                label = again.ledger.labels[by_hash[row["sha256"]]]
                assert again.classes[label] == row["label"]


def test_a_missing_package_is_named(labelled, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match=r"needs the package datasets.*(--extra hf|datasets>=)"):
        write_data_set(labelled, tmp_path / "set")
    assert not (tmp_path / "set").exists()


# ------------------------------------------------------------------------------- the command


def test_the_command_says_what_went_where(labelled, tmp_path, monkeypatch, capsys):
    root = labelled.root
    labelled.close()
    monkeypatch.chdir(root)
    beside = root.parent / "images-yolo"
    status, said = call(capsys, "export", "--format", "yolo-cls")
    assert status == 0
    assert f"18 images to train on, 6 to measure with → {beside}" in said
    assert "without 1 image that is none of the classes" in said
    assert len(files_of(beside)) == 24
    status, said = call(capsys, "export", "--format", "csv", "--link")
    assert status == 2
    assert "--link is for folders of images" in said
    status, said = call(capsys, "export", "--format", "csv", "--val", "0.2")
    assert status == 2
    assert "--val divides labels for training" in said
    status, said = call(capsys, "export", "--format", "huggingface", "--val", "0.5")
    assert status == 0
    assert (root.parent / "images-dataset" / "dataset_dict.json").is_file()
