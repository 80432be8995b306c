"""A machine-learning backend: Label Studio asks it for predictions and tells it of answers.

It listens on this machine only and needs a password, which Label Studio is given when the
backend is registered. Label Studio hands over a user's token at every /setup: it is not read,
not kept and in no log. A webhook is a hint and not a source: it makes the backend pull with its
own token, so a forged one can store nothing, and two of one event are one pull.
"""

import base64
import hmac
import json
import os
import secrets
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from labelgap.core.errors import FolderError, InUse, LabelgapError
from labelgap.project.keep.store import Project
from labelgap.project.label_studio.client import Client
from labelgap.project.label_studio.labelling import Control, prediction
from labelgap.project.label_studio.link import Link, linked
from labelgap.project.label_studio.pull import Pulled, pull
from labelgap.project.label_studio.push import LIVE
from labelgap.project.quality.quality import TRAINED

USER = "labelgap"
SECRET = "label-studio-backend.json"
MAX_BODY = 64 << 20
"""Label Studio sends whole tasks, with the images in them, a hundred at a time."""
ANSWERS = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_CREATED")
TRAIN = "START_TRAINING"
RETRY = 20.0
"""Seconds until a pull that failed, or a job that another writer kept waiting, is tried again."""

Say = Callable[[str], None]


class Predictor:
    """Predictions of the last trained network, computed once for each training.

    The project is opened for a moment only, so that other commands can use it meanwhile.

    door: held while this process writes in the project; the worker has the same one.
    """

    def __init__(self, root: Path, door: threading.Lock) -> None:
        self.root, self.door = root, door
        self._mutex = threading.Lock()
        self._key: tuple[int, int, int] | None = None
        self._probabilities: dict[int, Float[np.ndarray, " k"]] | None = None

    def version(self) -> str:
        """Names the last training: its round and its number of labels."""
        with Project.open(self.root, "read") as project:
            return _version(project)

    def predict(self, tasks: Sequence[Any], control: Control) -> list[dict[str, Any]]:
        """One prediction for each task, in order; an empty one for held-out items (it would
        colour the answer that measures the accuracy), for strangers, and before any training.

        Raises `LedgerError` while another program holds the project and nothing is computed yet.
        """
        with self._mutex:
            with Project.open(self.root, "read") as project:
                last = project.last_note(TRAINED)
                version, classes = _version(project), project.classes
                key = None if last is None else (last.seq, project.items.count(), len(classes))
                hashes, held = project.items.known_hashes(), project.ledger.held_out
            if key is None:
                self._probabilities = None
            elif key != self._key:
                from labelgap.project.asking.work import Work

                with self.door, Project.open(self.root) as project:
                    ids, p = Work(project).predict()
                    self._probabilities = dict(zip(ids.tolist(), p, strict=True))
            self._key = key
            of = self._probabilities
        results = []
        for task in tasks:
            data = task.get("data") if isinstance(task, dict) else None
            name = data.get("labelgap_id") if isinstance(data, dict) else None
            id = hashes.get(name) if isinstance(name, str) else None
            if of is None or id is None or id in held or id not in of:
                results.append({"model_version": version, "result": [], "score": 0.0})
                continue
            best = int(of[id].argmax())
            score = round(float(of[id][best]), 6)
            results.append(prediction(control, classes[best], version, score))
        return results


def _version(project: Project) -> str:
    last = project.last_note(TRAINED)
    if last is None:
        return "labelgap-untrained"
    return f"labelgap-round-{last.round}-labels-{last.data['labels']}"


