"""What every request passes before its route, from the outside in."""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from ropeway_server.headers import SecurityHeaders
from ropeway_server.limits import BodyLimit, RateLimit
from ropeway_server.logs import RequestLog
from ropeway_server.metrics import Metrics, Timed
from ropeway_server.settings import Settings

_CORS_HEADERS = ("Authorization", "Content-Type", "If-None-Match", "If-Range", "Range")
_CORS_EXPOSED = ("Content-Range", "ETag", "Location", "Retry-After", "X-Request-ID")


def install(app: FastAPI, settings: Settings, metrics: Metrics) -> None:
    """Put them around an app. What refuses is inside of what observes, so that refusals are counted and logged."""
    app.add_middleware(BodyLimit, limits=settings.limits)  # each one added is around those before it
    if settings.origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.origins, allow_methods=("GET", "HEAD", "POST", "PUT", "DELETE"),
            allow_headers=_CORS_HEADERS, expose_headers=_CORS_EXPOSED,
        )  # fmt: skip
    app.add_middleware(RateLimit, limits=settings.limits)
    if settings.hosts:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*settings.hosts], www_redirect=False)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(RequestLog)
    app.add_middleware(Timed, metrics=metrics)
