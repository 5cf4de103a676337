"""Answers: JSON by default, msgpack by Accept; errors as problem documents (RFC 9457)."""

import logging
import re
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from ropeway import errors
from ropeway.errors import RopewayError
from ropeway.wire import MEDIA_TYPE as MSGPACK
from ropeway_server.headers import ALWAYS, DEFAULTS
from ropeway_server.logs import REQUEST_ID
from ropeway_server.principals import NotIdentified
from ropeway_server.refusals import refusal_of

log = logging.getLogger(__name__)

PROBLEM = "application/problem+json"

_CONVERTOR = re.compile(r":\w+}")
_SHOWN = 2000
"""Characters of a problem that are told: what was asked may be part of it, and as long as a request."""

_STATUS: list[tuple[type[RopewayError], int]] = [
    (errors.NotFound, 404),
    (errors.Withdrawn, 410),
    (NotIdentified, 401),
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
        same = msgspec.to_builtins(value)  # a time is text here too, as the document says, and no extension type
        return Response(msgspec.msgpack.encode(same), media_type=MSGPACK, headers=headers)
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
    body = msgspec.json.encode(problem_body(status, detail, kind))
    return Response(body, status_code=status, media_type=PROBLEM)


def problem_body(status: int, detail: str, kind: str = "about:blank") -> dict[str, Any]:
    """What a problem document says."""
    shown = detail if len(detail) <= _SHOWN else f"{detail[:_SHOWN]}…"
    return {"type": kind, "title": HTTPStatus(status).phrase, "status": status, "detail": shown}


def install(app: FastAPI) -> None:
    """Every error of this app becomes a problem document."""

    @app.exception_handler(RopewayError)
    async def ropeway_error(request: Request, error: RopewayError) -> Response:
        status = status_of(error)
        if status >= 500:
            log.error("%s %s: %s at %s", request.method, _route(request), type(error).__name__, error.url)
        if (refusal := refusal_of(request, error, status)) is not None:
            request.app.state.service.refusals.add(refusal, request.scope)
        error.url = None  # where the store is, is the operator's business
        answered = problem(status, str(error), _kind(error))
        if status == 401:
            answered.headers["WWW-Authenticate"] = "Bearer"
        return answered

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        answered = problem(error.status_code, str(error.detail))
        answered.headers.update(error.headers or {})
        if error.status_code == 405:
            answered.headers["Allow"] = _allowed(request) or answered.headers["Allow"]
        return answered

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        log.error("%s %s failed", request.method, _route(request), exc_info=error)
        answered = problem(500, "the service failed; its log says more")
        # This answer is made outside of all middleware.
        answered.headers.update({**ALWAYS, **DEFAULTS, "X-Request-ID": request.scope.get(REQUEST_ID, "none")})
        return answered

    from fastapi.exceptions import RequestValidationError

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = ".".join(str(place) for place in first["loc"])
        return problem(422, f"{where}: {first['msg']}", "UsageError")


def _kind(error: RopewayError) -> str:
    """The name of the error's class that a client knows too."""
    names: list[str] = [kind.__name__ for kind in type(error).__mro__ if getattr(errors, kind.__name__, None) is kind]
    return names[0]


def _allowed(request: Request) -> str:
    """The methods at a path, as documented; the router names those of the first of its routes only."""
    there = request.app.openapi()["paths"].get(_CONVERTOR.sub("}", _route(request)), {})
    return ", ".join(method.upper() for method in there)


def _route(request: Request) -> str:
    """The route's template, not the path: a path could name a sample."""
    return str(getattr(request.scope.get("route"), "path", "no route"))
