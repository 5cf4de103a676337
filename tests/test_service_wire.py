"""What goes over the wire: pages by any encoding and range, Arrow, and requests that nobody should send."""

import json
import struct
from collections.abc import Iterator
from functools import partial
from typing import Any

import msgpack
import pyarrow as pa
import pytest
import urllib3

import packed
import ropeway
import tiny_store
from ropeway import samples, wire
from ropeway.errors import FormatError, QueryError
from ropeway.samples import Late
from ropeway.stores import open_store
from ropeway_server.pages import Page, Pages
from serving import serving

http = urllib3.PoolManager()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("wire")
    packed.publish(open_store(root), samples=400)
    tiny_store.build(open_store(root))
    return str(root)


@pytest.fixture(scope="module")
def service(store: str) -> Iterator[str]:
    with serving(store) as url:
        yield url


def call(method: str, url: str, body: Any = None, **headers: str) -> urllib3.BaseHTTPResponse:
    content = json.dumps(body) if isinstance(body, dict | list) else body
    return http.request(method, url, body=content, headers=headers, retries=False, decode_content=False, timeout=30)


@pytest.fixture(scope="module")
def page(service: str) -> str:
    """The URL of a view's page, without its number."""
    view = call("POST", f"{service}/v1/views", {"where": "age < 80"}).json()["id"]
    return f"{service}/v1/views/{view}/samples?page="


def test_pages_hold_only_what_their_dataset_has(service: str, page: str, store: str) -> None:
    pages = [msgpack.unpackb(call("GET", f"{page}{number}").data)["columns"] for number in range(2)]
    assert {"x.offset", "task.cls"} <= set(pages[0])
    assert not any(name.startswith("scan") for name in pages[0])
    assert {"scan.offset", "task.findings"} <= set(pages[1])
    assert not any(name.startswith("x.") for name in pages[1])
    far, near = (ropeway.connect(url).query(where="age < 80").table() for url in (service, store))
    assert wire.pack_samples(far) == wire.pack_samples(near)  # what a page lacks is missing in all its rows


def ints(column: Any) -> tuple[int, ...]:
    """A column of whole numbers, by nothing but what `ropeway.wire` says of it."""
    (rows,) = column["shape"]
    return struct.unpack(f"<{rows}{ {'<i4': 'i', '<i8': 'q', '<u4': 'I'}[column['dtype']] }", column["data"])


def test_a_layout_is_read_with_nothing_but_msgpack_and_struct(page: str) -> None:
    view = page.partition("/samples")[0]
    pages = [msgpack.unpackb(call("GET", f"{page}{number}").data)["columns"] for number in range(2)]
    expected = {name: sum((ints(one[name]) for one in pages), ()) for name in ("shard", "offset", "length", "crc32c")}
    told = msgpack.unpackb(call("GET", f"{view}/layout").data)["columns"]
    shard, length = ints(told["shard"]), ints(told["length"])
    offsets, at = list[int](), dict[int, int]()
    for number, gap, size in zip(shard, ints(told["gap"]), length, strict=True):
        offsets.append(at.get(number, 0) + gap)
        at[number] = offsets[-1] + size
    assert (shard, tuple(offsets), length) == tuple(expected[name] for name in ("shard", "offset", "length"))

    spans = msgpack.unpackb(call("GET", f"{view}/layout/note").data)["columns"]
    parts = sum((tuple(zip(ints(one["note.offset"]), ints(one["note.length"]), strict=True)) for one in pages), ())
    for offset, lead, size, (there, long) in zip(
        offsets, ints(spans["lead"]), ints(spans["length"]), parts, strict=True
    ):
        assert (size == -1) if there == -1 else ((offset + lead, size) == (there, long))
    details = msgpack.unpackb(call("POST", f"{view}/details", {"rows": [[1, 3], [5, 6]]}).data)["columns"]
    assert ints(details["crc32c"]) == tuple(expected["crc32c"][row] for row in (1, 2, 5))
    assert details["key"]["data"] == b"k000001k000002k000005"


