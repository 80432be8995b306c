"""End to end against a real Label Studio with its embedded database; see docs/label-studio.md.

Either LABEL_STUDIO_COMMAND names its executable, in an environment of its own: then one is
started on this machine with an empty database (a minute), and stopped in the end. Or
LABEL_STUDIO_TEST_URL and LABEL_STUDIO_TEST_TOKEN (a legacy token) name one that runs with the
settings of label_studio_server.py, and LABEL_STUDIO_TEST_ROOT its document root.
"""

import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import numpy as np
import pytest
from label_studio_server import Running, free_port, label_studio, labelgap
from small_project import CLASSES, QUICK, image_of, make_images
from tolerance import assert_rounded, two_ways
from waiting import until

from labelgap.core.types import QueryItem
from labelgap.project.exchange.begin import begin
from labelgap.project.keep.store import Project
from labelgap.project.label_studio import backend
from labelgap.project.label_studio.client import Client, LabelStudioError
from labelgap.project.label_studio.images import embedded
from labelgap.project.label_studio.labelling import Control
from labelgap.project.label_studio.link import link, linked
from labelgap.project.label_studio.pull import pull
from labelgap.project.label_studio.push import VIEW, push, tasks_of

pytestmark = pytest.mark.slow
WAIT = 120.0


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A real Label Studio: url, legacy token, and files, the folder that it may read."""
    if "LABEL_STUDIO_TEST_URL" in os.environ:
        known = [os.environ[f"LABEL_STUDIO_TEST_{name}"] for name in ("URL", "TOKEN", "ROOT")]
        yield SimpleNamespace(url=known[0], token=known[1], files=Path(known[2]))
        return
    command = os.environ.get("LABEL_STUDIO_COMMAND")
    if not command:
        pytest.skip("LABEL_STUDIO_COMMAND does not name a Label Studio (docs/label-studio.md)")
    files = tmp_path_factory.mktemp("files")
    with label_studio(command, tmp_path_factory.mktemp("label-studio"), files) as (url, token):
        yield SimpleNamespace(url=url, token=token, files=files)


@pytest.fixture
def client(server):
    return Client(server.url, server.token)


@contextmanager
def personal_token(client):
    """A personal access token; a user has one at a time, so it is taken back."""
    token = client.post("/api/token/", {})["token"]
    try:
        yield token
    finally:
        client.post("/api/token/blacklist/", {"refresh": token})


def choices(*names):
    value = {"choices": list(names)}
    return [{"from_name": "label", "to_name": "image", "type": "choices", "value": value}]


def ask(project, ids, round, held=()):
    project.ledger.hold_out(held)
    items = [
        QueryItem(i, 1.0 + i, {"margin": 0.5}, i % 3, f"why {i}", probability=0.5 + i / 1000)
        for i in ids
    ]
    project.ledger.asked(round, items)


def annotate(client, task, *names, **more):
    body = {"result": choices(*names) if names else [], "lead_time": 1.0, **more}
    return client.post(f"/api/tasks/{task}/annotations/", body)["id"]


def shown_by_rank(client, number):
    """What people see in our view, in order, with all columns; and the view's number."""
    [view] = [v for v in client.get("/api/dm/views/", project=number) if v["data"]["title"] == VIEW]
    # A page has 100 tasks at most.
    answer = client.get("/api/tasks/", view=view["id"], page_size=100, fields="all")
    return answer["tasks"], view["id"]


def answer_all(client, number, truth):
    """Every task without an annotation gets its true label; how many."""
    tasks = [t for t in shown_by_rank(client, number)[0] if not t["total_annotations"]]
    for task in tasks:
        annotate(client, task["id"], truth[task["data"]["labelgap_path"]])
    return len(tasks)


