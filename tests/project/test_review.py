"""The review view's server: every write is stored once, whole or not at all, and no stranger's."""

import json
import random
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from console import call
from review_project import planted_project
from small_project import CLASSES, running_server
from starlette.testclient import TestClient
from waiting import PATIENCE, until

from labelgap.project.asking.alike import duplicates
from labelgap.project.asking.judged import judge, suspects
from labelgap.project.asking.reserve import held_back, trained_on_instead
from labelgap.project.asking.seen import see
from labelgap.project.asking.work import Work
from labelgap.project.keep.kept import in_force, kept_answers
from labelgap.project.keep.store import Project
from labelgap.project.server.app import make_app
from labelgap.project.server.desk import Desk
from labelgap.project.server.filters import STATES, Filter
from labelgap.project.server.reviews import MOST, Reviews
from labelgap.project.server.serve import allowed_hosts

TOKEN, PORT = "t" * 43, 8124
BASE = f"http://127.0.0.1:{PORT}"
OWN = {"content-type": "application/json", "origin": BASE}
WRITES = ("answer", "undo", "keep", "ask", "again")


@pytest.fixture
def stranger(project):
    reviews = Reviews(project)
    app = make_app(Desk(project, "own"), TOKEN, allowed_hosts("127.0.0.1", PORT), PORT, reviews)
    yield TestClient(app, base_url=BASE)
    reviews.reviewing.stop()


@pytest.fixture
def client(stranger):
    stranger.headers["authorization"] = f"Bearer {TOKEN}"
    return stranger


def send(client, what, person="anna", **body):
    text = json.dumps({"project": "own", "person": person, **body})
    return client.post(f"/api/review/{what}", headers=OWN, content=text)


def computed(client):
    """The state once everything is made."""

    def whole():
        state = client.get("/api/review/state").json()
        assert "error" not in state["making"], state
        return state if "map" in state["done"] and not state["making"]["running"] else None

    return until(whole)


def everything(project):
    return [e.as_dict() for e in project.ledger.events()]


# ------------------------------------------------------------------------------- who gets in


@pytest.mark.parametrize("path", ["state", "items", "doubts", "groups", "map"])
def test_nothing_is_read_without_the_token(stranger, path):
    assert stranger.get(f"/api/review/{path}").status_code == 401
    assert stranger.get("/review").status_code == 200  # the shell, which holds no data


@pytest.mark.parametrize("what", WRITES)
def test_no_stranger_writes(stranger, project, what):
    before = everything(project)
    body = {"request": "request-1", "ids": [0], "label": 1, "id": 0, "answer": 1, "of": "request-0"}
    assert send(stranger, what, **body).status_code == 401
    key = {**OWN, "authorization": f"Bearer {TOKEN}", "host": "evil.example"}
    text = json.dumps(body)
    assert stranger.post(f"/api/review/{what}", headers=key, content=text).status_code == 421
    foreign = {"content-type": "application/json", "origin": "http://evil.example"}
    assert stranger.post(f"/api/review/{what}", headers=foreign, content=text).status_code == 403
    assert everything(project) == before


# ------------------------------------------------------------------------------------ writes


def test_a_bulk_is_stored_once_and_undone_as_one(client, project):
    project.ledger.answers({3: 0, 4: 1}, person="bert")
    bulk = {"request": "request-1", "ids": [3, 4, 5], "label": 2}
    first = send(client, "answer", **bulk)
    assert first.status_code == 200
    seq = project.ledger.seq
    assert send(client, "answer", **bulk).json() == first.json()
    assert project.ledger.seq == seq
    assert project.ledger.labels == {3: 2, 4: 2, 5: 2}
    back = {"request": "request-2", "of": "request-1", "ids": [3, 4, 5]}
    undone = send(client, "undo", **back)
    assert project.ledger.labels == {3: 0, 4: 1}
    seq = project.ledger.seq
    assert send(client, "undo", **back).json() == undone.json()
    # Another undo of the same finds nothing left.
    assert send(client, "undo", **{**back, "request": "request-3"}).json() == {"seqs": []}
    assert project.ledger.seq == seq


def test_leaving_out_is_a_skip_and_can_be_undone(client, project):
    send(client, "answer", request="request-1", ids=[7, 8], skip="skip")
    assert project.ledger.skipped == {7: "skip", 8: "skip"}
    send(client, "undo", request="request-2", of="request-1", ids=[7, 8])
    assert project.ledger.skipped == {}


