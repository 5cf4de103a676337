"""The catalog of an index service, over HTTP: the same answers as in-process, and the bytes by the URLs it gives."""

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
import pyarrow as pa

from ropeway import samples, wire
from ropeway.catalog import DatasetInfo, SampleInfo, Stats, TaskInfo, as_tuple
from ropeway.definition import Definition
from ropeway.errors import AccessDenied, NotFound, QueryError, StoreError, UsageError
from ropeway.keys import is_dataset
from ropeway.licences import Licence
from ropeway.manifest import Manifest
from ropeway.query import Query
from ropeway.ranges import RETRY, Counters, Counts, RangeClient, Retry
from ropeway.samples import Samples, ShardRef
from ropeway.saved import SavedView, check_name, is_id
from ropeway.service import Service
from ropeway.shard_bytes import ShardBytes
from ropeway.view import View, ViewInfo

RENEW_BEFORE = 60.0
"""Seconds before a URL's end at which a new one is asked for; a quarter of its life where that is less."""

_DENIED = "the URL that the service gave is refused: is this host's clock right?"

_ASKED_AT_ONCE = 64  # shards whose URLs one request asks for


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewLicence:
    """A view's licence, as the service tells it.

    Attributes:
        needed: whether it has to be accepted before samples are given.
        accepted: when it was, ISO 8601; None where it was not.
    """

    licence: Licence
    needed: bool
    accepted: str | None


class _ViewShards(msgspec.Struct):
    shards: tuple[ShardRef, ...]
    pages: list[tuple[int, int]]


class _Access(msgspec.Struct):
    urls: dict[int, str]
    seconds: float


class ServiceCatalog:
    """A catalog behind an index service.

    Every call raises ServiceError when the service cannot be reached, and the service's own error otherwise:
    AccessDenied when it wants another token, or none will do.

    Args:
        url: of the service.
        token: says who asks; by default what ROPEWAY_TOKEN holds.
        proxied: for hosts that reach only the service and not its object store: shards come through it.
    """

    def __init__(self, url: str, token: str | None = None, *, proxied: bool = False) -> None:
        self._service = Service.at(url, token)
        self._proxied = proxied

    @property
    def url(self) -> str:
        """Where the service is."""
        return self._service.url

    def datasets(self) -> list[DatasetInfo]:
        return self._service.ask("GET", "/v1/datasets", list[DatasetInfo])

    def manifest(self, dataset: str, version: str | None = None) -> Manifest:
        if not is_dataset(dataset):
            raise NotFound(f"no such dataset: {dataset!r} (lower-case letters, digits, _ and -)")
        asked = "" if version is None else f"?{urlencode({'version': version})}"
        return self._service.ask("GET", f"/v1/datasets/{quote(dataset, safe='')}{asked}", Manifest)

    def tasks(self) -> list[TaskInfo]:
        return self._service.ask("GET", "/v1/tasks", list[TaskInfo])

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
        return self._service.ask("GET", f"/v1/stats?{asked}", Stats)

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
        distinct: bool = False,
    ) -> View:
        asked = Query(task=task, split=split, where=where, datasets=as_tuple(datasets), domain=domain,
                      modality=modality, parts=tuple(parts), distinct=distinct)  # fmt: skip
        return self._view(self._service.ask("POST", "/v1/views", ViewInfo, asked))

    def view(self, view_id: str) -> View:
        return self._view(self._service.ask("GET", self._place(view_id), ViewInfo))

    def make(self, definition: Definition) -> View:
        return self._view(self._service.ask("POST", "/v1/views", ViewInfo, definition))

    def save(self, view: View, name: str, *, tags: Sequence[str] = ()) -> SavedView:
        check_name(name)
        if view.definition is not None:  # made in this process, perhaps: the service need not know it yet
            self._service.ask("POST", "/v1/views", ViewInfo, view.definition)
        return self._service.ask("PUT", f"/v1/saved/{name}", SavedView, {"view": view.id, "tags": list(tags)})

    def saved(self) -> list[SavedView]:
        return self._service.ask("GET", "/v1/saved", list[SavedView])

    def sample(self, manifest: Manifest, key: str) -> SampleInfo:
        """One sample of a dataset's current version.

        Raises:
            NotFound: there is none of that key.
        """
        return self._service.ask("GET", f"/v1/samples/{quote(manifest.dataset)}/{quote(key)}", SampleInfo)

    def licence(self, view_id: str) -> ViewLicence:
        """What the licences of a view's datasets say together, and whether this principal has accepted that."""
        return self._service.ask("GET", f"/v1/views/{quote(view_id, safe='')}/licence", ViewLicence)

    def accept(self, view_id: str) -> ViewLicence:
        """Accept a view's licence, for the token's principal, once and for all.

        Raises:
            AccessDenied: there is no token: somebody with a name accepts.
        """
        return self._service.ask("POST", f"/v1/views/{quote(view_id, safe='')}/licence", ViewLicence)

    def _view(self, info: ViewInfo) -> View:
        return View(info, ServiceSource(self._service, info, self._proxied))

    def _place(self, view: str) -> str:
        """Where a view is, by id or name."""
        if not is_id(view):
            try:
                check_name(view)
            except UsageError as error:
                raise NotFound(f"no view {view!r}: an id has 16 hex digits; {error}") from error
        return f"/v1/views/{quote(view, safe='')}"