def test_a_whole_round_trip(server, client, tmp_path):
    folder = tmp_path / "images"
    make_images(folder, 24)
    with begin(folder, classes=CLASSES, config=QUICK).project as project:
        order = [7, 3, 11, 5, 1, 9, 2, 10, 8, 4, 6, 0]
        ask(project, order, 0, held=[3])
        here = link(project, client)
        assert here.control == Control("label", "image", "image")
        done = push(project, client, here, embedded(project))
        assert (done.new, done.model_version) == (12, "labelgap-round-0")
        again = push(project, client, link(project, client), embedded(project))
        assert (again.new, again.known, again.twice) == (0, 12, ())

        # Shown in order, also past 9, and the first one is the first that people get.
        shown, view = shown_by_rank(client, here.project)
        assert [t["data"]["labelgap_rank"] for t in shown] == list(range(1, 13))
        assert [t["data"]["labelgap_score"] for t in shown] == [1.0 + i for i in order]
        ids = project.items.known_hashes()
        assert [ids[t["data"]["labelgap_id"]] for t in shown] == order
        assert [t["total_predictions"] for t in shown] == [1, 0, *[1] * 10]
        scores = [t["predictions_score"] for t in shown]
        assert scores[1] is None  # held out
        del scores[1]
        assert scores == pytest.approx([0.5 + i / 1000 for i in order if i != 3])
        first = client.post(
            f"/api/dm/actions/?id=next_task&project={here.project}&tabID={view}", {}
        )
        assert first["data"]["labelgap_rank"] == 1

        tasks = {id: made[0] for id, made in tasks_of(project, client, here).items()}
        one = annotate(client, tasks[7], "red")
        annotate(client, tasks[7], "green")
        annotate(client, tasks[3], "(bad image)")
        wrong = annotate(client, tasks[11], "NOT_A_CLASS")  # it takes anything
        annotate(client, tasks[5], was_cancelled=True)
        client.post(f"/api/tasks/{tasks[1]}/drafts", {"result": choices("red"), "lead_time": 1.0})
        annotate(client, tasks[1], "blue")
        pulled = pull(project, client, here)
        assert (pulled.labels, pulled.skips, len(pulled.quarantined)) == (3, 2, 1)
        assert project.ledger.labels == {7: 1, 1: 2}
        assert project.ledger.skipped == {3: "bad image", 5: "skip"}
        [person] = project.ledger.opinions(7)
        assert "@" in person
        seq = project.ledger.seq
        assert pull(project, client, here).known == 5
        assert project.ledger.seq == seq

        client.patch(f"/api/annotations/{one}/", {"result": choices("blue")})
        client.patch(f"/api/annotations/{wrong}/", {"result": choices("green")})
        cured = pull(project, client, here)
        assert (cured.labels, cured.quarantined) == (2, [])
        assert project.ledger.labels == {7: 2, 1: 2, 11: 1}  # the same person's latest

        # The next round: what is answered stays away, the version moves.
        ask(project, [12, 13], 1)
        done = push(project, client, linked(project, client), embedded(project))
        assert (done.new, done.known, done.model_version) == (2, 7, "labelgap-round-1")
        assert linked(project, client).model_version == "labelgap-round-1"
        with pytest.raises(LabelStudioError, match="Model version doesn't exist"):
            client.patch(f"/api/projects/{here.project}/", {"model_version": "never-made"})


