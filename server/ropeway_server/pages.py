"""Pages of views as they go over the wire: made once, compressed when they are in demand, kept within a bound."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeAlias

from ropeway import wire

KEPT_BYTES = 256 << 20
"""Bytes of pages kept, by default, before compression; their compressed forms come on top."""

Name: TypeAlias = tuple[str, str]
"""A view's id, and the name of one of its pages."""


class Page:
    """One page. It is compressed when it is asked for a second time: one client alone has it sooner as it is.

    Attributes:
        plain: its bytes.
    """

    def __init__(self, plain: bytes, *, dense: bool = True) -> None:
        """
        Args:
            plain: its bytes.
            dense: whether they take longer to compress than to send. What is not dense is compressed at once.
        """
        self.plain = plain
        self._asked, self._zstd = int(not dense), b""
        self._lock = threading.Lock()

    def zstd(self) -> bytes | None:
        """The same as one zstd frame; None for the first who asks."""
        with self._lock:
            self._asked += 1
            if self._asked > 1 and not self._zstd:
                self._zstd = wire.compressed(self.plain)
            return self._zstd or None


class Pages:
    """The recently used pages. Safe to use from threads; requesters of one page at once share the work."""

    def __init__(self, limit: int = KEPT_BYTES) -> None:
        self._limit, self._held = limit, 0
        self._kept: OrderedDict[Name, Page] = OrderedDict()
        self._coming: dict[Name, Future[Page]] = {}
        self._lock = threading.Lock()

    def get(self, name: Name, make: Callable[[], bytes], *, dense: bool = True) -> Page:
        """A page by view and name; `make` gives its bytes where it is not kept. See `Page` for `dense`."""
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name]
            others = self._coming.get(name)
            mine = self._coming.setdefault(name, Future())
        return self._made(name, make, mine, dense) if others is None else others.result()

    def _made(self, name: Name, make: Callable[[], bytes], mine: "Future[Page]", dense: bool) -> Page:
        try:
            plain = make()
            page = Page(plain, dense=dense)
        except BaseException as error:
            mine.set_exception(error)
            with self._lock:
                del self._coming[name]
            raise
        with self._lock:
            del self._coming[name]
            self._kept[name] = page
            self._held += len(plain)
            while self._held > self._limit and self._kept:
                self._held -= len(self._kept.popitem(last=False)[1].plain)
        mine.set_result(page)
        return page
