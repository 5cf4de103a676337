"""All datasets in a store, and queries over them."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol
from weakref import WeakValueDictionary

import pyarrow as pa

from ropeway import manifest as manifests
from ropeway import samples
from ropeway.engine import Engine, Selection
from ropeway.errors import FormatError, NotFound, UsageError
from ropeway.index import Value
from ropeway.keys import check_dataset, is_dataset
from ropeway.manifest import Access, Manifest, Task
from ropeway.query import Query, Scalar
from ropeway.samples import Samples
from ropeway.shard_bytes import ShardBytes, StoreBytes
from ropeway.stores import Store, open_store
from ropeway.tar import Span
from ropeway.view import View, ViewInfo

Stats = list[dict[str, Scalar | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetInfo:
    """One line about a dataset's current version."""

    id: str
    version: str
    title: str
    domain: str
    modalities: tuple[str, ...]
    licence: str
    access: Access
    unit: str
    samples: int
    subjects: int
    bytes: int
    shards: int
    splits: Mapping[str, int]
    parts: tuple[str, ...]
    tasks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskInfo:
    """A task and the datasets that have it."""

    task: Task
    datasets: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleInfo:
    """What the index says of one sample.

    Attributes:
        shard: path of its shard, as the manifest names it.
        span: its whole span in the shard, in bytes.
        parts: the span of each part's content.
        labels: per task, the class name, the list of class names, the number, or None where it is unlabelled.
    """

    key: str
    split: str
    subject: str | None
    shard: str
    span: Span
    parts: Mapping[str, Span]
    labels: Mapping[str, str | float | list[str] | None]
    meta: Mapping[str, Value]


class Catalog(Protocol):
    """What there is, and views of it; the same in-process and over HTTP."""

    def datasets(self) -> list[DatasetInfo]:
        """The datasets in their current versions, by id."""
        ...

    def manifest(self, dataset: str, version: str | None = None) -> Manifest:
        """A dataset's manifest, of its current version unless told.

        Raises:
            NotFound: no such dataset or version.
        """
        ...

    def tasks(self) -> list[TaskInfo]:
        """Every task, by id."""
        ...

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
        ...

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
    ) -> View:
        """The view of all samples that meet every given condition.

        Args:
            task: a task's id; only samples labelled for it.
            split: `train`, `valid` or `test`.
            where: a filter expression, such as `"age >= 60 and label in ('MI', 'STTC')"`.
            datasets: dataset ids.
            domain, modality: as in the datasets' cards.
            parts: parts a sample must have.

        Raises:
            QueryError: it names what is not there, or nothing matches.
        """
        ...

    def view(self, view_id: str) -> View:
        """A view by its id.

        Raises:
            NotFound: this catalog has not been asked for such a view.
        """
        ...


