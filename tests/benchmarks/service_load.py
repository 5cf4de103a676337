"""Load on a service: many connections of one process, HTTP/1.1 by hand so that the measuring costs little."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from urllib.parse import urlsplit


@dataclass(slots=True)
class Load:
    """What a load gave.

    Attributes:
        seconds: that each request took.
        wall: seconds of all together.
        bytes: of bodies.
        failed: statuses other than 200 and 201.
    """

    seconds: list[float] = field(default_factory=list)
    wall: float = 0.0
    bytes: int = 0
    failed: list[int] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Requests per second."""
        return len(self.seconds) / self.wall

    def percentile(self, share: float) -> float:
        """Seconds within which this share of requests was answered."""
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


@dataclass(frozen=True, slots=True)
class Request:
    """One request to be made."""

    path: str
    body: bytes = b""
    accept: str = "application/json"
    encoding: str = "identity"

    def encoded(self, host: str) -> bytes:
        """As it goes over the wire."""
        method = "POST" if self.body else "GET"
        head = (
            f"{method} {self.path} HTTP/1.1\r\nHost: {host}\r\nAccept: {self.accept}\r\n"
            f"Accept-Encoding: {self.encoding}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


def closed(url: str, clients: int, requests: Sequence[Request], seconds: float) -> Load:
    """Clients that ask one thing after the other, without a pause, in turn through the requests."""

    async def client(number: int, load: Load, until: float) -> None:
        async with _Connection(url) as connection:
            at = number
            while perf_counter() < until:
                await connection.ask(requests[at % len(requests)], load, perf_counter())
                at += 1

    return asyncio.run(_together(clients, client, seconds))


def steady(url: str, clients: int, requests: Sequence[Request], rate: float, seconds: float) -> Load:
    """So many requests per second over so many connections; a request that has to wait for its connection counts from
    when it was due."""

    async def client(number: int, load: Load, until: float) -> None:
        async with _Connection(url) as connection:
            due, at = perf_counter() + number / rate, number
            while due < until:
                await asyncio.sleep(max(0.0, due - perf_counter()))
                await connection.ask(requests[at % len(requests)], load, due)
                due += clients / rate
                at += 1

    return asyncio.run(_together(clients, client, seconds))


def once(url: str, clients: int, requests: Sequence[Request]) -> Load:
    """Clients that begin at the same time, each with all requests one after the other."""

    async def client(_: int, load: Load, __: float) -> None:
        async with _Connection(url) as connection:
            for request in requests:
                await connection.ask(request, load, perf_counter())

    return asyncio.run(_together(clients, client, 0.0))


async def _together(clients, client, seconds: float) -> Load:  # type: ignore[no-untyped-def]
    load, began = Load(), perf_counter()
    await asyncio.gather(*(client(number, load, began + seconds) for number in range(clients)))
    load.wall = perf_counter() - began
    return load


class _Connection:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80

    async def __aenter__(self) -> "_Connection":
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=1 << 22)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def ask(self, request: Request, load: Load, since: float) -> None:
        """One request; `since` is what its time counts from."""
        self._writer.write(request.encoded(f"{self._host}:{self._port}"))
        head = await self._reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        (length,) = (int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        left = length
        while left:
            left -= len(await self._reader.read(min(left, 1 << 20)))
        load.seconds.append(perf_counter() - since)
        load.bytes += length
        status = int(head[9:12])
        if status not in (200, 201):
            load.failed.append(status)
