"""What Prometheus reads."""

from time import perf_counter

from fastapi import FastAPI, Request, Response
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.middleware.base import RequestResponseEndpoint


class Metrics:
    """One app's counters, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "ropeway_request_seconds", "Seconds to answer", ["method", "route", "status"], registry=self._registry
        )
        self.proxied = Counter("ropeway_proxied_bytes", "Bytes of shards and parts sent", registry=self._registry)
        self.views = Counter("ropeway_views", "Views asked for", registry=self._registry)

    def install(self, app: FastAPI) -> None:
        """Time every request, by route and not by path: a path could name a sample."""

        @app.middleware("http")
        async def timed(request: Request, call_next: RequestResponseEndpoint) -> Response:
            began = perf_counter()
            response = await call_next(request)
            route = getattr(request.scope.get("route"), "path", "none")
            self._requests.labels(request.method, route, response.status_code).observe(perf_counter() - began)
            return response

    def expose(self) -> Response:
        """All counters in Prometheus' text format."""
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)
