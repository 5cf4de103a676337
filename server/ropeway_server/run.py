"""Runs the application under uvicorn."""

import errno
import signal
import socket
import sys
from collections.abc import Callable

import uvicorn

from ropeway.errors import UsageError
from ropeway_server.app import create_app
from ropeway_server.settings import Settings


def listen(host: str, port: int) -> socket.socket:
    """A socket bound to an address, before anything else is started.

    Raises:
        UsageError: the address can't be had; the message says why.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # else asyncio leaves Nagle's delay on
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(1024)
    except OSError as error:
        bound.close()
        taken = "it is in use: give another --port, or 0 for a free one" if error.errno == errno.EADDRINUSE else error
        raise UsageError(f"cannot listen on {host}:{port}: {taken}") from error
    return bound


class _Server(uvicorn.Server):
    """Tells when it serves."""

    def __init__(self, config: uvicorn.Config, up: Callable[[], None]) -> None:
        super().__init__(config)
        self._up = up

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            self._up()


def run(settings: Settings, bound: socket.socket, up: Callable[[], None]) -> None:
    """Serve until SIGTERM or Ctrl-C, finish what is under way, and exit with status 0.

    `up` is called once requests are answered.
    """
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises what stopped it once more when it has stopped
        signal.signal(number, lambda *_: sys.exit(0))
    config = uvicorn.Config(create_app(settings), log_level="warning", timeout_graceful_shutdown=10)
    _Server(config, up).run([bound])
