"""Push and pull against a stub that has Label Studio's habits."""

import base64
import hashlib
from io import BytesIO

import numpy as np
import pytest
from label_studio_stub import LEGACY, PERSONAL, Stub, parsed, result_of
from PIL import Image
from small_project import CLASSES, QUICK, make_images

from labelgap.core.errors import ConfigError, DataError, LedgerError, StorageError
from labelgap.core.types import NONE_OF_THESE, QueryItem
from labelgap.project.exchange.begin import begin
from labelgap.project.keep.store import Project
from labelgap.project.label_studio.client import Client, LabelStudioError
from labelgap.project.label_studio.images import embedded, local_files, prefixed
from labelgap.project.label_studio.labelling import (
    BAD_IMAGE,
    UNSURE,
    Control,
    Unclear,
    answer_of,
    answers,
    control_of,
    interface,
)
from labelgap.project.label_studio.link import LINK, link, linked, remembered_url
from labelgap.project.label_studio.pull import QUARANTINED, pull
from labelgap.project.label_studio.push import SETTLE, VIEW, push, tasks_of

CONTROL = Control("label", "image", "image")
ANNA, BEN = "anna@example.org", "ben@example.org"


@pytest.fixture
def stub():
    made = Stub()
    yield made
    made.close()


@pytest.fixture
def client(stub):
    made = Client(stub.url, LEGACY)
    made._sleep = lambda seconds: None
    return made


@pytest.fixture
def project(folder):
    with begin(folder, classes=CLASSES, method="margin", config=QUICK).project as made:
        yield made


def ask(project, ids, round=0, held=(), predicted=None, probability=None):
    project.ledger.hold_out(held)
    items = [
        QueryItem(
            id, 1.0 / (id + 1), {"margin": 0.5}, predicted, f"why {id}", probability=probability
        )
        for id in ids
    ]
    project.ledger.asked(round, items)


def no_wait(seconds):
    raise AssertionError("nothing broke off, so there is nothing to wait for")


def pushed(project, client, wait=no_wait):
    return push(project, client, link(project, client), embedded(project), wait)


def task_of(stub, project, id):
    [task] = stub.task_of(project.items.get(id).sha256)
    return task


# ------------------------------------------------------------------------------------- push


def test_the_asked_batch_and_nothing_else_is_pushed_in_order(project, stub, client):
    ask(project, [7, 3, 11, 5], held=[3], predicted=1, probability=0.625)
    done = pushed(project, client)
    assert (done.new, done.known, done.twice) == (4, 0, ())
    assert done.model_version == "labelgap-round-0"
    rows = list(stub.tasks.values())
    assert [t["data"]["labelgap_rank"] for t in rows] == [1, 2, 3, 4]
    for task, id in zip(rows, [7, 3, 11, 5], strict=True):
        item, data = project.items.get(id), task["data"]
        assert data["labelgap_id"] == item.sha256
        assert data["labelgap_path"] == item.path
        assert data["labelgap_score"] == 1.0 / (id + 1)
        assert data["labelgap_why"] == f"why {id}"
        kind, _, code = data["image"].partition(",")
        assert kind == "data:image/png;base64"
        with Image.open(BytesIO(base64.b64decode(code))) as image:
            expected = np.asarray(Image.open(project.root / item.path))
            np.testing.assert_array_equal(np.asarray(image), expected)
        if id == 3:  # held out: a prediction would colour the answer
            assert task["predictions"] == []
        else:
            [made] = task["predictions"]
            assert made["model_version"] == "labelgap-round-0"
            assert made["result"] == result_of("green")
            assert made["score"] == 0.625  # and the acquisition's in its own column
    [view] = stub.views.values()
    assert view["data"]["title"] == VIEW
    assert view["data"]["ordering"] == ["tasks:data.labelgap_rank"]
    assert view["data"]["columnsDisplayType"] == {"tasks:data.labelgap_rank": "Number"}


def test_pushing_again_makes_no_second_task_project_or_view(project, stub, client):
    ask(project, range(5), predicted=0)
    pushed(project, client)
    again = pushed(project, client)
    assert (again.new, again.known) == (0, 5)
    assert (len(stub.tasks), len(stub.projects), len(stub.views)) == (5, 1, 1)
    assert len(project.ledger.notes(LINK)) == 1


