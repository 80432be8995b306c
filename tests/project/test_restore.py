"""A damaged ledger and the way back: by the command that doctor names, and on from there."""

import json
import shutil

import pytest
from small_project import CLASSES, answer_all, make_images
from test_commands import run
from typer.testing import CliRunner

from labelgap.cli import with_commands
from labelgap.core.errors import FolderError, LedgerError
from labelgap.ledger.ledger import LEDGER
from labelgap.project.asking.work import Work
from labelgap.project.exchange.begin import begin
from labelgap.project.keep.found_copies import copies
from labelgap.project.keep.restore import restore
from labelgap.project.keep.settings import HOME, SETTINGS
from labelgap.project.keep.store import Project


def two_rounds(folder, truth):
    """Returns how many labels the last snapshot has; later ones are in the log alone."""
    with Project.open(folder) as p:
        work = Work(p)
        work.ask(9)
        answer_all(p, truth)
        work.ask(9)  # the snapshot before it has nine labels
        answer_all(p, truth)
        wal = p.home / f"{LEDGER}-wal"
        assert wal.stat().st_size
        shutil.copy(wal, folder.parent / "wal")  # closing folds it into the file
    shutil.copy(folder.parent / "wal", folder / HOME / f"{LEDGER}-wal")  # as a kill leaves it
    return 9


def damage(folder):
    ledger = folder / HOME / LEDGER
    ledger.write_bytes(b"no ledger" * 1000)


def test_the_cure_of_a_damaged_ledger_puts_a_whole_one_in_its_place(folder, truth, monkeypatch):
    monkeypatch.chdir(folder)
    labels = two_rounds(folder, truth)
    wal = (folder / HOME / f"{LEDGER}-wal").read_bytes()
    damage(folder)
    told = CliRunner().invoke(with_commands(), ["doctor"])
    assert told.exit_code == 1
    assert f"labelgap restore` puts before-round-00001.sqlite in its place ({labels} labels" in (
        told.output
    )
    said = run("doctor", "--restore", "newest")
    assert f"is the ledger now, with {labels} labels" in said
    assert "error" not in said
    aside = folder / HOME / "ledger.replaced.sqlite"
    assert aside.read_bytes() == b"no ledger" * 1000
    assert aside.with_name(f"{aside.name}-wal").read_bytes() == wal
    with Project.open(folder) as p:
        assert len(p.ledger.labels) == labels
        assert Work(p).ask(9).new == 9
    assert "error" not in run("doctor", "--restore", "newest")
    assert (folder / HOME / "ledger.replaced-2.sqlite").is_file()


def test_a_snapshot_of_rounds_that_were_given_up_does_not_stop_asking(folder, truth):
    two_rounds(folder, truth)
    with Project.open(folder) as p:
        snapshots = p.home / "snapshots"
        p.snapshot("before-round-00002")
    first = snapshots / "before-round-00001.sqlite"
    restore(folder, first)
    with Project.open(folder) as p:
        Work(p).ask(9)
        answer_all(p, truth, person="bert")
        Work(p).ask(5)  # refused where the name was taken by what was given up
        assert p.ledger.round == 2
    assert (snapshots / "before-round-00002-2.sqlite").is_file()


def test_the_newest_snapshot_that_is_whole_is_taken(folder, truth):
    two_rounds(folder, truth)
    home = folder / HOME
    newest = home / "snapshots" / "before-round-00001.sqlite"
    newest.write_bytes(newest.read_bytes()[:-100])
    assert next(iter(copies(folder))).path.name == "before-round-00000.sqlite"
    with pytest.raises(FolderError, match="damaged"):
        restore(folder, newest)
    for file in (home / "snapshots").iterdir():
        file.write_bytes(b"")
    with pytest.raises(FolderError, match="no sound snapshot or backup"):
        restore(folder)
    with pytest.raises(FolderError, match="the ledger itself"):
        restore(folder, home / LEDGER)
    assert not list(home.glob("*replaced*"))


def test_nothing_is_put_in_the_place_of_a_ledger_in_use(project, folder):
    kept = project.snapshot("one")
    with pytest.raises(LedgerError, match="in use"):
        restore(folder, kept)


def test_the_classes_of_a_snapshot_come_back_with_it(project, folder, tmp_path):
    kept = project.snapshot("one")
    project.change_classes("add", ["grey"])
    project.close()
    assert restore(folder, kept).dropped == ("grey",)
    assert json.loads((folder / HOME / SETTINGS).read_text())["classes"] == list(CLASSES)
    Project.open(folder).close()
    make_images(tmp_path / "other", 3)
    with begin(tmp_path / "other", classes=["cat", "dog"]).project as other:
        strange = other.snapshot("one")
    with pytest.raises(FolderError, match="has the classes cat, dog; the project has red"):
        restore(folder, strange)
