"""Packed anew while a file is gone: nobody learns from the blank row, and the file comes back."""

import csv

import numpy as np
import pytest
from PIL import Image
from small_project import answer_all
from test_commands import labels_of, run

from labelgap.core.errors import DataError
from labelgap.core.types import QueryItem
from labelgap.project.asking.work import Work
from labelgap.project.exchange.shown import packed
from labelgap.project.images.items import Items
from labelgap.project.keep.doctor import examine, repack
from labelgap.project.keep.settings import HOME
from labelgap.project.keep.store import Project
from labelgap.project.quality.quality import TRAINED
from labelgap.project.server.desk import Desk

GONE = ["im0003.png", "im0004.png", "im0040.png"]
IDS = [3, 4, 40]


@pytest.fixture
def away(folder, truth, tmp_path, monkeypatch):
    """Three files, two of them labelled, are gone while all is packed anew."""
    monkeypatch.chdir(folder)
    run("import", labels_of(folder, truth, sorted(truth)[:30]))
    (folder / HOME / "pixels.u8").unlink()
    for name in GONE:
        (folder / name).rename(tmp_path / name)
    said = run("doctor", "--repack")
    assert "57 images packed, 3 more without their file" in said
    assert "warning pixels: 3 images not packed, since the file was gone, e.g. im0003.png" in said
    return tmp_path


def test_a_blank_row_is_no_image(away, folder):
    with Project.open(folder) as p:
        assert p.items.unpacked() == set(IDS)
        assert not p.pixels.open(60)[IDS].any()
        work = Work(p)
        assert not np.isin(IDS, work.session.task.pool).any()
        work.train()
        assert not np.isin(IDS, work.session.training.labelled_ids).any()
        assert p.last_note(TRAINED).data["labels"] == 28
        assert not set(IDS) & set(p.last_note(TRAINED).data["watched"])
        assert not set(IDS) & {i.id for i in work.ask(60).items}
        assert p.ledger.labels.keys() >= {3, 4}  # kept
    assert "left out: 3 images without pixels" in run("train")
    said = run("predict", "--out", away / "p.csv")
    assert "57 predictions" in said
    assert "left out: 3 images" in said
    with open(away / "p.csv") as file:
        rows = {int(row["path"][2:6]): row for row in csv.DictReader(file)}
    assert rows.keys() == set(range(60)) - set(IDS)
    assert rows[59]["path"] == "im0059.png"


def test_the_page_goes_on_without_an_image_that_nobody_can_see(away, folder):
    with Project.open(folder) as p:
        p.ledger.asked(0, [QueryItem(40), QueryItem(41), QueryItem(42)])
        assert [i["id"] for i in Desk(p).batch("anna", 2)] == [41, 42]
        assert [i.id for i in p.waiting()] == [41, 42]
        with pytest.raises(DataError, match=r"im0040.png is gone, and nothing is packed of it"):
            packed(p, p.items.get(40))
        with pytest.raises(DataError, match="is gone"):
            Desk(p).image(40, "full")


@pytest.mark.parametrize("moved", [False, True])
def test_files_that_are_back_are_packed_and_learned_again(away, folder, truth, moved):
    if moved:
        run("add")  # notes that they are gone
    for name in GONE:
        (away / name).rename(folder / (f"again-{name}" if moved else name))
    assert "3 images packed that had no pixels" in run("add")
    assert "left out" not in run("train")
    with Project.open(folder) as p:
        for id, name in zip(IDS, GONE, strict=True):
            with Image.open(folder / (f"again-{name}" if moved else name)) as image:
                np.testing.assert_array_equal(p.pixels.open(60)[id], np.asarray(image))
        assert p.items.unpacked() == frozenset()
        assert p.last_note(TRAINED).data["labels"] == 30
        work = Work(p)
        work.ask(9)
        answer_all(p, truth | {f"again-{n}": truth[n] for n in GONE})
    assert {f.state for f in examine(folder)} == {"ok"}


def test_blank_rows_of_an_older_version_are_found_by_packing_anew(away, folder):
    with Project.open(folder) as p:
        p.items._database.execute("DROP TABLE unpacked")
        assert p.items.unpacked() == frozenset()
    items = Items(folder / HOME / "items.sqlite", read_only=True)
    assert items.unpacked() == frozenset()
    items.close()
    with Project.open(folder) as p:
        assert repack(p) == (60, GONE)
        assert p.items.unpacked() == set(IDS)
