"""The label page's server: who gets in, what it serves, and that an answer is stored once."""

import json
import posixpath
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from graphlib import TopologicalSorter
from io import StringIO

import numpy as np
import pytest
import uvicorn
from rich.console import Console
from small_project import CLASSES, image_of
from starlette.testclient import TestClient

from labelgap.core.loopback import is_loopback
from labelgap.core.types import QueryItem
from labelgap.project.asking.work_notes import WHY
from labelgap.project.quality.quality import TRAINED
from labelgap.project.server.app import STATIC, make_app
from labelgap.project.server.desk import Desk
from labelgap.project.server.security import MAX_BODY
from labelgap.project.server.serve import (
    allowed_hosts,
    listen,
    own_address,
    remembered,
    serve,
)

TOKEN = "t" * 43
PORT = 8123
BASE = f"http://127.0.0.1:{PORT}"
JSON = {"content-type": "application/json"}
OWN = {**JSON, "origin": BASE}


@pytest.fixture
def asked(project):
    project.ledger.asked(0, [QueryItem(i) for i in range(5, 15)])
    return project


@pytest.fixture
def desk(asked):
    return Desk(asked, "the-project")


@pytest.fixture
def stranger(desk):
    """Somebody who can reach the server and has no token."""
    app = make_app(desk, TOKEN, allowed_hosts("127.0.0.1", PORT), PORT)
    return TestClient(app, base_url=BASE)


@pytest.fixture
def client(stranger):
    answer = stranger.post("/api/session", headers=OWN, content=json.dumps({"token": TOKEN}))
    assert answer.status_code == 200
    return stranger


def send(client, answers, person="anna", **headers):
    body = json.dumps({"person": person, "project": "the-project", "answers": answers})
    return client.post("/api/answers", headers={**OWN, **headers}, content=body)


def labelling(id, label, request="request-0001"):
    return {"kind": "label", "id": id, "label": label, "request": request}


# ------------------------------------------------------------------------------- who gets in

PRIVATE = ["/api/state", "/api/batch", "/image/0", "/api/nothing", "/image/0?view=small"]


@pytest.mark.parametrize("path", PRIVATE)
def test_nothing_without_the_token(stranger, path):
    assert stranger.get(path).status_code == 401
    stranger.cookies.set(f"labelgap-{PORT}", "x" * 43)
    assert stranger.get(path).status_code == 401
    assert stranger.get(path, headers={"authorization": "Bearer x"}).status_code == 401


def test_a_wrong_token_opens_no_session(stranger):
    for body in ('{"token": "no"}', '{"token": 3}', "[]", '{"token": "é"}', "null"):
        answer = stranger.post("/api/session", headers=OWN, content=body.encode())
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers


def test_the_cookie_is_strict_and_hidden_from_scripts(stranger):
    answer = stranger.post("/api/session", headers=OWN, content=json.dumps({"token": TOKEN}))
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert stranger.get("/api/state").status_code == 200


HOSTS = ["evil.example", f"evil.example:{PORT}", "127.0.0.1", "127.0.0.1:1", f"127.0.0.1.x:{PORT}"]


@pytest.mark.parametrize("host", HOSTS)
def test_other_hosts_are_refused(client, host):
    """DNS rebinding: the name is the attacker's, the address is ours."""
    assert client.get("/api/state", headers={"host": host}).status_code == 421
    assert client.get("/", headers={"host": host}).status_code == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "", f"https://127.0.0.1:{PORT}"])
def test_other_origins_cannot_write(client, asked, origin):
    item = int(asked.ledger.outstanding_ids()[0])
    assert send(client, [labelling(item, 1)], origin=origin).status_code == 403
    assert asked.ledger.labels == {}


