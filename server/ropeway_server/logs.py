"""Logs as lines of JSON: what happened to a request, and never what was asked for or answered.

A path can name a sample, a query string holds filters and capabilities, and the words of an unforeseen error may quote
either. So a line has the route's template, and of an error its type and the places in the code.
"""

import logging
import re
import secrets
import sys
from time import perf_counter
from types import TracebackType
from typing import Any

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
REQUEST_ID = "ropeway.request_id"
"""Where a request's scope has its id."""
_FIELDS = "fields"
"""The attribute of a log entry that has further ones."""


class JsonLines(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, message, further fields, error and where it was."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": f"{self.formatTime(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line |= {"error": record.exc_info[0].__name__, "at": _places(record.exc_info[2])}
        return msgspec.json.encode(line).decode()

    @staticmethod
    def converter(seconds: float | None) -> Any:
        """Times are UTC, whatever the machine's zone."""
        from time import gmtime

        return gmtime(seconds)


def configure(level: str) -> None:
    """Log everything of this process as JSON lines to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for chatty in ("botocore", "urllib3", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


class RequestLog:
    """A line for each request, under an id that the answer has too; the request's own, if it looks like one.

    Requests that failed by the service's fault are told at the level `warning`, the others at `info`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        scope[REQUEST_ID] = request_id
        began, status, sent = perf_counter(), 500, 0

        async def observed(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            sent += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, receive, observed)
        finally:
            line = {
                "id": request_id, "method": method_of(scope), "route": route_of(scope), "status": status, "bytes": sent,
                "ms": round(1000 * (perf_counter() - began), 1), "client": (scope.get("client") or ("", 0))[0],
            }  # fmt: skip
            log.log(logging.WARNING if status >= 500 else logging.INFO, "answered", extra={_FIELDS: line})


def method_of(scope: Scope) -> str:
    """A request's method, `other` for one that is the requester's own invention."""
    return scope["method"] if scope["method"] in _METHODS else "other"


def route_of(scope: Scope) -> str:
    """The template of the route that a request took, `none` where there is no such route."""
    return str(getattr(scope.get("route"), "path", "none"))


def _places(trace: TracebackType | None) -> list[str]:
    """Module, line and function of each frame, the innermost last."""
    found = []
    while trace is not None:
        code = trace.tb_frame.f_code
        found.append(f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return found
