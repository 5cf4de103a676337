"""The client of the index service: the same catalog as in-process, and the bytes by URLs that end."""

import json
import multiprocessing
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import packed
import ropeway
from ropeway import errors, index, remote, wire
from ropeway import manifest as m
from ropeway.errors import AccessDenied, FormatError, NotFound, RopewayError, ServiceError, StoreError
from ropeway.remote import ServiceBytes
from ropeway.samples import ShardRef
from ropeway.stores import Store, open_store
from ropeway_server import answers
from ropeway_server import views as served_views
from ropeway_server.run import listen
from serving import serving

Answer = tuple[int, bytes]


@pytest.fixture
def store(tmp_path: Path) -> str:
    url = str(tmp_path / "store")
    packed.publish(open_store(url), "a", samples=103, lacks=[4])
    packed.publish(open_store(url), "b", samples=50, per_shard=7)
    return url


@contextmanager
def answering(answer: Callable[[str, str, str], Answer]) -> Iterator[str]:
    """The URL of an HTTP server whose answers a test makes up, of method, path and Range."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, content = answer(self.command, self.path, self.headers.get("Range") or "")
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815 - named by http.server

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def same(one: ropeway.View, other: ropeway.View) -> None:
    assert one.info == other.info
    assert one.table().shards == other.table().shards
    assert wire.pack_samples(one.table()) == wire.pack_samples(other.table())
    assert one.columns(["age", "subject", "key"]).equals(other.columns(["age", "subject", "key"]))


@pytest.mark.parametrize("rows", [1, 30, 1 << 16])
def test_views_of_several_datasets_in_pages_of_any_size(
    store: str, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served_views, "PAGE_ROWS", rows)
    with serving(store) as url:
        for asked in ({}, {"task": "cls", "where": "label <> 'b' and age > 5"}, {"parts": ["note"]}, {"datasets": ["b"]}):
            local, far = ropeway.connect(store).query(**asked), ropeway.connect(url).query(**asked)  # type: ignore[arg-type]
            same(far, local)
            same(ropeway.connect(url).view(local.id), local)


def test_labels_of_every_task_type(tmp_path: Path) -> None:
    tasks = (
        m.Task(id="bin", type="binary", classes=("no", "yes")),
        m.Task(id="many", type="multilabel", classes=("a", "b", "c")),
        m.Task(id="number", type="regression", units="mmHg"),
    )
    labels = [{"bin": 1, "many": [0, 2], "number": 2.5}, {"bin": None, "many": [], "number": None}, {"many": [1]}]
    relabel(open_store(tmp_path), tasks, labels)
    with serving(str(tmp_path)) as url:
        for task in (None, "bin", "many", "number"):
            local, far = ropeway.connect(str(tmp_path)).query(task=task), ropeway.connect(url).query(task=task)
            same(far, local)
            for name, values in local.table().labels.items():
                assert far.table().labels[name].dtype == values.dtype
                np.testing.assert_array_equal(far.table().labels[name], values)


def relabel(store: Store, tasks: tuple[m.Task, ...], labels: list[dict[str, Any]]) -> None:
    """A published dataset that has these tasks, and one sample for each of these labels."""
    packed.publish(store, samples=len(labels))
    path = f"d/{packed.VERSION}/index/00000.parquet"
    rows = index.decode(store.load(path)[0]).drop_columns(["task.cls"])
    schema = index.schema([], tasks, {})
    for task in tasks:
        name = f"task.{task.id}"
        rows = rows.append_column(name, pa.array([row.get(task.id) for row in labels], schema.field(name).type))
    content = index.encode([rows])
    manifest = m.loads(store.load(m.manifest_path("d", packed.VERSION))[0], url="")
    entry = replace(manifest.index[0], bytes=len(content), sha256="0" * 64)
    store.put(path, content)
    store.put(m.manifest_path("d", packed.VERSION), m.dumps(replace(manifest, tasks=tasks, index=(entry,))))


def test_batches_are_the_same_and_readers_survive_pickling_and_fork(store: str) -> None:
    def batches(view: ropeway.View) -> list[tuple[list[str], list[int]]]:
        loader = ropeway.StreamingLoader(view, 10, tail="pad", parts=["x"])
        return [(batch["__key__"], batch["x"].flatten().tolist()) for batch in loader]

    with serving(store) as url:
        far = ropeway.connect(url).query()
        expected = batches(ropeway.connect(store).query())
        assert batches(far) == expected
        assert batches(pickle.loads(pickle.dumps(far))) == expected
        reader = far.reader()
        first = bytes(reader.read(0, 0, 512))
        assert bytes(pickle.loads(pickle.dumps(reader)).read(0, 0, 512)) == first
        ends, child_ends = multiprocessing.Pipe()
        child = os.fork()
        if not child:
            child_ends.send(bytes(reader.read(0, 0, 512)))
            os._exit(0)
        assert ends.poll(20)
        assert ends.recv() == first
        assert os.waitpid(child, 0)[1] == 0
        assert bytes(reader.read(1, 0, 512)) != first


def free_port() -> int:
    with listen("127.0.0.1", 0) as bound:
        return int(bound.getsockname()[1])


def test_a_service_that_is_down_is_told_within_seconds() -> None:
    began = time.monotonic()
    with pytest.raises(ServiceError, match="is the index service running, and is this its address") as raised:
        ropeway.connect(f"http://127.0.0.1:{free_port()}").datasets()
    assert time.monotonic() - began < 6
    assert len(str(raised.value).splitlines()) == 1
    assert "/v1/datasets" in str(raised.value)
    began = time.monotonic()
    with pytest.raises(ServiceError, match="NameResolutionError"):
        ropeway.connect("http://no-such-host.invalid:8080").datasets()
    assert time.monotonic() - began < 30


def test_a_restart_in_between_is_survived(store: str) -> None:
    port = free_port()
    answers_ok = answering(lambda *_: (200, b"[]"))

    def later() -> None:
        time.sleep(1.0)
        with serving(store, port=port):
            done.wait(20)

    done = threading.Event()
    service = threading.Thread(target=later)
    service.start()
    try:
        assert [info.id for info in ropeway.connect(f"http://127.0.0.1:{port}").datasets()] == ["a", "b"]
    finally:
        done.set()
        service.join()
    with answers_ok as url:
        assert ropeway.connect(url).datasets() == []


def test_a_busy_service_is_asked_again() -> None:
    waiting = iter([503, 502])
    with answering(lambda *_: (next(waiting, 200), b"[]")) as url:
        assert ropeway.connect(url).tasks() == []


@pytest.mark.parametrize(
    ("status", "content", "words"),
    [(200, b"<html>hello</html>", "not an answer of an index service"), (200, b'[{"id": 3}]', "not an answer"),
     (404, b"<html>nginx</html>", "status 404"), (500, b"{}", "status 500")],
)  # fmt: skip
def test_what_is_no_index_service_is_told(status: int, content: bytes, words: str) -> None:
    with answering(lambda *_: (status, content)) as url, pytest.raises(ServiceError, match=words):
        ropeway.connect(url).datasets()


def tree(kind: type[RopewayError]) -> list[type[RopewayError]]:
    return [kind, *(found for below in kind.__subclasses__() for found in tree(below))]


@pytest.mark.parametrize("kind", [kind for kind in tree(RopewayError) if kind.__module__ == errors.__name__])
def test_every_error_comes_back_as_itself(kind: type[RopewayError], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_RETRY", remote._RETRY.new(total=0))
    answered = answers.problem(answers.status_of(kind("what is wrong")), "what is wrong", kind.__name__)
    with answering(lambda *_: (answered.status_code, bytes(answered.body))) as url, pytest.raises(kind) as raised:
        ropeway.connect(url).datasets()
    assert type(raised.value) is kind
    assert str(raised.value).startswith("what is wrong")


CONTENT = bytes(range(256)) * 8


class Access:
    """A service that gives one URL for each shard, and the server behind it; both as a test wants them."""

    def __init__(self, seconds: float = 900) -> None:
        self.seconds, self.given, self.good = seconds, 0, lambda number: True
        self.reads: list[str] = []
        self.url = ""

    def __call__(self, method: str, path: str, ranged: str) -> Answer:
        if method == "POST":
            self.given += 1
            return 200, json.dumps({"urls": {"0": f"{self.url}/s?secret={self.given}"}, "seconds": self.seconds}).encode()
        self.reads.append(path)
        if not self.good(int(path.partition("=")[2])):
            return 403, b"<Error/>"
        first, last = ranged.removeprefix("bytes=").split("-")
        return 206, CONTENT[int(first) : int(last) + 1]


@pytest.fixture
def access() -> Iterator[Access]:
    made = Access()
    with answering(made) as url:
        made.url = url
        yield made


def reader(access: Callable[[str, str, str], Answer] | Access, url: str = "") -> ServiceBytes:
    return ServiceBytes(url or access.url, "v", (ShardRef("d", "0/train-000000.tar", "train"),))  # type: ignore[union-attr]


def test_a_url_is_used_until_shortly_before_its_end(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(remote, "monotonic", lambda: now[0])
    held = reader(access)
    for seconds, renewed in ((900, 841), (60, 46), (2, 1.6)):
        access.seconds = seconds
        held._urls.clear()
        access.given = 0
        for _ in range(3):
            assert bytes(held.read(0, 10, 20)) == CONTENT[10:20]
        assert access.given == 1
        now[0] += renewed
        assert bytes(held.read(0, 0, 1)) == CONTENT[:1]
        assert access.given == 2
    assert len(held.read(0, 5, 5)) == 0


def test_a_refused_url_is_asked_for_again_once(access: Access) -> None:
    held = reader(access)
    access.good = lambda number: number >= 2
    assert bytes(held.read(0, 0, 4)) == CONTENT[:4]
    assert access.given == 2
    access.good = lambda number: False
    with pytest.raises(AccessDenied, match="clock") as raised:
        held.read(0, 0, 4)
    assert "secret" not in str(raised.value)
    assert access.given == 3


def test_one_request_for_urls_however_many_threads(access: Access) -> None:
    held = reader(access)
    threads = [threading.Thread(target=held.read, args=(0, 0, 4)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (access.given, len(access.reads)) == (1, 16)


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [(206, b"abc", StoreError), (206, b"abcdef", StoreError), (200, b"abc", StoreError), (404, b"", NotFound),
     (416, b"", StoreError), (500, b"wrong", StoreError)],
)  # fmt: skip
def test_other_bytes_than_asked_for_are_refused(status: int, content: bytes, kind: type[StoreError]) -> None:
    def answer(method: str, path: str, ranged: str) -> Answer:
        if method == "POST":
            return 200, json.dumps({"urls": {"0": f"{url}/s"}, "seconds": 900}).encode()
        return status, content

    with answering(answer) as url, pytest.raises(kind, match=r"shard 0/train-000000\.tar") as raised:
        reader(answer, url).read(0, 4, 8)
    assert type(raised.value) is kind


def test_a_server_that_knows_no_ranges_serves_too() -> None:
    def answer(method: str, path: str, ranged: str) -> Answer:
        if method == "POST":
            return 200, json.dumps({"urls": {"0": f"{url}/s"}, "seconds": 900}).encode()
        return 200, CONTENT

    with answering(answer) as url:
        for start, stop in ((0, 4), (100, 200), (100, len(CONTENT)), (0, len(CONTENT))):
            assert bytes(reader(answer, url).read(0, start, stop)) == CONTENT[start:stop]


def test_presigned_urls_end_to_end(bucket: str) -> None:
    url = f"s3://{bucket}/prefix"
    packed.publish(open_store(url), samples=53)
    with serving(url, access_seconds=30) as service:
        far, local = ropeway.connect(service).query(), ropeway.connect(url).query()
        same(far, local)
        held = far.reader()
        assert isinstance(held, ServiceBytes)
        first = far.table()
        assert bytes(held.read(0, 0, 512)) == bytes(local.reader().read(0, 0, 512))
        assert "X-Amz-Signature" in held._url(0, "")
        keys = [key for batch in ropeway.StreamingLoader(far, 10, tail="pad") for key in batch["__key__"]]
        assert set(keys) == set(first.keys.to_pylist())
        held._urls = {number: (f"{url}0", renew) for number, (url, renew) in held._urls.items()}  # a wrong signature
        assert len(held.read(1, 0, 512)) == 512


def test_pages_that_do_not_fit_are_refused(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(store) as url:
        view = ropeway.connect(url).query()
        monkeypatch.setattr(remote, "fetch", lambda *_: b"\xff")
        with pytest.raises(FormatError, match="not a page"):
            view.table()
