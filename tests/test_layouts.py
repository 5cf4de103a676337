"""Where a view's samples lie, told before anything else of them; and the rest, of the rows that a rank delivers."""

import json
import signal
import struct
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import urllib3
from hypothesis import given
from hypothesis import strategies as st

import packed
import ropeway
import tiny_store
from ropeway import arriving, layouts, service_view, wire
from ropeway.errors import FormatError, ServiceError
from ropeway.layouts import Details
from ropeway.manifest import object_path
from ropeway.samples import Ints, Layout, Samples, ShardRef
from ropeway.service import Service
from ropeway.service_view import ServiceSource
from ropeway.stores import open_store
from served_process import served
from serving import serving

http = urllib3.PoolManager()
REFS = tuple(ShardRef("d", tiny_store.VERSION, f"d/{number}.tar", 1 << 40, "0" * 64) for number in range(5))
CHEST = [tiny_store.Sample(key=f"c{age}", parts={"cxr": ("txt", b"%d" % age)}, meta={"age": age}) for age in range(9)]
LONG = st.integers(0, 1 << 36)
ROWS = st.lists(st.tuples(st.integers(0, 4), LONG, LONG, st.integers(-1, 1 << 33), LONG), max_size=20)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("layouts")
    packed.publish(open_store(root), samples=400, lacks=range(5, 400, 9))
    tiny_store.build(open_store(root))
    tiny_store.build(open_store(root), "chest", CHEST, tasks=(), meta={"age": "integer"})
    return str(root)


@pytest.fixture(scope="module")
def service(store: str) -> Iterator[str]:
    with serving(store) as url:
        yield url


