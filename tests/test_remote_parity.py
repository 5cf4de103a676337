"""The service's client: the answers and errors of the in-process one, and bytes that come whatever becomes of a URL."""

import multiprocessing
import multiprocessing.queues
import pickle
import re
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import numpy as np
import pytest
import urllib3

import guarded
import ropeway
import tiny_store
from ropeway.catalog import Catalog
from ropeway.errors import AccessDenied, NotFound, QueryError, RopewayError, ServiceError, StoreError, UsageError
from ropeway.ranges import RETRY, Retry
from ropeway.samples import Samples, ShardRef
from ropeway.service import Service
from ropeway.service_view import ServiceBytes
from ropeway.shard_bytes import ShardBytes
from ropeway.stores import open_store
from serving import serving

OTHER = [tiny_store.Sample(key="q", parts={"extra": ("txt", b"e")}, subject="z", meta={"height": 3.0})]
CONTENT = bytes(range(256)) * 8


@pytest.fixture
def store(tmp_path: Path) -> str:
    tiny_store.build(open_store(tmp_path / "store"))
    tiny_store.build(open_store(tmp_path / "store"), "other", OTHER, tasks=(), meta={"height": "number"})
    return str(tmp_path / "store")


@pytest.fixture
def service(store: str) -> Iterator[str]:
    with serving(store) as url:
        yield url


def assert_same(one: Samples, other: Samples) -> None:
    assert one.shards == other.shards
    assert one.keys.to_pylist() == other.keys.to_pylist()
    assert (list(one.parts), list(one.labels)) == (list(other.parts), list(other.labels))
    for name in ("shard", "offset", "length", "crc32c"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), strict=True)
    for part, spans in one.parts.items():
        np.testing.assert_array_equal(spans, other.parts[part], strict=True)
    for task, labels in one.labels.items():
        np.testing.assert_array_equal(labels, other.labels[task], strict=True)


@pytest.mark.parametrize(
    "asked",
    [
        {}, {"task": "sick"}, {"task": "rhythm", "where": "label <> 'afib'"}, {"task": "findings", "split": "train"},
        {"task": "dose", "where": "label between 1 and 9.5"}, {"parts": ["note"]}, {"where": "age > 3 or height > 1"},
        {"datasets": ["tiny"], "domain": "ECG", "modality": "ecg", "where": "sex = 'F' and not smoker"},
    ],
)  # fmt: skip
def test_a_view_is_the_same_in_process_and_over_http(store: str, service: str, asked: dict[str, Any]) -> None:
    local, far = ropeway.connect(store).query(**asked), ropeway.connect(service).query(**asked)
    assert far.info == local.info
    assert_same(far.table(), local.table())
    names = ["key", "split", "subject", *(["age"] if "tiny" in local.datasets else [])]
    assert far.columns(names).equals(local.columns(names))
    mine, theirs = local.reader(), far.reader()
    holding = set(local.table().shard.tolist())
    for number, shard in enumerate(local.table().shards):
        if number in holding:
            assert bytes(theirs.read(number, 0, shard.bytes)) == bytes(mine.read(number, 0, shard.bytes))
        else:
            with pytest.raises(AccessDenied, match="no samples in this shard"):
                theirs.read(number, 0, 1)
        assert theirs.map(number) is None


@pytest.mark.parametrize(
    ("by", "asked"),
    [(["split"], {}), ([], {}), (["label", "sex"], {"task": "findings"}), (["dataset"], {"where": "age >= 12"}),
     (["smoker"], {"split": "valid", "datasets": ["tiny"]}), (["height", "modality"], {})],
)  # fmt: skip
def test_counts_are_the_same(store: str, service: str, by: list[str], asked: dict[str, Any]) -> None:
    assert ropeway.connect(service).stats(by, **asked) == ropeway.connect(store).stats(by, **asked)


