"""Backups that one finds, and the way back to them: no label is left out without a word, nothing
is half restored, nothing that was there is removed."""

import os
import shutil
import zipfile

import pytest
from killing import killed_at_every_write
from small_project import CLASSES, QUICK, answer_all, make_images
from test_commands import run

from labelgap.core.errors import FolderError, LabelgapError
from labelgap.ledger.ledger import LEDGER
from labelgap.project.asking.work import Work
from labelgap.project.exchange.begin import begin
from labelgap.project.keep import replacing
from labelgap.project.keep.backup import backup
from labelgap.project.keep.doctor import examine, repack
from labelgap.project.keep.found_copies import RESTORED, copies, look_into
from labelgap.project.keep.restore import restore
from labelgap.project.keep.settings import HOME, ITEMS, SETTINGS
from labelgap.project.keep.store import Project


def label(folder, ids, label=0):
    with Project.open(folder) as p:
        p.ledger.answers(dict.fromkeys(ids, label))


def keep(folder, name):
    with Project.open(folder) as p:
        return p.snapshot(name)


def back_up(folder, out=None):
    with Project.open(folder, "read") as p:
        return backup(p, out)


def damage(folder, name=LEDGER):
    (folder / HOME / name).write_bytes(b"no ledger" * 1000)


def labels(folder):
    with Project.open(folder, "read") as p:
        return p.ledger.labels


@pytest.fixture
def alone(folder, tmp_path, monkeypatch):
    """The project, with a folder to itself: nobody's backups lie beside it."""
    monkeypatch.chdir(folder)
    return folder


def test_the_newest_by_its_last_event_is_taken_be_it_snapshot_or_backup(alone):
    label(alone, [0])
    first = keep(alone, "one")
    label(alone, [1])
    zipped = back_up(alone)
    os.utime(first)  # copied about: the file's time says nothing
    label(alone, [2])
    found = copies(alone)
    assert [(c.kind, len(c.labels)) for c in found] == [("backup", 2), ("snapshot", 1)]
    assert [c.time for c in found] == sorted((c.time for c in found), reverse=True)
    damage(alone)
    said = run("restore")
    assert f"{zipped.name} is the ledger now, with 2 labels" in said
    assert labels(alone) == {0: 0, 1: 0}
    label(alone, [3])
    last = keep(alone, "two")
    damage(alone)
    assert restore(alone).snapshot == last
    assert sorted(labels(alone)) == [0, 1, 3]


def test_no_label_is_left_out_without_a_word(alone):
    label(alone, [0, 1])
    zipped = back_up(alone)
    label(alone, [2, 3, 4])
    label(alone, [1], label=2)
    with pytest.raises(FolderError, match=r"does not have 4 labels that .*ledger\.sqlite has"):
        run("restore")
    assert labels(alone) == {0: 0, 1: 2, 2: 0, 3: 0, 4: 0}
    with pytest.raises(FolderError, match="4 labels"):
        run("doctor", "--restore", "newest")
    said = run("restore", "--yes")
    assert "left out: 4 labels of a newer copy" in said
    assert labels(alone) == {0: 0, 1: 0}
    aside = alone / HOME / "ledger.replaced.sqlite"
    assert look_into(aside).labels == {0: 0, 1: 2, 2: 0, 3: 0, 4: 0}
    assert "kept aside .labelgap/ledger.replaced.sqlite 5 labels" in run("restore", "--list")
    run("restore", aside)  # and back again
    assert len(labels(alone)) == 5
    assert "left out: 4 labels" in run("restore", zipped)  # a file that is named needs no yes
    with Project.open(alone, "read") as p:
        notes = [dict(e.data) for e in p.ledger.notes(RESTORED)]
        assert [note["left_out"] for note in notes] == [4]


def test_a_newer_backup_than_the_newest_snapshot_is_not_passed_by(alone):
    """The fault that was found: doctor went back to a snapshot behind a newer backup."""
    label(alone, range(5))
    keep(alone, "one")
    label(alone, range(5, 12))
    zipped = back_up(alone)
    damage(alone)
    [told] = [f for f in examine(alone) if f.state == "error"]
    assert f"labelgap restore` puts {zipped.name} in its place (12 labels" in told.cure
    run("doctor", "--restore", "newest")
    assert len(labels(alone)) == 12


