"""Byte ranges come whole and right, whatever the network does to them; or an error says what it did."""

import gc
import shutil
import socket
import ssl
import subprocess
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fault_proxy import Fault, Faults, faulty
from forked import in_fork
from range_server import CONTENT, RangeServer, serving_ranges
from ropeway.errors import AccessDenied, NotFound, StoreError
from ropeway.ranges import RETRY, Counters, Counts, Hedge, Pieces, RangeClient, Retry, UrlOf
from ropeway.ranges.pace import Pace

SOON = Retry(deadline=0.4, slowest=1e12, first=0.01, cap=0.05)
EAGER = Hedge(floor=0.05, share=1.0, learn=5)


@pytest.fixture(scope="module")
def shared() -> Iterator[RangeServer]:
    with serving_ranges() as server:
        yield server


@pytest.fixture
def server(shared: RangeServer) -> RangeServer:
    shared.asked.clear()
    return shared


def at(url: str) -> UrlOf:
    return lambda _: url


def read(
    url: str, start: int = 1000, stop: int | None = 5000, *, client: RangeClient | None = None
) -> tuple[bytes, Counts]:
    counters = Counters()
    content = bytes((client or RangeClient()).read(at(url), start, stop, counters))
    return content, counters.snapshot()


@given(st.integers(0, len(CONTENT) - 1), st.integers(1, len(CONTENT)))
def test_any_range_is_what_lies_there(shared: RangeServer, start: int, size: int) -> None:
    stop = min(start + size, len(CONTENT))
    assert read(shared.url("right"), start, stop)[0] == CONTENT[start:stop]


@pytest.mark.parametrize(
    "manner",
    ["right", "in-pieces", "half", "unknown-size", "unsaid", "closing", "hangs-up", "no-ranges", "no-ranges-in-pieces",
     "moved", "mute", "busy"],
)  # fmt: skip
@pytest.mark.parametrize(("start", "stop"), [(0, 1), (0, 700_000), (900_001, len(CONTENT)), (5, 5)])
def test_servers_may_answer_as_the_standard_allows(server: RangeServer, manner: str, start: int, stop: int) -> None:
    client = RangeClient()
    for _ in range(3):
        assert read(server.url(manner), start, stop, client=client)[0] == CONTENT[start:stop]


def test_a_connection_is_used_again_and_one_that_ended_costs_no_wait(server: RangeServer) -> None:
    for manner in ("right", "hangs-up", "closing"):
        client, counters = RangeClient(retry=Retry(first=1e6, cap=1e6)), Counters()
        for _ in range(4):
            client.read(at(server.url(manner)), 7, 9, counters)
        counts = counters.snapshot()
        assert (counts.requests - counts.retries, counts.bytes) == (4, 8)
        assert counts.retries == 0 or manner == "hangs-up"  # its end may be seen before the next use, or with it


def test_a_kept_connection_that_breaks_as_it_is_used_is_replaced_at_once(server: RangeServer) -> None:
    client, counters = RangeClient(retry=Retry(first=1e6, cap=1e6)), Counters()
    with faulty("127.0.0.1", server.server_port) as proxy:
        url = server.url("right").replace(str(server.server_port), str(proxy.port))
        client.read(at(url), 0, 10, counters)
        proxy.add(Fault(hang_up=True))
        assert bytes(client.read(at(url), 5, 10, counters)) == CONTENT[5:10]
    assert counters.snapshot() == Counts(requests=3, bytes=15, retries=1)


def test_the_whole_and_the_size(server: RangeServer) -> None:
    for manner in ("right", "no-ranges"):
        assert read(server.url(manner), 0, None)[0] == CONTENT
        assert RangeClient().size(at(server.url(manner)), Counters()) == len(CONTENT)
    assert read(server.url("empty"), 0, None)[0] == b""
    assert RangeClient().size(at(server.url("empty")), Counters()) == 0


@pytest.mark.parametrize("manner", ["right", "mute", "no-ranges"])
@pytest.mark.parametrize("start", [0, len(CONTENT) - 1, len(CONTENT), len(CONTENT) + 5])
def test_past_the_end_is_an_error_with_the_size(server: RangeServer, manner: str, start: int) -> None:
    stop = len(CONTENT) + 9
    with pytest.raises(StoreError, match=f"object ends at byte {len(CONTENT)}, bytes up to {stop} were asked for"):
        read(server.url(manner), start, stop)


