"""The addresses of the review view, over `Reviews`; behind the same `Guard` as all others."""

import json
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from labelgap.core.errors import LabelgapError, StorageError
from labelgap.project.server.desk import Refused
from labelgap.project.server.filters import Filter
from labelgap.project.server.reviews import Reviews

_FRESH = {"cache-control": "no-store"}
_PERSON = 60
_PAGE = 500  # images in one answer of ours


def review_routes(reviews: Reviews, project_id: str) -> list[Route]:
    """Reading by GET; every write is one POST of JSON, {project, person, request, …}.

    200 {seqs} or what the write says; 400 or 409 {refused} for what can never be stored; 507
    {error} where the disk refuses and it should be sent again.
    """

    async def page(request: Request) -> Response:
        data = files(__package__).joinpath("static", "review", "review.html").read_bytes()
        return Response(data, media_type="text/html", headers={"cache-control": "no-cache"})

    async def state(request: Request) -> Response:
        return await _told(lambda: {"id": project_id, **reviews.state()})

    async def items(request: Request) -> Response:
        query = request.query_params
        return await _told(
            lambda: reviews.items(Filter.of(query), _number(query, "offset", 0), _limit(query))
        )

    async def doubts(request: Request) -> Response:
        return await _told(lambda: reviews.doubts(_limit(request.query_params)))

    async def groups(request: Request) -> Response:
        query = request.query_params
        return await _told(lambda: reviews.groups(_number(query, "offset", 0), _limit(query)))

    async def map(request: Request) -> Response:
        return await _told(reviews.map)

    def writing(write: Callable[[Mapping[str, Any], str], dict[str, Any]]) -> Any:
        async def written(request: Request) -> Response:
            try:
                body = json.loads(await request.body())
            except (ValueError, RecursionError):
                return _error(400, "The body is not JSON.")
            person = body.get("person", "") if isinstance(body, dict) else None
            if not isinstance(person, str) or len(person) > _PERSON:
                return _error(400, "The body is {project, person, …}; a name has 60 signs at most.")
            if body.get("project", project_id) != project_id:
                return _error(409, "This is of another project.")
            try:
                return JSONResponse(await run_in_threadpool(write, body, person), headers=_FRESH)
            except Refused as error:
                return JSONResponse({"refused": str(error)}, status_code=409, headers=_FRESH)
            except StorageError as error:
                return _error(507, str(error))

        return written

    def again(body: Mapping[str, Any], person: str) -> dict[str, Any]:
        return {"begun": reviews.reviewing.begin(again=True)}

    return [
        Route("/review", page, methods=["GET"]),
        Route("/api/review/state", state, methods=["GET"]),
        Route("/api/review/items", items, methods=["GET"]),
        Route("/api/review/doubts", doubts, methods=["GET"]),
        Route("/api/review/groups", groups, methods=["GET"]),
        Route("/api/review/map", map, methods=["GET"]),
        Route("/api/review/answer", writing(reviews.answer), methods=["POST"]),
        Route("/api/review/undo", writing(reviews.undo), methods=["POST"]),
        Route("/api/review/keep", writing(reviews.keep), methods=["POST"]),
        Route("/api/review/ask", writing(reviews.ask), methods=["POST"]),
        Route("/api/review/again", writing(again), methods=["POST"]),
    ]


async def _told(tell: Callable[[], dict[str, Any]]) -> Response:
    try:
        return JSONResponse(await run_in_threadpool(tell), headers=_FRESH)
    except StorageError as error:
        return _error(503, str(error))
    except LabelgapError as error:
        return _error(400, str(error))


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 9):
        raise LabelgapError(f"{name} is {text!r}.", "Give a whole number.")
    return int(text)


def _limit(query: Mapping[str, str]) -> int:
    return min(max(_number(query, "limit", 200), 1), _PAGE)


def _error(status: int, text: str) -> Response:
    return JSONResponse({"error": text}, status_code=status, headers=_FRESH)
