"""A web server with one object in every manner of answering: right, odd, wrong. For tests of what reads it."""

import re
import select
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

CONTENT = bytes(range(251)) * 4177  # 1 MiB, and no two places alike that are near
SIZE = len(CONTENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is sent. `length` is what its head says: of the content by default, nothing if None; status 0 has none."""

    status: int = 206
    content: bytes = b""
    given: str = ""
    location: str = ""
    etag: str = ""
    length: int | None = -1
    pieces: bool = False
    closing: bool = False
    hang_up: bool = False
    stall: bool = False


def _range(start: int, stop: int, total: object = SIZE) -> str:
    return f"bytes {start}-{stop - 1}/{total}"


def _right(start: int, stop: int) -> Answer:
    return Answer(content=CONTENT[start:stop], given=_range(start, stop), etag='"1"')


def _half(start: int, stop: int) -> Answer:
    """As much as it likes; the rest is to be asked for."""
    return _right(start, start + -(-(stop - start) // 2))


_WORD = b"<Error><Code>Word</Code></Error>"

_ALWAYS = {
    "gone": Answer(status=404),
    "refused": Answer(status=403),
    "unknown": Answer(status=401, content=_WORD),
    "teapot": Answer(status=418, content=_WORD),
    "wrong": Answer(status=400, content=_WORD),
    "broken": Answer(status=500),
    "not-http": Answer(status=0, content=b"SSH-2.0-OpenSSH_9.2\r\n"),
    "down": Answer(status=503),
    "moved": Answer(status=307, location="/right/x?token=hush"),
    "round": Answer(status=302, location="/round/x"),
    "unsafe": Answer(status=301, location="ftp://host/x"),
    "no-ranges": Answer(status=200, content=CONTENT),
    "no-ranges-in-pieces": Answer(status=200, content=CONTENT, pieces=True),
    "no-length": Answer(status=200, content=CONTENT, length=None),
}
"""Manners that don't look at the range."""

_FIRST = {
    "renewed": Answer(status=403, content=b"expired"),
    "token": Answer(status=400, content=b"<Error><Code>ExpiredToken</Code></Error>"),
}
"""How URLs are answered that have ended."""

_RANGES: dict[str, Callable[[int, int], Answer]] = {
    "in-pieces": lambda start, stop: Answer(content=CONTENT[start:stop], given=_range(start, stop), pieces=True),
    "half": _half,
    "unknown-size": lambda start, stop: Answer(content=CONTENT[start:stop], given=_range(start, stop, "*")),
    "unsaid": lambda start, stop: Answer(content=CONTENT[start:stop]),
    "closing": lambda start, stop: Answer(content=CONTENT[start:stop], given=_range(start, stop), closing=True),
    "hangs-up": lambda start, stop: Answer(content=CONTENT[start:stop], given=_range(start, stop), hang_up=True),
    "elsewhere": lambda start, stop: Answer(content=CONTENT[start + 1 : stop + 1], given=_range(start + 1, stop + 1)),
    "nonsense": lambda start, stop: Answer(content=CONTENT[start:stop], given="bytes some"),
    "more": lambda start, stop: Answer(content=CONTENT[start : stop + 1], given=_range(start, stop + 1)),
    "other-length": lambda start, stop: Answer(content=CONTENT[start : stop - 1], given=_range(start, stop)),
}
"""Manners of answering a range that is there; all others are right."""


class Handler(BaseHTTPRequestHandler):
    """`/MANNER/x` is answered in that manner; `?token=2` is a URL that has not ended."""

    protocol_version = "HTTP/1.1"
    server: "RangeServer"

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.server.asked.append(self.path)
        with suppress(ConnectionError):  # whoever asked has gone
            self._send(self._answer(url.path.split("/")[1], url.query))

    def do_CONNECT(self) -> None:
        """As a proxy: pass bytes in both directions, until one side ends."""
        host, _, port = self.path.rpartition(":")
        self.server.asked.append(self.path)
        self.send_response(200)
        self.end_headers()
        with socket.create_connection((host, int(port))) as there, suppress(ConnectionError):
            sides = {self.connection: there, there: self.connection}
            while True:
                for side in select.select(list(sides), [], [])[0]:
                    content = side.recv(1 << 16)
                    if not content:
                        self.close_connection = True
                        return
                    sides[side].sendall(content)

    def _answer(self, manner: str, query: str) -> Answer:
        if manner in _FIRST and query != "token=2":
            return _FIRST[manner]
        if manner == "stalls" and self.server.stalls > 0:
            self.server.stalls -= 1
            return Answer(content=CONTENT[:5], given=_range(0, 900_000), length=900_000, stall=True)
        if manner == "busy" and len(self.server.asked) <= 3:
            return _ALWAYS["down"]
        return _ALWAYS[manner] if manner in _ALWAYS else self._part(manner)

    def _part(self, manner: str) -> Answer:
        content = b"" if manner == "empty" else CONTENT
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if found is None:
            return Answer(status=200, content=content, etag='"1"')
        start, stop = int(found[1]), min(int(found[2]) + 1 if found[2] else len(content), len(content))
        if start >= stop:
            return Answer(status=416, given="" if manner in ("mute", "empty") else f"bytes */{len(content)}")
        if manner == "replaced":
            self.server.versions += 1
            return Answer(content=content[start : start + 10], given=_range(start, stop), length=stop - start,
                          etag=f'"{self.server.versions}"', hang_up=True)  # fmt: skip
        return _RANGES.get(manner, _right)(start, stop)

    def _send(self, answer: Answer) -> None:
        if not answer.status:
            self.wfile.write(answer.content)
            return
        self.send_response(answer.status)
        for name, value in (("Content-Range", answer.given), ("Location", answer.location), ("ETag", answer.etag)):
            if value:
                self.send_header(name, value)
        if answer.closing or answer.length is None:
            self.send_header("Connection", "close")
        content = answer.content
        if answer.pieces:
            self.send_header("Transfer-Encoding", "chunked")
            pieces = [content[first : first + 100_000] for first in range(0, len(content), 100_000)]
            content = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in [*pieces, b""])
        elif answer.length is not None:
            self.send_header("Content-Length", str(len(content) if answer.length < 0 else answer.length))
        self.end_headers()
        self.wfile.write(content)
        if answer.stall:
            self.rfile.read(1)  # until the client gives up
        self.close_connection |= answer.hang_up or answer.stall

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


class RangeServer(ThreadingHTTPServer):
    """The server; `asked` are the targets of all requests so far, `stalls` those to come that are left hanging."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str] = []
        self.versions = self.stalls = 0

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has gone is no error here."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def url(self, manner: str, token: int = 1) -> str:
        """Where the object is to be had in that manner; the query stands for a secret."""
        scheme = "https" if isinstance(self.socket, ssl.SSLSocket) else "http"
        return f"{scheme}://127.0.0.1:{self.server_port}/{manner}/x?token={token}"


@contextmanager
def serving_ranges(context: ssl.SSLContext | None = None) -> Iterator[RangeServer]:
    """A server that ends with the context; over TLS if settings are given."""
    server = RangeServer()
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
