"""Clients that send too much, too slowly or too often, over real sockets: refused, and the service goes on."""

import http.client
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from time import monotonic, sleep
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

import packed
from ropeway.stores import open_store
from ropeway_server import limits as limits_module
from ropeway_server import protocol
from ropeway_server.limits import Buckets
from ropeway_server.settings import Limits
from serving import serving

SMALL = Limits(
    body=2000, head=3000, rate=0, connections=12, request_seconds=0.4, stalled_seconds=0.4
)  # fmt: skip

LARGE = 16 << 20
"""Bytes: more than the kernel takes off anybody's hands."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    place = tmp_path_factory.mktemp("store")
    packed.publish(open_store(place), samples=30, per_shard=30, shape=(300, 1000))  # a shard of 18 MB
    return str(place)


@pytest.fixture(scope="module")
def service(store: str) -> Iterator[str]:
    with serving(store, limits=SMALL) as url:
        yield url


def connect(url: str) -> socket.socket:
    place = urlsplit(url)
    return socket.create_connection((place.hostname or "", place.port or 0), timeout=10)


def answer(connection: socket.socket) -> tuple[int, dict[str, object]]:
    """Status and problem that the service answers before it hangs up."""
    content = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = content.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head, content
    return int(head.split()[1]), json.loads(body)


def status(url: str, path: str = "/v1/datasets", method: str = "GET", body: bytes | Iterator[bytes] | None = None,
           **headers: str) -> int:  # fmt: skip
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)) as connection:
        connection.request(method, path, body, headers)
        found = connection.getresponse()
        found.read()
        return found.status


def alive(url: str) -> None:
    assert status(url) == 200


@given(st.lists(st.floats(0, 3), max_size=60), st.floats(0.5, 20), st.integers(1, 10))
def test_a_bucket_lets_no_more_through_than_it_says(gaps: list[float], rate: float, burst: int) -> None:
    buckets, now, passed = Buckets(rate, burst), 100.0, list[float]()
    for gap in gaps:
        now += gap
        wait = buckets.take("a", now)
        if wait:
            assert Buckets(rate, burst).take("a", now) == 0  # another client's bucket is full
        else:
            passed.append(now)
    for first, began in enumerate(passed):
        for last, ended in enumerate(passed[first:], 1):
            assert last <= burst + rate * (ended - began) + 1e-6


@given(st.floats(0.5, 20), st.integers(1, 5))
def test_who_waits_as_told_is_let_through(rate: float, burst: int) -> None:
    buckets = Buckets(rate, burst)
    waits = [buckets.take("a", 1.0) for _ in range(burst + 1)]
    assert waits[:-1] == [0] * burst
    assert buckets.take("a", 1.0 + waits[-1] + 1e-6) == 0


def test_only_so_many_clients_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits_module, "KEPT", 3)
    buckets = Buckets(1, 1)
    for client in "abcd":
        buckets.take(client, 0.0)
    assert buckets.take("d", 0.0) > 0
    assert buckets.take("a", 0.0) == 0


def test_too_many_requests_are_told_when_to_come_back(store: str) -> None:
    with (
        serving(store, limits=Limits(rate=2, burst=3)) as service,
        closing(http.client.HTTPConnection(urlsplit(service).netloc, timeout=10)) as connection,
    ):
        found, problem = list[http.client.HTTPResponse](), b""
        for _ in range(4):
            connection.request("GET", "/v1/tasks")
            found.append(connection.getresponse())
            problem = found[-1].read()
        assert [one.status for one in found] == [200, 200, 200, 429]
        assert found[-1].headers["Retry-After"] == "1"
        assert json.loads(problem)["title"] == "Too Many Requests"
        assert [status(service, path) for path in ("/healthz", "/readyz", "/metrics")] == [200] * 3
        assert b'route="none",status="429"' in _get(service, "/metrics")


def _get(url: str, path: str) -> bytes:
    with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=10)) as connection:
        connection.request("GET", path)
        return connection.getresponse().read()


@pytest.mark.parametrize("told", [True, False], ids=["told", "untold"])
@pytest.mark.parametrize("path", ["/v1/views", "/v1/views/0123456789abcdef/access", "/v1/nothing"])
def test_large_bodies_are_refused(service: str, told: bool, path: str) -> None:
    large = b'{"where": "' + b"x" * 5000 + b'"}'
    found = status(service, path, "POST", large if told else iter([large[:1500], large[1500:]]))
    assert found == (413 if told or path != "/v1/nothing" else 404)  # nobody reads a body that leads nowhere
    alive(service)


@pytest.mark.parametrize("told", [True, False], ids=["told", "untold"])
def test_who_hangs_up_after_a_large_body_gets_the_answer(service: str, told: bool) -> None:
    large = b"x" * LARGE
    how = f"Content-Length: {len(large)}" if told else "Transfer-Encoding: chunked"
    body = large if told else b"%x\r\n%b\r\n0\r\n\r\n" % (len(large), large)
    with connect(service) as connection:
        connection.sendall(f"POST /v1/views HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{how}\r\n\r\n".encode())
        connection.sendall(body)
        assert answer(connection)[0] == 413
    alive(service)


def test_who_hangs_up_after_one_request_too_many_gets_the_answer(store: str) -> None:
    head = f"POST /v1/views HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {LARGE}\r\n\r\n".encode()
    with serving(store, limits=Limits(rate=0.001, burst=1)) as service:
        assert status(service) == 200
        with connect(service) as connection:
            connection.sendall(head)
            connection.sendall(b"x" * LARGE)
            assert answer(connection)[0] == 429


def test_who_goes_on_sending_a_head_that_is_too_long_gets_the_answer(service: str) -> None:
    with connect(service) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * LARGE)
        assert answer(connection)[0] == 431
    alive(service)


def test_who_goes_on_sending_after_the_deadline_gets_the_answer(service: str) -> None:
    with connect(service) as connection:
        connection.sendall(b"POST /v1/views HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        assert connection.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 408"
        for _ in range(2):  # a closed connection would be reset by the first, and break at the second
            connection.sendall(b"x")
            sleep(0.05)
        assert answer(connection)[0] == 408
    alive(service)


def test_who_never_ends_after_a_refusal_is_dropped(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "LINGER", 0.2)

    def send_on(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 4096)
            sleep(0.01)

    with connect(service) as connection, pytest.raises((ConnectionResetError, BrokenPipeError)):
        send_on(connection)
    alive(service)


def test_who_never_ends_a_large_body_is_dropped(service: str) -> None:
    with connect(service) as connection:
        connection.sendall(b"POST /v1/views HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n")
        assert connection.recv(20).startswith(b"HTTP/1.1 413 ")
        with suppress(ConnectionResetError):
            while connection.recv(65536):
                pass
    alive(service)


def test_a_length_that_is_none_is_refused(service: str) -> None:
    for length in ("9" * 30, "-1", "1e9", "12, 13"):
        with connect(service) as connection:
            connection.sendall(f"POST /v1/views HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
            assert connection.recv(100).split()[1] in (b"400", b"413"), length
    alive(service)


@pytest.mark.parametrize(
    "head",
    [b"GET /" + b"x" * 9000, b"GET / HTTP/1.1\r\nX: " + b"x" * 9000, b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 2000,
     b"GET /v1/tasks HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 4000 + b"\r\n\r\n"],
    ids=["url", "endless header", "many headers", "complete"],
)  # fmt: skip
def test_long_heads_are_refused(service: str, head: bytes) -> None:
    with connect(service) as connection:
        connection.sendall(head)
        found, problem = answer(connection)
    assert (found, problem["title"]) == (431, "Request Header Fields Too Large")
    alive(service)


@pytest.mark.parametrize("noise", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x00" * 5000, b"SSH-2.0-x\r\n"])
def test_what_is_no_http_is_refused(service: str, noise: bytes) -> None:
    with connect(service) as connection:
        connection.sendall(noise)
        assert answer(connection)[0] in (400, 431)
    alive(service)


DRIPS = {
    "nothing": (b"", b""),
    "empty lines": (b"", b"\r\n"),
    "head": (b"GET /v1/datasets HTTP/1.1\r\nHost: x\r\n", b"X-a: b\r\n"),
    "body": (b"POST /v1/views HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", b" "),
    "chunked body": (b"POST /v1/views HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
}


@pytest.mark.parametrize("drip", DRIPS)
def test_requests_that_dribble_in_are_dropped(service: str, drip: str) -> None:
    begun, more = DRIPS[drip]
    with ExitStack() as stack:
        slow = [stack.enter_context(connect(service)) for _ in range(8)]
        began = monotonic()
        for connection in slow:
            connection.sendall(begun)
        while more and monotonic() < began + 0.25:
            alive(service)  # the others are served meanwhile
            for connection in slow:
                connection.sendall(more)
            sleep(0.05)
        for connection in slow:
            assert answer(connection)[0] == 408
        assert 0.3 < monotonic() - began < 3
    alive(service)


def test_a_second_request_on_a_connection_has_its_deadline_too(service: str) -> None:
    with connect(service) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(4096).split()[1] == b"200"
        connection.sendall(b"GET /healthz HTT")
        assert answer(connection)[0] == 408


def test_a_slow_answer_is_no_slow_request(store: str) -> None:
    """The deadline is for what a client sends: a long download goes on."""
    with serving(store, limits=SMALL) as service, connect(service) as connection:
        path = f"/v1/objects/d/{packed.VERSION}/train-000000.tar"
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        length = 0
        while content := connection.recv(1 << 20):
            length += len(content)
            sleep(0.05)
        assert length > 18_000_000


def test_who_reads_nothing_of_an_answer_is_dropped(store: str) -> None:
    with serving(store, limits=SMALL) as service, ExitStack() as stack:
        path = f"/v1/objects/d/{packed.VERSION}/train-000000.tar"
        stuck = [stack.enter_context(connect(service)) for _ in range(6)]
        for connection in stuck:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        wait_until(lambda: _in_progress(service) == 7)
        wait_until(lambda: _in_progress(service) == 1)  # the question itself
        for connection in stuck:
            assert _received(connection) < 18_000_000


def _received(connection: socket.socket) -> int:
    length = 0
    try:
        while content := connection.recv(1 << 20):
            length += len(content)
    except ConnectionResetError:
        pass
    return length


def wait_until(holds: Callable[[], bool]) -> None:
    until = monotonic() + 8
    while not holds():
        assert monotonic() < until
        sleep(0.02)


def _in_progress(service: str) -> float:
    lines = _get(service, "/metrics").decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("ropeway_requests_in_progress "))


def test_more_connections_than_allowed_are_told_so(store: str) -> None:
    patient = Limits(connections=12, request_seconds=30)
    with serving(store, limits=patient) as service:
        with ExitStack() as stack:
            held = [stack.enter_context(connect(service)) for _ in range(12)]
            with connect(service) as one_more:
                found, problem = answer(one_more)
            assert (found, problem["detail"]) == (503, "too many connections are open: come back later")
            held[0].sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")  # those that are in are served
            assert held[0].recv(4096).split()[1] == b"200"
        until = monotonic() + 5
        while (found := status(service)) == 503 and monotonic() < until:
            pass
        assert found == 200


def test_pipelined_requests_are_answered_in_order(service: str) -> None:
    asked = "GET {} HTTP/1.1\r\nHost: x\r\n{}\r\n"
    paths = ("/healthz", ""), ("/v1/nothing", ""), ("/healthz", "Connection: close\r\n")
    with connect(service) as connection:
        connection.sendall("".join(asked.format(*path) for path in paths).encode())
        content = b"".join(iter(lambda: connection.recv(65536), b""))
    assert re.findall(rb"HTTP/1.1 (\d+)", content) == [b"200", b"404", b"200"]


def test_many_clients_at_once_are_all_served(store: str) -> None:
    with serving(store) as service:
        found = list[int]()

        def ask() -> None:
            found.extend(status(service, "/v1/datasets") for _ in range(3))

        threads = [threading.Thread(target=ask) for _ in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [200] * 300


def test_shards_and_pages_are_not_held_to_the_limit_of_bodies(service: str, store: str) -> None:
    shard = Path(store) / "d" / packed.VERSION / "train-000000.tar"
    assert _get(service, f"/v1/objects/d/{packed.VERSION}/train-000000.tar") == shard.read_bytes()