def test_a_page_in_demand_is_compressed(service: str) -> None:
    view = call("POST", f"{service}/v1/views", {"where": "age < 70"}).json()["id"]
    url = f"{service}/v1/views/{view}/samples"
    plain = call("GET", url)
    assert "content-encoding" not in plain.headers
    first, second = (call("GET", url, **{"Accept-Encoding": "gzip, zstd"}) for _ in range(2))
    assert (first.data, first.headers["etag"]) == (plain.data, plain.headers["etag"])
    assert (second.headers["content-encoding"], wire.decompressed(second.data)) == ("zstd", plain.data)
    assert second.headers["etag"] != plain.headers["etag"]
    assert second.headers["vary"] == "Accept, Accept-Encoding, Authorization"
    assert len(second.data) < len(plain.data) / 2
    for refused in ("identity", "zstd;q=0", "zstd; q=0.0"):
        assert "content-encoding" not in call("GET", url, **{"Accept-Encoding": refused}).headers
    for answer in (plain, second):
        again = call("GET", url, **{"Accept-Encoding": "zstd", "If-None-Match": answer.headers["etag"]})
        assert (again.status, again.data) == (304, b"")


def test_pages_are_read_by_range(page: str) -> None:
    whole = call("GET", f"{page}0")
    part = call("GET", f"{page}0", Range="bytes=100-299")
    assert (part.status, part.data) == (206, whole.data[100:300])
    assert part.headers["content-range"] == f"bytes 100-299/{len(whole.data)}"
    tail = call("GET", f"{page}0", Range="bytes=-7", **{"If-Range": whole.headers["etag"]})
    assert (tail.status, tail.data) == (206, whole.data[-7:])
    other = call("GET", f"{page}0", Range="bytes=0-9", **{"If-Range": '"another"'})
    assert (other.status, other.data) == (200, whole.data)
    beyond = call("GET", f"{page}0", Range="bytes=99999999-")
    assert (beyond.status, beyond.headers["content-range"]) == (416, f"bytes */{len(whole.data)}")


def test_a_page_as_arrow_has_the_same_columns(page: str) -> None:
    for number in range(2):
        plain: dict[str, Any] = wire.unpack_columns(call("GET", f"{page}{number}").data)
        answer = call("GET", f"{page}{number}", Accept=wire.ARROW)
        assert answer.headers["content-type"] == wire.ARROW
        table = pa.ipc.open_stream(answer.data).read_all()
        assert table.schema.names == list(plain)
        for name, column in plain.items():
            expected = column.to_pylist() if isinstance(column, pa.StringArray) else column.tolist()
            assert repr(table.column(name).to_pylist()) == repr(expected)  # NaN is like NaN


