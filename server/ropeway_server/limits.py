"""Requests that are too large or too many are refused before anything is done for them."""

from collections import OrderedDict
from math import ceil
from time import monotonic

from fastapi import Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ropeway_server.answers import problem
from ropeway_server.refusals import Refusal
from ropeway_server.settings import Limits

KEPT = 65536
"""Addresses whose rate is watched; the ones that asked last."""

_FREE = frozenset({"/healthz", "/readyz", "/metrics"})
"""What watches the service is never refused."""


class Buckets:
    """A token bucket for each client: `burst` requests at once, `rate` a second in the long run.

    The counters are a worker's own: replicas need nothing in common, and several let through several times the rate.
    """

    def __init__(self, rate: float, burst: int) -> None:
        self._rate, self._burst = rate, burst
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, client: str, now: float) -> float:
        """Take one request of a client; the seconds to wait for the next one where none is left, else 0."""
        held, at = self._held.pop(client, (float(self._burst), now))
        held = min(float(self._burst), held + (now - at) * self._rate)
        enough = held >= 1
        self._held[client] = (held - 1 if enough else held), now
        if len(self._held) > KEPT:
            self._held.popitem(last=False)
        return 0.0 if enough else (1 - held) / self._rate


async def _after_body(answered: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request whose body nobody reads. The answer ends when the body has: a connection that closes after it
    (HTTP/1.0, `Connection: close`) and still has content to read is reset, and the answer lost with it. A body that
    takes too long meets the protocol's deadline."""

    async def last_then(message: Message) -> None:
        if message["type"] == "http.response.body":
            await send({**message, "more_body": True})
            while (await receive()).get("more_body", False):
                pass  # it is dropped
            message = {"type": "http.response.body"}
        await send(message)

    await answered(scope, receive, last_then)


class RateLimit:
    """429 with Retry-After for addresses that ask more often than they may."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._buckets = Buckets(limits.rate, limits.burst) if limits.rate else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._buckets is not None and scope["path"] not in _FREE:
            address, _ = scope.get("client") or ("", 0)
            if wait := self._buckets.take(address, monotonic()):
                scope["app"].state.service.refusals.add(Refusal(status=429, reason="too many requests"), scope)
                answered = problem(429, "too many requests from this address: wait a little", "ServiceError")
                answered.headers["Retry-After"] = str(ceil(wait))
                await _after_body(answered, scope, receive, send)
                return
        await self._app(scope, receive, send)


class BodyLimit:
    """413 for bodies above the limit: at once where the length is told, else as soon as they exceed it.

    The answer ends when the body has, see `_after_body`.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app, self._limit = app, limits.body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        length, more = 0, False

        async def counted() -> Message:
            nonlocal length, more
            message = await receive()
            length, more = length + len(message.get("body", b"")), message.get("more_body", False)
            if length > self._limit:
                raise HTTPException(413, self._detail)
            return message

        async def after_body(message: Message) -> None:
            nonlocal more
            if more and message["type"] == "http.response.body" and not message.get("more_body", False):
                await send({**message, "more_body": True})
                while more:  # it is dropped
                    more = (await receive()).get("more_body", False)
                message = {"type": "http.response.body"}
            await send(message)

        told = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
        if told.isdigit() and int(told[:20]) > self._limit:
            await _after_body(problem(413, self._detail, "UsageError"), scope, receive, send)
            return
        await self._app(scope, counted, after_body)

    @property
    def _detail(self) -> str:
        return f"the body is longer than the {self._limit} bytes that this service takes: ask in smaller requests"