def test_nobody_undoes_what_another_did(client, project):
    send(client, "answer", request="request-1", ids=[3], label=2)
    back = {"request": "request-2", "of": "request-1", "ids": [3]}
    answer = send(client, "undo", person="bert", **back)
    assert answer.status_code == 409
    assert "no answer by 'bert'" in answer.json()["refused"]
    assert project.ledger.labels == {3: 2}


REFUSED = [
    {"ids": [1, 2], "label": 3},
    {"ids": [1, 2], "label": -2},
    {"ids": [1, 2], "label": "1"},
    {"ids": [1, 2], "label": True},
    {"ids": [1, 2]},
    {"ids": [1, 1], "label": 1},
    {"ids": [1, 60], "label": 1},
    {"ids": [1, -1], "label": 1},
    {"ids": [1.0], "label": 1},
    {"ids": [], "label": 1},
    {"ids": list(range(MOST + 1)), "label": 1},
    {"ids": "12", "label": 1},
    {"ids": [1], "skip": "why not"},
    {"ids": [1], "label": 1, "classes_seq": "x"},
    {"ids": [1], "label": 1, "request": "short"},
    {"ids": [1], "label": 1, "request": "with#sign-1"},
]


@pytest.mark.parametrize("body", REFUSED)
def test_a_bulk_with_one_wrong_part_stores_nothing(client, project, body):
    before = everything(project)
    answer = send(client, "answer", **{"request": "request-1", **body})
    assert answer.status_code == 409, answer.text
    assert answer.json()["refused"]
    assert everything(project) == before


def test_a_request_is_of_one_bulk_only(client, project):
    send(client, "answer", request="request-1", ids=[3, 4], label=2)
    before = everything(project)
    for ids, label in (([4, 5], 2), ([3, 4], 1)):
        answer = send(client, "answer", request="request-1", ids=ids, label=label)
        assert answer.status_code == 409
    assert everything(project) == before


def test_a_page_from_before_the_classes_changed_means_its_own(client, project):
    seq = client.get("/api/review/state").json()["classes_seq"]
    project.change_classes("merge", ["red", "green"], "warm")
    blue_then = CLASSES.index("blue")
    send(client, "answer", request="request-1", ids=[3], label=blue_then, classes_seq=seq)
    assert project.classes[project.ledger.labels[3]] == "blue"


def test_what_is_kept_is_stored_once_and_can_be_taken_back(client, project):
    (event,) = project.ledger.answers({3: 0}, person="bert")
    keep = {"request": "request-1", "id": 3, "answer": event.seq}
    assert send(client, "keep", **keep).json() == send(client, "keep", **keep).json()
    assert kept_answers(project.ledger) == {event.seq}
    project.change_classes("rename", ["red"], "rouge")
    assert kept_answers(project.ledger) == {in_force(project.ledger)[3][0]}
    assert send(client, "keep", request="request-2", id=3, answer=event.seq + 50).status_code == 409
    assert send(client, "keep", **{**keep, "id": 4}).status_code == 409
    send(client, "keep", request="request-3", id=3, answer=event.seq, kept=False)
    assert kept_answers(project.ledger) == set()
    assert project.ledger.labels == {3: 0}


def test_images_are_asked_once_and_never_of_the_reserve(client, project):
    from labelgap.project.asking.reserve import held_back

    reserve = held_back(project)
    project.ledger.answer(0, 1, person="bert")
    ids = list(range(20))
    told = send(client, "ask", request="request-1", ids=ids).json()
    free = [i for i in ids if i not in reserve and i != 0]
    assert reserve & set(ids)
    assert told == {"asked": len(free), "known": 1, "reserve": len(reserve & set(ids) - {0})}
    assert project.ledger.outstanding_ids().tolist() == free
    assert send(client, "ask", request="request-1", ids=ids).json()["asked"] == 0


# ----------------------------------------------------------------------------------- reading


def naive(rows, wanted):
    kept = []
    for r in rows:
        sure = r.confidence is not None and wanted.least <= r.confidence <= wanted.most
        tests = [
            wanted.label is None or r.label == wanted.label,
            wanted.predicted is None or r.predicted == wanted.predicted,
            sure or (wanted.least == 0 and wanted.most == 1),
            not wanted.disagrees or (r.label is not None and r.predicted not in (None, r.label)),
            wanted.region is None or r.region == wanted.region,
            not wanted.person or wanted.person in r.people,
            not wanted.state or (r.conflict if wanted.state == "conflict"
                                 else r.state == wanted.state),
            wanted.text.lower() in r.name.lower(),
        ]  # fmt: skip
        if all(tests):
            kept.append(r.id)
    return kept


