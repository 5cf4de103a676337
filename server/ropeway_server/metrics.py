"""What Prometheus reads."""

from pathlib import Path
from time import perf_counter

from fastapi import Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.gc_collector import GCCollector
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.process_collector import ProcessCollector
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ropeway_server.logs import method_of, route_of

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Upper ends of the histogram's buckets: from an answer out of memory to a shard over a slow line."""


class Metrics:
    """One app's counters, in a registry of their own.

    Where several workers answer on one port, each writes its counters into files of the folder `shared`, and whichever
    is asked adds them up (prometheus_client's multiprocess mode).
    """

    def __init__(self, shared: Path | None = None) -> None:
        self._shared = shared
        self._registry = registry = CollectorRegistry()
        self.seconds = Histogram(
            "ropeway_request_seconds", "Seconds to answer, to the last byte", ["method", "route", "status"],
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.running = Gauge(
            "ropeway_requests_in_progress", "Requests being answered", registry=registry, multiprocess_mode="livesum"
        )
        self.proxied = Counter("ropeway_proxied_bytes", "Bytes of shards and parts sent", registry=registry)
        self.views = Counter("ropeway_views", "Views asked for", registry=registry)
        if shared is None:  # of one process; they mean nothing in a sum
            ProcessCollector(registry=registry)
            GCCollector(registry=registry)

    def expose(self) -> Response:
        """All counters in Prometheus' text format."""
        registry = self._registry
        if self._shared is not None:
            registry = CollectorRegistry()
            MultiProcessCollector(registry, str(self._shared))  # type: ignore[no-untyped-call]
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class Timed:
    """Observes requests by route and not by path: a path could name a sample. Labels are never the requester's text."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = perf_counter(), 500

        async def observed(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        with self._metrics.running.track_inprogress():
            try:
                await self._app(scope, receive, observed)
            finally:
                labels = method_of(scope), route_of(scope), str(status)
                self._metrics.seconds.labels(*labels).observe(perf_counter() - began)
