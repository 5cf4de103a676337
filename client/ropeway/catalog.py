"""All datasets in a store, and queries over them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from ropeway.counting import Draw
from ropeway.definition import Definition, selections
from ropeway.described import DatasetInfo, SampleInfo, TaskInfo, describe, describe_sample, list_tasks
from ropeway.engine import Engine
from ropeway.errors import NotFound, UsageError
from ropeway.manifest import Latest, Manifest
from ropeway.pinned import check_not_erased, check_not_withdrawn
from ropeway.query import Query, Scalar
from ropeway.saved import SavedView, StoreViews
from ropeway.selection import Selection
from ropeway.store_view import made, view_of
from ropeway.stores import Store, open_store
from ropeway.versions import Versions
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
            Withdrawn: it has samples of a version from before a subject was withdrawn.
        """

    @abstractmethod
    def view(self, view_id: str) -> View:
        """A view by its id, or by the name it was saved under.

        Raises:
            NotFound: there is no view of that id or name.
            Withdrawn: it has samples of a version from before a subject was withdrawn.
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
        self._versions = Versions(store, fresh)
        self._views: WeakValueDictionary[str, View] = WeakValueDictionary()

    def datasets(self) -> list[DatasetInfo]:
        return [describe(manifest) for manifest in self.current()]

    def manifest(self, dataset: str, version: str | None = None) -> Manifest:
        return self._versions.manifest(dataset, version)

    def current(self) -> list[Manifest]:
        """The manifests of all datasets in their current versions, by dataset id; of up to `fresh` seconds ago."""
        return self._versions.current()

    def latest(self, dataset: str) -> Latest:
        """Which version is the current one, and which were before it.

        Raises:
            NotFound: no such dataset.
        """
        return self._versions.latest(dataset)

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
        try:
            view = self.pinned(definition)
        except NotFound:
            for selected in selections(definition):
                check_not_erased(selected.versions, self.latest)
            raise
        return self._allowed(view)

    def pinned(self, definition: Definition) -> View:
        """The view of a definition, as `make`, also of versions from before a withdrawal: to look into what was given.

        Raises:
            NotFound: a dataset version of it is not there.
        """
        return self._known(made(definition, self.select))

    def view(self, view_id: str) -> View:
        known = self._views.get(view_id)
        return self.make(self.saved_views.load(view_id)) if known is None else self._allowed(known)

    def save(self, view: View, name: str, *, tags: Sequence[str] = ()) -> SavedView:
        return self.saved_views.save(view.info, name, tags)

    def saved(self) -> list[SavedView]:
        return self.saved_views.all()

    def _allowed(self, view: View) -> View:
        pinned = [self.manifest(*version) for version in view.datasets.items()]
        check_not_withdrawn(pinned, [self.manifest(dataset) for dataset in view.datasets])
        return view

    def _known(self, view: View) -> View:
        return self._views.setdefault(view.id, view)

    def sample(self, manifest: Manifest, key: str) -> SampleInfo:
        """One sample of a dataset version.

        Raises:
            NotFound: there is none of that key.
        """
        return describe_sample(manifest, self._engine.sample(manifest, key))


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