class StoreCatalog:
    """The catalog of a store, answered in this process. The service runs this same code."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._engine = Engine(store)
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
            found = manifests.loads(data, url=url)
            if (found.dataset, found.version) != (dataset, version):
                raise FormatError(f"the manifest is of {found.dataset}@{found.version}", url=url)
            self._manifests[dataset, version] = found
        return self._manifests[dataset, version]

    def tasks(self) -> list[TaskInfo]:
        return list_tasks(self.current())

    def stats(
        self,
        by: Sequence[str],
        *,
        task: str | None = None,
        split: str | None = None,
        where: str | None = None,
        datasets: Sequence[str] | None = None,
    ) -> Stats:
        asked = Query(task=task, split=split, where=where, datasets=as_tuple(datasets))
        return self._engine.stats(by, asked, self.current())

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
    ) -> View:
        return self.select(
            Query(task=task, split=split, where=where, datasets=as_tuple(datasets), domain=domain, modality=modality,
                  parts=tuple(parts))
        )  # fmt: skip

    def __reduce__(self) -> tuple[type["StoreCatalog"], tuple[Store]]:
        return StoreCatalog, (self.store,)

    def columns(self, asked: Query, versions: Mapping[str, str], names: Sequence[str]) -> pa.Table:
        """Index columns of what a query selects from these versions, in row order; see `ViewSource.columns`."""
        chosen = [self.manifest(dataset, version) for dataset, version in versions.items()]
        return self._engine.select(asked, chosen).columns(names)

    def select(self, asked: Query, versions: Mapping[str, str] | None = None) -> View:
        """The view of a query, over the current versions or over those given."""
        if versions is None:
            chosen = self.current()
        else:
            chosen = [self.manifest(dataset, version) for dataset, version in versions.items()]
        view = self._view(self._engine.select(asked, chosen), {m.dataset: m.version for m in chosen})
        return self._views.setdefault(view.id, view)

    def view(self, view_id: str) -> View:
        view = self._views.get(view_id)
        if view is None:
            raise NotFound(f"no view {view_id}: ask for it with a query first", url=self.store.url)
        return view

    def sample(self, manifest: Manifest, key: str) -> SampleInfo:
        """One sample of a dataset version.

        Raises:
            NotFound: there is none of that key.
        """
        row = self._engine.sample(manifest, key)
        spans = {
            part.name: Span(row[f"{part.name}.offset"], row[f"{part.name}.length"])
            for part in manifest.parts
            if row[f"{part.name}.offset"] is not None
        }
        return SampleInfo(
            key=row["key"],
            split=row["split"],
            subject=row["subject"],
            shard=row["shard"],
            span=Span(row["offset"], row["length"]),
            parts=spans,
            labels={task.id: task.named(row[f"task.{task.id}"]) for task in manifest.tasks},
            meta={name.removeprefix("meta."): row[name] for name in row if name.startswith("meta.")},
        )

    def current(self) -> list[Manifest]:
        """The manifests of all datasets in their current versions, by dataset id."""
        ids = [name for name in self.store.folders() if is_dataset(name)]
        with ThreadPoolExecutor(16) as pool:
            found = pool.map(self._published, ids)
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
        return manifests.loads_latest(data, url=f"{self.store.url}/{path}").version

    def _view(self, selection: Selection, versions: Mapping[str, str]) -> View:
        table = selection.samples
        info = ViewInfo(
            id=selection.id,
            samples=len(table),
            bytes=int(table.length.sum()),
            datasets={indexed.manifest.dataset: indexed.manifest.version for indexed, _ in selection.pieces},
            query=selection.query,
            tasks=selection.tasks,
            parts=selection.parts,
            label_counts={task.id: samples.label_counts(table, task) for task in selection.tasks if task.classes},
        )
        return View(info, StoreSource(self, info.query, versions, table))


@dataclass(frozen=True, slots=True)
class StoreSource:
    """A view's content from its store. Carries the samples along; other columns are asked for anew.

    Attributes:
        versions: all that the query was asked over, also where nothing matched: its filter may name their columns.
    """

    catalog: StoreCatalog
    query: Query
    versions: Mapping[str, str]
    table: Samples

    def samples(self) -> Samples:
        return self.table

    def reader(self, table: Samples) -> ShardBytes:
        return StoreBytes(self.catalog.store, table.shards)

    def columns(self, names: Sequence[str]) -> pa.Table:
        return self.catalog.columns(self.query, self.versions, names)


def connect(url: str) -> Catalog:
    """The catalog of a store (`s3://bucket/prefix`, a path, …) or of an index service (`http://host:8080`).

    Raises:
        UsageError: not a URL of either kind.
        ServiceError: the service does not answer.
    """
    if url.startswith(("http://", "https://")):
        from ropeway.remote import ServiceCatalog

        return ServiceCatalog(url)
    return StoreCatalog(open_store(url))


def describe(manifest: Manifest) -> DatasetInfo:
    """One line about a manifest."""
    card = manifest.card
    return DatasetInfo(
        id=manifest.dataset,
        version=manifest.version,
        title=card.title,
        domain=card.domain,
        modalities=card.modalities,
        licence=card.licence,
        access=card.access,
        unit=card.unit,
        samples=manifest.samples,
        subjects=sum(split.subjects for split in manifest.splits),
        bytes=manifest.bytes,
        shards=len(manifest.shards),
        splits={split.name: split.samples for split in manifest.splits},
        parts=tuple(part.name for part in manifest.parts),
        tasks=tuple(task.id for task in manifest.tasks),
    )


def list_tasks(current: Sequence[Manifest]) -> list[TaskInfo]:
    """Every task of these datasets, by id."""
    tasks = {task.id: task for manifest in reversed(current) for task in manifest.tasks}
    return [
        TaskInfo(task=tasks[name], datasets=tuple(m.dataset for m in current if m.task(name) is not None))
        for name in sorted(tasks)
    ]


def as_tuple(names: Sequence[str] | None) -> tuple[str, ...] | None:
    """Dataset ids as a query holds them."""
    if isinstance(names, str):
        raise UsageError(f"datasets is a list of ids, not one text: write datasets=[{names!r}]")
    return None if names is None else tuple(names)
