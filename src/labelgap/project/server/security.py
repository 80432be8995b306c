"""What stands between the page and the rest of the world; plain ASGI, so nothing slips past it.

Threats: another web site that the person visits (cross-site requests, DNS rebinding), another
user of the machine, a program on the network. Measures: a random token that only the printed
link holds (in its fragment, so that no log sees it), turned into a SameSite=Strict cookie; an
allow-list of Host; Origin and JSON type on writes; no CORS; a content security policy; a cap on
bodies.
"""

import hmac
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY = 1 << 20
"""A megabyte: thousands of answers at a time, and no more."""

POLICY = (
    "default-src 'self'; img-src 'self'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = (
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
)
OPEN = ("/", "/review", "/api/session")
"""Reachable without the token: the shells of the pages, which hold no data, and the login."""
STATIC = "/static/"


class Guard:
    """Checks every request before the application sees it.

    Parameters
    ----------
    token: the secret of the printed link.
    hosts: the values of Host that are ours, with the port.
    cookie: the cookie's name; it has the port in it, since cookies are shared between ports.
    """

    def __init__(self, app: App, token: str, hosts: Iterable[str], cookie: str) -> None:
        self.app, self.token, self.cookie = app, token, cookie
        self.hosts: frozenset[str] = frozenset(host.lower() for host in hosts)
        self.origins: frozenset[str] = frozenset(f"http://{host}" for host in self.hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # no web sockets here
        headers = _headers(scope)
        refusal = self.refuse(scope["method"], scope["path"], headers)
        if refusal is not None:
            await _answer(send, *refusal)
            return
        if scope["method"] == "POST":
            body = await _body(receive)
            if body is None:
                await _answer(send, 413, f"The request is larger than {MAX_BODY} bytes.")
                return
            receive = _once(body)
        await self.app(scope, receive, _with_headers(send))

    def refuse(
        self, method: str, path: str, headers: MutableMapping[str, list[str]]
    ) -> tuple[int, str] | None:
        """Status and reason where the request must not pass; None where it may."""
        host = headers.get("host", [])
        if len(host) != 1 or host[0].lower() not in self.hosts:
            return 421, "This server does not answer to that host."
        if method not in ("GET", "HEAD", "POST"):
            return 405, "Only GET and POST."
        bearer = self._bearer(headers)
        if method == "POST":
            # A program that shows the token itself cannot be a foreign page.
            if not bearer and headers.get("origin", [""])[0].lower() not in self.origins:
                return 403, "Writes come from the page itself."
            kind = headers.get("content-type", [""])[0].partition(";")[0].strip().lower()
            if kind != "application/json":
                return 415, "Writes are JSON."
            length = headers.get("content-length", ["0"])[0]
            if not length.isascii() or not length.isdigit():
                return 400, "The length is no number."
            if int(length) > MAX_BODY:
                return 413, f"The request is larger than {MAX_BODY} bytes."
        if path in OPEN or path.startswith(STATIC):
            return None
        if not bearer and not self._has_cookie(headers):
            return 401, "Open the link that `labelgap label` printed."
        return None

    def is_token(self, value: str) -> bool:
        """Compared in constant time."""
        return hmac.compare_digest(value.encode(), self.token.encode())

    def _bearer(self, headers: MutableMapping[str, list[str]]) -> bool:
        kind, _, value = headers.get("authorization", [""])[0].partition(" ")
        return kind.lower() == "bearer" and self.is_token(value.strip())

    def _has_cookie(self, headers: MutableMapping[str, list[str]]) -> bool:
        for line in headers.get("cookie", []):
            jar: SimpleCookie = SimpleCookie()
            try:
                jar.load(line)
            except CookieError:
                continue
            if self.cookie in jar and self.is_token(jar[self.cookie].value):
                return True
        return False


def _headers(scope: Scope) -> MutableMapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in scope["headers"]:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found


async def _body(receive: Receive) -> bytes | None:
    """The whole body, or None as soon as it is too large, whatever length was announced."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)
        part = message.get("body", b"")
        size += len(part)
        if size > MAX_BODY:
            return None
        parts.append(part)
        if not message.get("more_body"):
            return b"".join(parts)


def _once(body: bytes) -> Receive:
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


def _with_headers(send: Send) -> Send:
    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            extra = [(k.encode(), v.encode()) for k, v in HEADERS]
            message = {**message, "headers": [*message.get("headers", []), *extra]}
        await send(message)

    return guarded


async def _answer(send: Send, status: int, text: str) -> None:
    body = json.dumps({"error": text}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        # The rest of a refused body is not read.
        (b"connection", b"close"),
    ]
    await _with_headers(send)({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
