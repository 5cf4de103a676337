"""The service as one principal sees it: what it may not read is not there, and what it reads is in the audit."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import cached_property

from ropeway import licences
from ropeway.catalog import Stats
from ropeway.definition import Definition, of_query, selections
from ropeway.described import DatasetInfo, SampleInfo, TaskInfo, describe, list_tasks
from ropeway.errors import Conflict, NotFound, QueryError
from ropeway.filters import column_names, parse
from ropeway.keys import is_dataset
from ropeway.licences import Licence
from ropeway.manifest import Manifest
from ropeway.pinned import check_not_erased, check_not_withdrawn
from ropeway.query import Query, short
from ropeway.samples import ShardRef
from ropeway.saved import SavedView
from ropeway.shard_bytes import StoreBytes
from ropeway.view import ViewInfo
from ropeway_server.acceptances import unaccepted
from ropeway_server.audit import Event
from ropeway_server.audit_chain import Detail
from ropeway_server.grants import agreements
from ropeway_server.outlines import outline
from ropeway_server.policy import Rights
from ropeway_server.principals import NotIdentified, Principal, Refused
from ropeway_server.saved import no_view
from ropeway_server.service import Service
from ropeway_server.shards import Published, missing
from ropeway_server.views import ServedView

_PERSONAL = {"key", "subject"}
"""Columns that are about one sample or one person: never for those who may only count."""

_NOTHING = "there is no dataset that you may read: grants are given by the data's steward (`ropeway grant add`)"


class Reader:
    """What one request may see. Everything raises ServiceError when the database does not answer.

    Attributes:
        principal: who asks.
        kept_back: datasets that were asked for, are there, and were not given.
    """

    def __init__(self, service: Service, principal: Principal, view: str = "") -> None:
        self._service, self.principal, self._for = service, principal, view
        self.kept_back = set[str]()

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
        counts, read = self.rights.counts, {m.dataset for m in self.readable}
        return [m for m in self._current if m.dataset not in read and counts(m.dataset, m.card.access)]

    @cached_property
    def _current(self) -> list[Manifest]:
        return self._service.catalog.current()

    def datasets(self) -> list[DatasetInfo]:
        """One line about each dataset, by id; those that it may only count with guarded counts."""
        found = [describe(m) for m in self.readable]
        return sorted([*found, *self._service.suppression.described(self.countable)], key=lambda one: one.id)

    def tasks(self) -> list[TaskInfo]:
        """Every task of those datasets."""
        return list_tasks(sorted([*self.readable, *self.countable], key=lambda m: m.dataset))

    def manifest(self, dataset: str, version: str | None = None) -> Manifest:
        """A dataset's manifest.

        Raises:
            NotFound: there is none, or none that it may read: both are told in the same words.
        """
        if is_dataset(dataset) and not any(m.dataset == dataset for m in self.readable):
            self._keep_back([dataset])
            raise NotFound("no such dataset, or none that you may read: `ropeway ls` shows those", dataset=dataset)
        try:
            found = self._service.catalog.manifest(dataset, version)
        except NotFound:
            if version is None:
                raise
            found = None
        if found is None or not self._reads(found):
            self._keep_back([] if found is None else [dataset])
            raise NotFound(f"no such version, or none that you may read: {version!r} (12 hex digits)", dataset=dataset)
        return found

    def stats(self, by: Sequence[str], asked: Query) -> Stats:
        """Counts; of datasets that it may only count without small cells, see `suppression`.

        Raises:
            QueryError: a column that there is not, or a query that can't be answered.
            Refused: it may only count these, and not by such columns.
        """
        guarded = self._only_counted(by, asked)
        manifests = sorted([*self.readable, *guarded], key=lambda m: m.dataset)
        self._keep_back(set(asked.datasets or ()) - {m.dataset for m in manifests})
        if not manifests:
            raise QueryError(_NOTHING)
        found = self._service.suppression.count(by, asked, manifests, {m.dataset for m in guarded})
        where = outline(asked.where) if asked.where else None
        detail = {"by": " ".join(by), "where": where, "task": asked.task, "split": asked.split}
        self._tell("counted", asked.where, datasets=[m.dataset for m in _named(asked, manifests)], detail=detail)
        return found

    def _only_counted(self, by: Sequence[str], asked: Query) -> list[Manifest]:
        """Of what a question is about, the versions that it may count and not read; raises as `stats`."""
        found = _named(asked, self.countable)
        used = {name.lower() for name in by} | (column_names(parse(asked.where)) if asked.where else set())
        if not (found and used & _PERSONAL):
            return found
        if asked.datasets is None:
            return []
        names = [m.dataset for m in found]
        self._keep_back(names)
        problem = f"you may only count these: {', '.join(names)}; and not by key or subject"
        raise Refused(problem, "not by key or subject")

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
                self._keep_back([dataset])
                raise QueryError(f"unknown dataset {short(dataset)!r}; there is: {', '.join(known)}")
        return self._made(of_query(asked, {found.dataset: found.version for found in self.readable}))

    def made(self, definition: Definition) -> tuple[ViewInfo, bool]:
        """The view of a definition, and whether it is a new one.

        Raises:
            NotFound: a dataset version that it names is not there, or may not be read.
            Withdrawn: it has samples of a version from before a withdrawal.
            QueryError, UsageError: it can't be made.
        """
        for selected in selections(definition):
            for dataset, version in selected.versions.items():
                self.manifest(dataset, version)
        return self._made(definition)

    def _made(self, definition: Definition) -> tuple[ViewInfo, bool]:
        served, new = self._service.views.made(definition)
        check_not_withdrawn(self._manifests(served.view.datasets), self._current)
        self._service.metrics.views.inc()
        self._tell("view made", view=served.view.id, datasets=served.view.datasets)
        # the asker's own words: who asked first may have used some of datasets of theirs
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
        versions = self._service.views.datasets(view_id)
        if not self._knows(versions):
            self._keep_back(versions)
            raise no_view(view_id)
        return self._service.views.get(view_id)

    def info(self, view: str) -> ViewInfo:
        """What a view is, by id or name; how it is made, only for those who may read all that it was asked over.

        Raises:
            NotFound: as `view`.
            Withdrawn: it is of a version from before a withdrawal. Who streams it already is not kept from that.
        """
        try:
            info = self.view(self._service.views.id_of(view)).view.info
        except NotFound:
            self._check_not_erased(view)
            raise no_view(view) from None  # the same words whether it is there or not
        check_not_withdrawn(self._manifests(info.datasets), self._current)
        asked = set[str]().union(*(one.versions for one in selections(self._service.views.definition(info.id))))
        hidden = asked - {m.dataset for m in self.readable}
        return replace(info, definition=None) if hidden else info

    def opened(self, view_id: str, action: str | None) -> ServedView:
        """A view whose samples it may have; told to the audit as that action, or by `tell_shards` where that is None.

        Raises:
            NotFound: as `view`.
            Refused: the view's licence has to be accepted first.
        """
        served = self.view(view_id)
        licence = self._licence(served.view.info)
        if licence.terms and self._service.acceptances.of_view(self.principal, view_id) is None:
            self._keep_back(served.view.info.datasets)
            raise unaccepted(f"view {view_id}", licence, self.principal)
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
            Refused: the licence of a view of the dataset has to be accepted first.
        """
        self._check_terms(manifest)
        found = self._service.catalog.sample(manifest, key)
        self._tell("sample read", datasets=[manifest.dataset], objects=[f"{manifest.dataset}/{key}"])
        return found

    def shard(self, path: str) -> Published:
        """A shard that it may read; told to the audit by those who then read it.

        Raises:
            NotFound: there is none, or none that it may read.
            Refused: the licence of a view of the dataset has to be accepted first.
        """
        found = self._service.shards.find(path)
        if not self._reads(found.manifest):
            self._keep_back([found.manifest.dataset])
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

    def _check_not_erased(self, view: str) -> None:
        """Of a view whose datasets it may all read, raise Withdrawn when a version of it was erased."""
        with suppress(NotFound):  # nobody knows such a view
            versions = self._service.views.saved.datasets(self._service.views.id_of(view)) or {}
            if versions.keys() <= {m.dataset for m in self.readable}:
                check_not_erased(versions, self._service.catalog.latest)

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
            self._keep_back([manifest.dataset])
            raise unaccepted("a view of it", licence, self.principal)

    def _keep_back(self, datasets: Iterable[str]) -> None:
        self.kept_back |= set(datasets) & {m.dataset for m in self._current}

    def _tell(self, action: str, *unlike: object, view: str = "", datasets: Sequence[str] | Mapping[str, object] = (),
              objects: Sequence[str] = (), detail: Detail | None = None) -> None:  # fmt: skip
        held = [
            grant for m in self._current if m.dataset in datasets for grant in self.rights.by(m.dataset, m.card.access)
        ]
        self._service.audit.add_once(
            Event(principal=self.principal.shown, token=self.principal.token, action=action, view=view,
                  datasets=tuple(datasets), objects=tuple(objects), agreements=agreements(held), detail=detail or {}),
            *unlike,
        )  # fmt: skip


def _named(asked: Query, manifests: Iterable[Manifest]) -> list[Manifest]:
    """The versions that a query is about: of the datasets that it names, or all."""
    return [m for m in manifests if asked.datasets is None or m.dataset in asked.datasets]
