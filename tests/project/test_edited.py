"""An image edited in place: the old contents' label never gets on the new ones."""

import csv
import json
import os

import numpy as np
import pyarrow.parquet as pq
import pytest
from console import call
from small_project import CLASSES, image_of

from labelgap.project.asking.work import Work
from labelgap.project.exchange.exchange import import_file
from labelgap.project.exchange.export import export, label_rows
from labelgap.project.exchange.predictions import write_predictions
from labelgap.project.keep.doctor import examine


def edit(project, name, seed=5):
    """Other contents in place; returns the bytes before."""
    path = project.root / name
    before = path.read_bytes()
    image_of(0, np.random.default_rng(seed)).save(path)
    project.add()
    return before


@pytest.fixture
def edited(project):
    """Items 0, 1, 2 labelled; the file of item 1 holds item 60 now."""
    for i in range(3):
        project.ledger.answer(i, i, person="anna")
    edit(project, "im0001.png")
    assert project.items.paths()["im0001.png"] == 60
    return project


def paths_in(project, out, format):
    export(project, out, format)
    if format == "csv":
        return sorted(row["path"] for row in csv.DictReader(out.open()))
    if format == "jsonl":
        return sorted(json.loads(line)["path"] for line in out.read_text().splitlines())
    if format == "parquet":
        return sorted(pq.read_table(out)["path"].to_pylist())
    if format == "coco":
        return sorted(i["file_name"] for i in json.loads(out.read_text())["images"])
    return sorted(p.name.partition("-")[2] for p in out.rglob("*.png"))


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet", "coco", "folders"])
def test_no_export_has_the_label_of_contents_that_are_gone(edited, tmp_path, format):
    assert paths_in(edited, tmp_path / "one", format) == ["im0000.png", "im0002.png"]
    edited.ledger.answer(60, 0, person="anna")
    assert paths_in(edited, tmp_path / "two", format) == ["im0000.png", "im0001.png", "im0002.png"]
    assert {r["path"]: r["label"] for r in label_rows(edited)}["im0001.png"] == CLASSES[0]


def test_an_own_export_comes_back_without_touching_the_new_contents(edited, tmp_path):
    export(edited, tmp_path / "labels.csv", "csv")
    assert import_file(edited, tmp_path / "labels.csv").same == 2
    assert 60 not in edited.ledger.labels
    assert edited.ledger.labels[1] == 1  # the ledger keeps it


def test_a_file_that_only_went_keeps_its_row(edited):
    (edited.root / "im0002.png").unlink()
    edited.add()
    assert [r["path"] for r in label_rows(edited)] == ["im0000.png", "im0002.png"]


def test_contents_that_come_back_have_their_label(project, tmp_path):
    project.ledger.answer(1, 1, person="anna")
    before = edit(project, "im0001.png")
    assert label_rows(project) == []
    path = project.root / "im0001.png"
    path.write_bytes(before)
    os.utime(path, ns=(1, 1))
    project.add()
    assert [(r["path"], r["label"]) for r in label_rows(project)] == [("im0001.png", CLASSES[1])]


def test_predictions_have_each_path_once(edited, tmp_path):
    class Unsure(Work):
        def __init__(self):
            self.project = edited

        def predict(self):
            n = edited.items.count()
            return np.arange(n), np.full((n, 3), 1 / 3, dtype=np.float32)

    assert write_predictions(Unsure(), tmp_path / "p.csv") == 60
    paths = [row["path"] for row in csv.DictReader((tmp_path / "p.csv").open())]
    assert len(set(paths)) == len(paths) == 60


def test_the_terminal_says_what_is_left_out(edited, tmp_path, capsys):
    folder = str(edited.root)
    edited.close()
    words = ("export", "--project", folder, "--out", str(tmp_path / "l.csv"))
    status, said = call(capsys, *words)
    assert status == 0
    assert "2 labels" in said
    assert "1 label of contents that are gone is not in it; the ledger keeps it" in said


def test_doctor_does_not_ask_for_replaced_files_back(edited):
    (edited.root / "im0002.png").unlink()
    edited.add()
    edited.close()
    found = {f.check: f for f in examine(edited.root)}
    assert found["edited"].text.startswith("1 image with other contents now, e.g. im0001.png")
    assert found["edited"].cure == ""
    assert "1 item without a file now, e.g. im0002.png" in found["files"].text