@pytest.mark.parametrize(
    "failure",
    [
        ("GET", r"/api/projects/\d+/", 500),
        ("GET", r"/api/tasks/", 500),
        ("POST", r"/api/projects/\d+/import", 500),
        ("POST", r"/api/dm/views/", 500),
        ("PATCH", r"/api/projects/\d+/", 500),
    ],
)
def test_a_push_that_broke_off_is_finished_by_the_next(project, stub, client, failure):
    ask(project, range(3), predicted=0)
    pushed(project, client)
    before = list(stub.tasks)
    ask(project, range(3, 7), round=1, predicted=2)
    if "views" in failure[1]:
        stub.views.clear()
    stub.failures = [failure]
    with pytest.raises(LabelStudioError, match="made to fail"):
        pushed(project, client)
    done = pushed(project, client)
    assert list(stub.tasks)[:3] == before
    assert len(stub.tasks) == 7
    assert done.model_version == "labelgap-round-1"
    assert (len(stub.projects), len(stub.views)) == (1, 1)
    assert stub.projects[1]["model_version"] == "labelgap-round-1"


def test_a_project_made_before_the_process_died_is_found_again(project, stub, client):
    ask(project, range(2))
    stub.failures = [("GET", r"/api/projects/\d+/", 500)]  # made, and then nothing is known
    with pytest.raises(LabelStudioError):
        pushed(project, client)
    assert len(stub.projects) == 1
    assert project.last_note(LINK) is None
    assert pushed(project, client).new == 2
    assert len(stub.projects) == 1


def test_without_a_probability_a_prediction_has_no_score(project, stub, client):
    ask(project, [4], predicted=1)
    pushed(project, client)
    [task] = stub.tasks.values()
    assert "score" not in task["predictions"][0]


def lose(monkeypatch, late):
    """Imports are taken by the server, into `late`, and their answers are lost."""
    send = Client._send

    def lost(self, method, path, body, authorization):
        if "/import" not in path:
            return send(self, method, path, body, authorization)
        late.append(lambda: send(self, method, path, body, authorization))
        raise LabelStudioError("The line broke.")

    monkeypatch.setattr(Client, "_send", lost)
    return send


def test_an_import_that_answered_too_late_is_not_repeated(project, stub, client, monkeypatch):
    ask(project, range(4))
    late = []
    send = lose(monkeypatch, late)
    with pytest.raises(LabelStudioError, match="broke"):
        pushed(project, client)
    late.pop()()
    monkeypatch.setattr(Client, "_send", send)
    assert pushed(project, client).known == 4
    assert len(stub.tasks) == 4