@pytest.mark.parametrize(
    ("manner", "kind", "says"),
    [
        ("gone", NotFound, "no such object"), ("refused", AccessDenied, "refuses this URL"),
        ("unknown", AccessDenied, "refuses this URL"), ("teapot", StoreError, r"status 418 \(Word\)"),
        ("wrong", StoreError, r"status 400 \(Word\)"), ("elsewhere", StoreError, "the range 'bytes 1001-5000/"),
        ("nonsense", StoreError, "the range 'bytes some'"), ("more", StoreError, "the range 'bytes 1000-5000/"),
        ("other-length", StoreError, "3999 bytes"), ("round", StoreError, "redirected more than"),
        ("unsafe", StoreError, "redirected to where nothing is encrypted: ftp://host/x"),
        ("replaced", StoreError, "was replaced while it was read"), ("down", StoreError, "status 503"),
        ("broken", StoreError, "status 500"), ("not-http", StoreError, "BadStatusLine"),
    ],
)  # fmt: skip
def test_what_is_not_the_range_is_an_error_without_the_secret(
    server: RangeServer, manner: str, kind: type[StoreError], says: str
) -> None:
    with pytest.raises(kind, match=says) as caught:
        read(server.url(manner, token=123456), client=RangeClient(retry=SOON))
    assert type(caught.value) is kind
    assert "123456" not in str(caught.value)
    assert caught.value.url is not None


def test_a_size_that_is_not_said_is_an_error(server: RangeServer) -> None:
    with pytest.raises(StoreError, match="does not say how many bytes"):
        read(server.url("no-length"), 0, None)
    with pytest.raises(StoreError, match="does not say how many bytes"):
        RangeClient().size(at(server.url("unknown-size")), Counters())


