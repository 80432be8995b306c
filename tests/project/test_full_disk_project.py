"""A project whose disk is full: every command says so, nothing is called damaged, nothing that
was acknowledged is lost, and with room again the same command goes on."""

import json
import shutil

import pytest
from console import call
from disks import fill, read_only, small_file_system
from small_project import CLASSES, QUICK, answer_all, make_images

from labelgap.project.asking.work import Work
from labelgap.project.exchange.begin import begin
from labelgap.project.keep.doctor import examine
from labelgap.project.keep.store import Project

# "restore" is the advice where something is broken; nothing is.
_WRONG = ("damaged", "estore", "Traceback", "repack")


@pytest.fixture
def disk(tmp_path):
    with small_file_system(tmp_path / "disk", "6m") as folder:
        yield folder


@pytest.fixture
def labelled(disk, tmp_path, monkeypatch):
    """A project with twenty labels, on the small disk; so is the cache."""
    monkeypatch.setenv("LABELGAP_CACHE", str(disk / "cache"))
    folder = disk / "images"
    truth = make_images(folder)
    with begin(folder, classes=CLASSES, method="margin", config=QUICK).project as project:
        Work(project).ask(20)
        answer_all(project, truth)
    return folder


def labels_of(folder):
    with Project.open(folder, "read") as project:
        return project.ledger.labels


def refused_then_done(capsys, disk, folder, *words, leave=0):
    """A command with `leave` bytes of room is refused as the disk's; with room it is done."""
    before = labels_of(folder)
    ballast = fill(disk)
    if leave:
        with ballast.open("r+b") as file:
            file.truncate(max(0, ballast.stat().st_size - leave))
    status, text = call(capsys, *words)
    ballast.unlink()
    assert not any(word in text for word in _WRONG), text
    assert status == 2, text
    assert "the disk is full" in text, text
    assert "Free" in text or "room" in text, text
    assert labels_of(folder) == before
    status, text = call(capsys, *words)
    assert status == 0, text
    return text


def test_train_ask_predict_and_export(capsys, disk, labelled):
    def step(*words, leave=0):
        words = (*words, "--project", str(labelled))
        return refused_then_done(capsys, disk, labelled, *words, leave=leave)

    step("train", leave=20_000)  # before the weights are whole
    step("ask", "5")
    step("predict", "--out", str(disk / "p.csv"))
    for kind in ("csv", "jsonl", "parquet", "coco"):
        step("export", "--format", kind, "--out", str(disk / f"out.{kind}"))
    step("export", "--format", "folders", "--out", str(disk / "folders"))
    step("export", "--format", "model", "--out", str(disk / "model"))
    step("backup", "--out", str(disk / "backup.zip"))
    step("undo")


def test_an_export_elsewhere_that_is_full_leaves_nothing_there(capsys, tmp_path, labelled):
    at = ("--project", str(labelled))
    assert call(capsys, "train", *at)[0] == 0
    with small_file_system(tmp_path / "other", "200k") as other:
        for kind in ("folders", "model"):
            ballast = fill(other)
            with ballast.open("r+b") as file:
                file.truncate(ballast.stat().st_size - 12_000)
            words = ("export", "--format", kind, "--out", str(other / kind), *at)
            status, text = call(capsys, *words)
            assert status == 2
            assert "the disk is full" in text
            assert [p.name for p in other.iterdir()] == ["ballast"]
            ballast.unlink()
            assert call(capsys, *words)[0] == 0
            shutil.rmtree(other / kind)


def test_init_and_add(capsys, disk):
    folder = disk / "images"
    make_images(folder, 30)
    words = ("init", str(folder), "--classes", "a,b")
    for leave in (0, 20_000, 60_000, 150_000):
        ballast = fill(disk)
        with ballast.open("r+b") as file:
            file.truncate(ballast.stat().st_size - leave)
        status, text = call(capsys, *words)
        ballast.unlink()
        if status == 0:
            break
        assert status == 2
        assert "the disk is full" in text
        assert not any(word in text for word in _WRONG), text
    status, text = call(capsys, *words)
    assert status == 0
    with Project.open(folder, "read") as project:
        assert project.items.count() == 30
        assert project.pixels.open(30).any(axis=(1, 2, 3)).all()
        assert not project.items.files("quarantined")
    make_images(folder / "more", 30, seed=9)
    text = refused_then_done(capsys, disk, folder, "add", "--project", str(folder))
    with Project.open(folder, "read") as project:
        assert project.items.count() == 60


def test_the_doctor_calls_a_full_disk_full(disk, labelled):
    ballast = fill(disk)
    found = {f.check: f for f in examine(labelled)}
    assert found["disk"].state == "warning"
    for finding in found.values():
        assert not any(word in finding.text + finding.cure for word in _WRONG), finding
    ballast.unlink()
    found = examine(labelled)
    assert all(f.state == "ok" for f in found if f.check != "disk"), found


def test_a_read_only_disk(capsys, disk, labelled):
    at = ("--project", str(labelled))
    before = labels_of(labelled)
    with read_only(disk):
        for words in (("ask", "5"), ("train",), ("add",), ("undo",)):
            status, text = call(capsys, *words, *at)
            assert status == 2, text
            assert "read-only" in text
            assert not any(word in text for word in _WRONG), text
        assert labels_of(labelled) == before  # it can be read
        status, text = call(capsys, "status", *at)
        assert status == 0, text
        found = {f.check: f for f in examine(labelled)}
        assert found["ledger"].state == "ok"
        for finding in found.values():
            assert not any(word in finding.text + finding.cure for word in _WRONG), finding
    assert call(capsys, "ask", "5", *at)[0] == 0


def test_a_project_without_images_is_called_so(tmp_path):
    folder = tmp_path / "empty"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"no image")
    begin(folder, classes=("a", "b")).project.close()
    (found,) = (f for f in examine(folder) if f.check == "items")
    assert found.state == "error"
    assert found.text.startswith("0 items: none of 1 file is a usable image, e.g. a.png: ")
    assert "labelgap add" in found.cure


def test_a_quota_and_a_failing_disk_on_the_way_to_the_ledger(labelled, monkeypatch, capsys):
    """What no test machine has; the system's call says it."""
    import errno
    import os

    for number, told in ((errno.EDQUOT, "quota"), (errno.EIO, "input/output error")):

        def refuse(*_, number=number):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "replace", refuse)
        out = labelled.parent / "out.jsonl"
        words = ("export", "--format", "jsonl", "--out", str(out), "--project", str(labelled))
        status, text = call(capsys, *words)
        assert (status, told in text) == (2, True), text
        assert not any(word in text for word in _WRONG), text
        monkeypatch.undo()
        assert call(capsys, *words)[0] == 0
        assert len([json.loads(line) for line in out.read_text().splitlines()]) == 20
        out.unlink()