def test_what_is_made_and_every_filter(tmp_path):
    truth = planted_project(tmp_path / "images")
    with Project.open(tmp_path / "images") as project:
        project.ledger.skip(130, "unsure", person="carl")
        project.ledger.answer(5, 2 if project.ledger.labels[5] != 2 else 1, person="carl")
        reviews = Reviews(project)
        app = make_app(Desk(project, "own"), TOKEN, allowed_hosts("127.0.0.1", PORT), PORT, reviews)
        client = TestClient(app, base_url=BASE, headers={"authorization": f"Bearer {TOKEN}"})
        state = computed(client)
        assert state["people"] == ["anna", "carl"]
        doubts = client.get("/api/review/doubts").json()
        assert set(truth) <= {item["id"] for item in doubts["items"][:10]}
        for item in doubts["items"][:10]:
            if item["id"] in truth:
                assert item["suggested"] == truth[item["id"]]
        pairs = [
            {i["name"][-8:] for i in g} for g in client.get("/api/review/groups").json()["groups"]
        ]
        assert any({"0120.png"} <= group for group in pairs)
        points = client.get("/api/review/map").json()["points"]
        assert sorted(point[0] for point in points) == list(range(152))
        rows = reviews.rows()
        queries = [{}, {"label": "1"}, {"predicted": "0"}, {"least": "0.5", "most": "0.9"},
                   {"disagrees": "1"}, {"region": "1"}, {"by": "carl"}, {"text": "TWIN"},
                   *({"state": s} for s in STATES)]  # fmt: skip
        for query in queries:
            wanted = Filter.of(query)
            found = client.get("/api/review/items", params={**query, "limit": 500}).json()
            ids = sorted(item["id"] for item in found["items"])
            assert ids == naive(rows, wanted), query
            assert found["total"] == len(ids)
            assert ids, query  # each of them finds some: else the query shows nothing
        first = client.get("/api/review/items", params={"limit": 10, "sort": "unsure"}).json()
        then = client.get("/api/review/items", params={"limit": 10, "offset": 10,
                                                       "sort": "unsure"}).json()  # fmt: skip
        sure = [item["confidence"] for item in first["items"] + then["items"]]
        assert sure == sorted(sure)
        for query in (
            {"sort": "x"},
            {"state": "x"},
            {"label": "x"},
            {"least": "2"},
            {"limit": "x"},
        ):
            assert client.get("/api/review/items", params=query).status_code == 400
        # A queue knows at once what was changed and what was kept.
        one, two = doubts["items"][:2]
        send(client, "answer", request="request-1", ids=[one["id"]], label=one["suggested"])
        send(client, "keep", request="request-2", id=two["id"], answer=two["answer"])
        left = {item["id"] for item in client.get("/api/review/doubts").json()["items"]}
        assert not left & {one["id"], two["id"]}
        reviews.reviewing.stop()


def test_a_pretrained_backbone_sees_errors_and_twins(tmp_path):
    """What a new project has: features computed once, no training needed."""
    truth = planted_project(tmp_path / "images", holdout=0.2)
    with Project.open(tmp_path / "images") as project:
        seen = see(project, "cpu")
        assert seen.plain is None
        assert see(project, "cpu").key == seen.key
        judged = judge(project, seen)
        first = [s.id for s in suspects(project, judged)[:10]]
        assert set(truth) <= set(first)
        at = project.items.paths()
        groups = duplicates(project, seen)
        assert any({at["im0120.png"], at["twin0120.png"]} <= set(group) for group in groups)
        # From the cache, and anew once a label is another one.
        assert judge(project, seen).key == judged.key
        project.ledger.answer(first[0], truth.get(first[0], 0), person="bert")
        assert judge(project, seen).key != judged.key
        assert first[0] not in [s.id for s in suspects(project, judge(project, seen))[:10]]


def test_too_few_labels_are_said(client, project):
    project.ledger.answers({3: 0, 4: 1}, person="bert")
    state = computed(client)
    assert "at least 2 labels each; 0 classes have so many" in state["why_not"]
    assert client.get("/api/review/doubts").json()["items"] == []


