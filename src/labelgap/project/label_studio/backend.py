"""A machine-learning backend: Label Studio asks it for predictions and tells it of answers.

It listens on this machine only and needs a password, which Label Studio is given when the
backend is registered. Label Studio hands over a user's token at every /setup: it is not read,
not kept and in no log. A webhook is a hint and not a source: it makes the backend pull with its
own token, so a forged one can store nothing, and two of one event are one pull.
"""

import base64
import hmac
import json
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from labelgap.core.disk import not_the_disk
from labelgap.core.errors import FolderError, LabelgapError
from labelgap.core.files import write_text
from labelgap.project.label_studio.client import Client
from labelgap.project.label_studio.link import Link
from labelgap.project.label_studio.predictor import Predictor
from labelgap.project.label_studio.push import LIVE
from labelgap.project.label_studio.worker import Worker

USER = "labelgap"
SECRET = "label-studio-backend.json"
MAX_BODY = 64 << 20
"""Label Studio sends whole tasks, with the images in them, a hundred at a time."""
ANSWERS = ("ANNOTATION_CREATED", "ANNOTATION_UPDATED", "ANNOTATIONS_CREATED")
TRAIN = "START_TRAINING"


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
            write_text(file, json.dumps({"password": secrets.token_urlsafe(32)}), private=True)
        return str(json.loads(file.read_text())["password"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        not_the_disk(error, file)
        raise FolderError(
            f"{file} cannot be read: {error}.", "Remove it: a new one is made."
        ) from error


async def _call(function: Callable[[], dict[str, Any]]) -> Response:
    try:
        return JSONResponse(await run_in_threadpool(function))
    except LabelgapError as error:
        return _error(503, str(error))


def _error(status: int, text: str) -> Response:
    return JSONResponse({"error": text}, status_code=status)
