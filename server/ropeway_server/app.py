"""The HTTP application."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool

import ropeway
from ropeway_server import answers
from ropeway_server.metrics import Metrics
from ropeway_server.routes import catalog, health, objects, samples, views
from ropeway_server.schemas import PROBLEMS
from ropeway_server.service import open_service
from ropeway_server.settings import Settings

DESCRIPTION = """What there is, views of it by task, split and filter, and the bytes of their shards.

JSON by default, msgpack with `Accept: application/msgpack`. Errors are problem documents (RFC 9457)."""


def create_app(settings: Settings) -> FastAPI:
    """An application for one store and one database; both are opened when it starts."""
    metrics = Metrics()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = await run_in_threadpool(open_service, settings, metrics)
        yield
        app.state.service.database.close()

    app = FastAPI(
        title="Ropeway",
        version=ropeway.__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        responses=PROBLEMS,
        strict_content_type=False,  # a body is JSON, whatever a client calls it
    )
    metrics.install(app)
    answers.install(app)
    for routes in (health, catalog, views, samples, objects):
        app.include_router(routes.router)
    return app
