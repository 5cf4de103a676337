"""The catalog of an index service, over HTTP: the same answers as in-process, and the bytes by the URLs it gives."""

import os
import re
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec
import pyarrow as pa
import urllib3

from ropeway import errors, samples, wire
from ropeway.catalog import DatasetInfo, Stats, TaskInfo, as_tuple
from ropeway.errors import NotFound, QueryError, RopewayError, ServiceError, StoreError
from ropeway.keys import is_dataset
from ropeway.manifest import Manifest
from ropeway.query import Query
from ropeway.ranges import RETRY, Counters, Counts, RangeClient, Retry
from ropeway.samples import Samples, ShardRef
from ropeway.shard_bytes import ShardBytes
from ropeway.view import View, ViewInfo

T = TypeVar("T")

RENEW_BEFORE = 60.0
"""Seconds before a URL's end at which a new one is asked for; a quarter of its life where that is less."""

_DENIED = "the URL that the service gave is refused: is this host's clock right?"

_ASKED_AT_ONCE = 64  # shards whose URLs one request asks for

_RETRY = urllib3.Retry(
    total=5, backoff_factor=0.15, backoff_max=1.0, backoff_jitter=0.1, status_forcelist=(502, 503, 504),
    allowed_methods=None, respect_retry_after_header=False, raise_on_status=False,
)  # fmt: skip
"""Six tries in about three seconds, whatever a server asks for: a restart is survived, a dead service is told soon."""

_VIEW = re.compile(r"[0-9a-f]{16}")
_TIMEOUT = urllib3.Timeout(connect=5, read=60)
_pools: dict[int, urllib3.PoolManager] = {}


class _ViewShards(msgspec.Struct):
    shards: tuple[ShardRef, ...]
    pages: list[tuple[int, int]]


class _Access(msgspec.Struct):
    urls: dict[int, str]
    seconds: float


class ServiceCatalog:
    """A catalog behind an index service.

    Every call raises ServiceError when the service cannot be reached, and the service's own error otherwise.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def datasets(self) -> list[DatasetInfo]:
        return self._ask("GET", "/v1/datasets", list[DatasetInfo])

    def manifest(self, dataset: str, version: str | None = None) -> Manifest:
        if not is_dataset(dataset):
            raise NotFound(f"no such dataset: {dataset!r} (lower-case letters, digits, _ and -)")
        asked = "" if version is None else f"?{urlencode({'version': version})}"
        return self._ask("GET", f"/v1/datasets/{quote(dataset, safe='')}{asked}", Manifest)

    def tasks(self) -> list[TaskInfo]:
        return self._ask("GET", "/v1/tasks", list[TaskInfo])

    def stats(
        self,
        by: Sequence[str],
        *,
        task: str | None = None,
        split: str | None = None,
        where: str | None = None,
        datasets: Sequence[str] | None = None,
    ) -> Stats:
        named = as_tuple(datasets)
        if named == ():  # what the engine says; a URL can't tell an empty list from none
            raise QueryError("no dataset matches: datasets is empty")
        given = {"by": list(by), "task": task, "split": split, "where": where, "dataset": named}
        asked = urlencode({name: value for name, value in given.items() if value is not None}, doseq=True)
        return self._ask("GET", f"/v1/stats?{asked}", Stats)

    def query(
        self,
        *,
        task: str | None = None,
        split: str | None = None,
        where: str | None = None,
        datasets: Sequence[str] | None = None,
        domain: str | None = None,
        modality: str | None = None,
        parts: Sequence[str] = (),
    ) -> View:
        asked = Query(task=task, split=split, where=where, datasets=as_tuple(datasets), domain=domain,
                      modality=modality, parts=tuple(parts))  # fmt: skip
        return self._view(self._ask("POST", "/v1/views", ViewInfo, asked))

    def view(self, view_id: str) -> View:
        if not _VIEW.fullmatch(view_id):
            raise NotFound(f"no view {view_id!r}: an id has 16 hex digits")
        return self._view(self._ask("GET", f"/v1/views/{quote(view_id, safe='')}", ViewInfo))

    def _view(self, info: ViewInfo) -> View:
        return View(info, ServiceSource(self.url, info.id))

    def _ask(self, method: str, path: str, kind: type[T], body: object = None) -> T:
        return ask(method, self.url + path, kind, body)


@dataclass(frozen=True, slots=True)
class ServiceSource:
    """A view's content from a service."""

    url: str
    view_id: str

    def samples(self) -> Samples:
        """All samples, page by page."""
        table = ask("GET", f"{self.url}/v1/views/{self.view_id}/shards", _ViewShards)

        def page(number: int) -> Samples:
            place = f"{self.url}/v1/views/{self.view_id}/samples?page={number}"
            return wire.unpack_samples(fetch(place, wire.MEDIA_TYPE), table.shards)

        with ThreadPoolExecutor(4) as pool:
            return samples.stack(list(pool.map(page, range(len(table.pages)))))

    def reader(self, table: Samples) -> ShardBytes:
        return ServiceBytes(self.url, self.view_id, table.shards)

    def columns(self, names: Sequence[str]) -> pa.Table:
        asked = urlencode([("name", name) for name in names])
        content = fetch(f"{self.url}/v1/views/{self.view_id}/columns?{asked}", wire.ARROW)
        return pa.ipc.open_stream(content).read_all()


