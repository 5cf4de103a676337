"""A view's content from an index service: its samples in pages, or where they lie first, and their bytes by URLs."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec
import numpy as np
import pyarrow as pa

from ropeway import layouts, samples, shard_table, wire
from ropeway.errors import AccessDenied, FormatError, ServiceError, StoreError
from ropeway.layouts import Details
from ropeway.ranges import RETRY, Counters, Counts, Pieces, RangeClient, Retry
from ropeway.samples import PAGE_ROWS, Ints, Layout, Samples, ShardRef
from ropeway.service import Service
from ropeway.shard_bytes import ShardBytes
from ropeway.shard_table import Told
from ropeway.view import ViewInfo

T = TypeVar("T")

RENEW_BEFORE = 60.0
"""Seconds before a URL's end at which a new one is asked for; a quarter of its life where that is less."""

_DENIED = "the URL that the service gave is refused: is this host's clock right?"

_ASKED_AT_ONCE = 64  # shards whose URLs one request asks for
_ROWS_AT_ONCE = 1 << 14  # whose details one request asks for: far apart, they take a third of the body that is allowed

WHOLE = PAGE_ROWS
"""Samples of a view up to which it is fetched whole: of a larger one a rank fetches what it delivers."""


PATIENCE = 30.0
"""Seconds for which a job that is under way waits for a service that is being started anew."""

_PASSING = (429, 502, 503, 504)


class _Access(msgspec.Struct):
    urls: dict[int, str]
    seconds: float


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
        return self._whole(self._table())

    def layout(self) -> Layout:
        """Where all samples lie; of a small or joined view all that there is of them."""
        if self.info.samples <= WHOLE:
            return self.samples()
        with ThreadPoolExecutor(1) as pool:  # most views have one page, and are not joined
            first = pool.submit(self._page, "layout?page=0")
            table = self._table()
            if not table.layouts:
                return self._whole(table)
            pages = [layouts.unpack(first.result(), table.shards)]
        more = (self._page(f"layout?page={number}") for number in range(1, len(table.layouts)))
        pages += [layouts.unpack(page, table.shards) for page in more]
        columns = zip(*((page.shard, page.offset, page.length) for page in pages), strict=True)
        layout = Layout(table.shards, *map(samples.joined, columns))
        self._check(len(layout), self.info.samples)
        return layout

    def spans(self, part: str, layout: Layout) -> tuple[Ints, Ints]:
        """Offset and length of a part in all samples of the layout; −1 and 0 where they lack it."""
        found, first = list[tuple[Ints, Ints]](), 0
        while first < len(layout):
            page = self._page(f"layout/{quote(part, safe='')}?page={len(found)}")
            found.append(layouts.unpack_spans(page, layout.offset[first:]))
            first += len(found[-1][0])
        return samples.joined([offset for offset, _ in found]), samples.joined([length for _, length in found])

    def details(self, rows: Ints) -> Details:
        """What the layout does not tell of these rows, ascending and each once."""
        pieces = [self._details(rows[first : first + _ROWS_AT_ONCE]) for first in range(0, len(rows), _ROWS_AT_ONCE)]
        return layouts.together(pieces, self.info.tasks)

    def _details(self, rows: Ints) -> Details:
        ends = np.append(np.flatnonzero(np.diff(rows) > 1), len(rows) - 1)
        runs = np.stack([rows[np.append(0, ends[:-1] + 1)], rows[ends] + 1], axis=1)
        found = layouts.unpack_details(self._patiently(f"/v1/views/{self.view_id}/details", {"rows": runs.tolist()}))
        self._check(len(found), len(rows))
        return found

    def reader(self, table: Layout) -> ShardBytes:
        return ServiceBytes(self.service, self.view_id, table.shards, proxied=self.proxied)

    def columns(self, names: Sequence[str]) -> pa.Table:
        asked = urlencode([("name", name) for name in names])
        content = self.service.fetch(f"/v1/views/{self.view_id}/columns?{asked}", wire.ARROW)
        return pa.ipc.open_stream(content).read_all()

    def _patiently(self, path: str, body: object) -> bytes:
        until = monotonic() + PATIENCE
        while True:
            try:
                return self.service.fetch(path, wire.MEDIA_TYPE, body)  # which tries for some seconds
            except ServiceError as error:
                if error.status not in (None, *_PASSING) or monotonic() > until:
                    raise

    def _table(self) -> Told:
        return shard_table.unpack(self.service.fetch(f"/v1/views/{self.view_id}/shards", wire.ARROW))

    def _whole(self, table: Told) -> Samples:
        pieces = _at_once(
            lambda number: wire.unpack_samples(self._page(f"samples?page={number}"), table.shards), len(table.pages)
        )
        found = samples.together(pieces, [part.name for part in self.info.parts], self.info.tasks)
        self._check(len(found), self.info.samples)
        return found

    def _check(self, told: int, expected: int) -> None:
        """Pages that do not fit together, of two services or releases, would be other samples in silence."""
        if told != expected:
            raise FormatError(f"the service told {told:,} samples of view {self.view_id}, not {expected:,}")

    def _page(self, name: str) -> bytes | memoryview:
        return self.service.page(self.view_id, f"/v1/views/{self.view_id}/{name}")


def _at_once(fetch: Callable[[int], T], pages: int) -> list[T]:
    if pages == 1:
        return [fetch(0)]
    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(fetch, range(pages)))


class ServiceBytes:
    """A view's shards, by the URLs that the service gives for it: presigned ones, or its own range proxy.

    URLs are asked for when a shard is first read, and again before they end or when they are refused. How long they
    last is told in seconds, so that a host whose clock is wrong renews them in time too.
    """

    def __init__(
        self, service: Service, view_id: str, shards: Sequence[ShardRef], retry: Retry = RETRY, *,
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
        with self._errors(shard):
            return self._ranges.read(partial(self._url, shard), start, stop, self._counters)

    def receive(self, shard: int, start: int, stop: int, pieces: Pieces) -> None:
        """As `read`, by pieces."""
        with self._errors(shard):
            self._ranges.receive(partial(self._url, shard), start, stop, self._counters, pieces)

    @contextmanager
    def _errors(self, shard: int) -> Iterator[None]:
        try:
            yield
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