def test_a_server_without_ranges_is_not_read_from_end_to_end(
    server: RangeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ropeway.ranges.answer.MAX_SKIP", 999)
    with pytest.raises(StoreError, match="knows no ranges"):
        read(server.url("no-ranges"))


@pytest.mark.parametrize("manner", ["renewed", "token"])
def test_a_refused_url_is_renewed_once(server: RangeServer, manner: str) -> None:
    counters, client, asked = Counters(), RangeClient(), list[str]()

    def url_of(refused: str) -> str:
        asked.append(refused)
        return server.url(manner, token=2 if refused else 1)

    assert bytes(client.read(url_of, 3, 9, counters)) == CONTENT[3:9]
    assert asked == ["", server.url(manner, token=1)]
    assert counters.snapshot() == Counts(requests=2, bytes=6, renewals=1)
    asked.clear()
    with pytest.raises(AccessDenied):
        client.read(lambda refused: f"{server.url('refused')}{len(refused)}", 3, 9, counters)


# ---- a network that breaks


@pytest.fixture
def proxy(server: RangeServer) -> Iterator[Faults]:
    with faulty("127.0.0.1", server.server_port) as faults:
        yield faults


def through(proxy: Faults, manner: str = "right") -> str:
    return f"http://127.0.0.1:{proxy.port}/{manner}/x?token=hush"


def test_a_body_that_is_cut_goes_on_from_the_byte_reached(proxy: Faults) -> None:
    proxy.add(Fault(cut=100_001), Fault(cut=0), Fault(cut=300_000))
    content, counts = read(through(proxy), 50, 900_000)
    assert content == CONTENT[50:900_000]
    assert proxy.ranges == [f"bytes={start}-899999" for start in (50, 100_051, 100_051, 400_051)]
    assert counts == Counts(requests=4, bytes=899_950, retries=3)


@pytest.mark.parametrize("manner", ["no-ranges", "no-ranges-in-pieces", "in-pieces"])
def test_a_cut_body_is_made_up_for_whatever_the_manner(proxy: Faults, manner: str) -> None:
    proxy.add(Fault(cut=10), Fault(cut=600_000))
    assert read(through(proxy, manner), 1000, 900_000)[0] == CONTENT[1000:900_000]


@pytest.mark.parametrize("manner", ["right", "in-pieces", "half", "no-ranges", "no-ranges-in-pieces", "moved", "busy"])
def test_pieces_are_those_of_the_range_each_once_and_in_order(server: RangeServer, manner: str) -> None:
    told: list[tuple[int, bytes]] = []
    pieces = Pieces(300_000, lambda at, content: told.append((at, bytes(content))))
    RangeClient().receive(at(server.url(manner)), 1000, 900_000, Counters(), pieces)
    assert [start for start, _ in told] == [1000, 301_000, 601_000]
    assert b"".join(content for _, content in told) == CONTENT[1000:900_000]
    RangeClient().receive(at(server.url(manner)), 5, 5, Counters(), pieces)
    assert len(told) == 3


def test_pieces_that_had_come_are_kept_when_a_request_breaks_off(proxy: Faults) -> None:
    told: list[tuple[int, bytes]] = []
    pieces = Pieces(100_000, lambda at, content: told.append((at, bytes(content))))
    proxy.add(Fault(cut=250_000))
    RangeClient().receive(at(through(proxy)), 0, 500_000, Counters(), pieces)
    assert [start for start, _ in told] == list(range(0, 500_000, 100_000))
    assert b"".join(content for _, content in told) == CONTENT[:500_000]
    assert proxy.ranges[1] == "bytes=250000-499999"


def test_a_piece_is_there_before_the_range_is_and_its_memory_is_used_again(proxy: Faults) -> None:
    told: list[tuple[int, int]] = []
    held: list[memoryview] = []

    def arrived(start: int, content: memoryview) -> None:
        told.append((start, len(proxy.ranges)))
        held[:] = [content]

    proxy.add(Fault(stall=250_000))
    client = RangeClient(retry=Retry(stall=0.2))
    client.receive(at(through(proxy)), 0, 500_000, Counters(), Pieces(100_000, arrived))
    assert told == [(0, 1), (100_000, 1), (200_000, 2), (300_000, 2), (400_000, 2)]
    del held[:]
    gc.collect()
    assert client._live.buffers.lent == 0
    assert 0 < client._live.buffers.idle < 3 * 100_000  # one that is held, one that is filled


def test_the_whole_of_an_object_is_made_up_for_too(proxy: Faults) -> None:
    proxy.add(Fault(cut=100_001))
    assert read(through(proxy), 0, None)[0] == CONTENT
    assert proxy.ranges == ["", f"bytes=100001-{len(CONTENT) - 1}"]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_storm_of_failures_passes(proxy: Faults, status: int) -> None:
    proxy.add(*[Fault(status=status)] * 4)
    content, counts = read(through(proxy), client=RangeClient(retry=Retry(first=0.001)))
    assert content == CONTENT[1000:5000]
    assert counts == Counts(requests=5, bytes=4000, retries=4)


def test_a_storm_that_does_not_pass_is_an_error_that_says_how_long_it_was_tried(server: RangeServer) -> None:
    with pytest.raises(StoreError, match=r"status 503 \(gave up after \d+ tries in 0\.\d s\)") as caught:
        read(server.url("down"), client=RangeClient(retry=SOON))
    assert "token" not in str(caught.value)
    assert len(server.asked) > 3


def test_who_asks_to_wait_is_waited_for(proxy: Faults) -> None:
    now = "Date: Wed, 21 Oct 2015 07:28:00 GMT\r\n"
    proxy.add(Fault(status=429, headers="Retry-After: 1\r\n"))
    begun = monotonic()
    assert read(through(proxy), client=RangeClient(retry=Retry(first=0.001)))[0] == CONTENT[1000:5000]
    assert monotonic() - begun >= 1
    for asked in ("Retry-After: 3600\r\n", f"{now}Retry-After: Wed, 21 Oct 2015 08:28:00 GMT\r\n"):
        proxy.add(Fault(status=503, headers=asked))
        with pytest.raises(
            StoreError, match=r"after 1 tries.*the server asked to wait 3600 s more"
        ):  # and no second try
            read(through(proxy))


def test_a_stall_is_no_reason_to_wait_for_ever(proxy: Faults) -> None:
    proxy.add(Fault(stall=200_000), Fault(stall=0))
    content, counts = read(through(proxy), 0, 800_000, client=RangeClient(retry=Retry(stall=0.2)))
    assert content == CONTENT[:800_000]
    assert counts == Counts(requests=3, bytes=800_000, retries=2)
    assert proxy.ranges[1] == "bytes=200000-799999"
    proxy.add(*[Fault(stall=0)] * 9)
    with pytest.raises(StoreError, match=r"nothing came for 0\.2 s \(gave up after"):
        read(through(proxy), client=RangeClient(retry=Retry(deadline=0.5, stall=0.2, slowest=1e12)))


def test_a_connection_that_is_not_answered_is_told_and_soon() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(StoreError, match=r"connection refused \(gave up after .* nothing was ever reached there"):
        read(f"http://127.0.0.1:{port}/x", client=RangeClient(retry=Retry(unreached=0.3)))


def test_corrupt_bytes_pass_as_they_are(proxy: Faults) -> None:
    """Whoever reads samples checks their checksums; the transport has none to check."""
    proxy.add(Fault(corrupt=17))
    content, counts = read(through(proxy))
    assert [place for place in range(4000) if content[place] != CONTENT[1000 + place]] == [17]
    assert counts.retries == 0


# ---- a second request beside a late one


def learned(client: RangeClient, url: str) -> RangeClient:
    """The client, once it knows how long requests take."""
    for _ in range(EAGER.learn):
        read(url, 0, 900_000, client=client)
    return client


@pytest.mark.parametrize("reached", [0, 1, 400_000])
def test_a_late_request_is_overtaken_by_a_second_one(proxy: Faults, reached: int) -> None:
    client = learned(RangeClient(hedge=EAGER, retry=Retry(stall=100)), through(proxy))
    counters = Counters()
    held = []
    for number in range(8):
        proxy.add(Fault(stall=reached))
        held.append(client.read(at(through(proxy)), number, 900_000 + number, counters))
        assert not proxy.coming
    gc.collect()
    for number, content in enumerate(held):  # no loser has written into what was handed out
        assert content == CONTENT[number : 900_000 + number]
    counts = counters.snapshot()
    assert (counts.requests, counts.hedges, counts.retries) == (16, 8, 0)


def test_a_second_request_that_fails_does_no_harm(proxy: Faults) -> None:
    client = learned(RangeClient(hedge=EAGER, retry=Retry(stall=0.5)), through(proxy))
    counters = Counters()
    for second in (Fault(cut=100), Fault(status=503), Fault(status=404), Fault(stall=5)):
        proxy.add(Fault(stall=1000), second)
        assert client.read(at(through(proxy)), 0, 900_000, counters) == CONTENT[:900_000]
    assert (counters.snapshot().hedges, counters.snapshot().retries) == (4, 4)


def test_threads_under_all_faults_at_once_get_the_right_bytes(proxy: Faults) -> None:
    client = learned(RangeClient(hedge=EAGER, retry=Retry(first=0.001, stall=0.5)), through(proxy))
    counters = Counters()
    proxy.add(*[Fault(cut=7000), Fault(stall=5000), Fault(), Fault(status=503), Fault(stall=90_000)] * 8)
    with ThreadPoolExecutor(8) as pool:
        starts = [7919 * number for number in range(80)]
        found = list(pool.map(lambda start: client.read(at(through(proxy)), start, start + 100_000, counters), starts))
    assert [bytes(content) for content in found] == [CONTENT[start : start + 100_000] for start in starts]
    assert counters.snapshot().hedges > 0
    assert counters.snapshot().retries > 0


def test_few_requests_have_a_second_one_however_slow_all_are() -> None:
    pace = Pace(Hedge(share=0.03, saved=4, learn=20))
    assert pace.patience(1 << 20) is None
    spent = 0
    for _ in range(1000):
        pace.seen(0.01, 0.02, 1 << 20)
        spent += pace.spend()
    assert 25 <= spent <= 30
    for _ in range(1000):
        pace.seen(0.01, 0.02, 1 << 20)
    assert sum(pace.spend() for _ in range(100)) == 4


@given(st.lists(st.tuples(st.floats(1e-4, 10), st.floats(0, 10), st.integers(1, 1 << 26)), min_size=20))
def test_what_is_usual_is_not_late(requests: list[tuple[float, float, int]]) -> None:
    pace = Pace(Hedge())
    for request in requests:
        pace.seen(*request)
    sizes = [1, 1 << 10, 1 << 20, 1 << 26]
    times = [pace.patience(size) or 0.0 for size in sizes]
    assert times == sorted(times)
    assert times[0] >= Hedge().floor


@given(st.integers(1, 10_000))
def test_pauses_are_spread_from_nothing_to_their_bound(failures: int) -> None:
    pauses = [RETRY.pause(failures) for _ in range(50)]
    bound = min(RETRY.cap, RETRY.first * 2 ** min(failures - 1, 30))
    assert 0 <= min(pauses) < 0.5 * bound < max(pauses) <= bound
    assert RETRY.limit(8 << 20) < 600 / 2  # NCCL's timeout


# ---- processes, TLS, proxies


def test_a_forked_child_reads_with_connections_of_its_own(server: RangeServer) -> None:
    client, counters = RangeClient(), Counters()
    client.read(at(server.url("right")), 0, 10, counters)

    def work() -> None:
        with ThreadPoolExecutor(4) as pool:
            ranges = pool.map(lambda n: bytes(client.read(at(server.url("right")), n, n + 9, Counters())), range(40))
            assert list(ranges) == [CONTENT[n : n + 9] for n in range(40)]

    assert in_fork(work) == "ok"
    assert bytes(client.read(at(server.url("right")), 5, 10, counters)) == CONTENT[5:10]
    assert counters.snapshot() == Counts(requests=2, bytes=15)


@pytest.mark.parametrize("faults", [[], [Fault(cut=100)]], ids=["at-once", "with-a-retry"])
def test_memory_is_free_as_soon_as_nobody_refers_to_it(proxy: Faults, faults: list[Fault]) -> None:
    gc.disable()  # which would also free what refers to itself, but much later
    try:
        proxy.add(*faults)
        buffer = weakref.ref(RangeClient().read(at(through(proxy)), 1000, 5000, Counters()).obj)
        assert buffer() is None
    finally:
        gc.enable()


def open_sockets() -> int:
    links = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return sum(str(link).startswith("socket:") for link in links)


def test_connections_are_closed_with_their_client(server: RangeServer) -> None:
    before = open_sockets()
    clients = [RangeClient() for _ in range(20)]
    for client in clients:
        read(server.url("right"), client=client)
    assert open_sockets() >= before + 20
    clients.clear()
    del client
    gc.collect()
    assert open_sockets() < before + 20


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate that nobody has signed, in one file."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
         "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key", "-out", folder / "cert"],
        check=True, capture_output=True,
    )  # fmt: skip
    (folder / "both").write_bytes((folder / "key").read_bytes() + (folder / "cert").read_bytes())
    return folder / "both"


