"""What is mounted: a store, a dataset of one, a view, or what a service gives to whoever asks."""

import re
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ropeway.catalog import StoreCatalog
from ropeway.errors import NotFound, StoreError, UsageError
from ropeway.keys import is_dataset
from ropeway.manifest import Manifest
from ropeway.query import Query
from ropeway.remote import ServiceCatalog
from ropeway.stores import Store, open_store
from ropeway.view import View

_VIEW = re.compile(r"[0-9a-f]{16}")
_VIEW_URL = re.compile(r"(?P<service>https?://.+)/v1/views/(?P<view>[0-9a-f]{16})/?")


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
    """A source as a person names it: where, and what of it."""

    url: str
    dataset: str | None = None
    view: str | None = None

    @classmethod
    def parse(cls, source: str, store: str | None) -> "Named":
        """From the command line.

        Args:
            source: a URL or path of a store, or of a dataset in one; a service's URL, or that of a view of its; with
                `store` also a dataset's or a view's id alone.
            store: URL or path of a store or service.

        Raises:
            UsageError: an id, and no store.
        """
        if found := _VIEW_URL.fullmatch(source):
            return cls(found["service"], view=found["view"])
        if "/" in source or not is_dataset(source):
            return cls(source)
        if store is not None:
            return cls(store, view=source) if _VIEW.fullmatch(source) else cls(store, dataset=source)
        if Path(source).is_dir():
            return cls(source)
        raise UsageError(f"no folder {source!r} here; if it is a dataset or a view, say whose: --store URL")


def open_source(named: Named, asked: Query) -> Source:
    """Look up what is named; indexes are not read yet.

    Args:
        named: what is to be mounted.
        asked: conditions that samples have to meet, if any are given.

    Raises:
        NotFound: there is no such thing, or nothing in it.
        UsageError: a view of a store: it knows no ids. Or conditions for a view, which is frozen.
        RopewayError: it can't be reached, or the conditions can't be met.
    """
    if named.view is not None:
        return _of_view(named.url, named.view, asked)
    if _is_service(named.url):
        return _of_service(named, asked)
    return _of_store(named, asked)


def _is_service(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def _of_view(url: str, view_id: str, asked: Query) -> Source:
    if asked != Query():
        raise UsageError("a view is what it is: leave conditions out, or give them with a store instead of a view's id")
    if not _is_service(url):
        raise UsageError("a store knows no views by their ids: mount the store with the query's --task, --split and "
                         "--where, or name the service that made the view", url=url)  # fmt: skip
    catalog = ServiceCatalog(url)
    return _viewed(catalog, url, catalog.view(view_id))


def _viewed(catalog: _Catalog, url: str, view: View) -> Source:
    manifests = {name: catalog.manifest(name, version) for name, version in view.datasets.items()}
    return Source(url, view.id, manifests, lambda _: view, lambda *sample: list(catalog.sample(*sample).meta))


def _of_service(named: Named, asked: Query) -> Source:
    catalog = ServiceCatalog(named.url)
    if asked != Query():
        return _viewed(catalog, named.url, _queried(catalog, named.dataset, asked))
    versions = {info.id: info.version for info in catalog.datasets()}
    wanted = _wanted(list(versions), named.dataset, named.url)
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
    store, dataset = open_store(named.url), named.dataset
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