def test_writes_without_an_origin_need_the_token_itself(client, asked):
    item = int(asked.ledger.outstanding_ids()[0])
    body = json.dumps({"answers": [labelling(item, 1)]})
    assert client.post("/api/answers", headers=JSON, content=body).status_code == 403
    key = {**JSON, "authorization": f"Bearer {TOKEN}"}
    assert client.post("/api/answers", headers=key, content=body).status_code == 200


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_writes_are_json(client, kind):
    assert send(client, [], **{"content-type": kind}).status_code == 415


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(client, method):
    answer = client.request(method, "/api/answers", headers={"origin": "http://evil.example"})
    assert answer.status_code == 405
    assert "access-control-allow-origin" not in answer.headers


def test_bodies_are_capped_whatever_length_they_announce(client):
    big = b'{"answers": [' + b" " * MAX_BODY + b"]}"
    assert client.post("/api/answers", headers=OWN, content=big).status_code == 413

    def stream():
        for _ in range(20):
            yield b" " * 100_000

    assert client.post("/api/answers", headers=OWN, content=stream()).status_code == 413
    odd = {**OWN, "content-length": "-1"}
    assert client.post("/api/answers", headers=odd, content=b"{}").status_code == 400


@pytest.mark.parametrize("path", ["/", "/static/app.js", "/api/state", "/image/0", "/nowhere"])
def test_every_response_carries_the_policy(client, path):
    headers = client.get(path).headers
    assert headers["content-security-policy"].startswith("default-src 'self'")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("name", STATIC)
def test_the_page_needs_nothing_from_elsewhere(stranger, name):
    answer = stranger.get(f"/static/{name}")
    assert answer.status_code == 200
    text = answer.text.replace("http://www.w3.org/2000/svg", "")
    assert "http://" not in text
    assert "https://" not in text
    assert "innerHTML" not in text
    assert "eval(" not in text


ENTRIES = {"app.js", "review/review.js"}
"""The scripts that a page names itself."""


def test_every_script_is_served_and_none_imports_its_way_back(stranger):
    served = [name for name in STATIC if name.endswith(".js")]
    imports = {
        name: {
            posixpath.normpath(posixpath.join(posixpath.dirname(name), other))
            for other in re.findall(r'from "(\.[^"]+)"', stranger.get(f"/static/{name}").text)
        }
        for name in served
    }
    assert set().union(*imports.values()) | ENTRIES == set(served)
    order = [*TopologicalSorter(imports).static_order()]  # CycleError where two need each other
    assert ENTRIES.isdisjoint(set().union(*imports.values()))
    assert set(order) == set(served)


