"""Connections that are kept open between requests, by http.client."""

import base64
import select
import socket
import ssl
import threading
import urllib.request
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from errno import ETIMEDOUT
from http.client import HTTPConnection, HTTPResponse, HTTPSConnection
from time import monotonic
from urllib.parse import SplitResult, unquote, urlsplit

IDLE = 64
"""Idle connections kept, to all hosts together."""

IDLE_SECONDS = 20.0
"""Seconds that an idle one is used again within: object stores close them about then."""


class Stale(ConnectionError):
    """A connection that was kept open had ended: nothing is wrong, another one will do."""


class Connection:
    """One connection to one host, for one request at a time."""

    def __init__(self, key: tuple[str, str], connection: HTTPConnection, *, proxy: str | None = None) -> None:
        self.key = key
        self.used = False
        self._connection = connection
        self._absolute, self._authorization = proxy is not None, _authorization(proxy)
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Connect, unless it is.

        Raises:
            OSError: no connection, or not in time.
        """
        if self._connection.sock is None:
            try:
                self._connection.connect()
            except TimeoutError as error:
                raise TimeoutError(ETIMEDOUT, f"no connection within {self._connection.timeout:g} s") from error
            self._socket = self._connection.sock

    def get(self, url: SplitResult, headers: Mapping[str, str], seconds: float) -> HTTPResponse:
        """Send a GET and wait for the head of its answer; no single wait for bytes is longer than `seconds`.

        Raises:
            Stale: it was used before, and has ended since.
            OSError: it broke, or nothing came in time.
            http.client.HTTPException: what came is not HTTP.
        """
        self._connection.sock.settimeout(seconds)
        target = (url.path or "/") + (f"?{url.query}" if url.query else "")
        if self._absolute:  # a proxy is told the whole of it
            target = f"{url.scheme}://{url.netloc}{target}"
        try:
            self._connection.request("GET", target, headers={**headers, **self._authorization})
            return self._connection.getresponse()
        except ConnectionError as error:
            if self.used:
                raise Stale("the kept connection had ended") from error
            raise

    def is_stale(self) -> bool:
        """Whether the other side has closed it, or sent what nobody asked for."""
        if self._connection.sock is None:
            return True
        poll = select.poll()
        poll.register(self._connection.sock, select.POLLIN)
        return bool(poll.poll(0))

    def abort(self) -> None:
        """Make whoever waits for it, in another thread, find it ended."""
        if self._socket is not None:
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)  # beneath TLS, which would take part

    def close(self) -> None:
        self._connection.close()


class Connections:
    """Idle connections of this process by host, and new ones. Thread-safe.

    Args:
        connect: seconds until a new one must be there.
        trust: makes the TLS settings, when the first https URL comes up.
    """

    def __init__(self, *, connect: float, trust: Callable[[], ssl.SSLContext]) -> None:
        self._connect, self._trust = connect, trust
        self._lock = threading.Lock()
        self._context: ssl.SSLContext | None = None
        self._idle: list[tuple[float, Connection]] = []
        weakref.finalize(self, _close, self._idle)

    def take(self, url: SplitResult) -> Connection:
        """A connection to the host of a URL, the one used last if several are idle; nothing is sent yet."""
        key = url.scheme, url.netloc
        while True:
            with self._lock:
                for place in range(len(self._idle) - 1, -1, -1):
                    if self._idle[place][1].key == key:
                        since, found = self._idle.pop(place)
                        break
                else:
                    break
            if monotonic() - since < IDLE_SECONDS and not found.is_stale():
                return found
            found.close()
        return self._new(key, url)

    def give(self, connection: Connection) -> None:
        """Take a connection back whose answer was read to its end."""
        connection.used = True
        with self._lock:
            self._idle.append((monotonic(), connection))
            ended = self._idle.pop(0)[1] if len(self._idle) > IDLE else None
        if ended is not None:
            ended.close()

    def close(self) -> None:
        """Close the idle ones."""
        with self._lock:
            _close(self._idle)

    def _new(self, key: tuple[str, str], url: SplitResult) -> Connection:
        proxy = _proxy(url)
        near = urlsplit(proxy) if proxy else url
        host, port = near.hostname or "", near.port
        if url.scheme == "http":
            return Connection(key, HTTPConnection(host, port, timeout=self._connect), proxy=proxy)
        with self._lock:
            self._context = self._context or self._trust()
        secure = HTTPSConnection(host, port, timeout=self._connect, context=self._context)
        if proxy:
            secure.set_tunnel(url.hostname or "", url.port or 443, headers=_authorization(proxy))
        return Connection(key, secure)


def _close(idle: list[tuple[float, Connection]]) -> None:
    while idle:
        idle.pop()[1].close()


def _proxy(url: SplitResult) -> str | None:
    """The proxy that the environment names for a URL (http_proxy, https_proxy, no_proxy)."""
    proxy = urllib.request.getproxies().get(url.scheme)
    if proxy is None or urllib.request.proxy_bypass(url.hostname or ""):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def _authorization(proxy: str | None) -> dict[str, str]:
    parts = urlsplit(proxy or "")
    if parts.username is None:
        return {}
    secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Proxy-Authorization": f"Basic {base64.b64encode(secret.encode()).decode()}"}
