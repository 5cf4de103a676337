"""The index service over real HTTP: what it answers, what it refuses, what it keeps."""

import json
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import msgpack
import pytest
import urllib3

import packed
import ropeway
from ropeway import samples, wire
from ropeway.stores import open_store
from ropeway_server.database import metadata
from ropeway_server.routes.objects import byte_range
from serving import serving

SHARD = f"d/{packed.VERSION}/train-000000.tar"
http = urllib3.PoolManager()


@pytest.fixture
def store(tmp_path: Path) -> str:
    packed.publish(open_store(tmp_path / "store"), samples=103, lacks=[4])
    return str(tmp_path / "store")


@pytest.fixture
def service(store: str) -> Iterator[str]:
    with serving(store) as url:
        yield url


def call(method: str, url: str, body: object = None, **headers: str) -> urllib3.BaseHTTPResponse:
    content = None if body is None else json.dumps(body)
    return http.request(method, url, body=content, headers=headers, redirect=False, retries=False)


def test_it_lives_and_is_ready(service: str, store: str) -> None:
    assert call("GET", f"{service}/healthz").json() == {"status": "ok"}
    assert call("GET", f"{service}/readyz").json() == {"status": "ready"}


def test_answers_are_the_same_in_json_and_msgpack(service: str) -> None:
    view = call("POST", f"{service}/v1/views", {"where": "age > 50"}).json()
    for path in (
        "/v1/datasets", "/v1/datasets/d", f"/v1/datasets/d?version={packed.VERSION}", "/v1/tasks",
        "/v1/stats?by=split&by=label&task=cls", f"/v1/views/{view['id']}", f"/v1/views/{view['id']}/shards",
        "/v1/samples/d/k000007",
    ):  # fmt: skip
        plain = call("GET", service + path)
        assert plain.status == 200, plain.data
        assert plain.headers["content-type"] == "application/json"
        columnar = call("GET", service + path, Accept="application/msgpack")
        assert columnar.headers["content-type"] == "application/msgpack"
        assert msgpack.unpackb(columnar.data) == plain.json()


def test_what_there_is(service: str, store: str) -> None:
    local = ropeway.connect(store)
    remote = ropeway.connect(service)
    assert remote.datasets() == local.datasets()
    assert remote.tasks() == local.tasks()
    assert remote.manifest("d") == local.manifest("d")
    asked: dict[str, Any] = {"task": "cls", "where": "age < 40"}
    assert remote.stats(["label", "split"], **asked) == local.stats(["label", "split"], **asked)


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("GET", "/v1/datasets/nope", None, 404, "no such dataset"),
        ("GET", "/v1/datasets/UP", None, 404, "not a dataset id"),
        ("GET", "/v1/nothing", None, 404, "Not Found"),
        ("DELETE", "/v1/datasets", None, 405, "Method Not Allowed"),
        ("GET", "/v1/stats?by=height", None, 422, "unknown column 'height'"),
        ("POST", "/v1/views", {"splt": "train"}, 422, "a query has no field 'splt'"),
        ("POST", "/v1/views", {"task": 3}, 422, "not a query"),
        ("POST", "/v1/views", ["task"], 422, "body"),
        ("POST", "/v1/views", {"task": "nope"}, 422, "unknown task 'nope'; there is: cls"),
        ("POST", "/v1/views", {"where": "height > 3"}, 422, "unknown column 'height'"),
        ("POST", "/v1/views", {"where": "age > 3; drop table rows"}, 422, "without semicolons"),
        ("POST", "/v1/views", {"where": "age > (select 1)"}, 422, "may not contain"),
        ("POST", "/v1/views", {"where": "age > 'x'"}, 422, "age is a number"),
        ("POST", "/v1/views", {"where": "age > 1000"}, 422, "no sample matches"),
        ("GET", "/v1/views/0000000000000000", None, 404, "no view"),
        ("GET", "/v1/samples/d/k999999", None, 404, "no such sample"),
        ("GET", "/v1/samples/d/k000004/note", None, 404, "lacks the part 'note'"),
        ("GET", "/v1/objects/d/latest.json", None, 404, "no such shard"),
        ("GET", f"/v1/objects/d/{packed.VERSION}/manifest.json", None, 404, "no such shard"),
        ("GET", f"/v1/objects/d/{packed.VERSION}/index/00000.parquet", None, 404, "no such shard"),
        ("GET", "/v1/objects/%2e%2e/%2e%2e/etc/passwd", None, 404, "no such shard"),
        ("GET", f"/v1/objects/d/{packed.VERSION}/%2e%2e/{packed.VERSION}/train-000000.tar", None, 404, "no such shard"),
    ],
)
def test_problems_are_documents(service: str, method: str, path: str, body: object, status: int, words: str) -> None:
    answer = call(method, service + path, body)
    assert answer.status == status, answer.data
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert words in problem["detail"]
    assert "Traceback" not in problem["detail"]