class ServiceBytes:
    """A view's shards, by the URLs that the service gives for it: presigned ones, or its own range proxy.

    URLs are asked for when a shard is first read, and again before they end or when they are refused. How long they
    last is told in seconds, so that a host whose clock is wrong renews them in time too.
    """

    def __init__(self, url: str, view_id: str, shards: tuple[ShardRef, ...], retry: Retry = RETRY) -> None:
        self._access_url = f"{url}/v1/views/{view_id}/access"
        self._shards, self._retry = shards, retry
        self._begin()

    def _begin(self) -> None:
        self._urls: dict[int, tuple[str, float]] = {}
        self._renewing, self._process = threading.Lock(), os.getpid()
        self._ranges, self._counters = RangeClient(retry=self._retry, denied=_DENIED), Counters()

    def __getstate__(self) -> dict[str, Any]:
        return {"_access_url": self._access_url, "_shards": self._shards, "_retry": self._retry}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()

    @property
    def counters(self) -> Counts:
        """What this reader's reads took in this process."""
        return self._counters.snapshot()

    def read(self, shard: int, start: int, stop: int) -> memoryview:
        """Bytes `start` to `stop` (exclusive) of a shard.

        Raises:
            StoreError: the URL is refused though it is fresh, or answers with other bytes than asked for.
            ServiceError: the service gives no URL.
        """
        try:
            return self._ranges.read(partial(self._url, shard), start, stop, self._counters)
        except StoreError as error:
            error.shard = self._shards[shard].path
            raise

    def map(self, shard: int) -> memoryview | None:
        return None

    def _url(self, shard: int, refused: str) -> str:
        if self._process != os.getpid():  # forked while another thread was renewing: nobody here would let go
            self._renewing, self._process = threading.Lock(), os.getpid()
        with self._renewing:
            url, renew = self._urls.get(shard, ("", 0.0))
            if not url or url == refused or monotonic() > renew:
                first = shard - shard % _ASKED_AT_ONCE
                wanted = list(range(first, min(first + _ASKED_AT_ONCE, len(self._shards))))
                asked = monotonic()
                access = ask("POST", self._access_url, _Access, {"shards": wanted})
                renew = asked + access.seconds - min(RENEW_BEFORE, access.seconds / 4)
                self._urls.update({number: (url, renew) for number, url in access.urls.items()})
                url = self._urls[shard][0]
            return url


def ask(method: str, url: str, kind: type[T], body: object = None) -> T:
    """One request to a service, its JSON answer read as `kind`.

    Raises:
        ServiceError: no answer, or not one of an index service; else the error that the service answered with.
    """
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    content = None if body is None else msgspec.json.encode(body)
    answer = _request(method, url, content, headers)
    if answer.status >= 400:
        raise _problem(answer, url)
    try:
        return msgspec.json.decode(answer.data, type=kind)
    except msgspec.MsgspecError as error:
        raise ServiceError(f"not an answer of an index service: {error}", status=answer.status, url=url) from error


def fetch(url: str, media_type: str) -> bytes:
    """The content of a service's URL, in one media type; raises as `ask` does."""
    answer = _request("GET", url, None, {"Accept": media_type})
    if answer.status >= 400:
        raise _problem(answer, url)
    return answer.data


def _request(
    method: str,
    url: str,
    body: bytes | None,
    headers: Mapping[str, str],
) -> urllib3.BaseHTTPResponse:
    try:
        return _pool().request(method, url, body=body, headers=headers, retries=_RETRY, timeout=_TIMEOUT)
    except urllib3.exceptions.HTTPError as error:
        reason = getattr(error, "reason", None) or error
        raise ServiceError(
            f"no answer ({type(reason).__name__}): is the index service running, and is this its address?",
            url=url.partition("?")[0],
        ) from error


def _pool() -> urllib3.PoolManager:
    """This process's connections: sockets made before a fork are not shared with the child."""
    process = os.getpid()
    pool = _pools.get(process)
    if pool is None:
        for parent in [other for other in _pools if other != process]:
            _pools.pop(parent, None)
        pool = _pools.setdefault(process, urllib3.PoolManager(num_pools=16, maxsize=32))
    return pool


class _Problem(msgspec.Struct):
    detail: str
    type: str = ""


def _problem(answer: urllib3.BaseHTTPResponse, url: str) -> RopewayError:
    """The service's problem document as the error it was there."""
    try:
        problem = msgspec.json.decode(answer.data, type=_Problem)
    except msgspec.MsgspecError:
        return ServiceError(f"status {answer.status}", status=answer.status, url=url)
    kind = getattr(errors, problem.type, None)
    if isinstance(kind, type) and issubclass(kind, RopewayError) and kind is not ServiceError:
        return kind(problem.detail)
    return ServiceError(problem.detail, status=answer.status, url=url)
