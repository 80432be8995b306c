"""Classes that are renamed, merged and removed in a project: models, exports, page and Label
Studio follow, and a command that is killed and repeated does it once."""

import csv
import json
import shutil
import threading

import pytest
from killing import killed_at_every_write
from label_studio_stub import LEGACY, Stub, result_of
from small_project import CLASSES, QUICK, answer_all, make_images
from test_commands import labels_of, run

from labelgap.core.errors import ConfigError, LabelgapError, UnknownName
from labelgap.core.types import NONE_OF_THESE
from labelgap.project.asking.work import Work
from labelgap.project.exchange.begin import begin
from labelgap.project.keep.classes import asked
from labelgap.project.keep.settings import HOME, SETTINGS
from labelgap.project.keep.store import Project
from labelgap.project.label_studio.client import Client, LabelStudioError
from labelgap.project.label_studio.images import embedded
from labelgap.project.label_studio.labelling import FORMER, Control, interface
from labelgap.project.label_studio.link import link, linked
from labelgap.project.label_studio.predictor import Predictor
from labelgap.project.label_studio.pull import pull
from labelgap.project.label_studio.push import push
from labelgap.project.quality.status import status
from labelgap.project.server.desk import Desk, Refused


@pytest.fixture
def here(folder, truth, monkeypatch):
    """Thirty labels, in the folder of the project."""
    monkeypatch.chdir(folder)
    run("import", labels_of(folder, truth, sorted(truth)[:30]))
    return folder


def exported(tmp_path):
    run("export", "--out", tmp_path / "labels.csv")
    with open(tmp_path / "labels.csv") as file:
        return [(row["path"], row["label"], row["annotator"]) for row in csv.DictReader(file)]


def renamed(rows, **names):
    return [(path, names.get(label, label), person) for path, label, person in rows]


def test_a_renamed_class_keeps_its_labels_and_its_model(here, tmp_path):
    run("train")
    before = exported(tmp_path)
    run("predict", "--out", tmp_path / "before.csv", "--probabilities")
    assert "red → crimson: 10 labels" in (said := run("classes", "--rename", "red=crimson"))
    assert "3 classes: crimson, green, blue" in said
    assert "labelgap train" not in said
    assert exported(tmp_path) == renamed(before, red="crimson")
    run("predict", "--out", tmp_path / "after.csv", "--probabilities")
    with open(tmp_path / "before.csv") as one, open(tmp_path / "after.csv") as two:
        old, new = list(csv.reader(one)), list(csv.reader(two))
    place = old[0].index("p(red)")
    assert new[0][place] == "p(crimson)"
    assert [row[place:] for row in new[1:]] == [row[place:] for row in old[1:]]
    run("export", "--format", "model", "--out", tmp_path / "m")
    model = json.loads((tmp_path / "m" / "model.json").read_text())
    assert model["classes"] == ["crimson", "green", "blue"]
    assert "taken back: rename red → crimson" in run("undo")
    assert exported(tmp_path) == before
    assert json.loads((here / HOME / SETTINGS).read_text())["classes"] == list(CLASSES)
    assert "error" not in run("doctor")


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (["--merge", "red,green=warm"], ["warm", "blue"]),
        (["--merge", "green,blue=blue"], ["red", "blue"]),
        (["--remove", "red"], ["green", "blue"]),
        (["--merge", "red=(none of these)"], ["green", "blue"]),
    ],
)
def test_a_model_of_other_classes_is_told_and_not_used(here, tmp_path, change, names):
    run("train")
    before = exported(tmp_path)
    assert "the trained model is of other classes: labelgap train" in run("classes", *change)
    for words in (["predict"], ["export", "--format", "model", "--out", tmp_path / "m"]):
        with pytest.raises(LabelgapError, match="knew 3 classes; now there are 2") as raised:
            run(*words)
        assert "labelgap train" in raised.value.cure
    with pytest.raises(LabelgapError, match="knew 3 classes"):
        Predictor(here, threading.Lock()).predict([], Control("label", "image", "image"))
    run("status")  # old points of the curve and regions have classes of before
    assert "next: labelgap train" in run("status") or "next: labelgap label" in run("status")
    run("train")
    run("predict", "--out", tmp_path / "p.csv")
    with open(tmp_path / "p.csv") as file:
        assert {row["predicted"] for row in csv.DictReader(file)} <= set(names)
    run("undo")
    assert exported(tmp_path) == before
    with pytest.raises(LabelgapError, match="knew 2 classes; now there are 3"):
        run("predict")