@pytest.mark.parametrize(
    ("kind", "ask"),
    [
        (NotFound, lambda catalog: catalog.manifest("nope")),
        (NotFound, lambda catalog: catalog.manifest("Not/A..Name")),
        (NotFound, lambda catalog: catalog.manifest("..")),
        (NotFound, lambda catalog: catalog.manifest("tiny", "f" * 12)),
        (NotFound, lambda catalog: catalog.manifest("tiny", "../../etc")),
        (NotFound, lambda catalog: catalog.manifest("tiny", "")),
        (NotFound, lambda catalog: catalog.view("0" * 16)),
        (NotFound, lambda catalog: catalog.view("../datasets")),
        (QueryError, lambda catalog: catalog.query(where="height_ > 3")),
        (QueryError, lambda catalog: catalog.query(where="age > 1; drop table rows")),
        (QueryError, lambda catalog: catalog.query(where="age in (select 1)")),
        (QueryError, lambda catalog: catalog.query(where="upper(sex) = 'F'")),
        (QueryError, lambda catalog: catalog.query(where="age > 'old'")),
        (QueryError, lambda catalog: catalog.query(task="nope")),
        (QueryError, lambda catalog: catalog.query(datasets=[])),
        (QueryError, lambda catalog: catalog.stats(["nope"])),
        (QueryError, lambda catalog: catalog.stats(["split"], datasets=[])),
        (UsageError, lambda catalog: catalog.stats(["split"], datasets="tiny")),
        (UsageError, lambda catalog: catalog.query(parts="ecg")),
        (UsageError, lambda catalog: catalog.query().columns(["nope"])),
    ],
)  # fmt: skip
def test_errors_are_the_same_class_in_process_and_over_http(
    store: str, service: str, kind: type[RopewayError], ask: Any
) -> None:
    for url in (store, service):
        with pytest.raises(kind) as caught:
            ask(ropeway.connect(url))
        assert type(caught.value) is kind


def test_errors_name_the_request_that_the_services_log_has(tmp_path: Path) -> None:
    """In their words where somebody else has to look into it; beside them where the words say what to do."""
    guarded.build_all(open_store(tmp_path / "store"))
    with serving(str(tmp_path / "store")) as url:
        catalog = ropeway.connect(url)
        with pytest.raises(AccessDenied, match=r"\(request [0-9a-f]{16}\)$"):
            catalog.query(datasets=["alike"]).table()  # its licence is not accepted
        with pytest.raises(AccessDenied, match=r"\(request [0-9a-f]{16}\)$"):
            ropeway.connect(url, "ropeway_0_0").datasets()
        asks: list[Callable[[], object]] = [
            lambda: catalog.view("0" * 16),
            lambda: catalog.query(where="height_ > 3"),
        ]
        for ask in asks:
            with pytest.raises((NotFound, QueryError)) as caught:
                ask()
            assert "request" not in str(caught.value)
            assert re.search(r"\(request [0-9a-f]{16}\)$", caught.value.__notes__[0])


def test_a_service_that_is_down_is_told_soon_and_with_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    began = monotonic()
    with pytest.raises(ServiceError, match="is the index service running, and is this its address") as caught:
        ropeway.connect(url).datasets()
    assert monotonic() - began < 15
    assert caught.value.url == f"{url}/v1/datasets"


def test_a_catalog_and_its_views_survive_pickling(service: str) -> None:
    view = pickle.loads(pickle.dumps(ropeway.connect(service))).query(task="sick")
    reader = view.reader()
    first = bytes(reader.read(0, 0, 512))
    again = pickle.loads(pickle.dumps((view, reader)))
    assert_same(again[0].table(), view.table())
    assert bytes(again[1].read(0, 0, 512)) == first


def _read_in_child(reader: ShardBytes, catalog: Catalog, answers: "multiprocessing.queues.Queue[Any]") -> None:
    answers.put((bytes(reader.read(0, 0, 512)), catalog.query().id))


@pytest.mark.filterwarnings("ignore:.*use of fork\\(\\):DeprecationWarning")
def test_a_forked_child_reads_even_when_a_thread_was_renewing_at_that_moment(service: str) -> None:
    context = multiprocessing.get_context("fork")
    catalog = ropeway.connect(service)
    view = catalog.query()
    reader = view.reader()
    expected = bytes(reader.read(0, 0, 512)), view.id
    answers = context.Queue()
    assert isinstance(reader, ServiceBytes)
    reader._urls.clear()
    with reader._renewing:  # as if another thread of the parent held it
        child = context.Process(target=_read_in_child, args=(reader, catalog, answers))
        child.start()
        assert answers.get(timeout=30) == expected
    child.join(10)
    assert child.exitcode == 0