def test_an_import_that_is_still_at_work_is_waited_for(project, stub, client, monkeypatch):
    ask(project, range(4))
    late, waits = [], []
    send = lose(monkeypatch, late)
    with pytest.raises(LabelStudioError, match="broke"):
        pushed(project, client)
    monkeypatch.setattr(Client, "_send", send)
    ask(project, [4, 5], round=1)

    def wait(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            late.pop()()

    done = pushed(project, client, wait)
    assert (done.new, done.known, len(waits)) == (2, 4, 3)
    assert sorted(t["data"]["labelgap_rank"] for t in stub.tasks.values()) == [1, 2, 3, 4, 5, 6]
    pushed(project, client)  # and that is the end of it: no_wait
    stub.tasks.clear()
    assert pushed(project, client).new == 6


def test_an_import_that_never_arrived_is_waited_for_and_then_repeated(
    project, stub, client, monkeypatch
):
    ask(project, range(4))
    send = lose(monkeypatch, [])
    with pytest.raises(LabelStudioError, match="broke"):
        pushed(project, client)
    monkeypatch.setattr(Client, "_send", send)
    waits = []
    assert pushed(project, client, waits.append).new == 4
    assert SETTLE - 5 < sum(waits) <= SETTLE
    pushed(project, client)
    # What the server itself refused is over at once.
    ask(project, [4], round=1)
    stub.failures = [("POST", r"/api/projects/\d+/import", 500)]
    with pytest.raises(LabelStudioError, match="made to fail"):
        pushed(project, client)
    assert pushed(project, client).new == 1
    # A proxy that gave up says nothing about the server behind it.
    ask(project, [5], round=2)
    stub.failures = [("POST", r"/api/projects/\d+/import", 504)]
    with pytest.raises(LabelStudioError, match="made to fail"):
        pushed(project, client)
    assert pushed(project, client, waits.append).new == 1
    assert SETTLE < sum(waits) <= 2 * SETTLE


def test_the_model_version_moves_each_round_and_not_at_a_cold_start(project, stub, client):
    ask(project, [0, 1])  # cold: nothing predicted, and Label Studio would refuse the version
    assert pushed(project, client).model_version is None
    assert stub.projects[1]["model_version"] == ""
    for round, ids in ((1, [2, 3]), (2, [4, 5])):
        ask(project, ids, round, predicted=0)
        assert pushed(project, client).model_version == f"labelgap-round-{round}"
        assert stub.projects[1]["model_version"] == f"labelgap-round-{round}"
    ranks = [t["data"]["labelgap_rank"] for t in stub.tasks.values()]
    assert ranks == [1, 2, 3, 4, 5, 6]  # over all rounds: no task changes its rank
    stub.projects[1]["model_version"] = "labelgap"  # people chose the live backend
    ask(project, [6], 3, predicted=0)
    pushed(project, client)
    assert stub.projects[1]["model_version"] == "labelgap"


def test_answered_items_are_not_pushed(project, stub, client):
    ask(project, range(4))
    project.ledger.answer(1, 0, person="here")
    project.ledger.skip(2, person="here")
    assert pushed(project, client).new == 2
    assert tasks_of(project, client, linked(project, client)).keys() == {0, 3}


def test_many_images_go_in_several_requests(tmp_path, stub, client):
    folder = tmp_path / "many"
    make_images(folder, 260)
    with begin(folder, classes=CLASSES, config=QUICK).project as project:
        ask(project, range(260))
        assert pushed(project, client).new == 260
    imports = [r for r in stub.requests if r[1].endswith("/import")]
    assert len(imports) == 2
    assert [t["data"]["labelgap_rank"] for t in stub.tasks.values()] == list(range(1, 261))


def test_tasks_that_somebody_doubled_are_told_and_both_count(project, stub, client):
    ask(project, range(2))
    pushed(project, client)
    copy = dict(next(iter(stub.tasks.values())))
    stub.import_tasks("POST", {}, [copy], 1)
    done = pushed(project, client)
    assert (done.new, done.twice) == (0, (0,))
    first, second = stub.task_of(copy["data"]["labelgap_id"])
    stub.annotate(first, "red", user=1)
    stub.annotate(second, "green", user=2)
    pull(project, client, linked(project, client))
    assert project.ledger.opinions(0) == {ANNA: 0, BEN: 1}


def test_images_by_local_files(project, stub, client):
    ask(project, [0, 1])
    here = link(project, client)
    root = project.root.parent
    for _ in range(2):
        address = local_files(project, client, here, root)
    assert len(stub.storages) == 1
    assert stub.storages[0]["path"] == str(project.root)
    push(project, client, here, address)
    assert [t["data"]["image"] for t in stub.tasks.values()] == [
        f"/data/local-files/?d={project.root.name}/im000{k}.png" for k in (0, 1)
    ]
    assert not any("sync" in path for _, path in stub.requests)
    for wrong in (project.root, project.root / "deeper"):
        with pytest.raises(ConfigError, match="not below the document root"):
            local_files(project, client, here, wrong)


def test_images_by_a_link_are_quoted(tmp_path, stub, client):
    folder = tmp_path / "odd"
    make_images(folder, 1)
    (folder / "im0000.png").rename(folder / "a b#c?.png")
    with begin(folder, classes=CLASSES, config=QUICK).project as project:
        address = prefixed(project, "https://images.example.org/x/")
        assert address(project.items.get(0)) == "https://images.example.org/x/a%20b%23c%3F.png"


def test_no_link_to_a_file_that_has_other_contents_now(project, stub, client):
    Image.new("RGB", (12, 12), "white").save(project.root / "im0000.png")
    project.add()
    address = prefixed(project, "https://images.example.org/x/")
    with pytest.raises(DataError, match=r"im0000\.png .* has other contents now"):
        address(project.items.get(0))
    assert address(project.items.get(60)).endswith("/im0000.png")


def test_a_file_that_was_replaced_is_not_shown_for_the_item(project, stub, client):
    item = project.items.get(0)
    packed = project.pixels.open(project.items.count())[0]
    Image.new("RGB", (12, 12), "white").save(project.root / item.path)
    code = embedded(project)(item).partition(",")[2]
    with Image.open(BytesIO(base64.b64decode(code))) as shown:
        np.testing.assert_array_equal(np.asarray(shown), packed)
    (project.root / item.path).unlink()
    assert embedded(project)(item).partition(",")[2] == code


# ------------------------------------------------------------------------------------- link


def test_another_server_is_not_taken_for_the_linked_one(project, stub, client):
    ask(project, [0])
    pushed(project, client)
    other = Stub()
    try:
        stranger = Client(other.url, LEGACY)
        config = interface(CLASSES)
        stranger.post("/api/projects/", {"title": "a stranger's", "label_config": config})
        with pytest.raises(LabelStudioError, match="may be another server"):
            linked(project, stranger)
        # The same server at another address has our project, which its description shows.
        other.projects[1]["description"] = stub.projects[1]["description"]
        assert linked(project, stranger).project == 1
        assert remembered_url(project) == other.url
    finally:
        other.close()


def test_a_project_of_their_own_is_used_with_its_own_names(project, stub, client):
    config = (
        '<View><Image name="photo" value="$url"/><Choices name="kind" toName="photo">'
        '<Choice value="blue"/><Choice value="red"/><Choice value="green"/></Choices></View>'
    )
    made = client.post("/api/projects/", {"title": "theirs", "label_config": config})
    ask(project, [4], predicted=2)
    here = link(project, client, made["id"])
    assert here.control == Control("kind", "photo", "url")
    push(project, client, here, embedded(project))
    [task] = stub.tasks.values()
    assert task["data"]["url"].startswith("data:image/png")
    assert task["predictions"][0]["result"][0]["from_name"] == "kind"
    number = stub.annotate(task["id"])
    stub.annotations[number]["result"] = [{**result_of("blue")[0], "from_name": "kind"}]
    assert pull(project, client, linked(project, client)).labels == 1
    assert project.ledger.labels == {4: 2}


def test_projects_that_do_not_fit_or_are_gone(project, stub, client):
    with pytest.raises(LabelStudioError, match="not in Label Studio yet"):
        linked(project, client)
    for config, message in (
        ('<View><Text name="t" value="$t"/></View>', "no <Choices> on an <Image>"),
        (interface(["red", "green"]), "does not offer blue"),
    ):
        made = client.post("/api/projects/", {"title": "other", "label_config": config})
        with pytest.raises(LabelStudioError, match=message):
            link(project, client, made["id"])
    ask(project, [0])
    here = pushed(project, client).link
    del stub.projects[here.project]
    with pytest.raises(LabelStudioError, match="All labels pulled so far are here"):
        linked(project, client)
    assert link(project, client, new=True).project != here.project


# -------------------------------------------------------------------------------- interface


NAMES = ["cat", 'q"uote', "<b>&amp;", "ä b", "=1+1", UNSURE, *[f"c{k}" for k in range(30)]]


def test_the_interface_offers_every_class_whatever_its_name():
    tags = parsed(interface(NAMES))
    assert control_of(tags, NAMES, "here") == CONTROL
    offered = tags["label"]["labels"]
    assert offered[: len(NAMES)] == NAMES
    assert len(offered) == len(set(offered))
    for k, name in enumerate(NAMES):
        assert answer_of(result_of(name), CONTROL, NAMES) == k  # a class wins over “(unsure)”


def test_what_an_annotation_says():
    def said(result):
        return answer_of(result, CONTROL, CLASSES)

    assert [said(result_of(name)) for name in CLASSES] == [0, 1, 2]
    assert said(result_of("(none of these)")) == NONE_OF_THESE
    assert said(result_of(UNSURE)) == "unsure"
    assert said(result_of(BAD_IMAGE)) == "bad image"
    assert set(answers(CLASSES)) == {*CLASSES, "(none of these)", UNSURE, BAD_IMAGE}
    accented = ["cafe\u0301", "b"]
    assert answer_of(result_of("caf\u00e9"), CONTROL, accented) == 0
    stranger = [{**result_of("red")[0], "from_name": "other"}]
    text = [{"type": "textarea", "from_name": "label", "value": {"text": ["red"]}}]
    odd = [{"type": "choices", "from_name": "label", "value": {"choices": [3]}}]
    for bad, reason in (
        (result_of("NOT_A_CLASS"), "'NOT_A_CLASS' is no class"),
        (result_of("red", "blue"), "2 choices"),
        (result_of(), "nothing is chosen"),
        (stranger, "nothing is chosen"),
        (text, "nothing is chosen"),
        (odd, "not a text"),
        (None, "no result"),
        ("red", "no result"),
        ([{"type": "choices", "from_name": "label", "value": None}], "not a text"),
    ):
        with pytest.raises(Unclear, match=reason):
            said(bad)
    assert said([*text, *result_of("red")]) == 0  # a comment beside the choice


# ------------------------------------------------------------------------------------- pull


def test_answers_come_once_with_their_persons(project, stub, client):
    stub.legacy = False
    client = Client(stub.url, PERSONAL)
    ask(project, range(4))
    here = pushed(project, client).link
    stub.annotate(task_of(stub, project, 0), "red")
    stub.annotate(task_of(stub, project, 1), "blue", user=2)
    stub.annotate(task_of(stub, project, 2), cancelled=True)
    stub.drafts[task_of(stub, project, 0)] = [17]
    first = pull(project, client, here)
    assert (first.labels, first.skips, first.known, first.drafts) == (2, 1, 0, 1)
    assert project.ledger.labels == {0: 0, 1: 2}
    assert project.ledger.skipped == {2: "skip"}
    assert project.ledger.opinions(1) == {BEN: 2}
    assert project.ledger.outstanding_ids().tolist() == [3]
    seq = project.ledger.seq
    again = pull(project, client, here)
    assert (again.labels, again.skips, again.known) == (0, 0, 3)
    assert project.ledger.seq == seq


def test_the_request_names_the_annotation(project, stub, client):
    ask(project, [0])
    here = pushed(project, client).link
    number = stub.annotate(task_of(stub, project, 0), "red")
    pull(project, client, here)
    [event] = project.ledger.history()
    made = stub.annotations[number]
    assert event.request == f"label-studio:{made['unique_id']}@{made['updated_at']}"


def test_a_change_there_is_a_correction_here_and_changing_back_too(project, stub, client):
    ask(project, [0])
    here = pushed(project, client).link
    number = stub.annotate(task_of(stub, project, 0), "red")
    for name in ("green", "red"):
        pull(project, client, here)
        stub.edit(number, name)
    pull(project, client, here)
    assert [e.label for e in project.ledger.history()] == [0, 1, 0]
    stub.edit(number, cancelled=True)
    pull(project, client, here)
    assert project.ledger.labels == {}
    assert project.ledger.skipped == {0: "skip"}


def test_an_answer_undone_here_stays_undone(project, stub, client):
    ask(project, [0])
    here = pushed(project, client).link
    stub.annotate(task_of(stub, project, 0), "red")
    pull(project, client, here)
    project.ledger.undo(0, person=ANNA)
    assert pull(project, client, here).known == 1
    assert project.ledger.labels == {}
    assert pushed(project, client).known == 1  # outstanding again, with its task


def test_nothing_that_is_deleted_there_is_deleted_here(project, stub, client):
    ask(project, range(3), predicted=1)
    here = pushed(project, client).link
    for id in range(3):
        stub.annotate(task_of(stub, project, id), "green")
    pull(project, client, here)
    stub.annotations.clear()
    assert pull(project, client, here).labels == 0
    stub.tasks.clear()
    pull(project, client, here)
    assert project.ledger.labels == {0: 1, 1: 1, 2: 1}
    assert pushed(project, client).new == 0  # answered: not asked again


def test_several_annotations(project, stub, client):
    """Everybody's latest counts, whatever the order in the export; the latest of all is in
    force; who disagrees is kept."""
    ask(project, range(2))
    here = pushed(project, client).link
    task = task_of(stub, project, 0)
    early = stub.annotate(task, "red", user=1)
    stub.annotate(task, "green", user=1)
    stub.annotate(task, "blue", user=2)
    stub.edit(early, "green")  # the latest of all, and the first in the export
    other = task_of(stub, project, 1)
    for user in (1, 2):
        stub.annotate(other, "red", user=user)
    pulled = pull(project, client, here)
    assert project.ledger.opinions(0) == {ANNA: 1, BEN: 2}
    assert project.ledger.labels == {0: 1, 1: 0}
    assert pulled.conflicts == 1
    assert list(project.ledger.conflicts()) == [0]


def test_labels_that_are_none_are_quarantined_once_and_cured_there(project, stub, client):
    ask(project, range(3))
    here = pushed(project, client).link
    wrong = stub.annotate(task_of(stub, project, 0), "NOT_A_CLASS")
    stub.annotate(task_of(stub, project, 1), "red", "blue")
    stub.annotate(task_of(stub, project, 2))
    for new in (True, False):
        pulled = pull(project, client, here)
        assert [(b.path, b.new) for b in pulled.quarantined] == [
            (f"im000{k}.png", new) for k in range(3)
        ]
        assert pulled.labels == 0
    assert "'NOT_A_CLASS' is no class" in pulled.quarantined[0].reason
    assert project.ledger.labels == {}
    notes = project.ledger.notes(QUARANTINED)
    assert notes[0].data["result"] == result_of("NOT_A_CLASS")
    assert len(notes) == 3
    stub.edit(wrong, "blue")
    cured = pull(project, client, here)
    assert (cured.labels, len(cured.quarantined)) == (1, 2)
    assert project.ledger.labels == {0: 2}


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        ({"updated_at": "yesterday"}, "its time is 'yesterday'"),
        ({"result": [{"type": "choices", "value": float("nan")}]}, "nothing is chosen"),
    ],
)
def test_an_answer_that_cannot_be_stored_is_told_and_the_rest_comes_in(
    project, stub, client, odd, reason
):
    ask(project, range(3))
    here = pushed(project, client).link
    numbers = [stub.annotate(task_of(stub, project, id), "red") for id in range(3)]
    stub.annotations[numbers[1]] |= odd
    for labels in (2, 0):
        pulled = pull(project, client, here)
        assert [(b.annotation, b.path) for b in pulled.quarantined] == [(numbers[1], "im0001.png")]
        assert reason in pulled.quarantined[0].reason
        assert pulled.labels == labels
    assert project.ledger.labels == {0: 0, 2: 0}
    assert len(project.ledger.notes(QUARANTINED)) == 1