def test_both_kinds_of_token(server, client, tmp_path):
    folder, file = tmp_path / "images", tmp_path / "token"
    make_images(folder, 6)
    with begin(folder, classes=CLASSES, config=QUICK).project as project:
        ask(project, range(3), 0)
    settings = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": True}
    with personal_token(client) as token:
        person = Client(server.url, token)
        assert person.is_personal
        file.write_text(f"{token}\n")
        said = labelgap(server, folder, "label-studio", "push", "--token-file", file, token="")
        assert "3 tasks made, 0 there already" in said
        assert "0 tasks made, 3 there already" in labelgap(server, folder, "label-studio", "push")
        person.get("/api/projects/")
        person._access += "x"  # an access token that ended early
        with Project.open(folder) as project:
            here = linked(project, person)
            assert pull(project, person, here).known == 0
        person.post("/api/jwt/settings", {**settings, "legacy_api_tokens_enabled": False})
        try:
            said = labelgap(server, folder, "label-studio", "pull", code=2)
            assert "legacy token authentication has been disabled" in said
            assert "Make a personal access token" in said
            assert server.token not in said
            said = labelgap(server, folder, "label-studio", "pull", token=token)
            assert said == "0 new labels, 0 skips, 0 known"
        finally:
            person.post("/api/jwt/settings", settings)
    with pytest.raises(LabelStudioError, match="Check the token"):
        Client(server.url, "f" * 40).get("/api/projects/")
    for ended in (token, token[:-4] + "AAAA"):
        with pytest.raises(LabelStudioError, match="does not accept the personal access token"):
            Client(server.url, ended).get("/api/projects/")


def test_the_three_commands_over_two_rounds(server, client, tmp_path):
    folder = tmp_path / "images"
    truth = make_images(folder, 90)
    begin(folder, classes=CLASSES, method="margin", config=QUICK).project.close()
    with personal_token(client) as token:

        def says(*words):
            return labelgap(server, folder, *words, token=token)

        says("ask", 12)
        assert "12 tasks made, 0 there already" in says("label-studio", "push")
        assert "0 tasks made, 12 there already" in says("label-studio", "push")
        with Project.open(folder, "read") as project:
            here = linked_number(project)
        answered = 0
        for round, more in enumerate((8, 5)):
            made = answer_all(client, here, truth)
            answered += made
            assert made == (12, 8)[round]
            if round == 0:
                assert "12 new labels" in says("label-studio", "pull")
                assert f"0 new labels, 0 skips, {answered} known" in says("label-studio", "pull")
            said = says("label-studio", "sync", "--ask", more)
            assert f"{more} new images asked after training" in said
            assert f"{more} tasks made, 0 there already" in said
            version = f"labelgap-round-{round + 1}"
            assert f"predictions shown: {version}" in said
            assert client.get(f"/api/projects/{here}/")["model_version"] == version
            again = says("label-studio", "sync", "--ask", more)  # not all are answered: no round
            assert f"0 tasks made, {more} there already" in again
            assert "asked" not in again
            with Project.open(folder, "read") as project:
                assert len(project.ledger.labels) == answered
                assert list(project.ledger.labels.values()) == [
                    CLASSES.index(truth[project.items.get(i).path]) for i in project.ledger.labels
                ]
                asked = {project.items.get(q.id).path: q for q in project.ledger.outstanding()}
                held = {project.items.get(i).path for i in project.ledger.held_out}
            shown, _ = shown_by_rank(client, here)
            assert [t["data"]["labelgap_rank"] for t in shown] == list(range(1, len(shown) + 1))
            assert len(shown) == answered + more
            for task in shown[answered:]:
                name = task["data"]["labelgap_path"]
                if name in held:
                    assert task["total_predictions"] == 0
                    continue
                assert 1 / 3 <= asked[name].probability <= 1
                assert task["predictions_score"] == pytest.approx(asked[name].probability)
                assert task["predictions_model_versions"] == version
                predicted = CLASSES[asked[name].pseudo_label]
                assert predicted in task["predictions_results"]


def linked_number(project):
    return project.last_note("label-studio").data["project"]