class Odd(BaseHTTPRequestHandler):
    """Gives URLs of itself, and shards in a way that a test sets."""

    manner = "right"
    asked = 0
    lock = threading.Lock()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        with Odd.lock:
            Odd.asked += 1
        url = f"http://{self.headers['Host']}/shard/{Odd.asked}?secret=hush"
        self._answer(200, f'{{"urls": {{"0": "{url}"}}, "seconds": 900, "expires": 1}}'.encode())

    def do_GET(self) -> None:
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        start, stop = int(first), int(last) + 1
        stale = self.path.startswith("/shard/1?")
        match Odd.manner:
            case "refused once" if stale:
                self._answer(403, b"expired")
            case "always refused":
                self._answer(401, b"no")
            case "gone":
                self._answer(404, b"")
            case "short":
                self._answer(206, CONTENT[start : stop - 1], f"bytes {start}-{stop - 2}/{len(CONTENT)}")
            case "elsewhere":
                self._answer(206, CONTENT[start + 1 : stop + 1], f"bytes {start + 1}-{stop}/{len(CONTENT)}")
            case "no ranges":
                self._answer(200, CONTENT)
            case "no ranges, short":
                self._answer(200, CONTENT[: stop - start])
            case "breaks off":
                self._answer(206, b"", f"bytes {start}-{stop - 1}/*", length=stop - start)
            case _:
                self._answer(206, CONTENT[start:stop], f"bytes {start}-{stop - 1}/{len(CONTENT)}")

    def _answer(self, status: int, content: bytes, given: str = "", length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        if given:
            self.send_header("Content-Range", given)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@contextmanager
def odd(manner: str, retry: Retry = RETRY) -> Iterator[ServiceBytes]:
    Odd.manner, Odd.asked = manner, 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Odd)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        shard = ShardRef("tiny", tiny_store.VERSION, "tiny/x.tar", len(CONTENT), "0" * 64)
        yield ServiceBytes(Service(f"http://127.0.0.1:{server.server_port}"), "0" * 16, (shard,), retry)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(("manner", "asked"), [("right", 1), ("refused once", 2), ("no ranges", 1)])
def test_bytes_come_although_a_url_is_refused_or_ranges_are_unknown(manner: str, asked: int) -> None:
    with odd(manner) as reader:
        for start, stop in ((0, 10), (100, 300), (len(CONTENT) - 5, len(CONTENT)), (7, 7)):
            assert bytes(reader.read(0, start, stop)) == CONTENT[start:stop]
        assert Odd.asked == asked


@pytest.mark.parametrize(
    ("manner", "kind"),
    [
        ("always refused", AccessDenied), ("gone", NotFound), ("short", StoreError), ("elsewhere", StoreError),
        ("no ranges, short", StoreError), ("breaks off", StoreError),
    ],
)  # fmt: skip
def test_other_bytes_than_asked_for_are_an_error_that_keeps_the_urls_secret(
    manner: str, kind: type[RopewayError]
) -> None:
    with odd(manner, Retry(deadline=0.2, slowest=1e12)) as reader, pytest.raises(kind) as caught:
        reader.read(0, 100, 300)
    assert type(caught.value) is kind
    assert "hush" not in str(caught.value)


def test_threads_that_find_a_url_refused_ask_for_a_new_one_once() -> None:
    with odd("refused once") as reader, ThreadPoolExecutor(8) as pool:
        starts = [37 * number for number in range(40)]
        found = list(pool.map(lambda start: bytes(reader.read(0, start, start + 100)), starts))
        assert found == [CONTENT[start : start + 100] for start in starts]
        assert Odd.asked == 2


def test_urls_are_renewed_before_they_end(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(store, access_seconds=1) as service:
        reader = ropeway.connect(service).query().reader()
        asked: list[str] = []
        real = Service.ask

        def counted(service: Service, method: str, path: str, *rest: Any) -> Any:
            asked.append(path)
            return real(service, method, path, *rest)

        monkeypatch.setattr(Service, "ask", counted)
        for _ in range(3):
            reader.read(0, 0, 512)
        assert len(asked) == 1
        sleep(0.8)  # past three quarters of their life
        reader.read(0, 0, 512)
        assert len(asked) == 2


def test_presigned_urls_of_a_real_s3_are_read_and_renewed_when_they_end(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"s3://{bucket}/climb"
    tiny_store.build(open_store(url))
    with serving(url, access_seconds=3) as service:  # S3 counts whole seconds: less may have ended before it is used
        view = ropeway.connect(service).query(split="train")
        reader = view.reader()
        assert isinstance(reader, ServiceBytes)
        shard = view.table().shards[0]
        expected = bytes(ropeway.connect(url).query(split="train").reader().read(0, 0, shard.bytes))
        assert bytes(reader.read(0, 0, shard.bytes)) == expected
        signed = reader._urls[0][0]
        assert "X-Amz-Signature" in signed
        assert "/v1/objects/" not in signed
        reader._urls = {number: (given, monotonic() + 900) for number, (given, _) in reader._urls.items()}
        sleep(4.5)  # it has ended, and this host's clock doesn't know
        with urllib3.PoolManager() as http:
            assert http.request("GET", signed).status == 403
        assert bytes(reader.read(0, 512, 2048)) == expected[512:2048]
        assert reader._urls[0][0] != signed


def test_a_missing_bucket_is_told_before_anything_is_served(bucket: str) -> None:
    from ropeway_server.metrics import Metrics
    from ropeway_server.service import open_service
    from ropeway_server.settings import Settings

    with pytest.raises(NotFound, match="no such bucket"):
        open_service(Settings(store=f"s3://{bucket}-not/climb"), Metrics())