def test_pages_are_immutable_and_end_with_shards(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samples, "PAGE_ROWS", 30)
    with serving(store) as service:
        view = call("POST", f"{service}/v1/views", {}).json()
        shards = call("GET", f"{service}/v1/views/{view['id']}/shards").json()
        assert shards["pages"] == [[0, 40], [40, 80], [80, 103]]
        page = call("GET", f"{service}/v1/views/{view['id']}/samples?page=1")
        assert "immutable" in page.headers["cache-control"]
        again = {"If-None-Match": page.headers["etag"]}
        unchanged = call("GET", f"{service}/v1/views/{view['id']}/samples?page=1", **again)
        assert (unchanged.status, unchanged.data) == (304, b"")
        beyond = call("GET", f"{service}/v1/views/{view['id']}/samples?page=3")
        assert (beyond.status, "3 pages" in beyond.json()["detail"]) == (404, True)
        whole = ropeway.connect(service).query().table()
        assert whole.keys.to_pylist() == [f"k{i:06d}" for i in range(103)]


def decoded(data: bytes) -> Any:
    """As much msgpack as a page has, with nothing but struct: what a reader in another language needs."""
    place = 0

    def take(count: int) -> bytes:
        nonlocal place
        place += count
        return data[place - count : place]

    def number(form: str) -> int:
        return int(struct.unpack(form, take(struct.calcsize(form)))[0])

    def value() -> Any:  # noqa: PLR0911 - one return per type
        head = take(1)[0]
        if head < 0x80:
            return head
        if head < 0x90:
            return {value(): value() for _ in range(head & 0x0F)}
        if head < 0xA0:
            return [value() for _ in range(head & 0x0F)]
        if head < 0xC0:
            return take(head & 0x1F).decode()
        sizes = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I"}
        if head in sizes:
            return take(number(sizes[head]))
        if head == 0xD9:
            return take(number(">B")).decode()
        if head in (0xDE, 0xDF):
            return {value(): value() for _ in range(number(">H" if head == 0xDE else ">I"))}
        return number({0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"}[head])

    return value()


def test_a_page_is_readable_with_struct_alone(service: str, store: str) -> None:
    view = call("POST", f"{service}/v1/views", {}).json()
    page = decoded(call("GET", f"{service}/v1/views/{view['id']}/samples").data)
    table = ropeway.connect(store).query().table()
    assert page["rows"] == 103
    keys = page["columns"]["key"]
    ends = struct.unpack("<104i", keys["offsets"])
    assert [keys["data"][a:b].decode() for a, b in pairwise(ends)] == table.keys.to_pylist()
    for name, expected in (("offset", table.offset), ("note.length", table.parts["note"][1])):
        assert page["columns"][name]["dtype"] == "<i8"
        assert list(struct.unpack("<103q", page["columns"][name]["data"])) == expected.tolist()
    assert list(struct.unpack("<103I", page["columns"]["crc32c"]["data"])) == table.crc32c.tolist()
    assert list(struct.unpack("<103i", page["columns"]["task.cls"]["data"])) == table.labels["cls"].tolist()


def test_the_same_view_in_process_and_over_http(service: str, store: str) -> None:
    for asked in ({}, {"task": "cls", "where": "label <> 'b'"}, {"parts": ["note"], "split": "train"}):
        local = ropeway.connect(store).query(**asked)
        remote = ropeway.connect(service).query(**asked)
        assert remote.id == local.id
        assert remote.info == local.info
        assert wire.pack_samples(remote.table()) == wire.pack_samples(local.table())
        assert remote.table().shards == local.table().shards
        assert remote.columns(["age", "subject"]).equals(local.columns(["age", "subject"]))
        assert ropeway.connect(service).view(local.id).id == local.id


def test_batches_are_the_same_through_the_service(service: str, store: str) -> None:
    def batches(url: str) -> list[tuple[list[str], list[int]]]:
        loader = ropeway.StreamingLoader(ropeway.connect(url).query(), 10, tail="pad")
        return [(batch["__key__"], batch["x"].flatten().tolist()) for batch in loader]

    assert batches(service) == batches(store)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("bytes=0-9", (0, 10)), ("bytes=90-", (90, 100)), ("bytes=-7", (93, 100)), ("bytes=95-200", (95, 100)),
     ("bytes=-500", (0, 100)), ("bytes=100-", None), ("bytes=5-2", None), ("bytes=-", None), ("bytes=-0", None),
     ("bytes=1-2,4-5", None), ("lines=1-2", None), ("bytes=a-b", None)],
)  # fmt: skip
def test_byte_ranges(asked: str, expected: tuple[int, int] | None) -> None:
    assert byte_range(asked, 100) == expected


