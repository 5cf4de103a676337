"""Answers: JSON by default, msgpack by Accept; errors as problem documents (RFC 9457)."""

import logging
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from ropeway import errors
from ropeway.errors import RopewayError
from ropeway.wire import MEDIA_TYPE as MSGPACK

log = logging.getLogger(__name__)

PROBLEM = "application/problem+json"

_STATUS: list[tuple[type[RopewayError], int]] = [
    (errors.NotFound, 404),
    (errors.AccessDenied, 403),
    (errors.QueryError, 422),
    (errors.UsageError, 422),
    (errors.Conflict, 409),
    (errors.StoreError, 502),
    (errors.FormatError, 500),
    (errors.ServiceError, 503),
    (RopewayError, 500),
]


def answer(request: Request, value: Any, headers: dict[str, str] | None = None) -> Response:
    """A value as the request's Accept header wants it."""
    headers = {**(headers or {}), "Vary": "Accept"}
    if MSGPACK in request.headers.get("accept", ""):
        return Response(msgspec.msgpack.encode(value), media_type=MSGPACK, headers=headers)
    return Response(msgspec.json.encode(value), media_type="application/json", headers=headers)


def status_of(error: RopewayError) -> int:
    """The HTTP status that an error is answered with."""
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def unchanged(request: Request, tag: str) -> bool:
    """Whether the requester holds the content of that ETag already (If-None-Match)."""
    held = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    return tag in held or held == ["*"]


def problem(status: int, detail: str, kind: str = "about:blank") -> Response:
    """A problem document. `type` is the name of the error class that a client raises again."""
    title = HTTPStatus(status).phrase
    body = {"type": kind, "title": title, "status": status, "detail": detail}
    return Response(msgspec.json.encode(body), status_code=status, media_type=PROBLEM)


def install(app: FastAPI) -> None:
    """Every error of this app becomes a problem document."""

    @app.exception_handler(RopewayError)
    async def ropeway_error(request: Request, error: RopewayError) -> Response:
        status = status_of(error)
        if status >= 500:
            log.error("%s %s: %s at %s", request.method, _route(request), type(error).__name__, error.url)
        error.url = None  # where the store is, is the operator's business
        return problem(status, str(error), type(error).__name__)

    @app.exception_handler(HTTPException)
    async def http_error(_: Request, error: HTTPException) -> Response:
        answered = problem(error.status_code, str(error.detail))
        answered.headers.update(error.headers or {})
        return answered

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, _route(request), exc_info=error)
        return problem(500, "the service failed; its log says more")

    from fastapi.exceptions import RequestValidationError

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(place) for place in first["loc"])
        return problem(422, f"{where}: {first['msg']}", "UsageError")


def _route(request: Request) -> str:
    """The route's template, not the path: a path could name a sample."""
    return str(getattr(request.scope.get("route"), "path", "no route"))