HUGE = {"datasets": ["d"] * 200_000}


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/views", {"where": "age > 1; drop table rows"}, 422),
        ("POST", "/v1/views", {"where": "age in (select 1)"}, 422),
        ("POST", "/v1/views", {"where": "read_csv('/etc/passwd') = 1"}, 422),
        ("POST", "/v1/views", {"where": "'; ATTACH 'x' --"}, 422),
        ("POST", "/v1/views", {"where": "(" * 5000}, 422),
        ("POST", "/v1/views", {"where": "age = " + "9" * 5000}, 422),
        ("POST", "/v1/views", {"datasets": ["../../etc"]}, 422),
        ("POST", "/v1/views", {"datasets": {"d": 1}}, 422),
        ("POST", "/v1/views", HUGE, 422),
        ("POST", "/v1/views", b"[" * 100_000, 400),
        ("POST", "/v1/views", b" " * (2 << 20), 413),
        ("POST", "/v1/views", b'{"where": "' + b"\xff\xfe" + b'"}', (400, 422)),
        ("POST", "/v1/views", b"\x00" * 100, 422),
        ("POST", "/v1/views", b"", 422),
        ("POST", "/v1/views", {"kind": "magic"}, 422),
        ("POST", "/v1/views", {"kind": "limit", "count": 1, "of": {"kind": "limit"}}, 422),
        ("POST", "/v1/views", {"kind": "query", "query": {}, "versions": {"../x": "y"}}, 404),
        ("POST", "/v1/views", {"kind": "query", "query": {}, "versions": {"d": "../../../etc"}}, 404),
        ("GET", "/v1/views/ffffffffffffffff", None, 404),
        ("GET", "/v1/views/%2e%2e%2fd", None, 404),
        ("GET", "/v1/views/%ff%fe", None, 404),
        ("GET", "/v1/views/nobody-named-it-so", None, 404),
        ("GET", "{view}/samples?page=-1", None, 422),
        ("GET", "{view}/samples?page=99999", None, 404),
        ("GET", "{view}/samples?page=1e3", None, 422),
        ("GET", "{view}/samples?page=" + "9" * 400, None, 422),
        ("GET", "{view}/columns", None, 422),
        ("GET", "{view}/columns?name=nope", None, 422),
        ("GET", "{view}/columns?" + "&".join(["name=age"] * 300), None, 422),
        ("POST", "{view}/access", {"shards": [10**9]}, 422),
        ("POST", "{view}/access", {"shards": [-1]}, 422),
        ("POST", "{view}/access", {"shardz": [0]}, 422),
        ("POST", "{view}/access", {"shards": ["x"]}, 422),
        ("GET", "/v1/stats?by=nope", None, 422),
        ("GET", "/v1/stats?by=%ff", None, 422),
        ("GET", "/v1/stats?where=" + "(" * 3000, None, 422),
        ("GET", "/v1/samples/d/%00", None, 404),
        ("GET", "/v1/samples/d/" + "a/" * 2000 + "a", None, 404),
        ("PUT", "/v1/saved/..%2fx", {"view": "0" * 16}, (404, 405)),
        ("PUT", "/v1/saved/x", {"view": "0" * 16}, 401),
        ("PUT", "/v1/saved/x", {"view": 3}, 422),
        ("DELETE", "/v1/saved/x", None, 405),
        ("GET", "/v2/views", None, 404),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_nobody_should_send_is_a_problem_and_the_service_lives(
    service: str, page: str, method: str, path: str, body: Any, status: Any
) -> None:
    url = path.replace("{view}", page.partition("/samples")[0].removeprefix(service))
    answer = call(method, service + url, body)
    assert answer.status in (status if isinstance(status, tuple) else (status,)), answer.data[:300]
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == answer.status
    assert len(answer.data) < 3000
    assert not any(word in answer.data for word in (b"Traceback", b"sqlite", b"duckdb", b"file://", b"/site-packages/"))
    assert call("GET", f"{service}/healthz").status == 200


def test_an_answer_has_a_bounded_number_of_groups(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ropeway.counting.MOST", 10)
    catalog = ropeway.connect(store)
    assert len(catalog.stats(["split", "label"], task="cls")) == 3
    with pytest.raises(QueryError, match="by key gives more than 10 combinations: count by fewer columns"):
        catalog.stats(["key"], datasets=["d"])


def test_pages_are_kept_within_a_bound_and_made_once() -> None:
    pages, made = Pages(limit=250), list[int]()

    def make(number: int) -> bytes:
        made.append(number)
        return bytes(100)

    for number in (0, 1, 0, 2, 0, 1):  # two fit: 1 goes when 2 comes
        assert pages.get(("v", f"{number}"), partial(make, number)).plain == bytes(100)
    assert made == [0, 1, 2, 1]
    with pytest.raises(FormatError):
        pages.get(("v", "9"), lambda: wire.decompressed(b"no zstd"))
    assert pages.get(("v", "9"), lambda: b"now").plain == b"now"
    assert Page(b"x").zstd() is None


def test_late_columns_are_made_when_they_are_looked_at() -> None:
    made = list[str]()

    def make(name: str) -> str:
        made.append(name)
        return name.upper()

    columns = Late({name: partial(make, name) for name in "ab"})
    assert (len(columns), list(columns), "a" in columns.keys() - {"b"}) == (2, ["a", "b"], True)
    assert not made
    assert (columns["b"], columns["b"], made) == ("B", "B", ["b"])
    assert samples.PAGE_ROWS > 0