def test_the_range_proxy_gives_the_shards_bytes(service: str, store: str) -> None:
    content = Path(store, SHARD).read_bytes()
    whole = call("GET", f"{service}/v1/objects/{SHARD}")
    assert (whole.status, whole.data) == (200, content)
    part = call("GET", f"{service}/v1/objects/{SHARD}", Range="bytes=512-1535")
    assert (part.status, part.data) == (206, content[512:1536])
    assert part.headers["content-range"] == f"bytes 512-1535/{len(content)}"
    last = call("GET", f"{service}/v1/objects/{SHARD}", Range="bytes=-1024")
    assert last.data == bytes(1024)
    head = call("HEAD", f"{service}/v1/objects/{SHARD}")
    assert (head.status, head.headers["content-length"]) == (200, str(len(content)))
    beyond = call("GET", f"{service}/v1/objects/{SHARD}", Range=f"bytes={len(content)}-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(content)}")


def test_single_samples(service: str) -> None:
    sample = call("GET", f"{service}/v1/samples/d/k000007").json()
    assert sample["labels"] == {"cls": "b"}
    assert sample["meta"] == {"age": 7}
    assert sample["subject"] == "s1"
    assert set(sample["parts"]) == {"x", "note"}
    note = call("GET", f"{service}/v1/samples/d/k000007/note")
    assert (note.data, note.headers["content-type"].partition(";")[0]) == (b"sample 7", "text/plain")
    array = call("GET", f"{service}/v1/samples/d/k000007/x")
    assert array.data[:6] == b"\x93NUMPY"


def test_metrics_name_routes_and_no_samples(service: str) -> None:
    call("GET", f"{service}/v1/samples/d/k000007")
    call("GET", f"{service}/v1/objects/{SHARD}")
    text = call("GET", f"{service}/metrics").data.decode()
    assert 'route="/v1/samples/{dataset}/{path:path}"' in text
    assert "ropeway_proxied_bytes_total" in text
    assert "k000007" not in text


def test_the_openapi_document_describes_every_route(service: str) -> None:
    document = call("GET", f"{service}/openapi.json").json()
    assert "/v1/views/{view_id}/samples" in document["paths"]
    for path, methods in document["paths"].items():
        for method, described in methods.items():
            assert described.get("summary"), (method, path)
            assert described.get("description"), (method, path)
    assert call("GET", f"{service}/docs").status == 200