def test_https_is_verified(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    settings.load_cert_chain(certificate)
    with serving_ranges(settings) as server:
        begun = monotonic()
        with pytest.raises(StoreError, match=r"certificate is not trusted: .*SSL_CERT_FILE"):
            read(server.url("right"))
        assert monotonic() - begun < RETRY.unreached  # trying again would not help
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        client = RangeClient()
        for manner in ("right", "in-pieces", "no-ranges"):
            assert read(server.url(manner), 1000, 900_000, client=client)[0] == CONTENT[1000:900_000]


def test_over_tls_too_a_late_request_is_overtaken(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    settings.load_cert_chain(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving_ranges(settings) as server:
        url = server.url("stalls")
        client = learned(RangeClient(hedge=EAGER, retry=Retry(stall=100)), url)
        server.stalls = 1
        content, counts = read(url, 0, 900_000, client=client)
        assert content == CONTENT[:900_000]
        assert (counts.requests, counts.hedges, counts.retries) == (2, 1, 0)


def test_https_goes_through_a_proxy_of_the_environment(
    server: RangeServer, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    settings.load_cert_chain(certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("https_proxy", f"127.0.0.1:{server.server_port}")
    monkeypatch.setenv("no_proxy", "")
    with serving_ranges(settings) as secure:
        assert read(secure.url("right"), 0, 900_000)[0] == CONTENT[:900_000]
        assert server.asked == [f"127.0.0.1:{secure.server_port}"]


def test_a_proxy_of_the_environment_is_used(server: RangeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert read(server.url("right"))[0] == CONTENT[1000:5000]
    with pytest.raises(NotFound):
        read("http://far.invalid/gone/x?token=2")
    assert server.asked[-1] == "http://far.invalid/gone/x?token=2"
