"""A proxy between a client and a real server that makes networks as they are: far away, slow, and broken.

`running` adds latency and limits bandwidth for any protocol, in a process of its own. `faulty` spoils single answers of
HTTP, in a thread, and tells what was asked for.

    with running("127.0.0.1", 8333, latency=0.02) as port: ...
    with faulty("127.0.0.1", 8333, [Fault(cut=1000), Fault(status=503)]) as proxy: ... proxy.port, proxy.heads
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_HELD = 64 << 20
"""Bytes of one connection that may be on their way: what a long fat network holds."""

_READ = 1 << 20


@dataclass(frozen=True, slots=True)
class Fault:
    """What becomes of one answer; places are counted in its body.

    Attributes:
        status: is answered by the proxy itself; the server is not asked.
        headers: of that answer, as lines.
        hang_up: the connection ends without an answer.
        cut: the connection ends after so many bytes.
        stall: after so many bytes nothing more comes, until the client gives up.
        corrupt: the byte there has all its bits turned.
    """

    status: int = 0
    headers: str = ""
    hang_up: bool = False
    cut: int | None = None
    stall: int | None = None
    corrupt: int | None = None


@dataclass(slots=True)
class Faults:
    """Faults for the coming requests, one each; when they are used up, answers are left alone.

    Attributes:
        heads: of the requests so far.
        port: where the proxy listens.
    """

    coming: deque[Fault]
    heads: list[str] = field(default_factory=list)
    port: int = 0

    def add(self, *faults: Fault) -> None:
        """Spoil that many more."""
        self.coming.extend(faults)

    @property
    def ranges(self) -> list[str]:
        """The Range headers so far, empty where there was none."""
        lines = [[line for line in head.split("\r\n") if line.lower().startswith("range:")] for head in self.heads]
        return [found[0].partition(":")[2].strip() if found else "" for found in lines]


class _Line:
    """Bytes to one socket, each piece when it is due."""

    def __init__(self, latency: float, bandwidth: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._latency, self._bandwidth = latency, bandwidth
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._held, self._free_at = 0, 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._blocked = self._ending = False
        self.source: asyncio.Transport | None = None
        self.sink: asyncio.Transport | None = None

    def put(self, data: bytes, *, later: float = 0.0) -> None:
        now = self._loop.time()
        due = now + self._latency + later
        if self._bandwidth:
            self._free_at = max(self._free_at, now) + len(data) / self._bandwidth
            due = max(due, self._free_at)
        self._waiting.append((due, data))
        self._held += len(data)
        if self._held > _HELD and self.source is not None:
            self.source.pause_reading()
        self.flush()

    def end(self) -> None:
        """Close the socket after what is on its way."""
        self._ending = True
        self.flush()

    def block(self, blocked: bool) -> None:
        """The socket takes no more, or takes some again."""
        self._blocked = blocked
        self.flush()

    def flush(self) -> None:
        if self.sink is None or self.sink.is_closing() or self._blocked:
            return
        now = self._loop.time()
        while self._waiting and self._waiting[0][0] <= now and not self._blocked:
            _, data = self._waiting.popleft()
            self._held -= len(data)
            self.sink.write(data)
        if self._held <= _HELD and self.source is not None and not self.source.is_closing():
            self.source.resume_reading()
        if self._waiting and (self._timer is None or self._timer.when() <= now):
            self._timer = self._loop.call_at(self._waiting[0][0], self.flush)
        if self._ending and not self._waiting:
            self.sink.close()


class _Side(asyncio.BufferedProtocol):
    """One of the two sockets of a connection."""

    def __init__(self, to_here: _Line, receive: Callable[[bytes], None], ended: Callable[[], None]) -> None:
        self._line, self._receive, self._ended = to_here, receive, ended
        self._buffer = bytearray(_READ)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(4 << 20)
        self._line.sink = transport
        self._line.flush()

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self._receive(bytes(memoryview(self._buffer)[:nbytes]))

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended()

    def pause_writing(self) -> None:
        self._line.block(True)

    def resume_writing(self) -> None:
        self._line.block(False)


class _Link:
    """A client's connection and the proxy's own to the server."""

    def __init__(self, latency: float, bandwidth: float, faults: Faults | None) -> None:
        self._down, self._up = _Line(latency, bandwidth), _Line(0.0, 0.0)
        self._handshake = latency  # connecting takes a round trip too: it is made up for with the first bytes
        self._faults, self._head, self._answer = faults, b"", _Answer(Fault())
        self.client = _Side(self._down, self._asked, self._up.end)
        self.server = _Side(self._up, self._answered, self._down.end)

    def joined(self) -> None:
        """Both sockets are there."""
        self._down.source, self._up.source = self._up.sink, self._down.sink

    def break_off(self) -> None:
        """Close both at once."""
        for line in (self._down, self._up):
            if line.sink is not None:
                line.sink.abort()

    def _asked(self, data: bytes) -> None:
        if self._faults is None:
            self._up.put(data, later=self._handshake)
            self._handshake = 0.0
            return
        self._head += data
        while b"\r\n\r\n" in self._head:
            head, _, rest = self._head.partition(b"\r\n\r\n")
            size = _body_size(head)
            if len(rest) < size:
                return
            body, self._head = rest[:size], rest[size:]
            self._faults.heads.append(head.decode("latin-1"))
            fault = self._faults.coming.popleft() if self._faults.coming else Fault()
            self._answer = _Answer(fault)
            if fault.hang_up:
                self._down.end()
            elif fault.status:
                text = f"HTTP/1.1 {fault.status} Made Up\r\n{fault.headers}Content-Length: 0\r\n\r\n"
                self._down.put(text.encode())
            else:
                self._up.put(head + b"\r\n\r\n" + body)

    def _answered(self, data: bytes) -> None:
        if self._faults is None:
            self._down.put(data)
            return
        passed, ends = self._answer.passes(data)
        self._down.put(passed)
        if ends:
            self._down.end()


def _body_size(head: bytes) -> int:
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return int(lengths[0].partition(b":")[2]) if lengths else 0


class _Answer:
    """What of one answer passes."""

    def __init__(self, fault: Fault) -> None:
        self._fault, self._head, self._body = fault, b"", -1

    def passes(self, data: bytes) -> tuple[bytes, bool]:
        """What passes of some more bytes, and whether the connection ends after it."""
        before = b""
        if self._body < 0:
            self._head += data
            before, end, data = self._head.partition(b"\r\n\r\n")
            if not end:
                return b"", False
            before, self._body = before + end, 0
        first, self._body = self._body, self._body + len(data)
        fault = self._fault
        if fault.corrupt is not None and first <= fault.corrupt < self._body:
            place = fault.corrupt - first
            data = data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]
        for most in (fault.cut, fault.stall):
            if most is not None:
                data = data[: max(0, most - first)]
        return before + data, fault.cut is not None and self._body >= fault.cut


async def _serve(
    target: tuple[str, int], latency: float, bandwidth: float, faults: Faults | None, started: Callable[[int], object]
) -> None:
    loop = asyncio.get_running_loop()
    joining: set[asyncio.Task[None]] = set()
    links: list[_Link] = []

    def accept() -> _Side:
        link = _Link(latency, bandwidth, faults)
        links.append(link)

        async def join() -> None:
            try:
                await loop.create_connection(lambda: link.server, *target)
                link.joined()
            except OSError:
                link.client._ended()

        task = loop.create_task(join())
        joining.add(task)
        task.add_done_callback(joining.discard)
        return link.client

    server = await loop.create_server(accept, "127.0.0.1", 0)
    started(server.sockets[0].getsockname()[1])
    try:
        async with server:
            await server.serve_forever()
    finally:
        for link in links:
            link.break_off()
        await asyncio.sleep(0)  # the sockets are closed in the loop's next turn


@contextmanager
def running(host: str, port: int, *, latency: float = 0.0, bandwidth: float = 0.0) -> Iterator[int]:
    """A proxy's port on 127.0.0.1; the proxy ends with the context.

    Args:
        host, port: of the server.
        latency: seconds more until an answer comes, and until a new connection is there.
        bandwidth: bytes per second of each connection's answers; 0 means no limit.
    """
    command = [sys.executable, __file__, host, str(port), str(latency), str(bandwidth)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


@contextmanager
def faulty(host: str, port: int, faults: Iterable[Fault] = (), *, latency: float = 0.0) -> Iterator[Faults]:
    """A proxy in a thread, for HTTP, that spoils the answers to the coming requests."""
    script, started = Faults(deque(faults)), threading.Event()
    loop = asyncio.new_event_loop()

    def listening(here: int) -> None:
        script.port = here
        started.set()

    def run() -> None:
        serving = loop.create_task(_serve((host, port), latency, 0.0, script, listening))
        stop.append(serving.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(serving)

    stop: list[Callable[[], object]] = []
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert started.wait(10), "the proxy did not start"
    try:
        yield script
    finally:
        loop.call_soon_threadsafe(stop[0])
        thread.join(10)
        loop.close()


if __name__ == "__main__":
    _host, _port, _latency, _bandwidth = sys.argv[1:]
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(
            _serve(
                (_host, int(_port)),
                float(_latency),
                float(_bandwidth),
                None,
                lambda port: os.write(1, f"{port}\n".encode()),
            )
        )
