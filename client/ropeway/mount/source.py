"""What is mounted: a store, a dataset of one, a view, or what a service gives to whoever asks."""

import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ropeway import subsets
from ropeway.cache import DiskCache
from ropeway.catalog import StoreCatalog, is_service
from ropeway.errors import NotFound, StoreError, UsageError
from ropeway.keys import is_dataset
from ropeway.manifest import Manifest
from ropeway.query import Query
from ropeway.remote import ServiceCatalog
from ropeway.samples import Ints, Samples
from ropeway.saved import is_id, is_name
from ropeway.stores import Store, open_store
from ropeway.view import View

_VIEW_URL = re.compile(r"(?P<service>https?://.+)/v1/views/(?P<view>[^/]+)/?")

_Catalog: TypeAlias = StoreCatalog | ServiceCatalog


@dataclass(frozen=True, slots=True)
class Source:
    """What is mounted, and where it comes from.

    Attributes:
        url: of the store or service.
        view: id of the view, or None where whole datasets are mounted.
        manifests: by dataset.
        open: gives the view of a dataset's samples. It is not kept, nor what it holds beside them.
        meta: gives the names of a dataset's metadata columns, of which one key is known.
    """

    url: str
    view: str | None
    manifests: Mapping[str, Manifest]
    open: Callable[[str], View]
    meta: Callable[[Manifest, str], list[str]]


@dataclass(frozen=True, slots=True)
class Named:
    """A source as a person names it: where, and what of it.

    Attributes:
        url: of a store, a dataset in one, or a service.
        name: a dataset there; where there is none of that name, a saved view.
        view: a view's id, or the name it was saved under.
    """

    url: str
    name: str | None = None
    view: str | None = None

    @classmethod
    def parse(cls, source: str, store: str | None) -> "Named":
        """From the command line.

        Args:
            source: a URL or path of a store, or of a dataset in one; a service's URL, or that of a view of its; with
                `store` also a dataset's id or a view's id or name alone.
            store: URL or path of a store or service.

        Raises:
            UsageError: an id, and no store.
        """
        if found := _VIEW_URL.fullmatch(source):
            return cls(found["service"], view=found["view"])
        if not (is_name(source) or is_id(source) or is_dataset(source)):
            return cls(source)
        if store is not None:
            return cls(store, view=source) if is_id(source) else cls(store, name=source)
        if Path(source).is_dir():
            return cls(source)
        raise UsageError(f"no folder {source!r} here; if it is a dataset or a view, say whose: --store URL")


def open_source(named: Named, asked: Query, cache: DiskCache | None = None) -> Source:
    """Look up what is named; indexes are not read yet.

    Args:
        named: what is to be mounted.
        asked: conditions that samples have to meet, if any are given.
        cache: where pages of a service's views are kept on this node's disk.

    Raises:
        NotFound: there is no such thing, or nothing in it.
        UsageError: conditions for a view, which is frozen; or a joined view, whose samples are of several files each.
        RopewayError: it can't be reached, or the conditions can't be met.
    """
    if named.view is not None:
        return _of_view(named.url, named.view, asked, cache)
    try:
        return _of_service(named, asked, cache) if is_service(named.url) else _of_store(named, asked)
    except NotFound as error:
        if named.name is None:
            raise
        try:
            return _of_view(named.url, named.name, asked, cache)
        except NotFound:
            raise NotFound(f"no dataset and no saved view {named.name!r}: `ropeway ls` and `ropeway view ls` list them",
                           url=named.url) from error  # fmt: skip


def _of_view(url: str, view_id: str, asked: Query, cache: DiskCache | None) -> Source:
    catalog = ServiceCatalog(url, cache=cache) if is_service(url) else StoreCatalog(open_store(url))
    view = catalog.view(view_id)
    if asked != Query():
        raise UsageError("a view is what it is: leave conditions out, or give them with a store instead of a view's id")
    return _viewed(catalog, url, view)


def _viewed(catalog: _Catalog, url: str, view: View) -> Source:
    table = view.table()
    if table.partners:
        raise UsageError("a sample of a joined view has parts in several shards: mount the views that were joined")
    there = {table.shards[number].dataset for number in np.unique(table.shard)}
    manifests = {name: catalog.manifest(name, version) for name, version in view.datasets.items() if name in there}
    rows = _each_once(table)
    shown = view if len(rows) == len(table) else subsets.derive(view, "each once", None, lambda _: rows)
    return Source(url, view.id, manifests, lambda _: shown, lambda *sample: list(catalog.sample(*sample).meta))


def _each_once(table: Samples) -> Ints:
    """The rows without those that repeat the one before: a balanced view has samples twice, a folder no file."""
    again = (table.shard[1:] == table.shard[:-1]) & (table.offset[1:] == table.offset[:-1])
    return np.flatnonzero(np.append(True, ~again))


def _of_service(named: Named, asked: Query, cache: DiskCache | None) -> Source:
    catalog = ServiceCatalog(named.url, cache=cache)
    if asked != Query():
        return _viewed(catalog, named.url, _queried(catalog, named.name, asked))
    versions = {info.id: info.version for info in catalog.datasets()}
    wanted = _wanted(list(versions), named.name, named.url)
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda name: catalog.manifest(name, versions[name]), wanted))

    def view(dataset: str) -> View:
        asked_for = catalog.query(datasets=[dataset])
        if asked_for.datasets[dataset] != versions[dataset]:
            raise StoreError("a new version was published before this one's index was read: mount again, to see it")
        return asked_for

    return Source(
        named.url,
        None,
        {manifest.dataset: manifest for manifest in found},
        view,
        lambda *sample: list(catalog.sample(*sample).meta),
    )


def _of_store(named: Named, asked: Query) -> Source:
    store, dataset = open_store(named.url), named.name
    if dataset is None and _is_dataset(store):
        root, _, dataset = store.url.rstrip("/").rpartition("/")
        store = open_store(root)
    catalog = StoreCatalog(store)
    if asked != Query():
        return _viewed(catalog, store.url, _queried(catalog, dataset, asked))
    current = [catalog.manifest(dataset)] if dataset is not None else catalog.current()
    manifests = {manifest.dataset: manifest for manifest in current}
    _wanted(list(manifests), dataset, store.url)

    def view(name: str) -> View:  # of a catalog of its own: what that keeps for queries is not kept
        return StoreCatalog(store).select(Query(datasets=(name,)), {name: manifests[name].version})

    def meta(manifest: Manifest, key: str) -> list[str]:
        return list(StoreCatalog(store).sample(manifest, key).meta)

    return Source(store.url, None, manifests, view, meta)


def _is_dataset(store: Store) -> bool:
    """Whether a store's URL is that of a dataset in one."""
    if not is_dataset(store.url.rstrip("/").rpartition("/")[2]):
        return False
    try:
        store.stat("latest.json")
    except NotFound:
        return False
    return True


def _queried(catalog: _Catalog, dataset: str | None, asked: Query) -> View:
    datasets = None if dataset is None else [dataset]
    return catalog.query(task=asked.task, split=asked.split, where=asked.where, datasets=datasets)


def _wanted(there: list[str], dataset: str | None, url: str) -> list[str]:
    wanted = [name for name in there if dataset in {None, name}]
    if not wanted:
        what = f"no dataset {dataset!r}" if dataset else "no datasets"
        raise NotFound(f"{what} to mount: `ropeway ls` lists those that you may read", url=url)
    return wanted
