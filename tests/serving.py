"""A real service on loopback, in a thread of the test."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from ropeway_server.app import create_app
from ropeway_server.run import configured, listen
from ropeway_server.settings import Settings


@contextmanager
def serving(
    store: str, database: str = "sqlite://", *, port: int = 0, access_seconds: int = 900, **settings: Any
) -> Iterator[str]:
    """The URL of a service for that store, with more settings if given, which ends with the context."""
    bound = listen("127.0.0.1", port)
    given = Settings(store=store, database=database, port=port, access_seconds=access_seconds, **settings)
    server = uvicorn.Server(configured(create_app(given), given))
    thread = threading.Thread(target=server.run, args=([bound],), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the service did not start"
        thread.join(0.01)
    try:
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        bound.close()
