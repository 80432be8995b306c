"""End to end against a real Label Studio with its embedded database; see docs/label-studio.md.

Either LABEL_STUDIO_COMMAND names its executable, in an environment of its own: then one is
started on this machine with an empty database (a minute). Or LABEL_STUDIO_TEST_URL and
LABEL_STUDIO_TEST_TOKEN (a legacy token) name one that runs; it gets another project.
"""

import os
import secrets
import socket
import subprocess
import threading
import time
from urllib.request import urlopen

import pytest
import uvicorn
from conftest import CLASSES, QUICK, make_images

from labelgap._events import QueryItem
from labelgap.project.begin import begin
from labelgap.project.label_studio import backend
from labelgap.project.label_studio.client import Client, LabelStudioError
from labelgap.project.label_studio.images import embedded
from labelgap.project.label_studio.labelling import Control
from labelgap.project.label_studio.link import link, linked
from labelgap.project.label_studio.pull import pull
from labelgap.project.label_studio.push import VIEW, push, tasks_of
from labelgap.project.server.serve import allowed_hosts, listen
from labelgap.project.store import Project

pytestmark = pytest.mark.slow
START = 1800.0  # seconds; a minute on an idle machine


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """(address, legacy token) of a real Label Studio."""
    if "LABEL_STUDIO_TEST_URL" in os.environ:
        yield os.environ["LABEL_STUDIO_TEST_URL"], os.environ["LABEL_STUDIO_TEST_TOKEN"]
        return
    command = os.environ.get("LABEL_STUDIO_COMMAND")
    if not command:
        pytest.skip("LABEL_STUDIO_COMMAND does not name a Label Studio (docs/label-studio.md)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token, data = secrets.token_hex(20), tmp_path_factory.mktemp("label-studio")
    settings = {
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "SSRF_PROTECTION_ENABLED": "false",  # else it refuses a backend on its own machine
        "ML_BLOCK_LOCAL_IP": "false",
    }
    with open(data / "log", "w") as log:
        process = subprocess.Popen(
            [command, "start", "--no-browser", "--data-dir", str(data / "data"),
             "--internal-host", "127.0.0.1", "--port", str(port), "--username", "a@example.org",
             "--password", secrets.token_hex(8), "--user-token", token,
             "--enable-legacy-api-token"],
            env={**os.environ, **settings}, stdout=log, stderr=log, cwd=data,
        )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(lambda: is_up(url) or process.poll() is not None, START)
        assert process.poll() is None, (data / "log").read_text()[-2000:]
        yield url, token
    finally:
        process.terminate()
        process.wait(30)


def is_up(url):
    try:
        with urlopen(f"{url}/health", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.2)
    raise AssertionError(f"not within {seconds} s")


def choices(*names):
    value = {"choices": list(names)}
    return [{"from_name": "label", "to_name": "image", "type": "choices", "value": value}]


def ask(project, ids, round, held=()):
    project.ledger.hold_out(held)
    items = [QueryItem(i, 1.0 + i, {"margin": 0.5}, i % 3, f"why {i}") for i in ids]
    project.ledger.asked(round, items)


def annotate(client, task, *names, **more):
    body = {"result": choices(*names) if names else [], "lead_time": 1.0, **more}
    return client.post(f"/api/tasks/{task}/annotations/", body)["id"]


def test_a_whole_round_trip(server, tmp_path):
    url, token = server
    client = Client(url, token)
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
        [view] = [
            v for v in client.get("/api/dm/views/", project=here.project)
            if v["data"]["title"] == VIEW
        ]  # fmt: skip
        shown = client.get("/api/tasks/", view=view["id"], page_size=100, fields="all")["tasks"]
        assert [t["data"]["labelgap_rank"] for t in shown] == list(range(1, 13))
        ids = project.items.known_hashes()
        assert [ids[t["data"]["labelgap_id"]] for t in shown] == order
        assert [t["total_predictions"] for t in shown] == [1, 0, *[1] * 10]
        first = client.post(
            f"/api/dm/actions/?id=next_task&project={here.project}&tabID={view['id']}", {}
        )
        assert first["data"]["labelgap_rank"] == 1

        tasks = {id: made[0] for id, made in tasks_of(project, client, here).items()}
        one = annotate(client, tasks[7], "red")
        annotate(client, tasks[7], "green")
        annotate(client, tasks[3], "(bad image)")
        annotate(client, tasks[11], "NOT_A_CLASS")  # it takes anything
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
        assert pull(project, client, here).labels == 1
        assert project.ledger.labels[7] == 2  # the same person's latest

        # With a personal access token, whose access tokens end.
        personal = Client(url, client.post("/api/token/", {})["token"])
        assert personal.is_personal
        assert pull(project, personal, linked(project, personal)).labels == 0
        personal._access += "x"
        assert pull(project, personal, linked(project, personal)).known == 5

        # The next round: what is answered stays away, the version moves.
        ask(project, [12, 13], 1)
        done = push(project, client, linked(project, client), embedded(project))
        assert (done.new, done.known, done.model_version) == (2, 8, "labelgap-round-1")
        assert linked(project, client).model_version == "labelgap-round-1"

        # Deleted there, kept here.
        client._call("DELETE", f"/api/tasks/{tasks[7]}/", None)
        pull(project, client, here)
        assert project.ledger.labels[7] == 2

        # What it refuses is told in its own words.
        with pytest.raises(LabelStudioError, match="Model version doesn't exist"):
            client.patch(f"/api/projects/{here.project}/", {"model_version": "never-made"})
        with pytest.raises(LabelStudioError, match="Check the token"):
            Client(url, "f" * 40).get("/api/projects/")
        with pytest.raises(LabelStudioError, match="does not accept the personal access token"):
            Client(url, personal._token[:-4] + "AAAA").get("/api/projects/")
        # A user has one such token at a time: without this the test could run once only.
        client.post("/api/token/blacklist/", {"refresh": personal._token})
        personal._access = ""
        with pytest.raises(LabelStudioError, match="does not accept the personal access token"):
            personal.get("/api/projects/")


def test_the_backend_is_registered_and_pulls_what_is_answered(server, tmp_path):
    url, token = server
    client = Client(url, token)
    folder = tmp_path / "images"
    make_images(folder, 6)
    with begin(folder, classes=CLASSES, config=QUICK).project as project:
        ask(project, range(4), 0)
        here = link(project, client)
        push(project, client, here, embedded(project))
        tasks = tasks_of(project, client, here)
        password = backend.password_of(project.home)
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    door, said = threading.Lock(), []
    worker = backend.Worker(folder, client, door, said.append, retry=1.0)
    app = backend.make_app(
        backend.Predictor(folder, door), worker, here, password, allowed_hosts("127.0.0.1", port)
    )
    running = uvicorn.Server(
        uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off", ws="none")
    )
    thread = threading.Thread(target=running.run, args=([listener],), daemon=True)
    thread.start()
    worker.start()
    try:
        wait_for(lambda: running.started, 30)
        address = f"http://127.0.0.1:{port}"
        for _ in range(2):
            backend.register(client, here, address, password)
        [made] = client.get("/api/ml/", project=here.project)
        assert made["state"] == "CO", made  # connected: it passed /health and /setup
        assert len(client.get("/api/webhooks/", project=here.project)) == 1
        annotate(client, tasks[2][0], "green")

        def stored():
            with Project.open(folder, "read") as project:
                return project.ledger.labels == {2: 1}

        wait_for(stored, 60)
    finally:
        worker.stop()
        running.should_exit = True
        thread.join(20)
        listener.close()
