"""How the bytes of a view's shards are reached: through the store itself, or by the URLs a service hands out."""

import mmap
from collections.abc import Sequence
from typing import Protocol

from ropeway.manifest import is_url
from ropeway.samples import ShardRef
from ropeway.stores import Store, open_store


class ShardBytes(Protocol):
    """Bytes of a view's shards, which are counted as in its shard table. Picklable; safe to use from threads."""

    def read(self, shard: int, start: int, stop: int) -> memoryview:
        """Bytes `start` to `stop` (exclusive) of a shard."""
        ...

    def map(self, shard: int) -> memoryview | None:
        """A whole shard mapped into memory, or None where it is not a local file."""
        ...


class StoreBytes:
    """Shards read from their store; adopted ones from wherever their URL says."""

    def __init__(self, store: Store, shards: Sequence[ShardRef]) -> None:
        self._store, self._shards = store, shards

    def read(self, shard: int, start: int, stop: int) -> memoryview:
        store, path = self._place(shard)
        return store.read(path, start, stop)

    def size(self, shard: int) -> int:
        """Bytes of a shard as it is stored."""
        store, path = self._place(shard)
        return store.stat(path).size

    def map(self, shard: int) -> memoryview | None:
        store, path = self._place(shard)
        file = store.local_path(path)
        if file is None:
            return None
        store.stat(path)  # a missing shard is told by the store's own error, with its URL
        with file.open("rb") as handle:
            return memoryview(mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ))

    def _place(self, shard: int) -> tuple[Store, str]:
        path = self._shards[shard].path
        if not is_url(path):
            return self._store, path
        root, _, name = path.rpartition("/")
        return open_store(root), name
