"""What makes a version visible: the manifest appears, then `latest.json` points at it. Whoever makes versions does so.

Each step may be repeated and raced. Whoever creates the manifest first has published; everybody else finds the same
version there.
"""

from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

from ropeway import manifest, manifest_reading
from ropeway.errors import AlreadyExists, Conflict, NotFound
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


def point_latest(store: Store, dataset: str, version: str) -> Latest:
    """Make a new version the current one, whoever else does the same meanwhile.

    A version that is already in the history is left where it is: a later one may exist because something was withdrawn.
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
        later = Latest(version=version, history=(*latest.history, version))
        try:
            store.swap(path, manifest.dumps(later), tag)
        except Conflict:
            continue
        return later


@cache
def software() -> str:
    """Name and version of this software."""
    try:
        return f"ropeway {installed('ropeway')}"
    except PackageNotFoundError:
        return "ropeway"