@pytest.fixture
def piecemeal(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
    """Every view is a large one; what is fetched of them: paths of pages, and rows of details."""
    asked = list[tuple[str, Any]]()
    page, details = ServiceSource._page, ServiceSource.details

    def told_page(source: ServiceSource, name: str) -> bytes | memoryview:
        asked.append(("page", name))
        return page(source, name)

    def told_details(source: ServiceSource, rows: Ints) -> Details:
        asked.append(("rows", rows.tolist()))
        return details(source, rows)

    monkeypatch.setattr(service_view, "WHOLE", 0)
    monkeypatch.setattr(layouts, "ROWS", 150)
    monkeypatch.setattr(arriving, "FIRST_ROWS", 8)
    monkeypatch.setattr(arriving, "MOST_ROWS", 32)
    monkeypatch.setattr(ServiceSource, "_page", told_page)
    monkeypatch.setattr(ServiceSource, "details", told_details)
    return asked


def numbers(asked: list[tuple[str, Any]]) -> list[int]:
    """The rows that were asked for, in the order of asking."""
    return [row for what, rows in asked if what == "rows" for row in rows]


@given(ROWS)
def test_a_layout_comes_back_as_it_was(rows: list[tuple[int, ...]]) -> None:
    shard, offset, length, *_ = np.array(sorted(rows), np.int64).reshape(-1, 5).T
    layout = Layout(REFS, shard.astype(np.int32), offset, length)
    again = layouts.unpack(layouts.pack(layout), REFS)
    for name in ("shard", "offset", "length"):
        np.testing.assert_array_equal(getattr(again, name), getattr(layout, name), strict=True)


@given(ROWS.filter(bool))
def test_spans_come_back_as_they_were_and_wrong_ones_stay_wrong(rows: list[tuple[int, ...]]) -> None:
    _, samples, _, offset, length = np.array(sorted(rows), np.int64).T
    length = np.where(offset < 0, 0, length)
    length[offset == 7] = -3  # as a damaged index has it
    offset, told = layouts.unpack_spans(layouts.pack_spans(samples, offset, length), samples), offset
    np.testing.assert_array_equal(offset[0], told)
    np.testing.assert_array_equal(offset[1] < 0, length < 0)
    np.testing.assert_array_equal(offset[1][length >= 0], length[length >= 0])


def test_a_reader_without_our_code_finds_the_samples(service: str, store: str) -> None:
    asked: dict[str, Any] = {"where": "age >= 20 and age < 70"}
    view = json.loads(http.request("POST", f"{service}/v1/views", body=json.dumps(asked)).data)
    place, table = f"{service}/v1/views/{view['id']}", ropeway.connect(store).query(**asked).table()
    bounds = json.loads(http.request("GET", f"{place}/shards").data)["layouts"]
    found, parts, formats = list[tuple[int, ...]](), list[tuple[int, ...]](), {"<i4": "i", "<i8": "q"}
    for page, (first, stop) in enumerate(bounds):
        columns = [msgpack.unpackb(http.request("GET", f"{place}/{name}?page={page}").data)["columns"]
                   for name in ("layout", "layout/note")]  # fmt: skip
        (shard, length, gap), (lead, part) = (
            [struct.unpack(f"<{stop - first}{formats[one[name]['dtype']]}", one[name]["data"]) for name in names]
            for one, names in zip(columns, (("shard", "length", "gap"), ("lead", "length")), strict=True)
        )
        end, before = 0, -1
        for row in range(stop - first):
            begins = (end if shard[row] == before else 0) + gap[row]
            end, before = begins + length[row], shard[row]
            found.append((shard[row], begins, length[row]))
            parts.append((-1, 0) if part[row] < 0 else (begins + lead[row], part[row]))
    assert found == list(zip(*(c.tolist() for c in (table.shard, table.offset, table.length)), strict=True))
    assert parts == list(zip(*(column.tolist() for column in table.parts["note"]), strict=True))


@pytest.mark.parametrize("made", ["query", "few shot", "balanced", "joined"])
def test_batches_of_a_large_view_are_the_same_through_the_service(
    service: str, store: str, piecemeal: list[tuple[str, Any]], made: str
) -> None:
    def batches(url: str) -> list[Any]:
        catalog, parts = ropeway.connect(url), ["note", "cxr"] if made == "joined" else ["note"]
        view = catalog.query(datasets=["d"], task="cls", where="age >= 3")
        match made:
            case "few shot":
                view = catalog.make(view.few_shot("cls", per_class=30).definition)  # type: ignore[arg-type]
            case "balanced":
                view = catalog.make(catalog.query(where="age > 5").balanced("rhythm").definition)  # type: ignore[arg-type]
            case "joined":
                joined = view.join(catalog.query(datasets=["chest"]), on="age", missing="keep")
                view = catalog.make(joined.definition)  # type: ignore[arg-type]
        loader = ropeway.StreamingLoader(view, 16, tail="pad", parts=parts, seed=3, rank=1, world_size=2)
        return [{name: repr(value) for name, value in batch.items()} for batch in loader]

    assert batches(service) == batches(store)


def test_a_rank_fetches_what_it_delivers_and_no_more(service: str, piecemeal: list[tuple[str, Any]]) -> None:
    rows, keys = list[int](), list[str]()
    for rank in range(4):
        piecemeal.clear()
        view = ropeway.connect(service).query(datasets=["d"])
        loader = ropeway.StreamingLoader(view, 5, parts=["x"], rank=rank, world_size=4)
        delivered = [key for batch in loader for key in batch["__key__"]]
        assert {name for what, name in piecemeal if what == "page"} == {
            *(f"layout?page={page}" for page in range(3)), *(f"layout/x?page={page}" for page in range(3)),
        }  # fmt: skip
        assert len(numbers(piecemeal)) == len(delivered) == 100
        assert max(len(asked) for what, asked in piecemeal if what == "rows") <= 40
        for _ in loader:  # another epoch has other rows for this rank, and some that are known
            pass
        assert len(set(numbers(piecemeal))) == len(numbers(piecemeal))
        rows += numbers(piecemeal)[:100]
        keys += delivered
    assert sorted(rows) == list(range(400))
    assert sorted(keys) == [f"k{number:06d}" for number in range(400)]


def test_a_batch_of_more_rows_than_one_request_may_ask_for_is_whole(
    service: str, store: str, piecemeal: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ropeway_server.routes.layouts.PAGE_ROWS", 10)
    monkeypatch.setattr(service_view, "_ROWS_AT_ONCE", 10)

    def batches(url: str) -> list[dict[str, str]]:  # of two datasets, one of them without the other's tasks
        loader = ropeway.StreamingLoader(ropeway.connect(url).query(where="age < 40"), 64, tail="pad", parts=[])
        return [{name: repr(value) for name, value in batch.items()} for batch in loader]

    assert batches(service) == batches(store)
    assert max(len(asked) for what, asked in piecemeal if what == "rows") > 50


def test_a_table_of_a_large_view_is_whole(service: str, store: str, piecemeal: list[tuple[str, Any]]) -> None:
    far, near = (ropeway.connect(url).query(datasets=["d"]) for url in (service, store))
    assert not isinstance(far.layout(), Samples)
    assert wire.pack_samples(far.table()) == wire.pack_samples(near.table())
    assert far.layout() is far.table()


@pytest.mark.parametrize("whole", [False, True])
def test_pages_that_do_not_fit_together_are_found(
    service: str, piecemeal: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch, whole: bool
) -> None:
    monkeypatch.setattr(service_view, "WHOLE", 400 if whole else 0)
    page, content = ServiceSource._page, wire.pack_samples(ropeway.connect(service).query(where="age < 9").table())

    def other(source: ServiceSource, name: str) -> bytes | memoryview:
        return content if whole else page(source, name.replace("=2", "=0"))

    view = ropeway.connect(service).query(datasets=["d"])
    monkeypatch.setattr(ServiceSource, "_page", other)
    with pytest.raises(FormatError, match=rf"the service told [\d,]+ samples of view {view.id}, not 400"):
        view.layout()


def test_a_row_that_has_not_arrived_is_not_taken_for_another(service: str, piecemeal: list[tuple[str, Any]]) -> None:
    samples = arriving.Arriving(ropeway.connect(service).query(datasets=["d"]))
    samples.bring(np.array([7, 300]))
    assert [samples.table.keys[row].as_py() for row in (7, 300)] == ["k000007", "k000300"]
    for column in (samples.table.crc32c, samples.table.labels["cls"], samples.table.keys):
        with pytest.raises(IndexError):
            column[8]
    with pytest.raises(IndexError):
        samples.table.crc32c[np.array([7, 8])]
    assert numbers(piecemeal) == [7, 300]


def test_a_job_under_way_outlives_a_service_that_is_started_anew(
    service: str, piecemeal: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    troubles = [ServiceError("no answer"), ServiceError("starting", status=503), ServiceError("busy", status=429)]
    fetch = Service.fetch

    def troubled(asked: Service, path: str, media_type: str, body: object = None) -> bytes:
        if body is not None and troubles:
            raise troubles.pop()
        return fetch(asked, path, media_type, body)

    monkeypatch.setattr(Service, "fetch", troubled)
    view = ropeway.connect(service).query(datasets=["d"])
    assert len(list(ropeway.StreamingLoader(view, 100, parts=[]))) == 4
    assert troubles == []
    troubles.append(ServiceError("it fails", status=500))
    with pytest.raises(ServiceError, match="it fails"):
        list(ropeway.StreamingLoader(view, 100, parts=[]))
    monkeypatch.setattr(service_view, "PATIENCE", -1.0)
    troubles.append(ServiceError("no answer"))
    with pytest.raises(ServiceError, match="no answer"):
        list(ropeway.StreamingLoader(view, 100, parts=[]))


def test_who_leaves_while_the_service_is_silent_does_not_wait_for_it(
    store: str, tmp_path: Path, piecemeal: list[tuple[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    details, stopped = ServiceSource.details, threading.Event()
    with served(store, f"sqlite:///{tmp_path / 'state.db'}", tmp_path / "log") as running:

        def silenced(source: ServiceSource, rows: Ints) -> Details:
            if len(numbers(piecemeal)) > 100:
                running.process.send_signal(signal.SIGSTOP)
                stopped.set()
            return details(source, rows)

        monkeypatch.setattr(ServiceSource, "details", silenced)
        for loader in (ropeway.StreamingLoader, ropeway.NumpyLoader):
            batches: Any = iter(loader(ropeway.connect(running.url).query(datasets=["d"]), 10, parts=[]))
            next(batches)
            assert stopped.wait(60)
            try:
                batches.close()
                waiting = [thread for thread in threading.enumerate() if thread.name.startswith("ropeway-details")]
                assert waiting
            finally:
                running.process.send_signal(signal.SIGCONT)
            for thread in waiting:
                thread.join(60)
                assert not thread.is_alive()
            stopped.clear()
            piecemeal.clear()


def test_a_stand_in_for_a_bad_sample_is_known_when_it_is_read(tmp_path: Path, piecemeal: list[tuple[str, Any]]) -> None:
    packed.publish(open_store(tmp_path), samples=60)
    view = ropeway.connect(str(tmp_path)).query()
    table = view.table()
    path = tmp_path / object_path("d", table.shards[0].path.removeprefix("d/"))
    content = bytearray(path.read_bytes())
    content[int(table.parts["x"][0][3]) + 70] ^= 1
    path.write_bytes(content)

    def batches(url: str) -> list[Any]:
        loader = ropeway.NumpyLoader(ropeway.connect(url).query(), 10, on_bad=ropeway.substitute(limit=1))
        return [(batch["__key__"], batch["x"].tolist()) for batch in loader]

    with serving(str(tmp_path)) as url:
        assert batches(url) == batches(str(tmp_path))


def ask(service: str, path: str, body: object = None) -> tuple[int, str]:
    asked = {"datasets": ["d"], "where": "age >= 1"}
    view = json.loads(http.request("POST", f"{service}/v1/views", body=json.dumps(asked)).data)["id"]
    method, content = ("GET", None) if body is None else ("POST", json.dumps(body))
    answer = http.request(method, f"{service}/v1/views/{view}/{path}", body=content, retries=False)
    return answer.status, answer.data.decode(errors="replace")


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("layout?page=1", None, 404, "has 1 pages, counted from 0; there is no 1"),
        ("layout?page=-1", None, 422, "page"),
        ("layout/scan", None, 404, "no such part in view"),
        ("layout/x?page=9", None, 404, "there is no 9"),
        ("details", {"rows": [[0, 396]]}, 422, "rows are from 0 to 395"),
        ("details", {"rows": [[-1, 3]]}, 422, "rows are from 0 to 395"),
        ("details", {"rows": [[0, 1 << 80]]}, 422, "rows are from 0 to 395"),
        ("details", {"rows": [[5, 9], [8, 12]]}, 422, "ascending"),
        ("details", {"rows": [[5, 5]]}, 422, "ascending"),
        ("details", {"rows": []}, 422, "at least one row"),
        ("details", {"rows": [[1, 2, 3]]}, 422, "rows"),
        ("details", {"rows": "all"}, 422, "rows"),
        ("details", {}, 422, "rows"),
        ("details", {"rows": [[0, 1]], "columns": ["key"]}, 422, "columns"),
    ],
)  # fmt: skip
def test_what_is_not_there_is_told_in_words(service: str, path: str, body: object, status: int, words: str) -> None:
    found, told = ask(service, path, body)
    assert (found, words in told) == (status, True), told


def test_many_rows_are_asked_for_some_after_the_others(monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    monkeypatch.setattr("ropeway_server.routes.layouts.PAGE_ROWS", 10)
    assert ask(service, "details", {"rows": [[0, 5], [7, 12]]})[0] == 200
    status, words = ask(service, "details", {"rows": [[0, 5], [7, 13]]})
    assert (status, "at most 10 rows at once, not 11" in words) == (422, True)


def test_a_layout_is_small_and_compressed_for_the_first_who_asks(service: str) -> None:
    view = json.loads(http.request("POST", f"{service}/v1/views", body=json.dumps({"datasets": ["d"]})).data)["id"]
    url = f"{service}/v1/views/{view}"
    first = http.request("GET", f"{url}/layout", headers={"Accept-Encoding": "zstd"}, decode_content=False)
    whole = http.request("GET", f"{url}/samples").data
    assert first.headers["content-encoding"] == "zstd"
    assert len(first.data) < len(whole) / 40
    again = http.request("GET", f"{url}/layout", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status, again.headers["cache-control"]) == (304, "private, max-age=31536000, immutable")


@pytest.mark.parametrize("damage", [b"", b"\x81\xa4rows", wire.pack_columns({"shard": np.zeros(2, np.int32)}, 2)])
def test_what_is_no_page_of_a_layout_is_refused(damage: bytes) -> None:
    with pytest.raises(FormatError, match="not a page of"):
        layouts.unpack(damage, REFS)
    with pytest.raises(FormatError, match="not a page of"):
        layouts.unpack_spans(damage, np.zeros(2, np.int64))
    with pytest.raises(FormatError, match="not a page of"):
        layouts.unpack_details(damage)


def test_spans_of_more_rows_than_the_layout_has_are_refused() -> None:
    page = layouts.pack_spans(*(np.zeros(3, np.int64) for _ in range(3)))
    with pytest.raises(FormatError, match="a page of spans has 3 rows, its layout 2"):
        layouts.unpack_spans(page, np.zeros(2, np.int64))


def test_pages_of_a_layout_cover_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layouts, "ROWS", 10)
    for rows in (1, 9, 10, 11, 35):
        found = layouts.bounds(rows)
        assert [found[0][0], found[-1][1]] == [0, rows]
        assert all(before[1] == after[0] for before, after in pairwise(found))
        assert [stop - first for first, stop in found[:-1]] == [10] * (len(found) - 1)
