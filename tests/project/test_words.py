"""What the commands say reads well: numbers with their nouns, shares with their numbers."""

import getpass
import re

import numpy as np
import pytest
from console import call
from small_project import CLASSES, image_of, make_images

from labelgap.cli.telling import quarantine_of
from labelgap.core.errors import LabelgapError
from labelgap.core.wording import shortened
from labelgap.project.exchange.begin import begin
from labelgap.project.keep.store import Project
from labelgap.project.quality.quality import Share
from labelgap.project.server import serve


@pytest.mark.parametrize(
    ("right", "total", "said"),
    [
        (23, 23, "100 % of 23, at least 85 %"),
        (0, 5, "0 % of 5, at most 53 %"),
        (21, 23, "91.3 % of 23, between 71 and 99 %"),
        (0, 0, "not known"),
    ],
)
def test_an_accuracy_has_its_number(right, total, said):
    share = Share(right, total)
    assert share.sentence == said
    if total:
        low, high = (100 * end for end in share.interval)
        numbers = [float(n) for n in re.findall(r"[0-9.]+", said)]
        assert numbers[0] == pytest.approx(100 * right / total, abs=0.05)
        assert numbers[1] == total
        # Never more certain than the interval is.
        assert right == 0 or numbers[2] <= low
        assert right == total or numbers[-1] >= high


def test_quarantined_files_are_one_part_of_a_sentence():
    assert quarantine_of({}) == []
    assert quarantine_of({"damaged": 1}) == ["1 file quarantined (damaged)"]
    six = {reason: 1 for reason in ("a", "b", "c", "d", "e")} | {"zero bytes": 2}
    assert quarantine_of(six) == [
        "7 files quarantined (2 zero bytes, 1 a, 1 b, 1 c, 1 d, 1 e; "
        "`labelgap status --quarantine`)"
    ]


def test_one_is_no_plural(tmp_path, capsys):
    make_images(tmp_path / "images", 1)
    copy = (tmp_path / "images" / "im0000.png").read_bytes()
    (tmp_path / "images" / "same.png").write_bytes(copy)
    status, said = call(capsys, "init", str(tmp_path / "images"), "--classes", "cat")
    assert status == 0
    assert "1 image, 1 class (cat)" in said
    assert "1 file left out: the same image as another file, which is asked once" in said
    make_images(tmp_path / "images" / "new", 1, seed=9)
    said = call(capsys, "add", "--project", str(tmp_path / "images"))[1]
    assert "1 new image; 2 in all" in said


def test_some_names_are_shortened():
    assert shortened(["a", "b"], 2) == "a, b"
    assert shortened(["a", "b", "c", "d"], 2) == "a, b and 2 more"


@pytest.fixture
def deep(tmp_path):
    """Two folders with files of the same names, and one name that only one of them has."""
    rng = np.random.default_rng(0)
    for folder, names in (("cats", "abc"), ("dogs", "abcd")):
        (tmp_path / "images" / folder).mkdir(parents=True)
        for name in names:
            image_of(0, rng).save(tmp_path / "images" / folder / f"{name}.png")
    begin(tmp_path / "images", classes=CLASSES).project.close()
    return tmp_path / "images"


def test_undo_takes_a_bare_name(deep, capsys):
    at = ("--project", str(deep))
    with Project.open(deep) as p:
        ids = {path: item for path, item in p.items.paths().items()}
        for path in ("cats/a.png", "dogs/d.png", "cats/b.png", "dogs/b.png"):
            p.ledger.answer(ids[path], 1, person="anna")
    assert call(capsys, "undo", "d.png", *at) == (0, "dogs/d.png has now: no label")
    # Of two files of this name one has an answer.
    assert call(capsys, "undo", "a", *at) == (0, "cats/a.png has now: no label")
    status, said = call(capsys, "undo", "b.png", *at)
    assert status == 2
    assert "2 images are meant by 'b.png': cats/b.png, dogs/b.png. Give more of the path." in said
    assert call(capsys, "undo", "dogs/b.png", *at)[0] == 0
    status, said = call(capsys, "undo", "d.pgn", *at)
    assert status == 2
    assert "Did you mean dogs/d.png, " in said
    status, said = call(capsys, "undo", "holiday-in-rome.jpeg", *at)
    assert status == 2
    assert "No image of this project is named 'holiday-in-rome.jpeg'." in said
    assert "cats/" not in said  # no list of names that mean nothing


def test_a_name_among_several_needs_no_answer_elsewhere(deep):
    with Project.open(deep, "read") as p:
        ids = p.items.paths()
        assert p.item_of("a.png", [ids["dogs/a.png"]]) == ids["dogs/a.png"]
        with pytest.raises(LabelgapError, match="2 images are meant"):
            p.item_of("a.png", [])
        with pytest.raises(LabelgapError, match="2 images are meant"):
            p.item_of("a.png")


def test_who_answers_is_who_is_logged_in(monkeypatch):
    monkeypatch.setattr(getpass, "getuser", lambda: "anna b")
    assert serve._who("", "127.0.0.1") == "&user=anna%20b"
    assert serve._who("bert", "127.0.0.1") == "&person=bert"
    assert serve._who("", "0.0.0.0") == ""  # anybody with the link

    def nobody():
        raise OSError("no user")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert serve.login_name() == "me"
