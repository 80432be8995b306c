"""A Label Studio in this process, with its habits and none of its kindness.

What is imitated was seen on a real one (1.23), but for one thing: addresses without their slash
are redirected, as proxies and Django itself do (1.23 answers them). Legacy tokens may be switched
off; a personal access token is accepted at the refresh address only, and what it buys ends after
300 s; importing the same task twice makes two; any text is a label; skipping makes an annotation
that is cancelled; a model version without predictions is refused; the first imported model
version stays.
"""

import base64
import json
import re
import threading
import uuid
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

LEGACY = "0123456789abcdef0123456789abcdef01234567"
LIFE = 300.0


def jwt(kind, issued, life, number=0):
    def part(tree):
        return base64.urlsafe_b64encode(json.dumps(tree).encode()).decode().rstrip("=")

    claims = {"token_type": kind, "iat": issued, "exp": issued + life, "jti": number}
    return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}.c2lnbmF0dXJl"


PERSONAL = jwt("refresh", 0, 10**9)


class Stub:
    """The state of a server, and what a person does in its pages."""

    def __init__(self, legacy=True):
        self.legacy = legacy
        self.now = 1000.0  # seconds: the age of access tokens
        self.access = {}  # token -> end
        self.refreshes = 0
        self.projects, self.tasks, self.annotations, self.views = {}, {}, {}, {}
        self.storages, self.webhooks, self.backends = [], [], []
        self.users = {1: "anna@example.org", 2: "ben@example.org"}
        self.drafts = {}
        self.requests = []  # (method, path)
        self.failures = []  # (method, path pattern, status): each once
        self.ticks = self.made = 0
        self.lock = threading.RLock()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        # It looks so often whether it is to end: every half second as it comes, twice in a test.
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    # ------------------------------------------------------------------------------ people

    def time(self):
        self.ticks += 1
        when = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.ticks)
        return when.isoformat(timespec="microseconds").replace("+00:00", "Z")

    def annotate(self, task, *choices, user=1, cancelled=False):
        """A person submits; nothing is validated. Returns the annotation's number."""
        number = len(self.annotations) + 1
        self.annotations[number] = {
            "id": number,
            "task": task,
            "completed_by": user,
            "created_at": self.time(),
            "updated_at": self.time(),
            "unique_id": str(uuid.UUID(int=number)),
            "was_cancelled": cancelled,
            "result": result_of(*choices) if not cancelled else [],
            "lead_time": 1.0,
        }
        return number

    def edit(self, number, *choices, cancelled=False):
        self.annotations[number] |= {
            "updated_at": self.time(),
            "was_cancelled": cancelled,
            "result": result_of(*choices) if not cancelled else [],
        }

    def task_of(self, sha256):
        return [n for n, t in self.tasks.items() if t["data"].get("labelgap_id") == sha256]

    # ------------------------------------------------------------------------------ server

    def refuse(self, authorization):
        kind, _, token = authorization.partition(" ")
        if kind == "Token" and token == LEGACY:
            if self.legacy:
                return None
            return (
                "Authentication token no longer valid: legacy token authentication has been "
                "disabled for this organization"
            )
        if kind == "Bearer" and self.access.get(token, 0.0) > self.now:
            return None
        if kind == "Bearer":
            return "Given token not valid for any token type"
        return "Invalid token." if kind == "Token" else "Authentication credentials not provided."

    def answer(self, method, path, query, body, authorization):
        for failure in self.failures:
            if failure[0] == method and re.fullmatch(failure[1], path):
                self.failures.remove(failure)
                return failure[2], {"detail": "made to fail"}
        if path == "/api/token/refresh/" and method == "POST":
            if body.get("refresh") != PERSONAL:
                return 401, {"detail": "Token is invalid or expired", "code": "token_not_valid"}
            self.refreshes += 1
            token = jwt("access", self.now, LIFE, self.refreshes)
            self.access[token] = self.now + LIFE
            return 200, {"access": token}
        reason = self.refuse(authorization)
        if reason is not None:
            return 401, {"detail": reason, "status_code": 401}
        for pattern, name in ROUTES:
            match = re.fullmatch(pattern, path)
            if match:
                numbers = [int(n) for n in match.groups()]
                return getattr(self, name)(method, query, body, *numbers)
            if re.fullmatch(pattern, path + "/"):
                return 301, path + "/"
        return 404, {"detail": "Not found.", "status_code": 404}

    def all_projects(self, method, query, body):
        if method == "POST":
            title = body.get("title", "")
            if not 3 <= len(title) <= 50:
                return 400, {"validation_errors": {"title": ["Ensure 3 to 50 characters."]}}
            self.made += 1  # numbers are never used again
            number = self.made
            self.projects[number] = {"id": number, "model_version": "", **body}
            return 201, self.shown(number)
        size, page = int(query.get("page_size", 30)), int(query.get("page", 1))
        every = [self.shown(n) for n in self.projects]
        rows = every[(page - 1) * size : page * size]
        more = len(every) > page * size
        return 200, {"count": len(every), "next": "more" if more else None, "results": rows}

    def shown(self, number):
        made = dict(self.projects[number])
        made["parsed_label_config"] = parsed(made["label_config"])
        return made

    def project(self, method, query, body, number):
        if number not in self.projects:
            return 404, {"detail": "Not found.", "status_code": 404}
        if method == "PATCH":
            version = body.get("model_version", "")
            versions = {
                p["model_version"]
                for t in self.tasks.values()
                if t["project"] == number
                for p in t["predictions"]
            } | {b["title"] for b in self.backends}
            if version and version not in versions:
                text = "Model version doesn't exist either as live model or as static predictions."
                return 400, {"validation_errors": {"model_version": [text]}}
            self.projects[number] |= body
        return 200, self.shown(number)

    def import_tasks(self, method, query, body, number):
        made = []
        for task in body:
            key = len(self.tasks) + 1 + 1000 * number
            predictions = task.get("predictions", [])
            self.tasks[key] = {
                "id": key,
                "project": number,
                "data": task["data"],
                "predictions": predictions,
            }
            made.append(key)
            if predictions and not self.projects[number]["model_version"]:
                self.projects[number]["model_version"] = predictions[0]["model_version"]
        return 201, {"task_count": len(made), "task_ids": made}

    def export(self, method, query, body, number):
        assert query["exportType"] == "JSON"
        rows = []
        for key, task in self.tasks.items():
            mine = [a for a in self.annotations.values() if a["task"] == key]
            if task["project"] == number and mine:
                row = {"id": key, "data": task["data"], "annotations": mine}
                rows.append({**row, "drafts": self.drafts.get(key, [])})
        return 200, rows

    def list_tasks(self, method, query, body):
        every = [t for t in self.tasks.values() if t["project"] == int(query["project"])]
        size, page = min(int(query.get("page_size", 30)), 100), int(query.get("page", 1))
        if page > 1 and (page - 1) * size >= len(every):
            return 404, {"detail": "Invalid page."}
        rows = [{"id": t["id"], "data": t["data"]} for t in every]
        return 200, {"total": len(every), "tasks": rows[(page - 1) * size : page * size]}

    def list_views(self, method, query, body):
        if method == "POST":
            number = len(self.views) + 1
            self.views[number] = {"id": number, **body}
            return 201, self.views[number]
        return 200, [v for v in self.views.values() if v["project"] == int(query["project"])]

    def view(self, method, query, body, number):
        self.views[number] |= body
        return 200, self.views[number]

    def list_users(self, method, query, body):
        return 200, [{"id": n, "email": email} for n, email in self.users.items()]

    def local_storages(self, method, query, body):
        return self._kept(self.storages, method, query, body)

    def list_webhooks(self, method, query, body):
        return self._kept(self.webhooks, method, query, body)

    def list_backends(self, method, query, body):
        status, made = self._kept(self.backends, method, query, body)
        if method == "POST" and not any(
            h["url"] == body["url"] + "/webhook" for h in self.webhooks
        ):
            self.webhooks.append({"id": 0, "project": body["project"], "headers": {}})
        return status, made

    def webhook(self, method, query, body, number):
        self.webhooks[number - 1] |= body
        return 200, self.webhooks[number - 1]

    def backend(self, method, query, body, number):
        self.backends[number - 1] |= body
        return 200, self.backends[number - 1]

    def _kept(self, rows, method, query, body):
        if method == "POST":
            rows.append({"id": len(rows) + 1, **body})
            return 201, rows[-1]
        return 200, [row for row in rows if row["project"] == int(query["project"])]

    def _handler(stub):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self):
                parts = urlsplit(self.path)
                raw = self.rfile.read(int(self.headers.get("content-length", 0)))
                body = json.loads(raw) if raw else None
                query = {k: v[0] for k, v in parse_qs(parts.query).items()}
                with stub.lock:
                    stub.requests.append((self.command, parts.path))
                    status, tree = stub.answer(
                        self.command,
                        parts.path,
                        query,
                        body,
                        self.headers.get("authorization", ""),
                    )
                    data = b"" if status == 301 else json.dumps(tree).encode()
                self.send_response(status)
                if status == 301:
                    self.send_header("location", tree)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PATCH = serve

            def log_message(self, *args):
                """Nothing: the test's output is its own."""

        return Handler


