"""Views as the service keeps them: made once, saved by definition, the recently used ones in memory."""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import msgspec

from ropeway import layouts, shard_table, wire
from ropeway.catalog import StoreCatalog
from ropeway.definition import Definition
from ropeway.errors import NotFound, ServiceError
from ropeway.samples import Ints, Layout, Samples, ShardRef
from ropeway.saved import SavedView, is_id
from ropeway.selection import Selection
from ropeway.store_view import StoreSource
from ropeway.view import View
from ropeway_server.pages import Page, Pages
from ropeway_server.saved import SavedViews
from ropeway_server.schemas import ViewShards

KEPT, KEPT_ROWS = 4096, 32 << 20
"""Views in memory, and rows (8 bytes each) of all of them: whichever is reached first."""

_DENSE = 20
"""Rows of a selection that take as much as one sample of a derived view, whose columns are held."""

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
    def _rows(self) -> Selection | Samples:
        """The samples; of a query only their rows in indexes, which takes less."""
        source = self.view.source
        return source.selected() if isinstance(source, StoreSource) else self.view.table()

    @property
    def rows_held(self) -> int:
        """What it takes in memory, in rows of a selection."""
        of_sample = 1 if isinstance(self._rows, Selection) else _DENSE
        return of_sample * self.view.samples + len(self.shards)

    @cached_property
    def pages(self) -> list[tuple[int, int]]:
        """First and one-past-last row of each page: whole shards."""
        return self._rows.pages

    @property
    def shards(self) -> Sequence[ShardRef]:
        """What `shard` counts in."""
        return self._rows.shards

    @property
    def table(self) -> ViewShards:
        """The shard table, and the bounds of all pages."""
        return ViewShards(shards=tuple(self.shards), pages=tuple(self.pages), layouts=tuple(self.layouts))

    def packed_table(self) -> bytes:
        """The same as an Arrow IPC stream, see `ropeway.shard_table`."""
        return shard_table.pack(self.shards, self.pages, self.layouts)

    @cached_property
    def holding(self) -> frozenset[int]:
        """The shards that have samples of the view: others of its shard table are not for those who hold the view."""
        return self._rows.used

    @cached_property
    def layouts(self) -> list[tuple[int, int]]:
        """First and one-past-last row of each page of the layout; a joined view has none."""
        return [] if isinstance(self._rows, Samples) and self._rows.partners else layouts.bounds(self.view.samples)

    def page(self, number: int) -> bytes:
        """One page of samples as columnar msgpack."""
        return wire.pack_samples(self._rows.slice(*self.pages[number]))

    def layout(self, number: int) -> bytes:
        """One page of the layout."""
        return layouts.pack(self._laid(number))

    def spans(self, part: str, number: int) -> bytes:
        """One page of a part's spans."""
        found, bounds = self._rows, self.layouts[number]
        offset, length = (
            found.spans(part, *bounds) if isinstance(found, Selection) else found.slice(*bounds).parts[part]
        )
        return layouts.pack_spans(self._laid(number).offset, offset, length)

    def details(self, rows: Ints) -> bytes:
        """What the layout does not tell of these rows, ascending."""
        return layouts.pack_details(self._rows.take(rows))

    def _laid(self, number: int) -> Layout:
        found, bounds = self._rows, self.layouts[number]
        return found.layout(*bounds) if isinstance(found, Selection) else found.slice(*bounds)


