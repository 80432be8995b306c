"""More images while the page is open: answers are stored meanwhile, and nothing is asked twice."""

import json
import signal
import threading
import urllib.request

import numpy as np
import pytest
from small_project import QUICK, answer_all, running_server
from starlette.testclient import TestClient
from test_server import BASE, JSON, OWN, PORT, TOKEN, labelling, send
from typer.testing import CliRunner
from waiting import PATIENCE, until

from labelgap.cli import with_commands
from labelgap.core.errors import InUse
from labelgap.core.pace import Pace
from labelgap.learn.learner import Learner
from labelgap.project.asking.work import Work
from labelgap.project.keep.store import Project
from labelgap.project.quality.quality import TRAINED
from labelgap.project.server import asking
from labelgap.project.server.app import make_app
from labelgap.project.server.desk import Desk
from labelgap.project.server.serve import allowed_hosts


@pytest.fixture
def labelled(project, truth):
    """A project with twenty answers and nothing trained."""
    Work(project).ask(20)
    answer_all(project, truth)
    return project


@pytest.fixture
def desk(labelled):
    desk = Desk(labelled, "the-project")
    yield desk
    desk.asking.stop()


@pytest.fixture
def client(desk):
    guarded = make_app(desk, TOKEN, allowed_hosts("127.0.0.1", PORT), PORT)
    client = TestClient(guarded, base_url=BASE)
    client.post("/api/session", headers=OWN, content=json.dumps({"token": TOKEN}))
    return client


@pytest.fixture
def gate(monkeypatch):
    """Holds the training before it begins, until it is set."""
    held, opened = threading.Event(), threading.Event()
    fit = Learner.fit

    def slow(self, *arguments, **keywords):
        held.set()
        assert opened.wait(PATIENCE)
        return fit(self, *arguments, **keywords)

    monkeypatch.setattr(Learner, "fit", slow)
    yield held, opened
    opened.set()


def more(client, n, **headers):
    return client.post("/api/more", headers={**OWN, **headers}, content=json.dumps({"n": n}))


def ended(client):
    """The state of the question once it has ended."""

    def state():
        found = client.get("/api/state?person=anna").json()["asking"]
        return None if found["running"] else found

    return until(state)


def test_the_page_asks_for_more(client, labelled):
    assert more(client, 10).status_code == 202
    assert ended(client) == {"running": False, "added": 10, "answered": 0}
    batch = client.get("/api/batch?person=anna&n=40").json()
    assert len(batch) == 10
    asked = [item for item in batch if item["predicted"] is not None]
    assert all(item["neighbours"] and 0 < item["probability"] <= 1 for item in asked)
    assert len(labelled.ledger.notes(TRAINED)) == 1
    # Ten besides the ten that wait, without a training: nothing was answered since.
    assert more(client, 10).status_code == 202
    assert ended(client)["added"] == 10
    assert len(labelled.ledger.outstanding_ids()) == 20
    assert len(labelled.ledger.notes(TRAINED)) == 1


def test_the_page_is_told_what_goes_on_and_the_time_left(labelled):
    asking_for = asking.Asking(labelled)
    asking_for._pace = Pace(iter([0.0, 2.0]).__next__)
    asking_for._progress("supervised", 10, 50)
    assert (asking_for.state()["rate"], asking_for.state()["left"]) == ("", "")
    asking_for._progress("supervised", 20, 50)
    state = asking_for.state()
    assert (state["step"], state["steps"]) == (20, 50)
    assert state["doing"] == "learning from the labels"
    assert (state["rate"], state["left"]) == ("5 steps a second", "6 s")


def test_answers_are_stored_while_it_trains(client, labelled, gate):
    """Also about images that waited when it began; an undo too."""
    held, opened = gate
    opened.set()
    assert more(client, 8).status_code == 202
    ended(client)
    opened.clear()
    held.clear()
    ids = [item["id"] for item in client.get("/api/batch?person=anna&n=40").json()]
    assert "stored" in send(client, [labelling(ids[0], 1, "before-training")]).json()["results"][0]
    train_labels = len(labelled.ledger.labelled_ids("train"))
    assert more(client, 5).status_code == 202
    assert held.wait(PATIENCE)
    state = client.get("/api/state?person=anna").json()
    assert state["asking"]["running"]
    assert more(client, 5).status_code == 409
    answers = [labelling(i, 2, f"request-{i:04d}") for i in ids[1:]]
    assert all("stored" in r for r in send(client, answers).json()["results"])
    assert send(client, [{"kind": "undo", "id": ids[1], "request": "undo-while-training"}]).json()[
        "results"
    ][0]["stored"]
    opened.set()
    assert ended(client) == {"running": False, "added": 5, "answered": 0}
    labels = labelled.ledger.labels
    assert {i: labels[i] for i in ids[2:]} == dict.fromkeys(ids[2:], 2)
    assert ids[1] not in labels
    assert set(labelled.ledger.outstanding_ids().tolist()) >= {ids[1]}
    assert len(labelled.ledger.outstanding_ids()) == 6
    # The note says what was trained on: the answers that came meanwhile are the next one's.
    trained = labelled.last_note(TRAINED).data
    assert trained["labels"] == train_labels
    assert Work(labelled).is_stale()