def test_a_push_that_is_killed_at_any_moment_makes_every_task_once(server, client, tmp_path):
    folder = tmp_path / "images"
    make_images(folder, 160)
    begin(folder, classes=CLASSES, config=QUICK).project.close()
    asked = 0

    def ask_more():
        nonlocal asked
        with Project.open(folder) as project:
            ask(project, range(asked, asked + 20), asked // 20)
        asked += 20

    ask_more()
    started = time.monotonic()
    labelgap(server, folder, "label-studio", "push")
    whole = time.monotonic() - started
    rng = np.random.default_rng(0)
    killed = 0
    for _ in range(6):
        ask_more()
        pushing = Running(server, folder, "label-studio", "push")
        time.sleep(whole * rng.uniform(0.6, 1.0))
        killed += pushing.end(signal.SIGKILL) == -signal.SIGKILL
    assert killed
    labelgap(server, folder, "label-studio", "push")
    with Project.open(folder) as project:
        made = tasks_of(project, client, linked(project, client))
        assert sorted(made) == list(range(asked))
        assert {len(tasks) for tasks in made.values()} == {1}
        number = linked_number(project)
    views = [v["data"]["title"] for v in client.get("/api/dm/views/", project=number)]
    assert views.count(VIEW) == 1
    said = labelgap(server, folder, "label-studio", "push")
    assert f"0 tasks made, {asked} there already" in said


class Impatient(Client):
    """Goes away while its import is at work; the server does not notice."""

    def _send(self, method, path, body, authorization):
        self.timeout = 0.1 if "/import" in path else WAIT
        return super()._send(method, path, body, authorization)


def test_a_push_beside_an_import_that_is_still_at_work_waits_for_it(server, client, tmp_path):
    folder = tmp_path / "images"
    make_images(folder, 240)
    with begin(folder, classes=CLASSES, config=QUICK).project as project:
        ask(project, range(240), 0)
        here, address, waits = link(project, client), embedded(project), []
        with pytest.raises(LabelStudioError, match="No Label Studio answers"):
            push(project, Impatient(server.url, server.token), here, address)

        def wait(seconds):
            waits.append(seconds)
            time.sleep(seconds)

        done = push(project, client, here, address, wait)
        print(f"seconds waited, made, there: {sum(waits)}, {done.new}, {done.known}")
        time.sleep(3)  # a second import would still be at work
        made = tasks_of(project, client, here)
        assert sorted(made) == list(range(240))
        assert {len(tasks) for tasks in made.values()} == {1}


def test_two_annotators(server, client, tmp_path):
    folder = tmp_path / "images"
    make_images(folder, 6)
    email = f"b{time.time_ns()}@example.org"
    second = client.post("/api/users/", {"email": email, "username": email})["id"]
    with begin(folder, classes=CLASSES, config=QUICK).project as project:
        ask(project, range(4), 0)
        here = link(project, client)
        push(project, client, here, embedded(project))
        tasks = {id: made[0] for id, made in tasks_of(project, client, here).items()}
        early = annotate(client, tasks[0], "red")
        annotate(client, tasks[0], "green", completed_by=second)
        for user in ({}, {"completed_by": second}):
            annotate(client, tasks[1], "blue", **user)
        annotate(client, tasks[2], "red")
        annotate(client, tasks[2], was_cancelled=True, completed_by=second)
        pulled = pull(project, client, here)
        assert (pulled.labels, pulled.skips, pulled.conflicts) == (5, 1, 1)
        # The later one is in force: Label Studio numbers and dates them in the order made.
        assert project.ledger.labels[0] == 1
        assert project.ledger.labels[1] == 2
        assert sorted(project.ledger.opinions(0).values()) == [0, 1]
        assert project.ledger.opinions(0)[email] == 1
        assert list(project.ledger.conflicts()) == [0]
        client.patch(f"/api/annotations/{early}/", {"result": choices("blue")})
        assert pull(project, client, here).conflicts == 1
        assert project.ledger.labels[0] == 2
        client.patch(f"/api/annotations/{early}/", {"result": choices("green")})
        assert pull(project, client, here).conflicts == 0
    said = labelgap(server, folder, "label-studio", "pull")
    assert said == "0 new labels, 0 skips, 6 known"


def test_what_is_deleted_there_stays_here(server, client, tmp_path):
    folder = tmp_path / "images"
    make_images(folder, 8)
    with begin(folder, classes=CLASSES, config=QUICK).project as project:
        ask(project, range(6), 0)
        here = link(project, client)
        push(project, client, here, embedded(project))
        tasks = {id: made[0] for id, made in tasks_of(project, client, here).items()}
        numbers = {id: annotate(client, tasks[id], CLASSES[id % 3]) for id in range(4)}
        labels = {id: id % 3 for id in range(4)}
        assert pull(project, client, here).labels == 4
        client._call("DELETE", f"/api/annotations/{numbers[0]}/", None)
        client._call("DELETE", f"/api/tasks/{tasks[1]}/", None)
        client._call("DELETE", f"/api/tasks/{tasks[5]}/", None)
        pulled = pull(project, client, here)
        assert (pulled.labels, pulled.known) == (0, 2)
        assert project.ledger.labels == labels
        done = push(project, client, here, embedded(project))
        assert (done.new, done.known) == (1, 1)  # what still wants an answer gets its task again
        annotate(client, tasks[0], "blue")  # annotated anew after the deletion: a correction
        assert pull(project, client, here).labels == 1
        labels[0] = 2
        assert project.ledger.labels == labels
        client._call("DELETE", f"/api/projects/{here.project}/", None)
    for words in (("pull",), ("push",), ("sync", "--ask", 3)):
        said = labelgap(server, folder, "label-studio", *words, code=2)
        assert "All labels pulled so far are here" in said
    said = labelgap(server, folder, "label-studio", "push", "--new")
    assert "2 tasks made, 0 there already" in said
    with Project.open(folder, "read") as project:
        assert project.ledger.labels == labels


def test_images_from_the_folder_by_local_files(server, client, tmp_path):
    folder = server.files / f"set {time.time_ns()}"
    names = ["a.png", "sub/b c.png", "ä%20+&#1.png", "d.png"]
    rng = np.random.default_rng(0)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image_of(0, rng).save(folder / name)
    with begin(folder, classes=CLASSES, config=QUICK).project as project:
        ask(project, range(4), 0)
    words = ("--images", "local-files", "--document-root", server.files)
    assert "4 tasks made" in labelgap(server, folder, "label-studio", "push", *words)
    assert "0 tasks made" in labelgap(server, folder, "label-studio", "sync", *words)
    with Project.open(folder, "read") as project:
        here = linked_number(project)
    assert len(client.get("/api/storages/localfiles/", project=here)) == 1
    shown, _ = shown_by_rank(client, here)
    assert sorted(t["data"]["labelgap_path"] for t in shown) == sorted(names)
    whole = client.get(f"/api/projects/{here}/export", exportType="JSON", download_all_tasks="true")
    for task in whole:
        address = task["data"]["image"]
        assert address.startswith("/data/local-files/?d=")
        assert fetched(server, address) == (folder / task["data"]["labelgap_path"]).read_bytes()
        with pytest.raises(HTTPError) as refused:
            fetched(server, address, token="f" * 40)
        assert refused.value.code == 401
    outside = quote(f"{folder.name}/../../label-studio.sqlite3")
    with pytest.raises(HTTPError):
        fetched(server, f"/data/local-files/?d={outside}")
    annotate(client, shown[0]["id"], "red")
    assert "1 new labels" in labelgap(server, folder, "label-studio", "pull")
    wrong = labelgap(server, folder, "label-studio", "push", *words[:3], folder / "sub", code=2)
    assert "is not below the document root" in wrong


def fetched(server, address, token=None):
    headers = {"authorization": f"Token {token or server.token}"}
    with urlopen(Request(server.url + address, headers=headers), timeout=60) as answer:
        return answer.read()


def test_the_backend_predicts_pulls_and_trains(server, client, tmp_path):
    folder = tmp_path / "images"
    truth = make_images(folder, 40)
    with begin(folder, classes=CLASSES, method="margin", config=QUICK).project as project:
        ask(project, range(16), 0, held=[3])
        here = link(project, client)
        push(project, client, here, embedded(project))
        tasks = {id: made[0] for id, made in tasks_of(project, client, here).items()}
        paths = {id: project.items.get(id).path for id in tasks}
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    serving = Running(server, folder, "label-studio", "backend", "--port", port)
    try:
        serving.tells("Label Studio knows it")
        [made] = client.get("/api/ml/", project=here.project)
        assert (made["url"], made["state"]) == (address, "CO")  # it passed /health and /setup
        [hook] = client.get("/api/webhooks/", project=here.project)
        assert hook["url"] == f"{address}/webhook"
        versions = client.get(f"/api/ml/{made['id']}/versions")
        assert versions["versions"] == ["labelgap-untrained"]
        wrong = {"project": here.project, "url": address, "title": "x", "auth_method": "BASIC_AUTH",
                 "basic_auth_user": backend.USER, "basic_auth_pass": "a guess"}  # fmt: skip
        with pytest.raises(LabelStudioError):
            client.post("/api/ml/", wrong)

        # Each answer is pulled as it comes, by the webhook.
        annotate(client, tasks[2], truth[paths[2]])
        until(lambda: labels_in(folder) == {2: 2})
        for id in (3, *range(4, 10)):
            annotate(client, tasks[id], truth[paths[id]])
        until(lambda: len(labels_in(folder)) == 8)

        # The button "Start Training".
        client.post(f"/api/ml/{made['id']}/train", {})
        version = "labelgap-round-0-labels-7"  # the held-out one is never trained on
        serving.tells(f": {version}")
        until(lambda: client.get(f"/api/ml/{made['id']}/versions")["versions"] == [version])

        # The Data Manager's "Retrieve Predictions", on all tasks.
        picked = {"selectedItems": {"all": True, "excluded": []}}
        client.post(
            f"/api/dm/actions/?id=retrieve_tasks_predictions&project={here.project}", picked
        )
        got = {p["task"]: p for p in predictions_of(client, here.project, version)}
        assert got.keys() == set(tasks.values())
        with Project.open(folder) as project:
            from labelgap.project.asking.work import Work

            work = Work(project)
            expected = work.predict()[1]
            roundings = two_ways(expected, work.session.training.network)
        for id, task in tasks.items():
            if id == 3:
                assert got[task]["result"] == []
                continue
            [result] = got[task]["result"]
            assert result["value"]["choices"] == [CLASSES[expected[id].argmax()]]
            assert_rounded(got[task]["score"], expected[id].max(), **roundings)
        # People may show them: its title is the project's model version.
        client.patch(f"/api/projects/{here.project}/", {"model_version": "labelgap"})
        with Project.open(folder) as project:
            done = push(project, client, linked(project, client), embedded(project))
            assert (done.new, done.model_version) == (0, "labelgap")
            # From now on it asks by itself, for each task that somebody opens.
            project.ledger.asked(1, [QueryItem(20)])
            push(project, client, linked(project, client), embedded(project))
            [opened] = tasks_of(project, client, here)[20]
        [live] = client.get(f"/api/tasks/{opened}/")["predictions"]
        assert live["model_version"] == version
        assert live["result"][0]["value"]["choices"] == [CLASSES[expected[20].argmax()]]
        assert serving.process.poll() is None
        assert not [line for line in serving.said if server.token in line]
    finally:
        code = serving.end()
    assert code == 130, "\n".join(serving.said)  # as a shell says of Ctrl-C

    # Started again it is the same one; and what was answered meanwhile is pulled at once.
    annotate(client, tasks[10], truth[paths[10]])
    serving = Running(server, folder, "label-studio", "backend", "--port", port)
    try:
        serving.tells("1 new labels")
        serving.tells("Label Studio knows it")
        assert len(client.get("/api/ml/", project=here.project)) == 1
        assert len(client.get("/api/webhooks/", project=here.project)) == 1
    finally:
        serving.end()
    assert len(labels_in(folder)) == 9


def labels_in(folder):
    with Project.open(folder, "read") as project:
        return project.ledger.labels


def predictions_of(client, number, version):
    return [p for p in client.get("/api/predictions/", project=number)
            if p["model_version"] == version]  # fmt: skip
