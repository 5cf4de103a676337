"""Who has seen a subject: the audit's events, held against what views and shards have of that person."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ropeway.catalog import StoreCatalog
from ropeway.errors import NotFound, QueryError, ServiceError
from ropeway.query import Query
from ropeway_server.audit import AuditLog, Event
from ropeway_server.views import Views

How: TypeAlias = Literal["selected", "in a shard", "unknown"]
"""The view's samples have the subject; a shard that could be read has, beside what was selected; the view or version
cannot be looked at any more, so nobody can tell."""

_GIVES = ("view made", "samples listed", "columns read", "urls given", "credentials given", "shard read",
          "sample read")  # fmt: skip
"""Actions by which somebody gets something of a sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """What somebody did to something that has the subject.

    Attributes:
        how: where the subject is in it.
        first, last: when, ISO 8601 in UTC.
        times: events in the audit.
    """

    principal: str
    action: str
    view: str
    how: How
    first: str
    last: str
    times: int = 1


@dataclass(frozen=True, slots=True)
class _Held:
    """What one dataset version has of the subject."""

    keys: frozenset[str]
    shards: frozenset[str]


def exposures(audit: AuditLog, catalog: StoreCatalog, views: Views, dataset: str, subject: str) -> list[Exposure]:
    """Everybody who got something that has a subject's data, in the order in which they first did.

    Raises:
        NotFound: no such dataset.
    """
    catalog.manifest(dataset)
    search = _Search(catalog, views, dataset, subject)
    found: dict[tuple[str, str, str, How], Exposure] = {}
    for logged in audit.events(dataset=dataset):
        event = logged.event
        if event.action not in _GIVES:
            continue
        for how in search.in_event(event):
            place = event.principal, event.action, event.view, how
            known = found.get(place)
            found[place] = (
                replace(known, last=event.at, times=known.times + 1)
                if known
                else Exposure(principal=event.principal, action=event.action, view=event.view, how=how, first=event.at,
                              last=event.at)
            )  # fmt: skip
    return list(found.values())


class _Search:
    """Looks each version and each view up once."""

    def __init__(self, catalog: StoreCatalog, views: Views, dataset: str, subject: str) -> None:
        self._catalog, self._views = catalog, views
        self._dataset, self._subject = dataset, subject
        self._held: dict[str | None, _Held | None] = {}
        self._in_views: dict[str, How | None] = {}

    def in_event(self, event: Event) -> Iterator[How]:
        """Where the subject is in what an event is about; nothing where it is not."""
        if event.view and (how := self._in_view(event.view)) is not None:
            yield how
        held = [self._in_object(path) for path in event.objects if path.startswith(f"{self._dataset}/")]
        if event.action == "sample read" and "selected" in held:
            yield "selected"
        elif "in a shard" in held:
            yield "in a shard"
        elif "unknown" in held:
            yield "unknown"

    def _in_view(self, view_id: str) -> How | None:
        if view_id not in self._in_views:
            self._in_views[view_id] = self._look_into(view_id)
        return self._in_views[view_id]

    def _look_into(self, view_id: str) -> How | None:
        try:
            table = self._views.get(view_id).view.table()
        except (NotFound, ServiceError):
            return "unknown"
        here = np.array([shard.dataset == self._dataset for shard in table.shards])
        for part in (table, *table.partners):  # joined samples may lie in another dataset
            mine = (part.shard >= 0) & here[part.shard]
            keys = part.keys.filter(pa.array(mine))
            shards = {table.shards[number].version for number in np.unique(part.shard[mine])}
            held = [held.keys for version in shards if (held := self._of(version)) is not None]
            if pc.is_in(keys, pa.array(sorted(frozenset().union(*held)), pa.string())).to_pylist().count(True):
                return "selected"
        return None

    def _in_object(self, path: str) -> How | None:
        """Of a shard's path, or of `dataset/key`."""
        key = path.removeprefix(f"{self._dataset}/")
        if any(held is not None and key in held.keys for held in map(self._of, self._versions)):
            return "selected"
        held = self._of(key.partition("/")[0])
        if any(one is not None and path in one.shards for one in (held, self._of(None))):
            return "in a shard"
        return "unknown" if self._catalog.latest(self._dataset).erased else None

    @cached_property
    def _versions(self) -> Sequence[str | None]:
        """Where a sample may have been read from: the current version; of who was withdrawn, the ones before it."""
        latest = self._catalog.latest(self._dataset)
        withdrawn = self._catalog.manifest(self._dataset, latest.version).withdrawn_subjects
        return (None, *reversed(latest.history)) if withdrawn else (None,)

    def _of(self, version: str | None) -> _Held | None:
        if version not in self._held:
            self._held[version] = self._find(version)
        return self._held[version]

    def _find(self, version: str | None) -> _Held | None:
        quoted = self._subject.replace("'", "''")
        asked = Query(datasets=(self._dataset,), where=f"subject = '{quoted}'")
        try:
            manifest = self._catalog.manifest(self._dataset, version)
            table = self._catalog.select(asked, {self._dataset: manifest.version}).table()
        except (NotFound, QueryError):  # no such version, or nobody of that name in it
            return None
        paths = frozenset(table.shards[number].path for number in np.unique(table.shard))
        return _Held(frozenset(table.keys.to_pylist()), paths)