def test_a_sound_copy_behind_damaged_ones_says_what_it_lacks(alone):
    label(alone, [0])
    keep(alone, "one")
    label(alone, [1])
    zipped = back_up(alone)
    whole = zipped.read_bytes()
    middle = len(whole) // 2
    harms = {
        "cut": whole[:middle],
        "flipped": whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :],
        "empty": b"",
        "text": b"path,label\n",
    }
    for name, harm in harms.items():
        (zipped.parent / f"{name}.zip").write_bytes(harm)
    with zipfile.ZipFile(zipped.parent / "other.zip", "w") as archive:
        archive.writestr("holiday.txt", "sun")
    found = {c.path.name: c for c in copies(alone)}
    assert {n for n, c in found.items() if c.sound} == {"one.sqlite", zipped.name}
    for name in (*harms, "other"):
        assert f"{name}.zip" in found[f"{name}.zip"].problem
        with pytest.raises(FolderError, match=f"{name}.zip"):
            restore(alone, zipped.parent / f"{name}.zip")
    assert "not whole" in run("restore", "--list")
    zipped.unlink()
    damage(alone)
    assert len(copies(alone)) == 6
    run("restore")
    assert labels(alone) == {0: 0}
    with pytest.raises(FolderError, match="is not a file"):
        restore(alone, alone / "nothing.zip")


@pytest.mark.parametrize("where", ["given", "in it", "beside it"])
def test_an_empty_folder_gets_the_project_of_a_backup(folder, truth, tmp_path, monkeypatch, where):
    with Project.open(folder) as p:
        Work(p).ask(9)
        answer_all(p, truth)
        p.change_classes("rename", ["red"], "crimson")
        waiting = p.ledger.outstanding_ids().tolist()
        wanted = p.ledger.labels
    fresh = tmp_path / "elsewhere" / "photos"
    fresh.mkdir(parents=True)
    place = {"given": tmp_path, "in it": fresh, "beside it": fresh.parent}[where]
    zipped = back_up(folder, place / "kept.zip")
    monkeypatch.chdir(fresh)
    said = run("restore", *([zipped] if where == "given" else []))
    assert "kept.zip is the ledger now, with 9 labels" in said
    assert "next: labelgap doctor --repack" in said
    for image in folder.glob("*.png"):
        shutil.copy(image, fresh)
    assert "60 images packed" in run("doctor", "--repack")
    with Project.open(fresh) as p:
        assert p.classes == ("crimson", "green", "blue")
        assert (p.ledger.labels, p.ledger.outstanding_ids().tolist()) == (wanted, waiting)
        assert p.items.count() == 60
        assert Work(p).ask(5).new == 5
    assert not (fresh / HOME / replacing.READY).exists()


def test_backups_of_other_projects_are_told_apart(alone, tmp_path, monkeypatch):
    label(alone, [0])
    mine = back_up(alone, tmp_path / "mine.zip")
    make_images(tmp_path / "other", 6, seed=5)
    with begin(tmp_path / "other", classes=CLASSES, config=QUICK).project as p:
        p.ledger.answers({0: 1, 1: 1})
        theirs = backup(p, tmp_path / "theirs.zip")
    assert [c.path.name for c in copies(alone)] == ["mine.zip"]  # newer, and a stranger's
    with pytest.raises(FolderError, match=r"theirs\.zip has the classes .* another project's"):
        restore(alone, theirs)
    damage(alone)
    # Nothing sound is left that says which project this is: the images do.
    with pytest.raises(FolderError, match="is of other images"):
        restore(alone, theirs)
    assert not (alone / HOME / replacing.READY / replacing.PLAN).exists()
    restore(alone, mine)
    assert labels(alone) == {0: 0}
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    with pytest.raises(FolderError, match="of several projects: ") as raised:
        run("restore")
    assert "labelgap restore FILE" in raised.value.cure
    theirs.unlink()
    run("restore")
    assert labels(empty) == {0: 0}


