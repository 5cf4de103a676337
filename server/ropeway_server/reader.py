"""The service as one principal sees it: what it may not read is not there, and what it reads is in the audit."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property

from ropeway import licences
from ropeway.catalog import DatasetInfo, SampleInfo, Stats, TaskInfo, describe, list_tasks
from ropeway.definition import Definition, of_query, selections
from ropeway.errors import AccessDenied, Conflict, NotFound, QueryError
from ropeway.keys import is_dataset
from ropeway.licences import Licence
from ropeway.manifest import Manifest
from ropeway.query import Query, column_names, parse, short
from ropeway.samples import ShardRef
from ropeway.saved import SavedView, is_id
from ropeway.shard_bytes import StoreBytes
from ropeway.view import ViewInfo
from ropeway_server import suppression
from ropeway_server.audit import Event
from ropeway_server.audit_chain import Detail
from ropeway_server.grants import agreements
from ropeway_server.policy import Rights
from ropeway_server.principals import NotIdentified, Principal
from ropeway_server.service import Service
from ropeway_server.shards import Published, missing
from ropeway_server.views import ServedView

_PERSONAL = {"key", "subject"}
"""Columns that are about one sample or one person: never for those who may only count."""

_NOTHING = "there is no dataset that you may read: grants are given by the data's steward (`ropeway grant add`)"


class Reader:
    """What one request may see. Everything raises ServiceError when the database does not answer."""

    def __init__(self, service: Service, principal: Principal, view: str = "") -> None:
        self._service, self.principal, self._for = service, principal, view

    @cached_property
    def rights(self) -> Rights:
        """What the principal holds now."""
        return Rights(self.principal, self._service.grants.of(self.principal))

    @cached_property
    def readable(self) -> list[Manifest]:
        """The current versions that it may read, by dataset."""
        return [m for m in self._current if self.rights.reads(m.dataset, m.card.access)]

    @cached_property
    def countable(self) -> list[Manifest]:
        """The current versions that it may count and not read."""
        counts, reads = self.rights.counts, self.rights.reads
        return [m for m in self._current if counts(m.dataset, m.card.access) and not reads(m.dataset, m.card.access)]

    @cached_property
    def _current(self) -> list[Manifest]:
        return self._service.catalog.current()

    def datasets(self) -> list[DatasetInfo]:
        """One line about each dataset, by id; those that it may only count with guarded counts."""
        found = [describe(m) for m in self.readable]
        return sorted([*found, *(suppression.rounded(describe(m)) for m in self.countable)], key=lambda one: one.id)

    def tasks(self) -> list[TaskInfo]:
        """Every task of those datasets."""
        return list_tasks(sorted([*self.readable, *self.countable], key=lambda m: m.dataset))

    def manifest(self, dataset: str, version: str | None = None) -> Manifest:
        """A dataset's manifest.

        Raises:
            NotFound: there is none, or none that it may read: both are told in the same words.
        """
        if is_dataset(dataset) and not any(m.dataset == dataset for m in self.readable):
            raise NotFound("no such dataset, or none that you may read: `ropeway ls` shows those", dataset=dataset)
        try:
            found = self._service.catalog.manifest(dataset, version)
        except NotFound:
            if version is None:
                raise
            found = None
        if found is None or not self._reads(found):
            raise NotFound(f"no such version, or none that you may read: {version!r} (12 hex digits)", dataset=dataset)
        return found

    def stats(self, by: Sequence[str], asked: Query) -> Stats:
        """Counts; of datasets that it may only count without small cells, see `suppression`.

        Raises:
            QueryError: a column that there is not, or a query that can't be answered.
        """
        counted = [m for m in self.countable if asked.datasets is None or m.dataset in asked.datasets]
        used = {name.lower() for name in by} | (column_names(parse(asked.where)) if asked.where else set())
        if counted and used & _PERSONAL:
            if asked.datasets is not None:
                words = ", ".join(m.dataset for m in counted)
                raise AccessDenied(f"you may only count these: {words}; and not by key or subject")
            counted = []
        manifests = sorted([*self.readable, *counted], key=lambda m: m.dataset)
        if not manifests:
            raise QueryError(_NOTHING)
        if not counted:
            found = self._service.catalog.count(by, asked, manifests)
        else:
            columns = list(dict.fromkeys([*by, "dataset"]))
            rows = self._service.catalog.count(columns, asked, manifests)
            found = suppression.guarded(rows, by, {m.dataset for m in counted})
        detail = {"by": " ".join(by), "where": asked.where, "task": asked.task, "split": asked.split}
        about = [m.dataset for m in manifests if asked.datasets is None or m.dataset in asked.datasets]
        self._tell("counted", datasets=about, detail=detail)
        return found

    def make(self, asked: Query) -> tuple[ViewInfo, bool]:
        """The view of a query over the datasets that it may read, and whether it is a new one.

        Raises:
            QueryError: it names what is not there, or nothing matches.
        """
        if not self.readable:
            raise QueryError(_NOTHING)
        known = sorted(m.dataset for m in self.readable)
        for dataset in asked.datasets or ():
            if dataset not in known:
                raise QueryError(f"unknown dataset {short(dataset)!r}; there is: {', '.join(known)}")
        served, new = self._service.views.make(asked, self.readable)
        versions = {found.dataset: found.version for found in self.readable}
        own = of_query(asked, versions)  # who asked first may have used words of datasets of theirs
        info = replace(served.view.info, definition=own)
        self._tell("view made", view=info.id, datasets=info.datasets)
        return info, new

    def made(self, definition: Definition) -> tuple[ViewInfo, bool]:
        """The view of a definition, and whether it is a new one.

        Raises:
            NotFound: a dataset version that it names is not there, or may not be read.
            QueryError, UsageError: it can't be made.
        """
        for selected in selections(definition):
            for dataset, version in selected.versions.items():
                self.manifest(dataset, version)
        served, new = self._service.views.made(definition)
        self._tell("view made", view=served.view.id, datasets=served.view.datasets)
        return replace(served.view.info, definition=definition), new

    def names(self) -> list[SavedView]:
        """The names of views that it may know of, sorted."""
        return [one for one in self._service.views.names() if self._knows(one.datasets)]

    def name(self, view_id: str, name: str, tags: Sequence[str]) -> SavedView:
        """Give a view a name; see `Catalog.save`.

        Raises:
            NotIdentified: somebody without a name can't.
        """
        if not self.principal.name:
            raise NotIdentified("views are named by somebody with a name: give a token (ROPEWAY_TOKEN)")
        info = self.view(view_id).view.info
        try:
            given = self._service.views.saved.name(info, name, tags)
        except Conflict:
            if name not in {one.name for one in self.names()}:
                raise Conflict(f"the name {name!r} is taken: take another one") from None
            raise
        self._tell("view named", view=info.id, datasets=info.datasets, detail={"name": name})
        return given

    def view(self, view_id: str) -> ServedView:
        """A view that it may know of.

        Raises:
            NotFound: there is none, or one of its datasets may not be read.
        """
        served = self._service.views.get(view_id)
        if not self._knows(served.view.info.datasets):
            raise no_view(view_id)
        return served

    def info(self, view: str) -> ViewInfo:
        """What a view is, by id or name; how it is made, only for those who may read all that it was asked over."""
        try:
            info = self.view(self._service.views.id_of(view)).view.info
        except NotFound:
            raise no_view(view) from None  # the same words whether it is there or not
        asked = set[str]().union(*(one.versions for one in selections(self._service.views.definition(info.id))))
        hidden = asked - {m.dataset for m in self.readable}
        return replace(info, definition=None) if hidden else info

    def opened(self, view_id: str, action: str | None) -> ServedView:
        """A view whose samples it may have; told to the audit as that action, or by `tell_shards` where that is None.

        Raises:
            NotFound: as `view`.
            AccessDenied: the view's licence has to be accepted first.
        """
        served = self.view(view_id)
        licence = self._licence(served.view.info)
        if licence.terms and self._service.acceptances.of_view(self.principal, view_id) is None:
            raise self._unaccepted(f"view {view_id}", licence)
        if action is not None:
            self._tell(action, view=view_id, datasets=served.view.datasets)
        return served

    def licence(self, view_id: str) -> tuple[Licence, datetime | None]:
        """What the licences of a view's datasets say together, and when the principal accepted that."""
        licence = self._licence(self.view(view_id).view.info)
        return licence, self._service.acceptances.of_view(self.principal, view_id)

    def accept(self, view_id: str) -> tuple[Licence, datetime]:
        """Accept a view's licence, once and for all.

        Raises:
            NotIdentified: somebody without a name can't.
        """
        if not self.principal.name:
            raise NotIdentified("a licence is accepted by somebody with a name: give a token (ROPEWAY_TOKEN)")
        licence, _ = self.licence(view_id)
        return licence, self._service.acceptances.accept(self.principal, view_id, licence)

    def sample(self, manifest: Manifest, key: str) -> SampleInfo:
        """One sample of a version that `manifest` gave; told to the audit.

        Raises:
            NotFound: there is none of that key.
            AccessDenied: the licence of a view of the dataset has to be accepted first.
        """
        self._check_terms(manifest)
        found = self._service.catalog.sample(manifest, key)
        self._tell("sample read", datasets=[manifest.dataset], objects=[f"{manifest.dataset}/{key}"])
        return found

    def shard(self, path: str) -> Published:
        """A shard that it may read; told to the audit by those who then read it.

        Raises:
            NotFound: there is none, or none that it may read.
            AccessDenied: the licence of a view of the dataset has to be accepted first.
        """
        found = self._service.shards.find(path)
        if not self._reads(found.manifest):
            raise missing(path)
        self._check_terms(found.manifest)
        return found

    def read(self, shard: ShardRef, start: int, stop: int) -> memoryview:
        """Bytes `start` to `stop` (exclusive) of a shard that `shard` or `opened` gave."""
        content = StoreBytes(self._service.store, [shard]).read(0, start, stop)
        self._service.metrics.proxied.inc(len(content))
        return content

    def tell_shards(self, action: str, shards: Sequence[ShardRef], view: str = "") -> None:
        """Tell the audit that these shards are read, or their URLs given."""
        datasets = dict.fromkeys(shard.dataset for shard in shards)
        self._tell(action, view=view or self._for, datasets=datasets, objects=[shard.path for shard in shards])

    def _knows(self, versions: Mapping[str, str]) -> bool:
        """Whether it may read these dataset versions; no where one is not there any more."""
        try:
            return all(self._reads(manifest) for manifest in self._manifests(versions))
        except NotFound:
            return False

    def _reads(self, manifest: Manifest) -> bool:
        tiers = self._service.tiers.of(manifest)
        return bool(tiers) and all(self.rights.reads(manifest.dataset, tier) for tier in tiers)

    def _manifests(self, versions: Mapping[str, str]) -> list[Manifest]:
        return [self._service.catalog.manifest(dataset, version) for dataset, version in versions.items()]

    def _licence(self, info: ViewInfo) -> Licence:
        return licences.joined(self._manifests(info.datasets))

    def _check_terms(self, manifest: Manifest) -> None:
        licence = licences.joined([manifest])
        if licence.terms and not self._service.acceptances.of_dataset(
            self.principal, manifest.dataset, manifest.card.licence
        ):
            raise self._unaccepted("a view of it", licence)

    def _unaccepted(self, what: str, licence: Licence) -> AccessDenied:
        names = ", ".join(f"{one.dataset} ({one.licence}; {one.access})" for one in licence.datasets if one.terms)
        who = "" if self.principal.name else ", with a token (ROPEWAY_TOKEN)"
        return AccessDenied(
            f"the licence of {what} has terms to accept first, once: {', '.join(licence.terms)} of {names}. Read them "
            f"with `ropeway licence VIEW`, then add --accept{who}"
        )

    def _tell(self, action: str, *, view: str = "", datasets: Sequence[str] | Mapping[str, object] = (),
              objects: Sequence[str] = (), detail: Detail | None = None) -> None:  # fmt: skip
        held = [
            grant for m in self._current if m.dataset in datasets for grant in self.rights.by(m.dataset, m.card.access)
        ]
        self._service.audit.add_once(
            Event(principal=self.principal.shown, token=self.principal.token, action=action, view=view,
                  datasets=tuple(datasets), objects=tuple(objects), agreements=agreements(held), detail=detail or {})
        )  # fmt: skip


def no_view(view: str) -> NotFound:
    """What is told of a view that is not there, and of one that the asker may not know of."""
    if is_id(view):
        return NotFound(f"no view {view}, or none that you may read: ask for it with a query")
    return NotFound(f"no view named {view!r}: `ropeway view ls` lists those that you may read")