def test_as_many_classes_that_are_others_are_not_the_model_s(here, tmp_path):
    run("train")
    run("classes", "--remove", "red")
    run("classes", "--add", "red")
    with pytest.raises(
        LabelgapError, match="knew other classes: red, green, blue; now: green, blue, red"
    ):
        run("predict", "--out", tmp_path / "p.csv")
    assert not {label for _, label, _ in exported(tmp_path)} & {"red"}  # a new class, no labels yet
    assert "next: labelgap train" in run("status")


def test_a_change_before_the_first_label_and_names_that_are_numbers(tmp_path, monkeypatch):
    make_images(tmp_path / "images", 12)
    with begin(tmp_path / "images", classes=["0", "1", "a,b", "c=d"], config=QUICK).project as p:
        assert asked(p.ledger, "merge", "a,b,c=d=e=f") == ("merge", ["a,b", "c=d"], "e=f")
        assert asked(p.ledger, "rename", "1=one") == ("rename", ["1"], "one")
    monkeypatch.chdir(tmp_path / "images")
    assert "4 classes: 0, one, a,b, c=d" in run("classes", "--rename", "1=one")
    assert "3 classes: 0, a,b, c=d" in run("classes", "--remove", "one")
    assert "taken back: remove one" in run("undo")
    assert "taken back: rename 1 → one" in run("undo")
    assert "4 classes: 0, 1, a,b, c=d" in run("classes")
    with pytest.raises(LabelgapError, match="no answer to take back"):
        run("undo")
    for flags, error in (
        (["--rename", "1"], ConfigError), (["--rename", "2=x"], UnknownName),
        (["--rename", "1=(None of these)"], ConfigError), (["--rename", "1="], ConfigError),
        (["--rename", "0=1"], ConfigError), (["--remove", ","], ConfigError),
        (["--merge", "0,2=x"], UnknownName), (["--add", "x", "--remove", "0"], ConfigError),
    ):  # fmt: skip
        with pytest.raises(error):
            run("classes", *flags)
    assert "4 classes: 0, 1, a,b, c=d" in run("classes")


def test_undo_takes_what_came_last(here, tmp_path):
    run("classes", "--merge", "red,green=warm")
    with Project.open(here) as p:
        p.ledger.answer(50, p.classes.index("warm"), person="anna")
        p.ledger.answer(51, p.classes.index("blue"), person="anna")
    assert "im0051.png has now: no label" in run("undo")
    said = run("undo", "--classes")
    assert "taken back: merge red, green → warm" in said
    assert "1 label of classes that are gone: kept in the log, and not used" in said
    with Project.open(here, "read") as p:
        assert 50 not in p.ledger.labels
        assert len(p.ledger.labels) == 30


def test_an_import_says_what_a_removed_class_was(here, truth, tmp_path):
    file = labels_of(here, truth, sorted(truth)[:30])
    run("classes", "--remove", "red")
    with pytest.raises(UnknownName, match="red"):
        run("import", file)
    run("classes", "--add", "red")
    assert "10 labels stored" in run("import", file)
    assert len(exported(tmp_path)) == 30


