"""What makes a version visible: the manifest appears, then `latest.json` points at it. Whoever makes versions does so.

Each step may be repeated and raced. Whoever creates the manifest first has published; everybody else finds the same
version there.
"""

from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

from ropeway import manifest, manifest_reading
from ropeway.errors import AlreadyExists, Conflict, NotFound, UsageError
from ropeway.manifest import Latest, Manifest
from ropeway.stores import Store

ROWS_PER_FILE = 1_000_000
"""Rows of an index file, about: whole shards."""


def published(store: Store, dataset: str, version: str) -> Manifest | None:
    """The manifest of a version, if it has one."""
    path = manifest.manifest_path(dataset, version)
    try:
        data, _ = store.load(path)
    except NotFound:
        return None
    return manifest_reading.loads(data, url=f"{store.url}/{path}")


def check_not_erased(store: Store, dataset: str, version: str) -> None:
    """Raise UsageError for a version that was erased because withdrawn subjects are in it: it would bring them back."""
    path = manifest.latest_path(dataset)
    try:
        data, _ = store.load(path)
    except NotFound:
        return
    latest = manifest_reading.loads_latest(data, url=f"{store.url}/{path}")
    if version in latest.erased:
        raise UsageError(
            f"version {version} was erased, because withdrawn subjects are in it, and is not made again; the current "
            f"one is {latest.version}, without them. To pack the raw data anew, take them out of it", dataset=dataset,
        )  # fmt: skip


def point_latest(store: Store, dataset: str, version: str) -> Latest:
    """Make a new version the current one, whoever else does the same meanwhile.

    A version that is already in the history is left where it is: a later one may exist because something was withdrawn.
    Where subjects were withdrawn, a version of the new one without them is made, and becomes the current one.

    Raises:
        UsageError: the version was erased.
    """
    path = manifest.latest_path(dataset)
    while True:
        try:
            data, tag = store.load(path)
        except NotFound:
            first = Latest(version=version, history=(version,))
            try:
                store.create(path, manifest.dumps(first))
            except AlreadyExists:
                continue
            return first
        latest = manifest_reading.loads_latest(data, url=f"{store.url}/{path}")
        if version in latest.history:
            return latest
        check_not_erased(store, dataset, version)
        current = _without_withdrawn(store, dataset, version, latest)
        later = replace(latest, version=current, history=(*latest.history, *dict.fromkeys((version, current))))
        try:
            store.swap(path, manifest.dumps(later), tag)
        except Conflict:
            continue
        return later


def withdrawn_from(store: Store, made: Manifest, latest: Latest) -> int:
    """How many were withdrawn from a dataset and may be in this version; 0 where it is the current one."""
    if latest.version == made.version:
        return 0
    current = published(store, made.dataset, latest.version)
    return current.withdrawn_subjects - made.withdrawn_subjects if current else 0


def _without_withdrawn(store: Store, dataset: str, version: str, latest: Latest) -> str:
    """The version that may take the current one's place: the new one, or where subjects were withdrawn, one without."""
    before, made = published(store, dataset, latest.version), published(store, dataset, version)
    if before is None or made is None or not before.withdrawn_subjects:
        return version
    from ropeway.lifecycle.versions import publish  # it brings the index along, and publishes by this module
    from ropeway.lifecycle.without import carried

    kept, digests = carried(store, made, before)
    publish(store, kept, digests)
    return kept.version


@cache
def software() -> str:
    """Name and version of this software."""
    try:
        return f"ropeway {installed('ropeway')}"
    except PackageNotFoundError:
        return "ropeway"