def test_text_that_is_no_unicode_and_times_without_a_zone_are_taken(project, stub, client):
    ask(project, range(3))
    here = pushed(project, client).link
    numbers = [stub.annotate(task_of(stub, project, id), "red") for id in range(3)]
    stub.annotations[numbers[0]]["unique_id"] = "\ud800"
    stub.annotations[numbers[1]]["updated_at"] = "2026-01-01T10:00:00"
    for labels in (3, 0):
        pulled = pull(project, client, here)
        assert (pulled.labels, pulled.quarantined) == (labels, [])
    assert project.ledger.labels == {0: 0, 1: 0, 2: 0}


@pytest.mark.parametrize("lost", [("id",), ("id", "unique_id")])
def test_an_export_without_ids_of_annotations_is_taken_once(project, stub, client, lost):
    """Some exports leave them out: an answer is an answer, and is known by what it says."""
    ask(project, range(3))
    here = pushed(project, client).link
    numbers = [stub.annotate(task_of(stub, project, id), "red") for id in range(3)]
    for key in lost:
        del stub.annotations[numbers[1]][key]
    for labels in (3, 0):
        pulled = pull(project, client, here)
        assert (pulled.labels, pulled.quarantined) == (labels, [])
    assert project.ledger.labels == {0: 0, 1: 0, 2: 0}