class Worker:
    """One thread that pulls and trains when told to; told twice while it works, it does it once.

    A pull that fails is told and tried again, and so is any job that the project's other writer
    keeps waiting. A training that fails is told and dropped.
    """

    def __init__(
        self, root: Path, client: Client, door: threading.Lock, say: Say, retry: float | int = RETRY
    ) -> None:
        self.root, self.client, self.door = root, client, door
        self.say, self.retry = say, retry
        self._wanted: set[str] = set()
        self._wake = threading.Condition()
        self._ends = self._busy = False
        self._thread = threading.Thread(target=self._run, name="label-studio", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Waits for the job at hand."""
        with self._wake:
            self._ends = True
            self._wake.notify_all()
        self._thread.join()

    def want(self, *jobs: str) -> None:
        """jobs: "pull", "train"."""
        with self._wake:
            self._wanted.update(jobs)
            self._wake.notify_all()

    def idle(self, timeout: float | int) -> bool:
        """Wait until nothing is left to do; False if that takes longer."""
        with self._wake:
            return self._wake.wait_for(lambda: not self._wanted and not self._busy, timeout)

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._wanted or self._ends)
                if self._ends:
                    return
                jobs, self._wanted = self._wanted, set()
                self._busy = True
            try:
                self._work_off(jobs)
            finally:
                with self._wake:
                    self._busy = False
                    self._wake.notify_all()

    def _work_off(self, jobs: set[str]) -> None:
        left = sorted(jobs)  # pull before train
        while left:
            again = self._try(left[0])
            if again:
                with self._wake:
                    self._wake.wait_for(lambda: self._ends, self.retry)
                    self._wanted.update(left)
                return
            left.pop(0)

    def _try(self, job: str) -> bool:
        """Do a job; True if it should be tried again. No error ends the thread, or else every
        later hint would be accepted and forgotten."""
        try:
            self._do(job)
        except Exception as error:  # noqa: BLE001  (an odd payload, a graphics card's memory)
            # Answers must come in at last. A training that was refused (no labels) or broke is
            # asked for again by a person, but one that another program delays is not lost.
            again = job == "pull" or isinstance(error, InUse)
            then = f"Tried again in {self.retry:.0f} s." if again else "Not tried again."
            known = isinstance(error, LabelgapError)
            what = str(error) if known else f"{job} failed: {traceback.format_exc()}"
            self.say(f"{what} {then}")
            return again
        return False

    def _do(self, job: str) -> None:
        with self.door, Project.open(self.root) as project:
            if job == "pull":
                link = linked(project, self.client)
                self.say(sentence(pull(project, self.client, link)))
            else:
                from labelgap.project.asking.work import Work

                seconds = sum(Work(project).train().values())
                self.say(f"trained in {seconds:.1f} s: {_version(project)}")


def sentence(pulled: Pulled) -> str:
    """What a pull found, in one line."""
    said = f"{pulled.labels} new labels, {pulled.skips} skips, {pulled.known} known"
    for number, what in (
        (len(pulled.quarantined), "quarantined"),
        (pulled.drafts, "drafts not submitted"),
        (len(pulled.foreign), "tasks of other images"),
        (pulled.conflicts, "items in conflict"),
    ):
        said += f", {number} {what}" if number else ""
    return said


def make_app(
    predictor: Predictor, worker: Worker, link: Link, password: str, hosts: Sequence[str]
) -> Starlette:
    """The routes that Label Studio calls: /health, /setup, /predict, /webhook, /versions."""
    allowed = frozenset(host.lower() for host in hosts)
    expected = authorization(password)

    def refusal(request: Request) -> Response | None:
        hosts_given = request.headers.getlist("host")
        if len(hosts_given) != 1 or hosts_given[0].lower() not in allowed:
            return _error(421, "This server does not answer to that host.")
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), expected.encode()):
            response = _error(401, "This backend needs its user and password (basic auth).")
            response.headers["www-authenticate"] = 'Basic realm="labelgap"'
            return response
        return None

    async def body(request: Request) -> dict[str, Any] | Response:
        refused = refusal(request)
        if refused is not None:
            return refused
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            return _error(415, "Requests are JSON.")
        parts, size = [], 0
        async for part in request.stream():
            size += len(part)
            if size > MAX_BODY:
                return _error(413, f"The request is larger than {MAX_BODY} bytes.")
            parts.append(part)
        try:
            tree = json.loads(b"".join(parts))
        except (ValueError, RecursionError):
            return _error(400, "The body is not JSON.")
        return tree if isinstance(tree, dict) else _error(400, "The body is not an object.")

    async def health(request: Request) -> Response:
        return refusal(request) or JSONResponse({"status": "UP", "model_class": "labelgap"})

    async def setup(request: Request) -> Response:
        # The body holds a user's token: it is read to its end and forgotten.
        tree = await body(request)
        if isinstance(tree, Response):
            return tree
        return await _call(lambda: {"model_version": predictor.version()})

    async def versions(request: Request) -> Response:
        refused = refusal(request)
        return refused or await _call(lambda: {"versions": [predictor.version()]})

    async def predict(request: Request) -> Response:
        tree = await body(request)
        if isinstance(tree, Response):
            return tree
        tasks = tree.get("tasks")
        if not isinstance(tasks, list):
            return _error(400, "The body is {tasks: [...]}.")
        return await _call(lambda: {"results": predictor.predict(tasks, link.control)})

    async def webhook(request: Request) -> Response:
        tree = await body(request)
        if isinstance(tree, Response):
            return tree
        project = tree.get("project")
        number = project.get("id") if isinstance(project, dict) else None
        action = tree.get("action")
        if number in (None, link.project):
            if action in ANSWERS:
                worker.want("pull")
            elif action == TRAIN:
                worker.want("pull", "train")
        return JSONResponse({"status": "ok"}, status_code=201)

    return Starlette(
        routes=[
            Route("/health", health, methods=["GET"]),
            Route("/setup", setup, methods=["POST"]),
            Route("/versions", versions, methods=["GET"]),
            Route("/predict", predict, methods=["POST"]),
            Route("/webhook", webhook, methods=["POST"]),
        ]
    )


def register(client: Client, link: Link, url: str, password: str) -> None:
    """Make the backend and its webhook known to Label Studio; repeating it makes neither twice.

    The webhook comes first: Label Studio makes one itself with the backend, without a password.

    Raises `LabelStudioError`; Label Studio refuses addresses of this machine unless started with
    SSRF_PROTECTION_ENABLED=false and ML_BLOCK_LOCAL_IP=false.
    """
    hook = {
        "project": link.project,
        "url": f"{url}/webhook",
        "send_payload": False,
        "send_for_all_actions": False,
        "actions": list(ANSWERS[:2]),
        "headers": {"Authorization": authorization(password)},
        "is_active": True,
    }
    known = client.get("/api/webhooks/", project=link.project)
    mine = [h["id"] for h in known if h["url"] == hook["url"] and h["project"] == link.project]
    if mine:
        client.patch(f"/api/webhooks/{mine[0]}/", hook)
    else:
        client.post("/api/webhooks/", hook)
    backend = {
        "project": link.project,
        "url": url,
        "title": LIVE,
        "auth_method": "BASIC_AUTH",
        "basic_auth_user": USER,
        "basic_auth_pass": password,
        "is_interactive": False,
    }
    ours = [b["id"] for b in client.get("/api/ml/", project=link.project) if b["url"] == url]
    if ours:
        client.patch(f"/api/ml/{ours[0]}", backend)
    else:
        client.post("/api/ml/", backend)


def authorization(password: str) -> str:
    """The header of basic authentication."""
    return "Basic " + base64.b64encode(f"{USER}:{password}".encode()).decode()


def password_of(home: Path) -> str:
    """The backend's password, made once for a project; only its owner can read the file.

    Raises `FolderError` where the disk refuses.
    """
    file = home / SECRET
    try:
        if not file.exists():
            part = file.with_suffix(".part")
            part.unlink(missing_ok=True)
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as stream:
                json.dump({"password": secrets.token_urlsafe(32)}, stream)
            os.replace(part, file)
        return str(json.loads(file.read_text())["password"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FolderError(
            f"{file} cannot be read or written: {error}.", "Remove it: a new one is made."
        ) from error


async def _call(function: Callable[[], dict[str, Any]]) -> Response:
    try:
        return JSONResponse(await run_in_threadpool(function))
    except LabelgapError as error:
        return _error(503, str(error))


def _error(status: int, text: str) -> Response:
    return JSONResponse({"error": text}, status_code=status)