def test_new_datasets_and_versions_appear_without_restart(service: str, store: str) -> None:
    remote = ropeway.connect(service)
    before = remote.query().id
    packed.publish(open_store(store), "e", samples=20)
    until = monotonic() + 10
    while len(remote.datasets()) == 1 and monotonic() < until:  # it is looked for once in a second
        sleep(0.05)
    assert [dataset.id for dataset in remote.datasets()] == ["d", "e"]
    assert remote.query().id != before
    assert remote.view(before).samples == 103


def test_a_restart_keeps_views_and_replicas_share_them(store: str, tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'state.db'}"
    with serving(store, database) as first, serving(store, database) as second:
        view = ropeway.connect(first).query(where="age < 30")
        assert ropeway.connect(second).view(view.id).samples == view.samples
    with serving(store, database) as later:
        assert ropeway.connect(later).view(view.id).info == view.info


def test_migrations_make_the_schema_that_the_code_uses(tmp_path: Path) -> None:
    import sqlalchemy as sa
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    url = f"sqlite:///{tmp_path / 'state.db'}"
    script = "import sys; from ropeway_server.database import Database; Database(sys.argv[1]).close()"
    replicas = [subprocess.Popen([sys.executable, "-c", script, url]) for _ in range(3)]  # that start together
    assert [replica.wait(60) for replica in replicas] == [0, 0, 0]
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


def test_many_clients_at_once(service: str) -> None:
    def ask(number: int) -> tuple[int, int]:
        view = ropeway.connect(service).query(where=f"age < {10 + number % 5}")
        return view.samples, len(view.table())

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(48)))
    for number, (count, rows) in enumerate(answers):
        limit = 10 + number % 5
        assert count == rows == sum(i % 90 < limit for i in range(103))


def test_it_is_not_ready_without_its_store(store: str, tmp_path: Path) -> None:
    with serving(store) as service:
        Path(store).rename(tmp_path / "elsewhere")
        Path(store).write_text("not a folder")
        answer = call("GET", f"{service}/readyz")
        assert answer.status >= 500
        assert answer.headers["content-type"] == "application/problem+json"


def test_urls_are_renewed_before_they_end(store: str) -> None:
    with serving(store, access_seconds=2) as service:
        view = ropeway.connect(service).query()
        reader = view.reader()
        first = bytes(reader.read(0, 0, 512))
        reader._urls = {number: (url + "-stale", 0.0) for number, (url, _) in reader._urls.items()}  # type: ignore[attr-defined]
        assert bytes(reader.read(0, 0, 512)) == first


def serve(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "ropeway.cli", "serve", "--database", "sqlite://", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_command_serves_and_ends_on_sigterm(store: str) -> None:
    process = serve("--store", store, "--port", "0")
    assert process.stdout
    line = process.stdout.readline()
    url = line.split(" at ")[1].split()[0]
    held = urllib3.HTTPConnectionPool("127.0.0.1", int(url.rpartition(":")[2]), maxsize=1)
    assert held.request("GET", "/healthz").status == 200  # a client that keeps its connection
    threading.Timer(0.0, process.terminate).start()
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 0, errors
    held.close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--store", "ftp://x/y"), "not a store URL"),
        (("--store", "s3:///prefix"), "no bucket in the store URL"),
        (("--database", "oracle+nothing://u:secret@h/db"), "not a database URL"),
        (("--database", "sqlite:////nowhere/at/all.db"), "the database cannot be used"),
    ],
)
def test_what_it_cannot_serve_is_told_in_one_line(store: str, arguments: tuple[str, ...], words: str) -> None:
    process = serve("--store", store, "--port", "0", *arguments)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert words in errors
    assert "secret" not in errors
    assert len(errors.strip().splitlines()) == 1
    assert out == ""


def test_a_port_in_use_is_told(service: str, store: str) -> None:
    process = serve("--store", store, "--port", service.rpartition(":")[2])
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "it is in use: give another --port" in errors