def test_tasks_of_other_images_are_told_and_left_alone(project, stub, client):
    ask(project, [0])
    here = pushed(project, client).link
    stub.import_tasks(
        "POST", {}, [{"data": {"image": "x"}}, {"data": {"labelgap_id": "f" * 64}}], 1
    )
    foreign = [n for n, t in stub.tasks.items() if t["data"].get("labelgap_rank") is None]
    for task in foreign:
        stub.annotate(task, "red")
    assert pull(project, client, here).foreign == foreign
    assert project.ledger.labels == {}


def test_people_keep_their_answers_when_they_are_renamed_or_removed(project, stub, client):
    ask(project, range(3))
    here = pushed(project, client).link
    for id, user in ((0, 1), (1, 2)):
        stub.annotate(task_of(stub, project, id), "red", user=user)
    pull(project, client, here)
    stub.users = {1: "anna.new@example.org"}
    stub.annotate(task_of(stub, project, 2), "red", user=9)
    imported = stub.annotate(task_of(stub, project, 2), "red", user=None)
    stub.edit(1, "green")
    pulled = pull(project, client, here)
    assert (pulled.known, pulled.labels, pulled.quarantined) == (1, 3, [])
    assert project.ledger.opinions(0) == {ANNA: 1}
    assert project.ledger.opinions(2) == {"label-studio 9": 0, "label-studio 0": 0}
    stub.annotations[imported]["completed_by"] = {"id": 1, "email": "x"}  # the expanded form
    stub.edit(imported, "blue")
    pull(project, client, here)
    assert project.ledger.opinions(2)[ANNA] == 2