ROUTES = [
    (r"/api/projects/", "all_projects"),
    (r"/api/projects/(\d+)/", "project"),
    (r"/api/projects/(\d+)/import", "import_tasks"),
    (r"/api/projects/(\d+)/export", "export"),
    (r"/api/tasks/", "list_tasks"),
    (r"/api/dm/views/", "list_views"),
    (r"/api/dm/views/(\d+)/", "view"),
    (r"/api/users/", "list_users"),
    (r"/api/storages/localfiles/", "local_storages"),
    (r"/api/webhooks/", "list_webhooks"),
    (r"/api/webhooks/(\d+)/", "webhook"),
    (r"/api/ml/", "list_backends"),
    (r"/api/ml/(\d+)", "backend"),
]


def result_of(*choices):
    if not choices:
        return []
    value = {"choices": list(choices)}
    return [{"from_name": "label", "to_name": "image", "type": "choices", "value": value}]


def parsed(config):
    """What Label Studio tells of an interface."""
    root = ElementTree.fromstring(config)
    tags = {}
    for tag in root.iter("Choices"):
        target = tag.get("toName")
        inputs = [
            {"type": e.tag, "value": e.get("value", "").lstrip("$")}
            for e in root.iter()
            if e.get("name") == target
        ]
        labels = [choice.get("value") for choice in tag.iter("Choice")]
        tags[tag.get("name")] = {
            "type": "Choices",
            "to_name": [target],
            "inputs": inputs,
            "labels": labels,
        }
    return tags