def test_the_accuracy_of_a_network_of_before_is_that_of_the_classes_of_now(project, truth):
    work = Work(project)
    work.ask(40)
    answer_all(project, truth)
    work.train()
    ledger, before = project.ledger, status(project)
    held = {i: y for i, y in ledger.labels.items() if i in ledger.held_out}
    [point] = before.curve
    project.change_classes("merge", ["red", "green"], "warm")
    after = status(project)
    merge = {0: 0, 1: 0, 2: 1}
    right = sum(merge[point.predicted[i]] == merge[y] for i, y in held.items())
    assert (after.accuracy.right, after.accuracy.total) == (right, len(held))
    assert after.accuracy.right >= before.accuracy.right
    project.undo_classes()
    assert status(project) == before
    project.change_classes("remove", ["blue"])
    left = [i for i, y in held.items() if y != 2]
    after = status(project)
    assert after.accuracy.total == len(left)
    assert after.accuracy.right == sum(point.predicted[i] == held[i] for i in left)
    assert all(k >= 0 for region in after.regions for k, _ in region["predicted"])


def test_the_page_follows_and_one_of_before_answers_what_it_showed(project):
    desk = Desk(project)
    before = desk.state("anna")
    project.change_classes("remove", ["red"])
    now = desk.state("anna")
    assert now["classes"] == ["green", "blue"]
    assert now["classes_seq"] != before["classes_seq"]
    old = {"kind": "label", "id": 3, "label": 1, "classes_seq": before["classes_seq"]}
    assert desk.store({**old, "request": "request-1"}, "anna")["what"] == "green"
    assert desk.store({**old, "request": "request-1"}, "anna")["what"] == "green"
    new = {"kind": "label", "id": 4, "label": 1, "classes_seq": now["classes_seq"]}
    assert desk.store({**new, "request": "request-2"}, "anna")["what"] == "blue"
    assert project.ledger.labels == {3: 0, 4: 1}
    for wrong in ({"label": 0}, {"classes_seq": True}, {"classes_seq": "1"}, {"classes_seq": 0}):
        with pytest.raises(Refused):
            desk.store({**old, "request": "request-3", **wrong}, "anna")
    project.change_classes("remove", ["green"])
    assert "a class that was removed" in desk.state("anna")["history"][1]["what"]


# ------------------------------------------------------------------------------- Label Studio


@pytest.fixture
def studio(project):
    stub = Stub()
    client = Client(stub.url, LEGACY)
    client._sleep = lambda seconds: None
    Work(project).ask(4)
    here = link(project, client)
    push(project, client, here, embedded(project))
    yield stub, client, here.project
    stub.close()


def config_of(studio):
    stub, _, number = studio
    return stub.projects[number]["label_config"]


def test_label_studio_s_interface_and_old_choices_follow(project, studio):
    stub, client, _ = studio
    tasks = list(stub.tasks)
    stub.annotate(tasks[0], "red")
    stub.annotate(tasks[1], "green")
    assert pull(project, client, linked(project, client)).labels == 2
    project.change_classes("rename", ["red"], "crimson")
    project.change_classes("merge", ["green", "blue"], "cold")
    stub.annotate(tasks[2], "blue")  # on a page that was open before
    again = pull(project, client, linked(project, client))
    assert (again.labels, again.known, again.quarantined) == (1, 2, [])
    assert config_of(studio) == interface(["crimson", "cold"])
    assert sorted(project.ledger.labels.values()) == [0, 1, 1]
    project.change_classes("remove", ["cold"])
    stub.annotate(tasks[3], "blue")
    last = pull(project, client, linked(project, client))
    assert (last.labels, last.known) == (0, 3)
    assert "'blue' was removed" in last.quarantined[0].reason
    project.undo_classes()
    assert pull(project, client, linked(project, client)).labels == 1
    assert sorted(project.ledger.labels.values()) == [0, 1, 1, 1]


