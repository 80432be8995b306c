"""Label Studio's HTTP interface: the few calls that are needed, on the standard library.

Three things shape this file. Behind a proxy (http to https, a missing slash) a request is
redirected, and a redirected POST arrives as a GET that lists instead of making: redirects are
errors here. A personal access token is a refresh token (a JWT), which buys access tokens of five
minutes; the older tokens go into another header, and an organization may have switched them off.
A request that makes something is never repeated by itself, since it may have been done.
"""

import base64
import binascii
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

from labelgap.core import loopback
from labelgap.core.errors import ConfigError, LabelgapError

TIMEOUT = 120.0
"""Seconds: an import of some hundred images into a busy development server takes a minute."""
_MARGIN = 30.0  # an access token is renewed so long before its end
_ASSUMED = 240.0  # its life where it does not tell; Label Studio's is 300 s
_ATTEMPTS = 3  # of reading
_BUSY = (502, 503, 504)
_PAGE = 100


class LabelStudioError(LabelgapError):
    """What Label Studio refused, or why it could not be asked. `status` is HTTP's, 0 without."""

    def __init__(self, cause: str, cure: str = "", status: int = 0) -> None:
        super().__init__(cause, cure)
        self.status = status

    @property
    def is_answer(self) -> bool:
        """Whether Label Studio itself refused: not the line, and not a proxy that gave it up."""
        return self.status != 0 and self.status not in _BUSY


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """None makes it an error: the token must not travel on, and a POST would become a GET."""


