"""All datasets in a store, and queries over them."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from math import inf
from time import monotonic
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from ropeway import manifest as manifests
from ropeway import manifest_reading
from ropeway.counting import Draw
from ropeway.definition import Definition
from ropeway.described import DatasetInfo, SampleInfo, TaskInfo, describe, describe_sample, list_tasks
from ropeway.engine import Engine
from ropeway.errors import FormatError, NotFound, UsageError
from ropeway.keys import check_dataset, is_dataset
from ropeway.manifest import Manifest
from ropeway.query import Query, Scalar
from ropeway.saved import SavedView, StoreViews
from ropeway.selection import Selection
from ropeway.store_view import made, view_of
from ropeway.stores import Store, open_store
from ropeway.view import View

if TYPE_CHECKING:
    from ropeway.cache import DiskCache

Stats = list[dict[str, Scalar | None]]


class Catalog(ABC):
    """What there is, and views of it; the same in-process and over HTTP."""

    @abstractmethod
    def datasets(self) -> list[DatasetInfo]:
        """The datasets in their current versions, by id."""

    @abstractmethod
    def manifest(self, dataset: str, version: str | None = None) -> Manifest:
        """A dataset's manifest, of its current version unless told.

        Raises:
            NotFound: no such dataset or version.
        """

    @abstractmethod
    def tasks(self) -> list[TaskInfo]:
        """Every task, by id."""

    def stats(
        self,
        by: Sequence[str],
        *,
        task: str | None = None,
        split: str | None = None,
        where: str | None = None,
        datasets: Sequence[str] | None = None,
    ) -> Stats:
        """Samples, bytes and subjects for each combination of the columns `by`, most samples first.

        A subject counts once per dataset and combination.
        """
        named = None if datasets is None else _listed("datasets", datasets)
        return self.count(by, Query(task=task, split=split, where=where, datasets=named))

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
        """The view of all samples that meet every given condition.

        Args:
            task: a task's id; only samples labelled for it.
            split: `train`, `valid` or `test`.
            where: a filter expression, such as `"age >= 60 and label in ('MI', 'STTC')"`.
            datasets: dataset ids.
            domain, modality: as in the datasets' cards.
            parts: parts a sample must have.
            distinct: of samples that hold the same bytes (however they are called, in whatever dataset) only the first
                that meets the conditions, by dataset id and then key. Tables, targets and kept original files do not
                count, and text only where there is nothing else.

        Raises:
            QueryError: it names what is not there, or nothing matches.
        """
        named = None if datasets is None else _listed("datasets", datasets)
        return self.select(
            Query(task=task, split=split, where=where, datasets=named, domain=domain, modality=modality,
                  parts=_listed("parts", parts), distinct=distinct)
        )  # fmt: skip

    @abstractmethod
    def select(self, asked: Query) -> View:
        """The view of a query; see `query`."""

    @abstractmethod
    def count(self, by: Sequence[str], asked: Query) -> Stats:
        """Counts of what a query selects; see `stats`."""

    @abstractmethod
    def make(self, definition: Definition) -> View:
        """The view of a definition: of the same versions, whatever the current ones are.

        Raises:
            NotFound: a dataset version of it is not there.
        """

    @abstractmethod
    def view(self, view_id: str) -> View:
        """A view by its id, or by the name it was saved under.

        Raises:
            NotFound: there is no view of that id or name.
        """

    @abstractmethod
    def save(self, view: View, name: str, *, tags: Sequence[str] = ()) -> SavedView:
        """Give a view a name, under which everybody finds it. A name never changes its meaning.

        Args:
            view: one of this catalog's.
            name: up to 64 lower-case letters, digits, `.`, `_` and `-`; unlike an id.
            tags: words to list it by.

        Raises:
            Conflict: the name is another view's.
            UsageError: not a name.
        """

    @abstractmethod
    def saved(self) -> list[SavedView]:
        """The views that have a name, by name."""


class StoreCatalog(Catalog):
    """The catalog of a store, answered in this process. The service runs this same code."""

    def __init__(self, store: Store, *, fresh: float = 0.0) -> None:
        """
        Args:
            store: where the datasets are.
            fresh: seconds for which it need not be looked again which versions are the current ones.
        """
        self.store = store
        self._engine = Engine(store)
        self.saved_views = StoreViews(store)
        self._fresh, self._looked = fresh, -inf
        self._current, self._looking = list[Manifest](), threading.Lock()
        self._manifests: dict[tuple[str, str], Manifest] = {}
        self._views: WeakValueDictionary[str, View] = WeakValueDictionary()

    def datasets(self) -> list[DatasetInfo]:
        return [describe(manifest) for manifest in self.current()]

    def manifest(self, dataset: str, version: str | None = None) -> Manifest:
        try:
            check_dataset(dataset)
        except FormatError as error:
            raise NotFound(f"no such dataset in the store: {error}", url=self.store.url) from error
        version = self._latest(dataset) if version is None else version
        if not manifests.is_version(version):
            raise NotFound(f"no such version: {version!r} (12 hex digits)", dataset=dataset)
        if (dataset, version) not in self._manifests:
            path = manifests.manifest_path(dataset, version)
            url = f"{self.store.url}/{path}"
            data, _ = self.store.load(path)
            found = manifest_reading.loads(data, url=url)
            if (found.dataset, found.version) != (dataset, version):
                raise FormatError(f"the manifest is of {found.dataset}@{found.version}", url=url)
            self._manifests[dataset, version] = found
        return self._manifests[dataset, version]

    def tasks(self) -> list[TaskInfo]:
        return list_tasks(self.current())

    def count(
        self, by: Sequence[str], asked: Query, chosen: Sequence[Manifest] | None = None, draw: Draw | None = None
    ) -> Stats:
        """What `stats` says, of the current versions or of these; and sums of random numbers, see `Engine.stats`."""
        return self._engine.stats(by, asked, self.current() if chosen is None else chosen, draw)

    def __reduce__(self) -> tuple[type["StoreCatalog"], tuple[Store]]:
        return StoreCatalog, (self.store,)

    def selection(self, asked: Query, versions: Mapping[str, str]) -> Selection:
        """What a query selects from these versions."""
        return self._engine.select(asked, [self.manifest(*version) for version in versions.items()])

    def select(self, asked: Query, versions: Mapping[str, str] | None = None) -> View:
        """The view of a query, over the current versions or over those given."""
        if versions is None:
            versions = {manifest.dataset: manifest.version for manifest in self.current()}
        return self._known(view_of(self, self.selection(asked, versions), versions))

    def make(self, definition: Definition) -> View:
        return self._known(made(definition, self.select))

    def view(self, view_id: str) -> View:
        known = self._views.get(view_id)
        return self.make(self.saved_views.load(view_id)) if known is None else known

    def save(self, view: View, name: str, *, tags: Sequence[str] = ()) -> SavedView:
        return self.saved_views.save(view.info, name, tags)

    def saved(self) -> list[SavedView]:
        return self.saved_views.all()

    def _known(self, view: View) -> View:
        return self._views.setdefault(view.id, view)

    def sample(self, manifest: Manifest, key: str) -> SampleInfo:
        """One sample of a dataset version.

        Raises:
            NotFound: there is none of that key.
        """
        return describe_sample(manifest, self._engine.sample(manifest, key))

    def current(self) -> list[Manifest]:
        """The manifests of all datasets in their current versions, by dataset id; of up to `fresh` seconds ago."""
        if monotonic() - self._looked < self._fresh or not self._looking.acquire(blocking=not self._current):
            return self._current
        with ExitStack() as looked:
            looked.callback(self._looking.release)
            if monotonic() - self._looked >= self._fresh:
                self._current = self._look()
                self._looked = monotonic()
            return self._current

    def _look(self) -> list[Manifest]:
        ids = [name for name in self.store.folders() if is_dataset(name)]
        if all(self.store.local_path(name) for name in ids):  # a moment each: threads would only keep others waiting
            found = list(map(self._published, ids))
        else:
            with ThreadPoolExecutor(16) as pool:
                found = list(pool.map(self._published, ids))
        return [manifest for manifest in found if manifest is not None]

    def _published(self, dataset: str) -> Manifest | None:
        try:
            latest = self._latest(dataset)
        except NotFound:  # a folder without latest.json: packing has begun and nothing is published yet
            return None
        return self.manifest(dataset, latest)

    def _latest(self, dataset: str) -> str:
        path = manifests.latest_path(dataset)
        try:
            data, _ = self.store.load(path)
        except NotFound as error:
            raise NotFound("no such dataset in the store", dataset=dataset, url=self.store.url) from error
        return manifest_reading.loads_latest(data, url=f"{self.store.url}/{path}").version


def connect(url: str, token: str | None = None, *, proxied: bool = False, cache: "DiskCache | None" = None) -> Catalog:
    """The catalog of a store (`s3://bucket/prefix`, a path, …) or of an index service (`http://host:8080`).

    Args:
        url: of the store or the service.
        token: says who asks a service; by default what ROPEWAY_TOKEN holds.
        proxied: for hosts that reach only the service and not its object store: shards come through it.
        cache: a `ropeway.DiskCache` for what a service tells of a view's samples, so that the next process to open the
            view need not fetch that again. It may be the one that a loader keeps shards in. None: nothing is kept.

    Raises:
        UsageError: not a URL of either kind; what is for a service, given for a store: that has its own credentials.
        ServiceError: the service does not answer.
    """
    if is_service(url):
        from ropeway.remote import ServiceCatalog

        return ServiceCatalog(url, token, proxied=proxied, cache=cache)
    if token is not None or proxied or cache is not None:
        words = "token=, proxied= and cache= are for an index service; a store has its own credentials, and no pages"
        raise UsageError(words, url=url)
    return StoreCatalog(open_store(url))


def is_service(url: str) -> bool:
    """Whether a URL is that of an index service, and not of a store."""
    return url.startswith(("http://", "https://"))


def _listed(what: str, names: Sequence[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise UsageError(f"{what} is a list of names, not one text: write {what}=[{names!r}]")
    return tuple(names)