def test_choices_that_annotations_have_stay_where_label_studio_wants_them(project, studio):
    stub, client, number = studio
    project.change_classes("rename", ["red"], "crimson")
    stub.failures = [("PATCH", rf"/api/projects/{number}/", 400)]
    assert linked(project, client).project == number
    wanted = interface(["crimson", "green", "blue"], ["red"])
    assert config_of(studio) == wanted
    assert FORMER in wanted
    linked(project, client)  # it is as it should be: nothing is sent
    assert config_of(studio) == wanted
    project.undo_classes()
    linked(project, client)
    assert config_of(studio) == interface(CLASSES)


def test_an_interface_that_people_changed_is_left_to_them(project, studio):
    stub, client, number = studio
    theirs = interface(CLASSES).replace('zoom="true"', 'zoom="false"')
    stub.projects[number]["label_config"] = theirs
    project.change_classes("rename", ["red"], "crimson")
    with pytest.raises(LabelStudioError, match="does not offer crimson"):
        linked(project, client)
    assert config_of(studio) == theirs


def test_an_answer_from_label_studio_keeps_the_class_it_was_stored_with(project, studio):
    stub, client, _ = studio
    first, second, *_ = stub.tasks
    number = stub.annotate(first, "red")
    pull(project, client, linked(project, client))
    project.change_classes("rename", ["red"], "old")
    project.change_classes("add", ["red"])
    again = pull(project, client, linked(project, client))
    assert (again.known, again.quarantined) == (1, [])
    assert list(project.ledger.labels.values()) == [0]
    stub.annotations[number]["result"] = result_of("red")
    stub.edit(number, "red")  # said again, of what is called so now
    pull(project, client, linked(project, client))
    assert list(project.ledger.labels.values()) == [3]
    stub.annotate(second, "(none of these)")
    pull(project, client, linked(project, client))
    assert NONE_OF_THESE in project.ledger.labels.values()


# ------------------------------------------------------------------------------------- kills


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize(
    "what",
    [
        "merge",
        "undo",
        *(pytest.param(what, marks=pytest.mark.slow) for what in ("add", "rename", "remove")),
    ],
)
def test_killed_at_every_write_the_same_command_does_it_once(folder, tmp_path, what):
    names = {"add": ["grey"], "merge": ["red", "blue"]}.get(what, ["red"])
    to = {"rename": "crimson", "merge": "purple"}.get(what)
    with Project.open(folder) as p:
        p.ledger.answers({0: 0, 1: 1, 2: 2})
        if what == "undo":
            p.change_classes("merge", ["red", "blue"], "purple")
        start, old = p.ledger.seq, p.classes

    def prepare(n):
        return shutil.copytree(folder / HOME, tmp_path / f"{n}" / HOME).parent

    def act(root):
        with Project.open(root) as p:
            if what == "undo":
                if p.classes == old:  # what a person sees before the command is given again
                    p.undo_classes()
            else:
                p.change_classes(what, names, to)

    def check(root):
        with Project.open(root, "read") as p:
            before = p.classes
            assert (before == old) is (p.ledger.seq == start)
        act(root)
        with Project.open(root) as p:
            assert p.ledger.seq == start + 1
            assert p.classes == tuple(p.ledger.classes["names"])
            assert json.loads((root / HOME / SETTINGS).read_text())["classes"] == list(p.classes)
            wanted = {"add": [0, 1, 2], "rename": [0, 1, 2], "merge": [0, 1, 0],
                      "remove": [None, 0, 1], "undo": [0, 1, 2]}  # fmt: skip
            assert [p.ledger.labels.get(i) for i in range(3)] == wanted[what]
        shutil.rmtree(root)

    assert killed_at_every_write(prepare, act, check) > 10


def test_the_same_command_again_says_so(here):
    run("classes", "--merge", "red,green=warm")
    assert "made already" in run("classes", "--merge", "red,green=warm")
    run("classes", "--remove", "warm")
    assert "made already: nothing to do 1 class: blue" in run("classes", "--remove", "warm")
    with Project.open(here, "read") as p:
        assert set(p.ledger.labels.values()) == {0}
