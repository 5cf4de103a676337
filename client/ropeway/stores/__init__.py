"""Stores: one small protocol over directories and object stores."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from ropeway.errors import UsageError
from ropeway.stores.local import LocalStore
from ropeway.stores.protocol import Content, Stat, Store

__all__ = ["Content", "LocalStore", "Stat", "Store", "open_store"]


def open_store(url: str | Path) -> Store:
    """The store of a URL: `s3://bucket/prefix`, `gs://`, `az://`, `memory://name`, `file:///dir`, or a plain path.

    Nothing is contacted yet.

    Raises:
        UsageError: the URL's scheme is not one of these, or a bucket is missing.
    """
    parts = urlsplit(str(url))
    if parts.scheme == "" or isinstance(url, Path):
        return LocalStore(url)
    if parts.scheme == "file":
        return LocalStore(unquote(parts.path))
    from ropeway.stores.objects import BucketStore, connect_cloud, connect_memory, connect_s3

    connect = {"s3": connect_s3, "gs": connect_cloud, "az": connect_cloud, "memory": connect_memory}.get(parts.scheme)
    if connect is None:
        raise UsageError(
            f"not a store URL: {url} (a path, or file:// s3:// gs:// az:// memory://)", url=str(url)
        )
    if not parts.netloc and parts.scheme != "memory":
        raise UsageError(f"no bucket in the store URL: {url} (write {parts.scheme}://bucket/prefix)", url=str(url))
    return BucketStore(str(url), connect)