def test_an_empty_folder_without_a_backup_is_told_what_to_give(tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    with pytest.raises(FolderError, match="no sound backup") as raised:
        run("restore")
    assert "labelgap restore FILE" in raised.value.cure
    assert list((tmp_path / "deep").iterdir()) == []
    with pytest.raises(FolderError, match="is not a folder"):
        run("restore", "--project", tmp_path / "absent")


def test_a_lost_list_of_images_comes_with_the_labels_of_its_backup(alone):
    label(alone, [0])
    zipped = back_up(alone)
    label(alone, [1])
    keep(alone, "newer, without a list")
    damage(alone, ITEMS)
    with pytest.raises(FolderError, match="1 label that"):
        restore(alone)
    done = restore(alone, yes=True)
    assert (done.snapshot, done.left_out) == (zipped, 1)
    assert ITEMS in done.parts
    assert (alone / HOME / "items.replaced.sqlite").read_bytes() == b"no ledger" * 1000
    assert [f for f in examine(alone) if f.state == "error"] == []


def test_a_list_of_images_that_goes_on_is_kept_and_a_shorter_one_replaced(alone):
    before = shutil.copytree(alone / HOME, alone.parent / "before")
    label(alone, [0])
    old = back_up(alone)
    make_images(alone / "more", 8, seed=3)
    with Project.open(alone) as p:
        p.add()
        p.ledger.answer(65, 1)
        new = backup(p, alone.parent / "new.zip")
    assert ITEMS not in restore(alone, old).parts  # ids behind the others stay known
    with Project.open(alone, "read") as p:
        assert p.items.count() == 68
    shutil.copy(before / ITEMS, alone / HOME / ITEMS)
    assert ITEMS in restore(alone, new).parts
    with Project.open(alone) as p:
        assert p.items.count() == 68
        assert p.ledger.labels == {0: 0, 65: 1}
        repack(p)
    assert [f for f in examine(alone) if f.state == "error"] == []


def test_the_same_restore_again_does_nothing(alone):
    label(alone, [0])
    zipped = back_up(alone)
    damage(alone)
    run("restore", zipped)
    before = sorted((alone / HOME).iterdir())
    assert "was restored already, with 1 label: nothing to do" in run("restore", zipped)
    assert sorted((alone / HOME).iterdir()) == before


def test_a_project_in_use_is_not_restored(alone):
    label(alone, [0])
    zipped = back_up(alone)
    with Project.open(alone), pytest.raises(LabelgapError, match="in use"):
        restore(alone, zipped)
    assert labels(alone) == {0: 0}


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("into", ["damaged", pytest.param("empty", marks=pytest.mark.slow)])
def test_killed_at_every_write_a_restore_is_whole_or_not_there(folder, tmp_path, into):
    label(folder, [0, 1])
    with Project.open(folder) as p:
        p.change_classes("rename", ["red"], "crimson")
    zipped = back_up(folder, tmp_path / "kept.zip")
    with Project.open(folder) as p:
        p.undo_classes()
        p.change_classes("add", ["grey"])  # the settings are to be replaced too
    damage(folder)
    (folder / HOME / f"{LEDGER}-wal").write_bytes(b"its log")
    old = {name: (folder / HOME / name).read_bytes() for name in (LEDGER, SETTINGS)}

    def prepare(n):
        root = tmp_path / f"{n}"
        root.mkdir()
        if into == "damaged":
            shutil.copytree(folder / HOME, root / HOME)
        return root

    def act(root):
        restore(root, zipped)

    def check(root):
        home = root / HOME
        begun = replacing.pending(home) or look_into_or_none(home / LEDGER)
        if not begun and into == "damaged":
            assert {name: (home / name).read_bytes() for name in old} == old
        if begun:
            with Project.open(root) as p:  # whoever comes next finishes it
                assert p.ledger.labels == {0: 0, 1: 0}
        act(root)
        with Project.open(root) as p:
            assert p.ledger.labels == {0: 0, 1: 0}
            assert p.classes == ("crimson", "green", "blue")
            assert len(p.ledger.notes(RESTORED)) == 1
            assert p.items.count() == 60
        assert not list(home.glob(".*"))  # nor a temporary file
        names = {path.name for path in home.iterdir()}
        assert replacing.READY not in names
        aside = {name for name in names if "replaced" in name}
        if into == "empty":
            assert aside == set()
        else:
            kept = "ledger.replaced.sqlite"
            assert aside == {kept, f"{kept}-wal", "project.replaced.json"}
            assert (home / kept).read_bytes() == old[LEDGER]
            assert (home / f"{kept}-wal").read_bytes() == b"its log"
        shutil.rmtree(root)

    assert killed_at_every_write(prepare, act, check, since="_put") > 20


def look_into_or_none(ledger):
    return ledger.is_file() and look_into(ledger).sound