PATHS = [
    "/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static/page.html",
    "/image/../../etc/passwd", "/image/..%2f..%2fetc%2fpasswd", "/image/-1", "/image/x",
    "/image/999999", "/image/99999999999999999999", "/image/0?view=/etc/passwd",
    "/image/im0000.png", "/.labelgap/ledger.sqlite",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_files_are_served_by_id_and_never_by_path(client, path):
    answer = client.get(path)
    assert answer.status_code in (400, 404), answer.text
    assert b"root:" not in answer.content
    assert b"SQLite" not in answer.content


def test_only_loopback_is_quiet():
    assert [is_loopback(h) for h in ("127.0.0.1", "localhost", "::1", "127.9.9.9")] == [True] * 4
    assert [is_loopback(h) for h in ("0.0.0.0", "192.168.1.5", "example.org", "")] == [False] * 4
    assert "[::1]:80" in allowed_hosts("::1", 80)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_a_wildcard_address_answers_to_this_machines_own_names(host):
    known = allowed_hosts(host, 80)
    assert f"{socket.gethostname()}:80" in known
    assert f"{own_address()}:80" in known
    assert "evil.example:80" not in known
    assert f"{own_address()}:80" not in allowed_hosts("127.0.0.1", 80)


@pytest.mark.parametrize(("host", "warns"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_opening_it_to_others_warns_and_prints_a_link_that_works(asked, monkeypatch, host, warns):
    said, served = StringIO(), []

    def run(server, sockets):
        served.append(server.config.app)
        sockets[0].close()

    monkeypatch.setattr(uvicorn.Server, "run", run)
    serve(asked, host, 0, "", False, Console(file=said, width=500))
    text = said.getvalue()
    assert ("warning: other machines can reach this page" in text) is warns
    base, _, token = text.split("label at ")[-1].split(" ")[0].partition("/#token=")
    token = token.partition("&")[0]  # then the login name
    assert base.startswith(f"http://{own_address() if warns else host}:")
    client = TestClient(served[0], base_url=base)
    assert client.get("/api/state").status_code == 401  # the token is needed all the same
    key = {"authorization": f"Bearer {token}"}
    assert client.get("/api/state", headers=key).status_code == 200


def test_the_remembered_port_is_taken_again_or_another(tmp_path):
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        first.listen()
        with listen("127.0.0.1", port, any_port=True) as second:
            assert second.getsockname()[1] != port


def test_a_damaged_memory_gives_a_new_token(tmp_path):
    (tmp_path / "server.json").write_text('{"token": "short", "id": "x"}')
    one = remembered(tmp_path)
    assert len(one["token"]) >= 32
    (tmp_path / "server.json").write_text("{")
    assert remembered(tmp_path)["token"] != one["token"]


# ----------------------------------------------------------------------------------- images


def test_images_are_encoded_anew(client, folder, asked):
    """What hides behind the pixels of a file never reaches the browser."""
    with (folder / "im0000.png").open("ab") as file:
        file.write(b"<script>alert(1)</script>")
    for view in ("full", "small", "trained"):
        answer = client.get(f"/image/0?view={view}")
        assert answer.headers["content-type"] == "image/png"
        assert answer.content.startswith(b"\x89PNG")
        assert b"script" not in answer.content


def version(client, id):
    batch = client.get("/api/batch?n=50").json()
    return next(item["version"] for item in batch if item["id"] == id)


def test_only_an_address_with_the_content_in_it_is_kept_for_ever(client, folder, asked):
    """Another project on this port has the same ids, and a browser that keeps images."""
    own = f"/image/5?view=full&v={version(client, 5)}"
    assert asked.items.get(5).sha256.startswith(version(client, 5))
    assert "immutable" in client.get(own).headers["cache-control"]
    assert client.get("/image/5?view=full").headers["cache-control"] == "no-store"
    packed = f"/image/5?view=trained&v={version(client, 5)}"  # its size is the project's
    assert client.get(packed).headers["cache-control"] == "no-store"
    assert client.get(f"/image/5?view=full&v={version(client, 6)}").status_code == 404
    missing = f"/image/6?view=full&v={version(client, 6)}"
    (folder / "im0006.png").rename(folder / "away.txt")
    assert client.get(missing).headers["cache-control"] == "no-store"
    (folder / "away.txt").rename(folder / "im0006.png")  # and back again
    assert "immutable" in client.get(missing).headers["cache-control"]


def test_neighbours_have_the_version_of_their_own_content(client, asked):
    asked.ledger.answer(20, 1)
    asked.ledger.note(WHY, {"neighbours": {"5": [20]}}, round=0)
    near = client.get("/api/batch?n=1").json()[0]["neighbours"]
    assert [n["version"] for n in near] == [asked.items.get(20).sha256[:16]]


def test_a_file_edited_since_the_last_add_is_not_shown_for_the_item(client, folder, asked):
    """The answer is stored for the contents of before."""
    image_of(0, np.random.default_rng(5)).save(folder / "im0001.png")
    for view in ("full", "small"):
        shown = client.get(f"/image/1?view={view}&v={asked.items.get(1).sha256[:16]}")
        assert shown.content == client.get("/image/1?view=trained").content
        assert shown.headers["cache-control"] == "no-store"


def test_a_file_swapped_for_a_link_is_not_followed(client, folder, tmp_path, asked):
    secret = tmp_path / "secret.png"
    (folder / "im0001.png").rename(secret)
    (folder / "im0001.png").symlink_to(secret)
    shown = client.get("/image/1?view=full").content
    assert shown == client.get("/image/1?view=trained").content  # what was packed of it


def test_an_image_edited_in_place_is_shown_as_it_was_labelled(client, folder, asked):
    image_of(0, np.random.default_rng(5)).save(folder / "im0001.png")
    asked.add()
    for view in ("full", "small"):
        shown = client.get(f"/image/1?view={view}").content
        assert shown == client.get("/image/1?view=trained").content
        assert shown != client.get(f"/image/60?view={view}").content


# ---------------------------------------------------------------------------------- answers

REQUESTS = {
    "no list": {"answers": 3},
    "not an object": {"answers": [3]},
    "too many": {"answers": [{}] * 501},
    "odd person": {"answers": [], "person": 3},
    "long person": {"answers": [], "person": "x" * 100},
    "nothing": {},
}


@pytest.mark.parametrize("name", REQUESTS)
def test_malformed_requests_are_refused(client, asked, name):
    body = json.dumps(REQUESTS[name])
    assert client.post("/api/answers", headers=OWN, content=body).status_code == 400


def test_bodies_that_are_no_json(client):
    for body in (b"", b"{", b"\xff\xfe", b"[" * 200_000):
        assert client.post("/api/answers", headers=OWN, content=body).status_code == 400


def test_answers_of_another_project_are_not_taken(client):
    body = json.dumps({"project": "other", "answers": []})
    assert client.post("/api/answers", headers=OWN, content=body).status_code == 409


ANSWERS = {
    "no request": {"kind": "label", "id": 0, "label": 0},
    "short request": labelling(0, 0, "x"),
    "no such item": labelling(99999, 0),
    "huge item": labelling(1 << 60, 0),
    "negative item": labelling(-1, 0),
    "text item": labelling("0", 0),
    "true item": labelling(True, 0),
    "no such label": labelling(0, len(CLASSES)),
    "label below": labelling(0, -2),
    "text label": labelling(0, "red"),
    "true label": labelling(0, True),
    "no label": labelling(0, None),
    "no kind": {"id": 0, "request": "request-0001"},
    "odd kind": {"kind": "drop", "id": 0, "request": "request-0001"},
    "odd reason": {"kind": "skip", "reason": "x", "id": 0, "request": "request-0001"},
    "nothing to undo": {"kind": "undo", "id": 0, "request": "request-0001"},
    "surrogate": labelling(0, 0, "request-\ud800"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_bad_answers_are_refused_one_by_one(client, asked, name):
    item = int(asked.ledger.outstanding_ids()[0])
    good = labelling(item, 1, "request-good")
    answer = send(client, [ANSWERS[name], good])
    assert answer.status_code == 200
    first, second = answer.json()["results"]
    assert "refused" in first
    assert second["stored"]["id"] == item
    assert asked.ledger.labels == {item: 1}


def test_a_repeated_request_is_stored_once(client, asked):
    item = int(asked.ledger.outstanding_ids()[0])
    first = send(client, [labelling(item, 1)]).json()
    before = asked.ledger.seq
    assert send(client, [labelling(item, 1)]).json() == first
    assert asked.ledger.seq == before
    other = send(client, [labelling(item, 2)]).json()["results"][0]
    assert "refused" in other  # the same request id for another answer


def test_skip_undo_and_history(client, asked):
    a, b = asked.ledger.outstanding_ids()[:2].tolist()
    send(client, [labelling(a, 2), {"kind": "skip", "reason": "unsure", "id": b,
                                    "request": "request-0002"}])  # fmt: skip
    state = client.get("/api/state?person=anna").json()
    assert [h["what"] for h in state["history"]] == ["unsure", "blue"]
    assert state["done"] == 2
    send(client, [{"kind": "undo", "id": a, "request": "request-0003"}])
    assert asked.ledger.labels == {}
    assert client.get("/api/state?person=anna").json()["done"] == 1


def test_the_accuracy_follows_a_held_out_label_that_is_corrected(client, asked):
    ledger = asked.ledger
    ledger.hold_out([5, 6])
    for item in (5, 6):
        ledger.answer(item, 1, person="anna")
    facts = {"labels": 9, "watched": [5, 6], "predicted": [1, 1], "regions": []}
    ledger.note(TRAINED, facts, round=0)
    for label, right in ((1, 1.0), (2, 0.5), (1, 1.0)):
        ledger.answer(6, label, person="anna")
        accuracy = client.get("/api/state?person=anna").json()["accuracy"]
        assert (accuracy["value"], accuracy["total"]) == (right, 2)
    ledger.hold_out([7])
    ledger.skip(7, "unsure", person="anna")
    state = client.get("/api/state?person=anna").json()
    assert state["unanswered"] == 1
    assert "1 held-out image without a class (1 skipped)" in state["unanswered_sentence"]


def test_a_ledger_that_closed_keeps_the_answer_for_later(client, asked):
    """Not the answer's fault: the page sends it again, where a refusal would make it forget."""
    [item] = asked.ledger.outstanding_ids()[:1].tolist()
    asked.ledger.close()
    answer = send(client, [labelling(item, 0, "request-late")])
    assert (answer.status_code, answer.json()["results"]) == (507, [])
    assert "closed" in answer.json()["error"]


def test_two_people_get_other_images_and_disagree_in_the_open(client, asked):
    batches = [
        {item["id"] for item in client.get(f"/api/batch?person={p}&n=5").json()}
        for p in ("anna", "bert")
    ]
    assert len(batches[0]) == len(batches[1]) == 5
    assert not batches[0] & batches[1]
    item = min(batches[0])
    send(client, [labelling(item, 0, "request-anna")], person="anna")
    send(client, [labelling(item, 1, "request-bert")], person="bert")
    state = client.get("/api/state?person=anna").json()
    assert state["conflict_count"] == 1
    told = {a["person"]: a["what"] for a in state["conflicts"][0]["answers"]}
    assert told == {"anna": "red", "bert": "green"}


def test_a_full_disk_is_507_and_says_what_was_stored(client, asked):
    items = asked.ledger.outstanding_ids()[:3].tolist()
    assert send(client, [labelling(items[0], 0, "request-a")]).status_code == 200
    pages = asked.ledger._database.execute("PRAGMA page_count").fetchone()[0]
    asked.ledger._database.execute(f"PRAGMA max_page_count={pages}")
    stored, answer = 1, None
    for k in range(200):
        # Until the last page is full.
        answer = send(client, [labelling(items[1 + k % 2], k % 3, f"request-{k:04d}")])
        if answer.status_code != 200:
            break
        stored += 1
    assert answer.status_code == 507
    assert answer.json()["results"] == []
    assert "disk" in answer.json()["error"]
    assert sum(e.kind in ("labelled", "corrected") for e in asked.ledger.events()) == stored
    asked.ledger._database.execute("PRAGMA max_page_count=1000000")
    again = send(client, [labelling(items[1 + k % 2], k % 3, f"request-{k:04d}")])
    assert "stored" in again.json()["results"][0]


def test_many_clients_at_once(client, asked):
    """Eight threads send overlapping answers, each twice: every request is one event."""
    items = asked.ledger.outstanding_ids().tolist()
    barrier = threading.Barrier(8)

    def work(k):
        barrier.wait()
        for repeat in range(2):
            for i in items:
                send(client, [labelling(i, k % 3, f"request-{k}-{i}")], person=f"p{k}")
            assert repeat < 2

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    events = [e for e in asked.ledger.events() if e.kind in ("labelled", "corrected")]
    assert len(events) == 8 * len(items)
    assert len({e.request for e in events}) == len(events)