def test_a_full_disk_ends_the_pull_and_the_next_one_goes_on(project, stub, client, monkeypatch):
    ask(project, range(3))
    here = pushed(project, client).link
    for id in range(3):
        stub.annotate(task_of(stub, project, id), "red")
    answer = project.ledger.answer
    calls = []

    def full(*args, **values):
        calls.append(args)
        if len(calls) == 2:
            raise StorageError("The disk is full.")
        return answer(*args, **values)

    monkeypatch.setattr(project.ledger, "answer", full)
    with pytest.raises(StorageError, match="full"):
        pull(project, client, here)
    assert project.ledger.labels == {0: 0}
    assert (pull(project, client, here).labels, len(project.ledger.labels)) == (2, 3)


@pytest.mark.parametrize("seed", range(3))
def test_any_history_of_answers_ends_as_people_left_it(tmp_path, stub, client, seed):
    """Against a plain model: by pull, each unseen state of an annotation in the order of its
    time is what its person says; whatever is deleted stays said."""
    rng = np.random.default_rng(seed)
    folder = tmp_path / "few"
    make_images(folder, 6)
    said, seen = {}, set()
    with begin(folder, classes=CLASSES, config=QUICK).project as project:
        ask(project, range(6))
        here = pushed(project, client).link
        items = {task_of(stub, project, id): id for id in range(6)}
        numbered = {}  # numbers are never used again
        for _ in range(60):
            act = rng.choice(["new", "edit", "delete", "pull", "push"], p=[0.3, 0.3, 0.1, 0.2, 0.1])
            cancelled = bool(rng.random() < 0.2)
            name = str(rng.choice([*CLASSES, "WRONG"]))
            alive = list(stub.annotations)
            if act == "new":
                task = int(rng.choice(list(items)))
                number = stub.annotate(
                    task, name, user=int(rng.integers(1, 3)), cancelled=cancelled
                )
                made = stub.annotations.pop(number)
                number = 1000 + len(numbered)
                numbered[number] = made
                unique = f"u{number}"
                stub.annotations[number] = {**made, "id": number, "unique_id": unique}
            elif act == "edit" and alive:
                stub.edit(int(rng.choice(alive)), name, cancelled=cancelled)
            elif act == "delete" and alive:
                del stub.annotations[int(rng.choice(alive))]
            elif act == "push":
                assert pushed(project, client).new == 0
            elif act == "pull":
                pull(project, client, here)
                for a in sorted(stub.annotations.values(), key=lambda a: a["updated_at"]):
                    state = (a["unique_id"], a["updated_at"])
                    value = "skip" if a["was_cancelled"] else a["result"][0]["value"]["choices"][0]
                    if state not in seen and value != "WRONG":
                        person = stub.users[a["completed_by"]]
                        value = value if value == "skip" else CLASSES.index(value)
                        said[items[a["task"]], person] = value
                    seen.add(state)
                for id in range(6):
                    expected = {p: v for (i, p), v in said.items() if i == id}
                    assert project.ledger.opinions(id) == expected
        assert len(stub.tasks) == 6
        assert said


def test_the_identity_is_the_content(project):
    item = project.items.get(0)
    data = (project.root / item.path).read_bytes()
    assert hashlib.sha256(data).hexdigest() == item.sha256


def test_a_second_writer_cannot_push_meanwhile(project):
    with pytest.raises(LedgerError), Project.open(project.root):
        pass
