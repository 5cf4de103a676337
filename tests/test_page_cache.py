"""Pages of views on disk: the same samples, asked for once, and only for those whom the service still lets in."""

import pickle
import re
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3

import guarded
import packed
import ropeway
from guarded import call, make_grant, make_token
from ropeway import DiskCache, View, wire
from ropeway.cache import maintenance
from ropeway.cache.entry import ENTRY
from ropeway.errors import AccessDenied, NotFound, ServiceError, UsageError
from ropeway.mount.source import Named, open_source
from ropeway.page_cache import kept
from ropeway.query import Query
from ropeway.service import Service
from ropeway.stores import open_store
from serving import serving

LIMIT = 64 << 20
PAGE = bytes(range(256)) * (3 * ENTRY // 512)
"""One and a half entries of the cache."""


@pytest.fixture
def store(tmp_path: Path) -> str:
    packed.publish(open_store(tmp_path / "store"), samples=400)
    return str(tmp_path / "store")


@pytest.fixture
def service(store: str) -> Iterator[str]:
    with serving(store) as url:
        yield url


def opened(service: str, folder: Path, key: bytes | None = None) -> View:
    return ropeway.connect(service, cache=DiskCache(folder, LIMIT, key)).query(where="age < 70")


def pages_sent(service: str) -> int:
    """How often the service was asked for a page of a view."""
    told = urllib3.request("GET", f"{service}/metrics").data.decode()
    asked = re.compile(r'ropeway_request_seconds_count{.*route="/v1/views/{view_id}/(samples|layout)\b')
    return sum(int(float(line.split()[-1])) for line in told.splitlines() if asked.match(line))


def files(folder: Path) -> list[Path]:
    return sorted((folder / "shards").glob("*/*"))


@pytest.mark.parametrize("key", [None, bytes(16)], ids=["clear", "encrypted"])
def test_the_next_process_finds_the_samples_on_disk(
    store: str, service: str, tmp_path: Path, key: bytes | None
) -> None:
    expected = wire.pack_samples(ropeway.connect(store).query(where="age < 70").table())
    for _ in range(3):  # each like a new process: with a catalog and a cache of its own
        assert wire.pack_samples(opened(service, tmp_path / "cache", key).table()) == expected
    assert pages_sent(service) == 1
    (written,) = files(tmp_path / "cache")
    assert (b"k000000" in written.read_bytes()) == (key is None)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (written, tmp_path / "cache")] == [0o600, 0o700]


def test_what_is_damaged_on_disk_is_fetched_again(service: str, tmp_path: Path) -> None:
    expected = wire.pack_samples(opened(service, tmp_path / "cache").table())
    for asked in range(3):
        (written,) = files(tmp_path / "cache")
        old = written.read_bytes()
        written.write_bytes((old[:5000] + bytes([old[5000] ^ 1]) + old[5001:], old[:4100], b"")[asked])
        assert wire.pack_samples(opened(service, tmp_path / "cache").table()) == expected
        assert pages_sent(service) == asked + 2


def test_a_right_that_is_lost_is_lost_for_what_is_on_disk_too(tmp_path: Path) -> None:
    state = f"sqlite:///{tmp_path / 'state.db'}"
    guarded.build(open_store(tmp_path / "store"), "signup")
    token, admin = make_token(state, "ann"), make_token(state, "root", admin=True)
    number = make_grant(state, dataset="signup")
    with serving(str(tmp_path / "store"), state) as url:
        cache = DiskCache(tmp_path / "cache", LIMIT)
        catalog = ropeway.connect(url, token, cache=cache)
        view = catalog.query()
        assert call("POST", f"{url}/v1/views/{view.id}/licence", token).status == 200
        travelling = pickle.dumps(view.source)  # as to a worker process, which asks for no view
        assert len(view.table()) == len(pickle.loads(travelling).samples()) == view.samples
        assert pages_sent(url) == 1
        assert call("DELETE", f"{url}/v1/grants/{number}", admin).status == 200
        for ask in (pickle.loads(travelling).samples, lambda: catalog.view(view.id)):
            with pytest.raises((AccessDenied, NotFound)):
                ask()


