"""The backend: predictions in order, hints that become pulls, and nothing for strangers."""

import json
import stat
import threading

import httpx
import pytest
import uvicorn
from label_studio_stub import LEGACY, Stub
from small_project import CLASSES, answer_all
from tolerance import assert_rounded, two_ways
from waiting import PATIENCE, until

from labelgap.core.types import QueryItem
from labelgap.project.keep.store import Project
from labelgap.project.label_studio import backend, predictor
from labelgap.project.label_studio import worker as worker_module
from labelgap.project.label_studio.client import Client
from labelgap.project.label_studio.images import embedded
from labelgap.project.label_studio.link import link
from labelgap.project.label_studio.predictor import Predictor
from labelgap.project.label_studio.push import push, tasks_of
from labelgap.project.label_studio.worker import Worker
from labelgap.project.server.serve import allowed_hosts, listen

PASSWORD = "correct horse"
TOKEN = "5ecre7" * 7
AUTH = {"authorization": backend.authorization(PASSWORD)}


@pytest.fixture
def stub():
    made = Stub()
    yield made
    made.close()


@pytest.fixture
def place(project, truth, stub):
    """The folder of a pushed project that nobody holds open, and the link."""
    client = Client(stub.url, LEGACY)
    project.ledger.asked(0, [QueryItem(i) for i in range(8)])
    here = link(project, client)
    push(project, client, here, embedded(project))
    project.close()
    return project.root, here, client


@pytest.fixture
def served(place):
    """(browser, worker, what was said), the backend on a port of this machine."""
    root, here, client = place
    said, door = [], threading.Lock()
    worker = Worker(root, client, door, said.append, retry=0.2)
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    hosts = allowed_hosts("127.0.0.1", port)
    app = backend.make_app(Predictor(root, door), worker, here, PASSWORD, hosts)
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off", ws="none")
    )
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    worker.start()
    try:
        until(lambda: server.started or not thread.is_alive())
        assert server.started
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE, trust_env=False
        ) as browser:
            yield browser, worker, said
    finally:
        server.should_exit = True
        thread.join(30)
        worker.stop()


def tasks_in(root, ids):
    with Project.open(root, "read") as project:
        return [{"id": i, "data": {"labelgap_id": project.items.get(i).sha256}} for i in ids]


def labels_in(root):
    with Project.open(root, "read") as project:
        return project.ledger.labels


def test_without_a_network_there_is_an_empty_prediction_for_each_task(served, place):
    browser, _, _ = served
    body = {"tasks": [*tasks_in(place[0], [3, 1]), {"data": {}}, "odd"], "project": "1.1"}
    answer = browser.post("/predict", json=body, headers=AUTH)
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [r["result"] for r in results] == [[], [], [], []]
    assert {r["model_version"] for r in results} == {"labelgap-untrained"}


def test_predictions_are_the_network_s_in_the_order_of_the_tasks(served, place, truth):
    from labelgap.project.asking.work import Work

    root = place[0]
    with Project.open(root) as project:
        answer_all(project, truth)
        project.ledger.hold_out([9])
        work = Work(project)
        work.train()
        expected = work.predict()[1]
        roundings = two_ways(expected, work.session.training.network)
    browser, _, _ = served
    order = [40, 2, 9, 17]
    stranger = {"data": {"labelgap_id": "f" * 64}}
    body = {"tasks": [*tasks_in(root, order), stranger]}
    for _ in range(2):  # the second time from memory
        results = browser.post("/predict", json=body, headers=AUTH).json()["results"]
        assert len(results) == 5
        for id, result in zip(order, results, strict=False):
            if id == 9:  # held out: a prediction would colour the answer
                assert result["result"] == []
                continue
            [choice] = result["result"]
            assert choice["value"]["choices"] == [CLASSES[expected[id].argmax()]]
            assert_rounded(result["score"], expected[id].max(), **roundings)
            assert result["model_version"] == "labelgap-round-0-labels-8"
        assert results[4]["result"] == []
    setup = browser.post("/setup", json={"access_token": TOKEN}, headers=AUTH)
    assert setup.json() == {"model_version": "labelgap-round-0-labels-8"}


def test_predictions_do_not_wait_for_a_training(served, place, truth, monkeypatch):
    """What is computed is answered meanwhile, and what is not says so: nothing hangs."""
    from labelgap.project.asking.work import Work

    browser, worker, _ = served
    root = place[0]
    with Project.open(root) as project:
        answer_all(project, truth)
        Work(project).train()
    monkeypatch.setattr(predictor, "PATIENCE", 0.05)
    begun, go = threading.Event(), threading.Event()

    def slow(self):
        begun.set()
        assert go.wait(60)
        return {"train": 1.0}

    monkeypatch.setattr(Work, "train", slow)
    body = {"tasks": tasks_in(root, [3])}

    def asked_while_training():
        begun.clear()
        go.clear()
        worker.want("train")
        assert begun.wait(60)
        try:
            return [browser.post("/predict", json=body, headers=AUTH, timeout=20) for _ in "ab"]
        finally:
            go.set()
            assert worker.idle(60)

    for answer in asked_while_training():
        assert answer.status_code == 503
        assert "training" in answer.json()["error"]
    known = browser.post("/predict", json=body, headers=AUTH).json()
    assert known["results"][0]["result"]
    assert [answer.json() for answer in asked_while_training()] == [known, known]