def test_it_says_so_where_the_network_learned_from_the_labels(client, project, truth):
    """Judging tells how far it is, and of what network the features are."""
    for item in project.items.all()[:24]:
        project.ledger.answer(item.id, CLASSES.index(truth[item.path]), person="anna")
    steps = []
    plain = judge(project, see(project), lambda *at: steps.append(at))
    assert steps == [("doubts", k, 6) for k in range(1, 7)]
    assert plain.sentence(CLASSES) == ""  # thumbnails have learned from nothing
    Work(project, device="cpu").train()
    computed(client)
    note = client.get("/api/review/doubts").json()["note"]
    assert "has learned from these very labels" in note
    assert note == judge(project, see(project)).sentence(CLASSES)


def test_labels_given_by_hand_to_the_reserve_are_counted(project):
    reserve = sorted(held_back(project))
    other = next(i for i in range(60) if i not in reserve)
    assert trained_on_instead(project) == 0
    project.ledger.answers({reserve[0]: 0, reserve[1]: 1, other: 2}, person="anna")
    assert trained_on_instead(project) == 2
    assert set(reserve[:2]) <= set(project.ledger.labelled_ids("train").tolist())
    said = " ".join(labelgap("status", "--project", str(project.root)).stdout.split())
    assert "2 labels given unasked to images that were kept aside to measure accuracy" in said
    project.ledger.hold_out([reserve[0]])
    assert trained_on_instead(project) == 1


# ------------------------------------------------------------------------------------- kills


def test_acknowledged_bulks_survive_kills_whole(folder):
    """Bulks and their undos, sent until they are acknowledged while the server is killed."""
    rng = random.Random(2)
    expected, number = {}, 0

    def post(base, token, what, body):
        request = urllib.request.Request(
            f"{base}/api/review/{what}",
            data=json.dumps({"person": "anna", **body}).encode(),
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {token}"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return json.load(response)["seqs"]

    waiting = []
    for _ in range(3):
        with running_server(folder) as (process, base, token):
            for what, body in waiting:  # what was on its way is sent again
                expected[body["request"]] = (what, body, post(base, token, what, body))
            waiting = []
            for _ in range(rng.randint(2, 5)):
                number += 1
                ids = rng.sample(range(60), 12)
                body = {"request": f"request-{number:03d}", "ids": ids, "label": rng.randrange(3)}
                expected[body["request"]] = ("answer", body, post(base, token, "answer", body))
            back = {"request": f"request-{number:03d}-back", "of": body["request"], "ids": ids}
            last = subprocess.Popen(
                [sys.executable, "-c", SENDER, base, token, json.dumps({"person": "anna", **back})],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            process.send_signal(signal.SIGKILL)
            process.wait()
            last.wait(PATIENCE)
            waiting = [("undo", back)]
    with running_server(folder) as (_, base, token):
        for what, body in waiting:
            expected[body["request"]] = (what, body, post(base, token, what, body))
    with Project.open(folder, "read") as project:
        events = [e for e in project.ledger.events() if e.request]
    requests = [e.request for e in events]
    assert len(set(requests)) == len(requests)  # exactly once
    wanted = {f"{name}#{id}" for name, (_, body, _) in expected.items() for id in body["ids"]}
    assert set(requests) == wanted
    at = {e.request: e.seq for e in events}
    for name, (_, body, seqs) in expected.items():
        assert [at[f"{name}#{id}"] for id in body["ids"]] == seqs


SENDER = """
import sys, urllib.request
base, token, body = sys.argv[1:]
headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
urllib.request.urlopen(urllib.request.Request(f"{base}/api/review/undo", body.encode(), headers))
"""


# ----------------------------------------------------------------------------------- command


def labelgap(*words):
    command = [sys.executable, "-m", "labelgap", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_command_lists_them(tmp_path, capsys):
    folder = tmp_path / "images"
    truth = planted_project(folder)
    done = labelgap("errors", "--json", "--project", str(folder))
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert len(rows) == 120
    with Project.open(folder, "read") as project:
        wrong = {project.items.get(id).path: CLASSES[k] for id, k in truth.items()}
    first = {row["path"]: row["suggested"] for row in rows[:10]}
    assert {path: first.get(path) for path in wrong} == wrong
    _, said = call(capsys, "errors", "--most", "10", "--project", str(folder))
    assert all(path in said for path in wrong)
    assert "120 labels judged" in said


def test_the_command_says_what_is_missing(folder):
    done = labelgap("errors", "--project", str(folder))
    assert done.returncode == 2
    assert "two classes or more" in done.stderr
    assert "labelgap ask" in done.stderr
    assert Path(folder, ".labelgap").is_dir()