class Client:
    """One server, as one user.

    Parameters
    ----------
    url: its address, http or https, with a path where it lives below one.
    token: a legacy token (40 hexadecimal digits) or a personal access token (it begins with
        "eyJ"). It is in no error and no log.
    timeout: seconds without a byte.

    Raises `ConfigError` for a malformed address or token. Nothing is sent before the first call.
    """

    def __init__(self, url: str, token: str, *, timeout: float | int = TIMEOUT) -> None:
        self.url, self.timeout = plain_url(url), timeout
        self._token = plain_token(token)
        self._access, self._until = "", 0.0
        handlers: list[Any] = [_NoRedirect()]
        if is_loopback(self.url):
            handlers.append(urllib.request.ProxyHandler({}))  # no proxy reaches this machine
        self._opener = urllib.request.build_opener(*handlers)
        self._clock: Callable[[], float] = time.monotonic
        self._sleep: Callable[[float], None] = time.sleep

    @property
    def is_personal(self) -> bool:
        """Whether the token is a personal access token."""
        return self._token.startswith("eyJ")

    # -------------------------------------------------------------------------------- calls

    def get(self, path: str, **query: Any) -> Any:
        """Tried again where the server is busy or the line breaks: reading changes nothing."""
        if query:
            path = f"{path}?{urlencode(query)}"
        for attempt in range(_ATTEMPTS):
            try:
                return self._call("GET", path, None)
            except LabelStudioError as error:
                if attempt + 1 == _ATTEMPTS or (error.status and error.status not in _BUSY):
                    raise
                self._sleep(2.0**attempt)
        raise AssertionError("unreachable")

    def post(self, path: str, body: Any) -> Any:
        return self._call("POST", path, body)

    def patch(self, path: str, body: Mapping[str, Any]) -> Any:
        return self._call("PATCH", path, body)

    def tasks(self, project: int) -> Iterator[dict[str, Any]]:
        """Every task of a project, without annotations, by id."""
        seen = page = 0
        while True:
            page += 1
            answer = self.get(
                "/api/tasks/",
                project=project,
                page=page,
                page_size=_PAGE,
                fields="task_only",
                resolve_uri="false",
            )
            tasks = answer["tasks"]
            yield from tasks
            seen += len(tasks)
            if not tasks or seen >= answer["total"]:
                return

    def annotated(self, project: int) -> list[dict[str, Any]]:
        """The tasks that have an annotation, a cancelled one included, with all of them."""
        found = self.get(f"/api/projects/{project}/export", exportType="JSON")
        return cast(list[dict[str, Any]], found)

    # --------------------------------------------------------------------------- one request

    def _call(self, method: str, path: str, body: Any) -> Any:
        try:
            return self._send(method, path, body, self._authorization())
        except LabelStudioError as error:
            # Refused before anything was done, so even a POST may be sent again.
            if error.status != 401 or not self.is_personal:
                raise
            self._access = ""
            return self._send(method, path, body, self._authorization())

    def _authorization(self) -> str:
        if not self.is_personal:
            return f"Token {self._token}"
        if not self._access or self._clock() >= self._until:
            started = self._clock()
            try:
                answer = self._send("POST", "/api/token/refresh/", {"refresh": self._token}, "")
            except LabelStudioError as error:
                if error.status not in (401, 403):
                    raise
                raise LabelStudioError(
                    f"{self.url} does not accept the personal access token: it is of another "
                    "server, or has ended.",
                    "Make a new one there: Account & Settings, Personal Access Token.",
                    error.status,
                ) from None
            self._access = str(answer["access"])
            self._until = started + max(_life(self._access) - _MARGIN, 1.0)
        return f"Bearer {self._access}"

    def _send(self, method: str, path: str, body: Any, authorization: str) -> Any:
        headers = {"accept": "application/json"}
        if authorization:
            headers["authorization"] = authorization
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["content-type"] = "application/json"
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with self._opener.open(request, timeout=self.timeout) as answer:
                raw = answer.read()
        except urllib.error.HTTPError as error:
            raise self._refused(method, path, error) from None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise LabelStudioError(
                f"No Label Studio answers at {self.url}: {reason}.",
                "Start it, or correct its address (--url, or LABEL_STUDIO_URL).",
            ) from error
        if not raw:
            return None
        try:
            return json.loads(raw)
        except ValueError:
            raise LabelStudioError(
                f"{self.url}{path.partition('?')[0]} answers something else than JSON.",
                "Is this Label Studio's address, with the path that it lives below?",
            ) from None

    def _refused(self, method: str, path: str, error: urllib.error.HTTPError) -> LabelStudioError:
        place = path.partition("?")[0]
        with error:
            if 300 <= error.code < 400:
                target = str(error.headers.get("location", "")).partition("?")[0]
                return LabelStudioError(
                    f"{self.url} sends {method} {place} on to {target or 'nowhere'}.",
                    "Give the address that it is sent to (https instead of http, say).",
                    error.code,
                )
            detail = self._detail(error.read())
        cure = ""
        if error.code == 401:
            if "legacy" in detail.lower():
                cure = (
                    "Make a personal access token there (Account & Settings), or start Label "
                    "Studio with --enable-legacy-api-token."
                )
            else:
                cure = "Check the token (LABEL_STUDIO_API_KEY, or --token-file) and the address."
        elif error.code == 403:
            cure = "Use the token of a user who may do this."
        elif error.code == 404:
            cure = "Check the address, and that the project is there and visible to this user."
        elif error.code >= 500:
            cure = "Look into Label Studio's own log; repeating this command is safe."
        return LabelStudioError(
            f"{self.url} refuses {method} {place} ({error.code}): {detail}.", cure, error.code
        )

    def _detail(self, raw: bytes) -> str:
        """What the server said, in one line, without what we said to it."""
        try:
            tree = json.loads(raw)
        except ValueError:
            return "no reason given"
        said = tree
        if isinstance(tree, dict):
            said = tree.get("validation_errors") or tree.get("detail") or tree
        text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
        for secret in (self._token, self._access):
            if secret:
                text = text.replace(secret, "…")
        return " ".join(text.split())[:400].rstrip(".") or "no reason given"


def plain_url(text: str) -> str:
    """An address without its last slash. Raises `ConfigError`."""
    url = text.strip().rstrip("/")
    cure = "Give it like http://127.0.0.1:8080."
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment or any(c.isspace() for c in url):
        raise ConfigError(f"{text!r} is no address of a Label Studio.", cure)
    if parts.username or parts.password:
        raise ConfigError("The address of Label Studio has a password in it.", cure)
    return url


def plain_token(text: str) -> str:
    """A token without space around it. Raises `ConfigError`, which does not show it."""
    token = text.strip()
    if not token:
        raise ConfigError(
            "There is no token for Label Studio.",
            "Set LABEL_STUDIO_API_KEY, or give --token-file FILE.",
        )
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(
            "The token for Label Studio has characters that no token has.",
            "Copy it again, alone and whole.",
        )
    return token


def is_loopback(url: str) -> bool:
    return loopback.is_loopback(urlsplit(url).hostname or "")


def _life(token: str) -> float:
    """Seconds that a JWT lives for, by its own clock; nothing is trusted, only renewed in time."""
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        return float(claims["exp"]) - float(claims["iat"])
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error):
        return _ASSUMED