@dataclass(frozen=True, slots=True)
class ServiceSource:
    """A view's content from a service."""

    service: Service
    info: ViewInfo
    proxied: bool = False

    @property
    def view_id(self) -> str:
        """The view's id."""
        return self.info.id

    def samples(self) -> Samples:
        """All samples, page by page."""
        told = self.service.fetch(f"/v1/views/{self.view_id}/shards", "application/json")
        table = msgspec.json.decode(told, type=_ViewShards)

        def page(number: int) -> Samples:
            place = f"/v1/views/{self.view_id}/samples?page={number}"
            return wire.unpack_samples(self.service.fetch(place, wire.MEDIA_TYPE), table.shards)

        with ThreadPoolExecutor(4) as pool:
            pieces = list(pool.map(page, range(len(table.pages))))
        return samples.together(pieces, [part.name for part in self.info.parts], self.info.tasks)

    def reader(self, table: Samples) -> ShardBytes:
        return ServiceBytes(self.service, self.view_id, table.shards, proxied=self.proxied)

    def columns(self, names: Sequence[str]) -> pa.Table:
        asked = urlencode([("name", name) for name in names])
        content = self.service.fetch(f"/v1/views/{self.view_id}/columns?{asked}", wire.ARROW)
        return pa.ipc.open_stream(content).read_all()


class ServiceBytes:
    """A view's shards, by the URLs that the service gives for it: presigned ones, or its own range proxy.

    URLs are asked for when a shard is first read, and again before they end or when they are refused. How long they
    last is told in seconds, so that a host whose clock is wrong renews them in time too.
    """

    def __init__(
        self, service: Service, view_id: str, shards: tuple[ShardRef, ...], retry: Retry = RETRY, *,
        proxied: bool = False,
    ) -> None:  # fmt: skip
        self._service, self._view_id, self._shards = service, view_id, shards
        self._retry, self._proxied = retry, proxied
        self._begin()

    def _begin(self) -> None:
        self._urls: dict[int, tuple[str, float]] = {}
        self._renewing, self._process = threading.Lock(), os.getpid()
        self._ranges, self._counters = RangeClient(retry=self._retry, denied=_DENIED), Counters()

    def __getstate__(self) -> tuple[Any, ...]:
        return self._service, self._view_id, self._shards, self._retry, self._proxied

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._service, self._view_id, self._shards, self._retry, self._proxied = state
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

    def url(self, shard: int, seconds: int) -> str:
        """Where anybody may read a shard, for as long as the service says."""
        return self._url(shard, "")

    def _url(self, shard: int, refused: str) -> str:
        if self._process != os.getpid():  # forked while another thread was renewing: nobody here would let go
            self._renewing, self._process = threading.Lock(), os.getpid()
        with self._renewing:
            url, renew = self._urls.get(shard, ("", 0.0))
            if not url or url == refused or monotonic() > renew:
                first = shard - shard % _ASKED_AT_ONCE
                wanted = list(range(first, min(first + _ASKED_AT_ONCE, len(self._shards))))
                asked = monotonic()
                body = {"shards": wanted, "proxied": self._proxied}
                access = self._service.ask("POST", f"/v1/views/{self._view_id}/access", _Access, body)
                renew = asked + access.seconds - min(RENEW_BEFORE, access.seconds / 4)
                self._urls.update({number: (url, renew) for number, url in access.urls.items()})
                if shard not in access.urls:
                    raise AccessDenied("the view has no samples in this shard, and so gives no right to it")
                url = access.urls[shard]
            return url