def test_requests_wait_for_the_first_that_computes(place, truth, monkeypatch):
    from labelgap.project.asking.work import Work

    root, here, _ = place
    with Project.open(root) as project:
        answer_all(project, truth)
        Work(project).train()
    monkeypatch.setattr(predictor, "PATIENCE", 0.05)
    real, calls = Work.predict, []

    class Door:
        """A lock that says when both other requests have lost patience before it."""

        def __init__(self):
            self.lock, self.refused, self.both = threading.Lock(), set(), threading.Event()

        def acquire(self, timeout):
            taken = self.lock.acquire(timeout=timeout)
            if not taken:
                self.refused.add(threading.get_ident())
                if len(self.refused) == 2:
                    self.both.set()
            return taken

        def release(self):
            self.lock.release()

    door = Door()

    def slow(self):
        calls.append(self)
        assert door.both.wait(60)
        return real(self)

    monkeypatch.setattr(Work, "predict", slow)
    made = predictor.Predictor(root, threading.Lock())
    made.door = door
    tasks, found = tasks_in(root, [3]), []
    threads = [
        threading.Thread(target=lambda: found.append(made.predict(tasks, here.control)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(calls) == 1
    assert len(found) == 3
    assert found[0] == found[1] == found[2]
    assert found[0][0]["result"]


def test_an_event_becomes_one_pull_and_stores_what_the_server_says(served, place, stub):
    browser, worker, said = served
    root, here, client = place
    with Project.open(root) as project:
        tasks = tasks_of(project, client, here)
    stub.annotate(tasks[4][0], "blue")
    forged = {"task": tasks[5][0], "result": [{"value": {"choices": ["red"]}}]}
    body = {"action": "ANNOTATION_CREATED", "project": {"id": 1}, "annotation": forged}
    for _ in range(5):  # by the webhook, by the backend, and again
        assert browser.post("/webhook", json=body, headers=AUTH).status_code == 201
    assert worker.idle(PATIENCE)
    assert labels_in(root) == {4: 2}  # and nothing of what the event itself claims
    with Project.open(root, "read") as project:
        assert len(project.ledger.history()) == 1
    other = {"action": "ANNOTATION_CREATED", "project": {"id": 99}}
    unknown = {"action": "TASKS_DELETED", "project": {"id": 1}}
    number = len(said)
    for ignored in (other, unknown, {}, {"action": ["x"]}):
        assert browser.post("/webhook", json=ignored, headers=AUTH).status_code == 201
    assert worker.idle(PATIENCE)
    assert len(said) == number


def test_a_project_in_other_hands_is_tried_again(served, place, stub):
    browser, worker, said = served
    root, here, client = place
    with Project.open(root) as project:
        stub.annotate(tasks_of(project, client, here)[4][0], "blue")
        body = {"action": "ANNOTATION_CREATED"}
        assert browser.post("/webhook", json=body, headers=AUTH).status_code == 201
        until(lambda: said)  # it has tried
        assert not worker.idle(0)
        assert project.ledger.labels == {}
    assert worker.idle(PATIENCE)
    assert "Tried again" in said[0]
    assert labels_in(root) == {4: 2}


def test_an_unforeseen_error_is_told_and_the_worker_lives_on(served, place, stub, monkeypatch):
    browser, worker, said = served
    root, here, client = place
    with Project.open(root) as project:
        stub.annotate(tasks_of(project, client, here)[4][0], "blue")
    real, calls = worker_module.pull, []

    def odd(*given):
        calls.append(given)
        if len(calls) == 1:
            raise KeyError("an odd payload")
        return real(*given)

    monkeypatch.setattr(worker_module, "pull", odd)
    body = {"action": "ANNOTATION_CREATED"}
    assert browser.post("/webhook", json=body, headers=AUTH).status_code == 201
    assert worker.idle(PATIENCE)
    assert labels_in(root) == {4: 2}  # tried again by itself
    assert "Traceback" in said[0]
    assert "KeyError: 'an odd payload'" in said[0]
    assert "Tried again" in said[0]


def test_a_training_that_is_refused_is_not_tried_again(served):
    browser, worker, said = served  # there are no labels
    body = {"action": "START_TRAINING"}
    assert browser.post("/webhook", json=body, headers=AUTH).status_code == 201
    assert worker.idle(PATIENCE)
    assert len(said) == 2
    assert said[1].endswith("Not tried again.")
    assert "Traceback" not in said[1]


def test_a_training_that_breaks_is_dropped_and_one_that_waits_is_not(served, place, monkeypatch):
    from labelgap.project.asking.work import Work

    browser, worker, said = served
    calls = []

    def breaks(self):
        calls.append(self)
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(Work, "train", breaks)
    with Project.open(place[0]):
        worker.want("train")
        until(lambda: said)
        assert not worker.idle(0)
    assert worker.idle(PATIENCE)
    assert "Tried again" in said[0]  # while another program had the project
    assert len(calls) == 1
    assert "RuntimeError: CUDA out of memory" in said[-1]
    assert said[-1].endswith("Not tried again.")
    assert browser.post("/webhook", json={"action": "ANNOTATION_CREATED"}, headers=AUTH)
    assert worker.idle(PATIENCE)
    assert "0 new labels" in said[-1]


def test_strangers_get_nothing(served):
    browser, worker, said = served
    wrong = {"authorization": backend.authorization("guess")}
    for headers in ({}, wrong, {"authorization": "Basic é"}, {"authorization": f"Token {TOKEN}"}):
        headers = {k: v.encode() for k, v in headers.items()}
        assert browser.get("/health", headers=headers).status_code == 401
        for path in ("/setup", "/predict", "/webhook"):
            body = {"action": "START_TRAINING", "tasks": []}
            assert browser.post(path, json=body, headers=headers).status_code == 401
    rebound = {**AUTH, "host": "evil.example.org"}
    assert browser.get("/health", headers=rebound).status_code == 421
    plain = {**AUTH, "content-type": "text/plain"}
    assert browser.post("/webhook", content="{}", headers=plain).status_code == 415
    json_type = {**AUTH, "content-type": "application/json"}
    for bad in ("{", "[]", "3", "[" * 100_000):
        assert browser.post("/webhook", content=bad, headers=json_type).status_code == 400
    assert browser.post("/predict", json={"tasks": 3}, headers=AUTH).status_code == 400
    assert browser.get("/health", headers=AUTH).json()["status"] == "UP"
    assert worker.idle(PATIENCE)
    assert said == []


@pytest.mark.parametrize("path", ["/setup", "/predict", "/webhook"])
def test_a_bad_request_is_an_error_by_its_status(served, path):
    """Label Studio goes by the status alone: any of 400 and more is an error, shown to whoever
    tests the backend, and anything below is read as an answer. Its own backends (Flask) say 400 to
    what is no JSON and 415 to another type."""
    browser, worker, said = served
    typed = {**AUTH, "content-type": "application/json; charset=utf-8"}
    for bad in (b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b"[" * 100_000):
        answer = browser.post(path, content=bad, headers=typed)
        assert answer.status_code == 400
        assert answer.is_error
        assert answer.json()["error"].startswith("The body is not")
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        refused = browser.post(path, content=b"{}", headers={**AUTH, "content-type": kind})
        assert refused.status_code == 415
        assert refused.json() == {"error": "Requests are JSON."}
    assert browser.get(path, headers=AUTH).status_code == 405
    assert worker.idle(PATIENCE)
    assert said == []  # nothing was pulled or trained


@pytest.mark.parametrize("tasks", [None, 3, {}, "tasks"])
def test_predictions_of_no_list_are_refused(served, tasks):
    browser, _, _ = served
    answer = browser.post("/predict", json={"tasks": tasks}, headers=AUTH)
    assert (answer.status_code, answer.json()) == (400, {"error": "The body is {tasks: [...]}."})
    missing = browser.post("/predict", json={}, headers=AUTH)
    assert (missing.status_code, missing.json()) == (400, answer.json())
    nothing = browser.post("/predict", json={"tasks": []}, headers=AUTH)
    assert (nothing.status_code, nothing.json()) == (200, {"results": []})


def test_too_large_a_body_is_refused(served, monkeypatch):
    monkeypatch.setattr(backend, "MAX_BODY", 1000)
    browser, _, _ = served
    body = {"tasks": [], "more": "x" * 2000}
    assert browser.post("/predict", json=body, headers=AUTH).status_code == 413


def test_the_token_that_is_handed_over_is_nowhere(served, place, caplog, capfd):
    browser, _, said = served
    caplog.set_level(0)
    for body in ({"access_token": TOKEN, "project": "1.1"}, {"access_token": TOKEN, "tasks": 3}):
        for path in ("/setup", "/predict", "/webhook"):
            answer = browser.post(path, json=body, headers=AUTH)
            assert TOKEN not in answer.text
    out = capfd.readouterr()
    assert TOKEN not in out.out + out.err + caplog.text + "".join(said)
    home = place[0] / ".labelgap"
    files = [f for f in home.rglob("*") if f.is_file()]
    assert files
    assert not any(TOKEN.encode() in f.read_bytes() for f in files)


def test_registering_twice_makes_one_of_each(place, stub):
    _, here, client = place
    for password in ("one", "two"):
        backend.register(client, here, "http://127.0.0.1:9090", password)
    [made] = stub.backends
    assert (made["auth_method"], made["basic_auth_pass"]) == ("BASIC_AUTH", "two")
    [hook] = stub.webhooks  # with our password: Label Studio's own has none
    assert hook["url"] == "http://127.0.0.1:9090/webhook"
    assert hook["headers"] == {"Authorization": backend.authorization("two")}
    assert hook["send_payload"] is False


def test_the_password_is_made_once_and_is_the_owner_s(tmp_path):
    password = backend.password_of(tmp_path)
    assert len(password) >= 40
    assert backend.password_of(tmp_path) == password
    [file] = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text()) == {"password": password}