def test_processes_that_want_a_page_at_once_ask_for_it_once(tmp_path: Path) -> None:
    asked, together = list[int](), threading.Barrier(4)

    def fetch() -> bytes:
        asked.append(1)
        return PAGE

    found = list[bytes]()

    def work() -> None:
        cache = DiskCache(tmp_path, LIMIT)
        together.wait()
        found.append(bytes(kept(cache, "http://index/v1/views/v/samples?page=0", "v", fetch)))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [PAGE] * 4
    assert len(asked) == 1


def test_answers_that_differ_are_never_mixed(tmp_path: Path) -> None:
    cache, other = DiskCache(tmp_path, LIMIT), PAGE[::-1]
    assert kept(cache, "u", "v", lambda: PAGE) == PAGE
    files(tmp_path)[1].unlink()  # what an eviction does; meanwhile the service has become another one
    for _ in range(2):
        assert kept(cache, "u", "v", lambda: other) == other


def test_services_do_not_share_pages(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, LIMIT)
    assert [kept(cache, url, "v", lambda url=url: url.encode()) for url in ("http://a/1", "http://b/1")] == [  # type: ignore[misc]
        b"http://a/1", b"http://b/1",
    ]  # fmt: skip


def test_a_page_that_does_not_fit_is_given_all_the_same(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, ENTRY + (64 << 10))
    for _ in range(2):
        assert kept(cache, "u", "v", lambda: PAGE) == PAGE
    assert sum(path.stat().st_blocks * 512 for path in files(tmp_path)) <= ENTRY + (64 << 10)
    assert kept(cache, "empty", "v", bytes) == b""


def test_what_the_service_says_instead_of_a_page_is_raised_and_not_kept(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path, LIMIT)

    def fetch() -> bytes:
        raise NotFound("no such view")

    with pytest.raises(NotFound, match="no such view"):
        kept(cache, "u", "v", fetch)
    assert kept(cache, "u", "v", lambda: b"now") == b"now"


def test_a_page_of_somebody_in_between_is_not_kept(
    service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy that wants a password first answers 200 and a form."""
    real, sent = Service._request, list[str]()

    def between(asked: Service, method: str, path: str, *rest: Any) -> urllib3.BaseHTTPResponse:
        if "samples?page" not in path:
            return real(asked, method, path, *rest)
        sent.append(path)
        return urllib3.HTTPResponse(b"<form>", {"Content-Type": "text/html; charset=utf-8"}, 200, preload_content=True)

    view = opened(service, tmp_path / "cache")
    with monkeypatch.context() as patched:
        patched.setattr(Service, "_request", between)
        with pytest.raises(ServiceError, match="not an answer of an index service: text/html in place of application/"):
            view.table()
    assert len(sent) == 1
    assert len(view.table()) == view.samples


def test_what_is_mounted_again_is_asked_for_once(service: str, tmp_path: Path) -> None:
    view = ropeway.connect(service).query(where="age < 70")
    for source in (service, f"{service}/v1/views/{view.id}"):
        before = pages_sent(service)
        for _ in range(2):
            found = open_source(Named.parse(source, None), Query(), DiskCache(tmp_path / "cache", LIMIT))
            assert len(found.open("d").table()) > 0
        assert pages_sent(service) == before + 1


def test_the_cache_tells_of_pages_and_a_store_takes_no_cache(service: str, store: str, tmp_path: Path) -> None:
    view = opened(service, tmp_path / "cache")
    view.table()
    assert list(maintenance.info(tmp_path / "cache").datasets) == [f"view {view.id}"]  # as `ropeway cache info` does
    with pytest.raises(UsageError, match="cache= are for an index service"):
        ropeway.connect(store, cache=DiskCache(tmp_path / "cache", LIMIT))