def test_images_labelled_while_it_trains_are_left_out_and_the_rest_is_asked(client, labelled, gate):
    """By an import or a pull: they were never asked, and now need not be."""
    held, opened = gate
    ledger = labelled.ledger
    left = np.setdiff1d(np.arange(60), ledger.asked_ids())
    assert more(client, len(left)).status_code == 202  # all of them, held-out ones included
    assert held.wait(60)
    work = Work(labelled)
    reserve = [i for i in work.reserve.tolist() if i in left]
    early = [reserve[0], *[i for i in left.tolist() if i not in reserve][:4]]
    for id in early[:4]:
        ledger.answer(id, 1, person="ben")
    ledger.skip(early[4], "unsure", person="ben")
    opened.set()
    assert ended(client) == {"running": False, "added": len(left) - 5, "answered": 5}
    assert not set(ledger.outstanding_ids().tolist()) & set(early)
    assert len(ledger.asked_ids()) == 60 - 5
    assert early[0] not in ledger.held_out


@pytest.mark.parametrize("n", [0, -1, 1001, True, None, "5", 2.5])
def test_odd_numbers_are_refused(client, labelled, n):
    assert more(client, n).status_code == 400
    assert not client.get("/api/state").json()["asking"]["running"]


def test_nobody_else_can_ask(client, labelled):
    body = json.dumps({"n": 5})
    assert more(client, 5, origin="http://evil.example").status_code == 403
    assert client.post("/api/more", headers=JSON, content=body).status_code == 403
    client.cookies.clear()
    assert more(client, 5).status_code == 401
    assert len(labelled.ledger.asked_ids()) == 20


def test_nothing_left_is_told(client, labelled):
    Work(labelled).ask(60)
    for id in labelled.ledger.outstanding_ids().tolist():
        labelled.ledger.skip(id, "skip")
    assert more(client, 5).status_code == 202
    assert "nothing left to ask" in ended(client)["error"]


def test_a_failure_is_told_and_it_can_be_asked_again(client, labelled, monkeypatch):
    def broken(*arguments, **keywords):
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "fit", broken)
        patch.setattr(threading, "excepthook", lambda given: None)
        assert more(client, 5).status_code == 202
        assert "terminal" in ended(client)["error"]
    assert more(client, 5).status_code == 202
    assert ended(client)["added"] == 5


def test_the_end_of_the_server_ends_the_training(client, desk, labelled, gate, monkeypatch):
    monkeypatch.setattr(asking, "PATIENCE", PATIENCE)
    held, opened = gate
    more(client, 5)
    assert held.wait(PATIENCE)
    stopping = threading.Thread(target=desk.asking.stop)
    stopping.start()
    until(lambda: desk.asking._stopping)
    opened.set()
    stopping.join()
    state = desk.asking.state()
    assert not state["running"]
    assert "ended" in state["error"]
    assert len(labelled.ledger.asked_ids()) == 20


@pytest.mark.parametrize("kill", [signal.SIGINT, signal.SIGKILL])
def test_a_server_that_ends_while_it_trains_leaves_the_project_whole(labelled, folder, kill):
    """Answers of that time are stored, nothing is half asked, and the next training goes on."""
    before = dict(labelled.ledger.labels)
    labelled.change(config={**QUICK, "training": {"steps": 100_000, "batch_size": 16}})
    labelled.close()
    with running_server(folder) as (process, base, token):
        assert call(base, token, "more", {"n": 5}) == {"ok": True}
        until_training(base, token)
        answer = {"kind": "label", "id": 59, "label": 2, "request": "while-training"}
        assert "stored" in call(base, token, "answers", {"answers": [answer]})["results"][0]
        process.send_signal(kill)
        process.wait(PATIENCE)
    with Project.open(folder) as again:
        assert again.ledger.labels == {**before, 59: 2}
        assert len(again.ledger.asked_ids()) == 20
        again.change(config=QUICK)
        assert Work(again).ask(5).new == 5


def call(base, token, path, body=None):
    request = urllib.request.Request(
        f"{base}/api/{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={**JSON, "Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        return json.load(response)


def until_training(base, token):
    def trains():
        asking = call(base, token, "state")["asking"]
        assert asking["running"], asking
        return asking["step"] > 0

    until(trains)


def test_commands_beside_the_server_say_where_to_ask(labelled, folder, tmp_path):
    Work(labelled).train()
    labelled.close()
    with running_server(folder):
        for words in (["ask", "5"], ["train"]):
            done = CliRunner().invoke(with_commands(), [*words, "--project", str(folder)])
            assert isinstance(done.exception, InUse)
            assert "more images" in done.exception.cure
            assert "Ctrl-C" in done.exception.cure
        out = str(tmp_path / "p.csv")
        for words in (["status"], ["predict", "--out", out], ["export", "--out", out + ".csv"],
                      ["export", "--format", "model", "--out", str(tmp_path / "model")],
                      ["backup", "--out", str(tmp_path / "b.zip")]):  # fmt: skip
            done = CliRunner().invoke(with_commands(), [*words, "--project", str(folder)])
            assert done.exit_code == 0, (words, done.output, done.exception)
