"""A real service on loopback, in a thread of the test."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from ropeway_server.app import create_app
from ropeway_server.run import listen
from ropeway_server.settings import Settings


@contextmanager
def serving(store: str, database: str = "sqlite://", *, port: int = 0, access_seconds: int = 900) -> Iterator[str]:
    """The URL of a service for that store, which ends with the context."""
    bound = listen("127.0.0.1", port)
    app = create_app(Settings(store=store, database=database, port=port, access_seconds=access_seconds))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
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
