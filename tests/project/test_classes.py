"""What a label means is in the ledger: no edit of the settings changes it, and classes can grow."""

import csv
import json
import sqlite3
import threading
from contextlib import closing

import pytest
from small_project import CLASSES, answer_all
from test_commands import labels_of, run

from labelgap.core.errors import ConfigError, FolderError, LabelgapError
from labelgap.ledger.ledger import LEDGER
from labelgap.project.asking.work import Work
from labelgap.project.keep.doctor import examine
from labelgap.project.keep.settings import HOME, SETTINGS
from labelgap.project.keep.store import Project
from labelgap.project.label_studio.labelling import Control, control_of, interface
from labelgap.project.label_studio.predictor import Predictor
from labelgap.project.quality.quality import TRAINED
from labelgap.project.server.desk import Desk


def edit(folder, classes):
    file = folder / HOME / SETTINGS
    file.write_text(json.dumps(json.loads(file.read_text()) | {"classes": classes}))


def as_of_an_older_version(folder):
    """Its ledger knew how many classes there are and not their names."""
    with closing(sqlite3.connect(folder / HOME / LEDGER)) as database:
        database.execute("DROP TRIGGER events_never_change")
        database.execute(
            "UPDATE events SET data = ? WHERE kind = 'classes'",
            (json.dumps({"num_classes": 3, "none_of_these": True}),),
        )
        database.execute(
            "CREATE TRIGGER events_never_change BEFORE UPDATE ON events"
            " BEGIN SELECT RAISE(ABORT, 'events are append-only'); END"
        )
        database.commit()


@pytest.mark.parametrize(
    "classes",
    [["green", "red", "blue"], ["red", "green"], ["red", "green", "blue", "grey"], ["a", "b", "c"]],
)
@pytest.mark.parametrize("mode", ["read", "write"])
def test_classes_edited_in_the_settings_are_refused(folder, classes, mode):
    edit(folder, classes)
    with pytest.raises(FolderError) as raised:
        Project.open(folder, mode)
    assert f"The ledger has red, green, blue; {folder / HOME / SETTINGS} has " in str(raised.value)
    assert '["red", "green", "blue"]' in raised.value.cure
    found = [f for f in examine(folder) if f.state == "error"]
    assert [f.text for f in found] == [raised.value.cause]
    edit(folder, list(CLASSES))
    Project.open(folder, mode).close()


def test_a_project_of_an_older_version_learns_the_names_from_the_first_writer(folder):
    as_of_an_older_version(folder)
    with Project.open(folder, "read") as p:
        assert "names" not in p.ledger.classes
    edit(folder, ["red", "green"])
    for mode in ("read", "write"):
        with pytest.raises(FolderError, match=r"ledger has 3 classes; .* has red, green"):
            Project.open(folder, mode)
    edit(folder, list(CLASSES))
    Project.open(folder).close()
    edit(folder, ["green", "red", "blue"])
    with pytest.raises(FolderError, match="The ledger has red, green, blue"):
        Project.open(folder)


def test_a_class_is_added_after_a_training(folder, truth, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    names = sorted(truth)
    run("import", labels_of(folder, truth, names[:30]))
    (tmp_path / "none.csv").write_text(f"path,label\n{names[30]},(none of these)\n")
    run("import", tmp_path / "none.csv")
    run("train")
    before = labels(tmp_path)
    predictor = Predictor(folder, threading.Lock())
    assert predictor.predict([], Control("label", "image", "image")) == []
    said = run("classes", "--add", "grey, black")
    assert "5 classes: red, green, blue, grey, black" in said
    assert "1 image said to be none of these" in said
    assert labels(tmp_path) == before
    assert "next: labelgap train" in run("status")
    for words in (["predict"], ["export", "--format", "model", "--out", tmp_path / "m"]):
        with pytest.raises(LabelgapError, match="last training knew 3 classes; now there are 5"):
            run(*words)
    with pytest.raises(LabelgapError, match="last training knew 3 classes"):
        predictor.predict([], Control("label", "image", "image"))
    assert "12 images to label" in run("ask", 12)  # trains again before it chooses
    with Project.open(folder) as p:
        assert p.last_note(TRAINED).data["classes"] == 5
        assert Desk(p).state("anna")["classes"] == [*CLASSES, "grey", "black"]
        for item in p.ledger.outstanding():
            p.ledger.answer(item.id, 3)
    run("train")
    assert "60 predictions" in run("predict", "--out", tmp_path / "p.csv", "--probabilities")
    with open(tmp_path / "p.csv") as file:
        assert "p(grey)" in next(csv.reader(file))
    after = labels(tmp_path)
    assert {k: v for k, v in after.items() if v != "grey"} == before
    assert list(after.values()).count("grey") == 12
    assert "grey │ 12" in run("status")
    assert "error" not in run("doctor")
    run("export", "--format", "model", "--out", tmp_path / "m")
    assert json.loads((tmp_path / "m" / "model.json").read_text())["classes"][3] == "grey"
    (tmp_path / "black.csv").write_text(f"path,label\n{names[30]},black\n")
    assert "1 label stored" in run("import", tmp_path / "black.csv")
    offered = {"label": {"type": "Choices", "to_name": ["image"], "labels": CLASSES,
                         "inputs": [{"type": "Image", "value": "$image"}]}}  # fmt: skip
    with Project.open(folder, "read") as p:
        assert 'value="grey"' in interface(p.classes)
        with pytest.raises(LabelgapError, match="does not offer grey, black"):
            control_of(offered, p.classes, "the project")


def labels(tmp_path):
    run("export", "--out", tmp_path / "labels.csv")
    with open(tmp_path / "labels.csv") as file:
        return {row["path"]: row["label"] for row in csv.DictReader(file)}


def test_a_training_of_an_older_version_is_used_until_a_class_is_added(project, truth):
    work = Work(project)
    work.ask(20)
    answer_all(project, truth)
    work.train()
    last = dict(project.last_note(TRAINED).data)
    del last["classes"]
    project.ledger.note(TRAINED, last, round=0)
    assert not Work(project).is_stale()
    Work(project).load()
    project.change_classes("add", ["grey"])
    assert Work(project).is_stale()
    assert not Work(project).restore()


@pytest.mark.parametrize("name", ["red", "Red ", "", "a\nb"])
def test_a_class_that_cannot_be_told_from_another_is_not_added(folder, name):
    with Project.open(folder) as p, pytest.raises(ConfigError):
        p.change_classes("add", ["grey", name])
    with Project.open(folder) as p:
        assert p.classes == CLASSES
        assert p.ledger.classes["names"] == list(CLASSES)


def test_the_classes_are_shown(folder):
    assert "3 classes: red, green, blue" in run("classes", "--project", folder)
    with pytest.raises(FolderError, match="classes --add"):
        run("init", folder, "--classes", "red,green,blue,grey")
