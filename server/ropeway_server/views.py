"""Views as the service keeps them: made once, saved by definition, the recently used ones in memory."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ropeway import wire
from ropeway.catalog import StoreCatalog
from ropeway.errors import ServiceError
from ropeway.query import Query
from ropeway.samples import ShardRef
from ropeway.view import View
from ropeway_server.database import Database

PAGE_ROWS = 1 << 16
"""Rows of a page, at least, except the last: a page ends with a shard."""

KEPT = 32
"""Views in memory."""

REMEMBERED = 1024
"""Queries whose view is known without asking the index."""


@dataclass(frozen=True)
class ServedView:
    """A view with its pages.

    Attributes:
        view: the view.
    """

    view: View

    @cached_property
    def pages(self) -> list[tuple[int, int]]:
        """First and one-past-last row of each page: whole shards, at least `PAGE_ROWS` rows."""
        shard = self.view.table().shard
        ends = [*(np.flatnonzero(np.diff(shard)) + 1).tolist(), len(shard)]
        pages, first = [], 0
        for end in ends:
            if end - first >= PAGE_ROWS or end == len(shard):
                pages.append((first, end))
                first = end
        return pages

    @property
    def shards(self) -> tuple[ShardRef, ...]:
        """What `shard` counts in."""
        return self.view.table().shards

    def page(self, number: int) -> bytes:
        """One page of samples as columnar msgpack."""
        first, end = self.pages[number]
        return wire.pack_samples(self.view.table().slice(first, end))


class Views:
    """The service's views. Safe to use from threads."""

    def __init__(self, catalog: StoreCatalog, database: Database) -> None:
        self._catalog, self._database = catalog, database
        self._recent: OrderedDict[str, ServedView] = OrderedDict()
        self._asked: OrderedDict[tuple[Query, tuple[tuple[str, str], ...]], str] = OrderedDict()
        self._lock = threading.Lock()

    def make(self, query: Query) -> tuple[ServedView, bool]:
        """The view of a query over the current dataset versions, and whether it is a new one.

        Raises:
            QueryError: it names what is not there, or nothing matches.
        """
        versions = {manifest.dataset: manifest.version for manifest in self._catalog.current()}
        asked = query, tuple(versions.items())
        with self._lock:
            known = self._find(self._asked.get(asked, ""))
        if known is not None:
            return known, False
        view = self._catalog.select(query, versions)
        new = self._database.save(view.id, query, versions)
        with self._lock:
            self._asked[asked] = view.id
            while len(self._asked) > REMEMBERED:
                self._asked.popitem(last=False)
        return self._keep(view), new

    def get(self, view_id: str) -> ServedView:
        """A view that was asked for before, by any replica on the same database.

        Raises:
            NotFound: there is none.
        """
        with self._lock:
            known = self._find(view_id)
        if known is not None:
            return known
        query, versions = self._database.load(view_id)
        view = self._catalog.select(query, versions)
        if view.id != view_id:
            raise ServiceError(f"view {view_id} would now be {view.id}: a dataset version of it was changed")
        return self._keep(view)

    def _find(self, view_id: str) -> ServedView | None:
        if view_id in self._recent:
            self._recent.move_to_end(view_id)
        return self._recent.get(view_id)

    def _keep(self, view: View) -> ServedView:
        with self._lock:
            served = self._recent.setdefault(view.id, ServedView(view))
            self._recent.move_to_end(view.id)
            while len(self._recent) > KEPT:
                self._recent.popitem(last=False)
        return served
