"""Several workers behind one port: processes that share a listening socket. One that dies is started anew."""

import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from types import FrameType

from prometheus_client.multiprocess import mark_process_dead

from ropeway.errors import ServiceError
from ropeway_server import logs
from ropeway_server.settings import Settings

log = logging.getLogger(__name__)

_METRICS = "PROMETHEUS_MULTIPROC_DIR"
"""prometheus_client learns from this variable alone, when it is imported, that counters are to be shared."""


def supervise(settings: Settings, bound: socket.socket, up: Callable[[], None]) -> None:
    """Keep `settings.workers` workers alive until SIGTERM or Ctrl-C. `up` is called when all of them answer.

    Raises:
        ServiceError: one of them did not start.
    """
    with tempfile.TemporaryDirectory(prefix="ropeway-metrics-") as shared:
        os.environ[_METRICS] = shared
        try:
            _Supervisor(settings, bound, Path(shared)).run(up)
        finally:
            del os.environ[_METRICS]


class _Supervisor:
    def __init__(self, settings: Settings, bound: socket.socket, shared: Path) -> None:
        self._settings, self._bound, self._shared = settings, bound, shared
        self._workers: dict[SpawnProcess, Event] = {}
        self._ends_by: int | None = None
        self._woken, self._wakes = socket.socketpair()

    def run(self, up: Callable[[], None]) -> None:
        before = {number: signal.signal(number, self._told) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            for _ in range(self._settings.workers):
                self._start()
            while self._ends_by is None and not all(ready.wait(0.02) for ready in self._workers.values()):
                self._replace_the_dead()
            if self._ends_by is None:
                up()
            while self._workers:
                if self._woken in wait([self._woken, *(worker.sentinel for worker in self._workers)]):
                    self._woken.recv(1)
                    self._end()
                self._replace_the_dead()
        finally:
            self._end()
            for worker in self._workers:
                worker.join()
            for number, handler in before.items():
                signal.signal(number, handler)
            self._woken.close()
            self._wakes.close()

    def _told(self, number: int, _: FrameType | None) -> None:
        """A signal came. It wakes the loop, which alone starts and ends workers: none that just starts is missed."""
        self._ends_by = number
        self._wakes.send(b"\0")

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would copy threads' locks, and the metrics' mode
        ready = context.Event()
        worker = context.Process(target=_work, args=(self._settings, self._bound, self._shared, ready))
        worker.start()
        self._workers[worker] = ready

    def _replace_the_dead(self) -> None:
        for worker in [one for one in self._workers if not one.is_alive()]:
            ready = self._workers.pop(worker)
            mark_process_dead(worker.pid, str(self._shared))  # type: ignore[no-untyped-call]
            if self._ends_by is not None:
                continue
            if not ready.is_set():
                raise ServiceError(f"a worker did not start (status {worker.exitcode}): its words are above")
            log.error("worker %s died (status %s) and is started anew", worker.pid, worker.exitcode)
            self._start()

    def _end(self) -> None:
        """Tell the workers; what they have under way they finish.

        Once the last of them takes no more requests, connections have to be refused: here they would wait unanswered.
        """
        self._bound.close()
        for worker in self._workers:
            if worker.is_alive() and worker.pid is not None:
                os.kill(worker.pid, self._ends_by or signal.SIGTERM)


def _work(settings: Settings, bound: socket.socket, shared: Path, ready: Event) -> None:
    from ropeway_server.run import Worker

    logs.configure(settings.log_level)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    Worker(settings, shared, ready.set).serve_on(bound)


def _end_with_parent() -> None:
    """A parent that was killed leaves no worker behind."""
    parent = multiprocessing.parent_process()
    if parent is None:
        sys.exit("a worker is started by a supervisor")
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