class Views:
    """The service's views. Safe to use from threads."""

    def __init__(self, catalog: StoreCatalog, saved: SavedViews) -> None:
        self._catalog, self.saved = catalog, saved
        self._recent: OrderedDict[str, ServedView] = OrderedDict()
        self._asked: OrderedDict[bytes, str] = OrderedDict()
        self._lock = threading.Lock()
        self._making = tuple(threading.Lock() for _ in range(64))  # a view has one of them: many may ask for it at once
        self._pages = Pages()

    def made(self, definition: Definition) -> tuple[ServedView, bool]:
        """The view of a definition, and whether it is a new one.

        Raises:
            QueryError, UsageError, NotFound: it can't be made.
        """
        asked = hashlib.sha256(repr(definition).encode(errors="surrogatepass")).digest()
        known = self._known(self._asked.get(asked, ""))
        if known is not None:
            return known, False
        view = self._catalog.pinned(definition)
        new = self.saved.add(view.id, definition, view.info.datasets)
        with self._lock:
            self._asked[asked] = view.id
            while len(self._asked) > REMEMBERED:
                self._asked.popitem(last=False)
        return self._keep(view), new

    def get(self, view_id: str) -> ServedView:
        """A view that was asked for before, by any replica on the same database, or is saved in the store.

        Raises:
            NotFound: there is none.
        """
        known = self._known(view_id)
        if known is not None:
            return known
        with self._making[hash(view_id) % len(self._making)]:
            return self._known(view_id) or self._again(view_id)

    def _again(self, view_id: str) -> ServedView:
        view = self._catalog.pinned(self.definition(view_id))
        if view.id != view_id:
            raise ServiceError(f"view {view_id} would now be {view.id}: a dataset version of it was changed")
        return self._keep(view)

    def datasets(self, view_id: str) -> Mapping[str, str]:
        """The dataset versions that a view has samples of; it is made only where nobody noted that; raises as `get`."""
        known = self._known(view_id)
        if known is None and (noted := self.saved.datasets(view_id)) is not None:
            return noted
        return (known or self.get(view_id)).view.info.datasets

    def definition(self, view_id: str) -> Definition:
        """How a view is made; raises as `get` does."""
        try:
            return self.saved.load(view_id)
        except NotFound as error:
            try:
                return self._catalog.saved_views.load(view_id)
            except NotFound:
                raise error from None

    def id_of(self, name: str) -> str:
        """The id of a view by its name, in the database or else in the store; an id stays as it is.

        Raises:
            NotFound: there is no such name.
        """
        if is_id(name):
            return name
        try:
            return self.saved.find(name)
        except NotFound as error:
            try:
                return self._catalog.saved_views.named(name).view
            except NotFound:
                raise error from None

    def names(self) -> list[SavedView]:
        """The views that have a name, in the database or the store, by name."""
        return sorted([*self.saved.all(), *self._catalog.saved()], key=lambda one: one.name)

    def page(self, served: ServedView, number: int) -> Page:
        """One page of a view, as it goes over the wire."""
        return self._pages.get((served.view.id, f"{number}"), lambda: served.page(number))

    def layout(self, served: ServedView, number: int) -> Page:
        """One page of a view's layout."""
        return self._pages.get((served.view.id, f"layout-{number}"), lambda: served.layout(number), dense=False)

    def spans(self, served: ServedView, part: str, number: int) -> Page:
        """One page of the spans of a view's part."""
        name = served.view.id, f"layout-{part}-{number}"
        return self._pages.get(name, lambda: served.spans(part, number), dense=False)

    def table(self, served: ServedView) -> Page:
        """A view's shard table and the bounds of its pages, as JSON."""
        return self._pages.get((served.view.id, "shards"), lambda: msgspec.json.encode(served.table), dense=False)

    def packed_table(self, served: ServedView) -> Page:
        """The same as columns."""
        return self._pages.get((served.view.id, "shards-arrow"), served.packed_table, dense=False)

    def _known(self, view_id: str) -> ServedView | None:
        with self._lock:
            if view_id in self._recent:
                self._recent.move_to_end(view_id)
            return self._recent.get(view_id)

    def _keep(self, view: View) -> ServedView:
        with self._lock:
            served = self._recent.setdefault(view.id, ServedView(view))
            self._recent.move_to_end(view.id)
            held = sum(kept.rows_held for kept in self._recent.values())
            while len(self._recent) > KEPT or (held > KEPT_ROWS and len(self._recent) > 1):
                held -= self._recent.popitem(last=False)[1].rows_held
        return served
