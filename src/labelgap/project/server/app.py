"""The page's server: a handful of routes over `Desk`, all behind `Guard`."""

import json
from collections.abc import Callable
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from labelgap.core.errors import DataError, LabelgapError, StorageError
from labelgap.project.server.desk import VIEWS, Desk, Refused
from labelgap.project.server.review_routes import review_routes
from labelgap.project.server.reviews import Reviews
from labelgap.project.server.security import Guard

KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


def _names(folder: Traversable, before: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for file in folder.iterdir():
        if file.is_dir():
            found |= _names(file, f"{before}{file.name}/")
        elif (kind := KINDS.get(Path(file.name).suffix)) is not None:
            found[before + file.name] = kind
    return found


STATIC = _names(files(__package__).joinpath("static"))
"""The only files that are served, by name, and what each is: scripts, styles and pictures of the
folder `static`. A page of HTML has an address of its own."""
_PERSON = 60
_MOST = 500  # answers in one request
_MOST_ASKED = 1000  # images in one question


def make_app(
    desk: Desk, token: str, hosts: list[str], port: int, reviews: Reviews | None = None
) -> Guard:
    """The whole application, guarded. reviews: of the same project, where somebody ends it."""
    cookie = f"labelgap-{port}"

    async def page(request: Request) -> Response:
        return _file("page.html", "text/html")

    async def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in STATIC:
            return _error(404, "There is no such file.")
        return _file(name, STATIC[name])

    async def session(request: Request) -> Response:
        body = await _json(request)
        value = body.get("token") if isinstance(body, dict) else None
        if not isinstance(value, str) or not guard.is_token(value):
            return _error(401, "This link is not valid any more: labelgap label prints a new one.")
        response = JSONResponse({"ok": True}, headers=_FRESH)
        response.set_cookie(cookie, token, httponly=True, samesite="strict", path="/")
        return response

    async def state(request: Request) -> Response:
        return await _call(desk.state, _person(request))

    async def batch(request: Request) -> Response:
        text = request.query_params.get("n", "20")
        if not (text.isascii() and text.isdigit() and len(text) < 6):
            return _error(400, "n is a number.")
        return await _call(desk.batch, _person(request), int(text))

    async def answers(request: Request) -> Response:
        body = await _json(request)
        if not isinstance(body, dict) or not isinstance(body.get("answers"), list):
            return _error(400, "The body is {person, answers: [...]}.")
        person = body.get("person", "")
        if not isinstance(person, str) or len(person) > _PERSON:
            return _error(400, "The name of the person is no text, or too long.")
        if body.get("project", desk.id) != desk.id:
            return _error(409, "These answers are of another project.")
        given = body["answers"]
        if len(given) > _MOST or not all(isinstance(a, dict) for a in given):
            return _error(400, f"At most {_MOST} answers, each an object.")
        return await run_in_threadpool(_store, desk, given, person)

    async def more(request: Request) -> Response:
        body = await _json(request)
        n = body.get("n") if isinstance(body, dict) else None
        if isinstance(n, bool) or not isinstance(n, int) or not 1 <= n <= _MOST_ASKED:
            return _error(400, f"The body is {{n}}, from 1 to {_MOST_ASKED}.")
        if not desk.asking.begin(n):
            return _error(409, "More images are being chosen already.")
        return JSONResponse({"ok": True}, status_code=202, headers=_FRESH)

    async def image(request: Request) -> Response:
        view = request.query_params.get("view", "full")
        if view not in VIEWS:
            return _error(400, f"view is one of {', '.join(VIEWS)}.")
        version = request.query_params.get("v", "")
        try:
            made = await run_in_threadpool(desk.image, request.path_params["id"], view, version)
        except DataError as error:
            return _error(404, str(error))
        except LabelgapError as error:  # the disk's, or no process can be started
            return _error(503, str(error))
        # The browser keeps an address for ever, and the next project on this port has the same
        # ids: only the content in the address makes it this image's alone.
        return Response(
            made.data,
            media_type=made.kind,
            headers=_LASTING if version and made.lasting else _FRESH,
        )

    routes = [
        Route("/", page, methods=["GET"]),
        Route("/static/{name:path}", static, methods=["GET"]),
        Route("/api/session", session, methods=["POST"]),
        Route("/api/state", state, methods=["GET"]),
        Route("/api/batch", batch, methods=["GET"]),
        Route("/api/answers", answers, methods=["POST"]),
        Route("/api/more", more, methods=["POST"]),
        Route("/image/{id:int}", image, methods=["GET"]),
        *review_routes(reviews or Reviews(desk.project), desk.id),
    ]
    app = Starlette(routes=routes, exception_handlers={_BadJson: _bad_json})
    guard = Guard(app, token, hosts, cookie)
    return guard


_FRESH = {"cache-control": "no-store"}
_LASTING = {"cache-control": "private, max-age=31536000, immutable"}


class _BadJson(Exception):
    pass


async def _bad_json(request: Request, error: Exception) -> Response:
    return _error(400, "The body is not JSON.")


async def _json(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise _BadJson from error


def _person(request: Request) -> str:
    return request.query_params.get("person", "")[:_PERSON]


def _store(desk: Desk, given: list[dict[str, Any]], person: str) -> Response:
    """Each answer on its own, in order; the first that the disk refuses ends it.

    200 with a result for each, {stored: event} or {refused: why}. 507 with the results so far:
    the rest was not looked at and should be sent again.
    """
    results: list[dict[str, Any]] = []
    for answer in given:
        try:
            results.append({"stored": desk.store(answer, person)})
        except Refused as error:
            results.append({"refused": str(error)})
        except StorageError as error:
            body = {"results": results, "error": str(error)}
            return JSONResponse(body, status_code=507, headers=_FRESH)
    return JSONResponse({"results": results}, headers=_FRESH)


async def _call(function: Callable[..., Any], *arguments: Any) -> Response:
    try:
        return JSONResponse(await run_in_threadpool(function, *arguments), headers=_FRESH)
    except LabelgapError as error:
        return _error(503, str(error))


def _file(name: str, kind: str) -> Response:
    data = files(__package__).joinpath("static", name).read_bytes()
    return Response(data, media_type=kind, headers={"cache-control": "no-cache"})


def _error(status: int, text: str) -> Response:
    return JSONResponse({"error": text}, status_code=status, headers=_FRESH)
