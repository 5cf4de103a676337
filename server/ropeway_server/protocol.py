"""HTTP connections with deadlines: whoever sends or reads too slowly, or opens too many, keeps no worker busy."""

import asyncio
import socket
import struct
from typing import ClassVar

import msgspec
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from ropeway_server.answers import PROBLEM, problem_body
from ropeway_server.settings import Limits

LINGER = 2.0
"""Seconds for which somebody who was refused may go on sending. What arrives at a closed connection resets it, and the
answer is lost with it."""


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with `limits`. It has a deadline for idle connections; the others are here.

    A request must have arrived within its time whether its head or its body is what dribbles in (slow-loris, R.U.D.Y.),
    and an answer must be taken up (slow read). Each deadline is one timer of the event loop and no task.
    """

    limits: ClassVar[Limits]

    _arriving: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_head = True
    _complete = False
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            self._refuse(503, "too many connections are open: come back later")
            self.transport.close()  # or they would be more still
        else:
            self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        self._moves()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._arm()
        self._complete = False
        super().data_received(data)
        if self._in_head and not self._complete:  # a header without an end never reaches `on_headers_complete`
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.head:
                self._refuse(431, f"URL and headers are longer than {self.limits.head} bytes")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._arm()

    def on_headers_complete(self) -> None:
        self._in_head, self._head_bytes = False, 0
        length = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if length > self.limits.head:
            self._refuse(431, f"URL and headers are longer than {self.limits.head} bytes")
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._refused:
            super().on_message_complete()
            self._in_head = self._complete = True
            self._disarm()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(self.limits.stalled_seconds, self._drop)

    def resume_writing(self) -> None:
        self._moves()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, "this is no HTTP request")

    def _arm(self) -> None:
        if self._arriving is None and not self._refused:
            self._arriving = self.loop.call_later(self.limits.request_seconds, self._late)

    def _disarm(self) -> None:
        if self._arriving is not None:
            self._arriving.cancel()
            self._arriving = None

    def _moves(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _late(self) -> None:
        answering = self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete
        if answering:
            self._drop()
        else:
            self._refuse(408, f"the request did not arrive within {self.limits.request_seconds:g} s")

    def _drop(self) -> None:
        """Reset the connection, so that the kernel doesn't keep for the client what it would not read."""
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _refuse(self, status: int, detail: str) -> None:
        """Answer without the application, and hang up when the client has; until then what it sends is dropped."""
        self._refused = True
        self._disarm()
        self.logger.info("refused a connection: %s", detail)
        body = msgspec.json.encode(problem_body(status, detail))
        head = f"content-type: {PROBLEM}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(STATUS_LINE[status] + head.encode() + body)
        if self.transport.can_write_eof():  # TLS has no such thing
            self.transport.write_eof()
        self._arriving = self.loop.call_later(LINGER, self.transport.close)


def guarded(limits: Limits) -> type[GuardedProtocol]:
    """The protocol with these limits, for uvicorn to make one of for each connection."""
    return type("Guarded", (GuardedProtocol,), {"limits": limits})
