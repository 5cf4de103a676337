"""Runs the application under uvicorn: one worker in this process, or several in processes of their own."""

import asyncio
import errno
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from types import FrameType

import uvicorn
from fastapi import FastAPI

from ropeway.errors import UsageError
from ropeway_server import logs
from ropeway_server.app import create_app
from ropeway_server.metrics import Metrics
from ropeway_server.protocol import guarded
from ropeway_server.settings import Settings, Tls

FINISH_SECONDS = 10
"""For requests that are under way when no more are taken."""


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


def check_tls(tls: Tls | None) -> None:
    """Read the certificate and its key, before anything is started.

    Raises:
        UsageError: they can't be used.
    """
    if tls is None:
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.certificate, tls.key)
        if tls.clients:
            context.load_verify_locations(tls.clients)
    except OSError as error:  # of TLS too
        raise UsageError(f"cannot use the TLS files {tls.certificate}, {tls.key} {tls.clients}: {error}") from error


def configured(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """How uvicorn is to run the application."""
    tls = settings.tls
    return uvicorn.Config(
        app,
        http=guarded(settings.limits),
        ws="none",
        log_config=None,
        access_log=False,  # its lines have paths and query strings
        server_header=False,
        forwarded_allow_ips=list(settings.proxies),
        timeout_graceful_shutdown=FINISH_SECONDS,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
        ssl_ca_certs=tls.clients or None if tls else None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if tls and tls.clients else ssl.CERT_NONE,
    )


class Worker(uvicorn.Server):
    """Tells when it serves. At SIGTERM it first says at /readyz that it ends, so that nobody is sent here any more."""

    def __init__(self, settings: Settings, shared: Path | None, up: Callable[[], None]) -> None:
        self._app = create_app(settings, Metrics(shared))
        super().__init__(configured(self._app, settings))
        self._up, self._drain_seconds = up, settings.drain_seconds
        self._ends_at: float | None = None

    def serve_on(self, bound: socket.socket) -> None:
        """Serve until SIGTERM or Ctrl-C, finish what is under way, and exit with status 0."""
        for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises what stopped it once more when it has stopped
            signal.signal(number, lambda *_: sys.exit(0))
        self.run([bound])

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if not self.should_exit:
            asyncio.get_running_loop().call_soon(self._up)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if sig == signal.SIGTERM and self._drain_seconds and self._ends_at is None:
            self._app.state.draining = True
            self._ends_at = monotonic() + self._drain_seconds
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        if self._ends_at is not None and monotonic() >= self._ends_at:
            self.should_exit = True
        return await super().on_tick(counter)


def run(settings: Settings, bound: socket.socket, up: Callable[[], None]) -> None:
    """Serve until SIGTERM or Ctrl-C, and finish what is under way.

    `up` is called once requests are answered.

    Raises:
        ServiceError: a worker of several did not start.
    """
    logs.configure(settings.log_level)
    if settings.workers > 1:
        from ropeway_server.workers import supervise

        supervise(settings, bound, up)
    else:
        Worker(settings, None, up).serve_on(bound)
