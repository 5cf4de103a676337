"""The HTTP application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

import ropeway
from ropeway_server import answers, middleware, openapi, threads
from ropeway_server.metrics import Metrics
from ropeway_server.routes import (
    audit,
    catalog,
    credentials,
    explorer,
    health,
    identity,
    layouts,
    licences,
    objects,
    samples,
    saved,
    views,
)
from ropeway_server.service import open_service
from ropeway_server.settings import Settings

DESCRIPTION = """What there is, views of it by task, split and filter, and the bytes of their shards.

Everything answers what the bearer of the token may read; without a token, datasets of the tier `open` where the service
allows that. JSON by default, msgpack with `Accept: application/msgpack`. Errors are problem documents (RFC 9457)."""


def create_app(settings: Settings, metrics: Metrics | None = None) -> FastAPI:
    """An application for one store and one database; both are opened when it starts."""
    metrics = metrics or Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        threads.limit()
        service = app.state.service = await run_in_threadpool(open_service, settings, metrics)
        async with service.refusals.written():
            yield
        service.database.close()

    app = FastAPI(
        title="Ropeway",
        version=ropeway.__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        responses={"default": {}},  # `openapi` says what problems there are
        docs_url=None,  # FastAPI's pages load scripts from elsewhere: ours are in `routes.explorer`
        redoc_url=None,
        strict_content_type=False,  # a body is JSON, whatever a client calls it
    )
    app.state.draining = False
    middleware.install(app, settings, metrics)
    answers.install(app)
    openapi.install(app, anonymous=settings.anonymous)
    described = (  # looked through in this order: what is asked most comes first
        views,
        catalog,
        health,
        layouts,
        objects,
        samples,
        saved,
        licences,
        credentials,
        identity,
        audit,
        explorer,
    )
    for routes in described:
        app.include_router(routes.router)
    return app
