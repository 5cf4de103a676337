"""Stores: one small protocol over directories and object stores."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from ropeway.errors import UsageError
from ropeway.stores.local import LocalStore
from ropeway.stores.protocol import Content, Stat, Store

_OBJECT_STORES = ("s3", "gs", "az", "memory")

__all__ = ["Content", "LocalStore", "Stat", "Store", "open_store"]


def open_store(url: str | Path) -> Store:
    """The store of a URL: `s3://bucket/prefix`, `gs://`, `az://`, `memory://name`, `file:///dir`, or a plain path.

    Nothing is contacted yet.

    Raises:
        UsageError: the URL's scheme is not one of these, or it names no bucket, or nothing at all.
    """
    if url == "":
        raise UsageError("no store is named: give its URL, or '.' for this folder")
    parts = urlsplit(str(url))
    if parts.scheme == "" or isinstance(url, Path):
        return LocalStore(url)
    if parts.scheme == "file":
        if parts.netloc not in ("", "localhost") or not parts.path:
            raise UsageError("not a directory of this machine (write file:///dir, with three slashes)", url=str(url))
        return LocalStore(unquote(parts.path))
    if parts.scheme in ("http", "https"):
        raise UsageError("this takes the store itself (a path, s3:// gs:// az://), not an index service", url=str(url))
    if parts.scheme not in _OBJECT_STORES:
        raise UsageError("not a store URL (a path, or file:// s3:// gs:// az:// memory://)", url=str(url))
    if not parts.netloc:
        raise UsageError(f"no bucket in the store URL (write {parts.scheme}://bucket/prefix)", url=str(url))
    from ropeway.stores.objects import BucketStore

    return BucketStore(str(url))
