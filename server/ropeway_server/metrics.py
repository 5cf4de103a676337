"""What Prometheus reads."""

from time import perf_counter

from fastapi import FastAPI, Response
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Metrics:
    """One app's counters, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "ropeway_request_seconds", "Seconds to answer, to the last byte", ["method", "route", "status"],
            registry=self._registry,
        )  # fmt: skip
        self.proxied = Counter("ropeway_proxied_bytes", "Bytes of shards and parts sent", registry=self._registry)
        self.views = Counter("ropeway_views", "Views asked for", registry=self._registry)

    def install(self, app: FastAPI) -> None:
        """Time every request of an app."""
        app.add_middleware(_Timed, requests=self._requests)

    def expose(self) -> Response:
        """All counters in Prometheus' text format."""
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)


class _Timed:
    """Observes requests by route and not by path: a path could name a sample. Labels are never the requester's text."""

    def __init__(self, app: ASGIApp, requests: Histogram) -> None:
        self._app, self._requests = app, requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = perf_counter(), 500

        async def observed(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, observed)
        finally:
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = getattr(scope.get("route"), "path", "none")
            self._requests.labels(method, route, status).observe(perf_counter() - began)
