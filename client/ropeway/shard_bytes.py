"""How the bytes of a view's shards are reached: through the store itself, or by the URLs a service hands out."""

import mmap
from collections.abc import Sequence
from typing import Protocol, runtime_checkable
from urllib.parse import unquote

from ropeway.errors import StoreError
from ropeway.manifest import is_url
from ropeway.ranges import Counters, Counts, Pieces, RangeClient
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


@runtime_checkable
class Counting(Protocol):
    """A reader that says what its reads took. Counts are those of this process."""

    @property
    def counters(self) -> Counts:
        """Requests, bytes, retries and so on until now; zeros where nothing went over a network."""
        ...


@runtime_checkable
class Receiving(Protocol):
    """A reader that gives the first bytes of a range while the last are still to come, where its source can."""

    def receive(self, shard: int, start: int, stop: int, pieces: Pieces) -> None:
        """As `ShardBytes.read`, by pieces."""
        ...


class StoreBytes:
    """Shards read from their store; adopted ones from wherever their URL says, plain http(s) included."""

    def __init__(self, store: Store, shards: Sequence[ShardRef]) -> None:
        self._store, self._shards = store, shards
        self._counters = Counters()
        self._near = self._counted(store)
        self._web = _Web(self._counters)
        self._stores: dict[str, Store] = {}

    def __reduce__(self) -> tuple[type["StoreBytes"], tuple[Store, Sequence[ShardRef]]]:
        return StoreBytes, (self._store, self._shards)

    @property
    def counters(self) -> Counts:
        """What this reader's reads took in this process."""
        return self._counters.snapshot()

    def read(self, shard: int, start: int, stop: int) -> memoryview:
        place, path = self._place(shard)
        return place.read(path, start, stop)

    def receive(self, shard: int, start: int, stop: int, pieces: Pieces) -> None:
        place, path = self._place(shard)
        if isinstance(place, _Receiving):
            place.receive(path, start, stop, pieces)
        else:
            pieces.cut(start, place.read(path, start, stop))

    def size(self, shard: int) -> int:
        """Bytes of a shard as it is stored."""
        place, path = self._place(shard)
        return place.size(path) if isinstance(place, _Web) else place.stat(path).size

    def url(self, shard: int, seconds: int) -> str:
        """Where anybody may read a shard for that long: a path, or a URL.

        Raises:
            StoreError: the store gives no URLs.
        """
        place, path = self._place(shard)
        if isinstance(place, _Web):
            return path
        file = place.local_path(path)
        found = str(file) if file is not None else place.sign(path, seconds)
        if found is None:
            raise StoreError("the store gives no URLs that others can read", url=f"{place.url}/{path}")
        return found

    def map(self, shard: int) -> memoryview | None:
        place, path = self._place(shard)
        if isinstance(place, _Web):
            return None
        file = place.local_path(path)
        if file is None:
            return None
        if place.stat(path).size == 0:  # a missing shard is told by the store's own error, with its URL
            return memoryview(b"")
        with file.open("rb") as handle:
            return memoryview(mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ))

    def _place(self, shard: int) -> "tuple[Store | _Web, str]":
        path = self._shards[shard].path
        if not is_url(path):
            return self._near, path
        if path.startswith(("http://", "https://")):
            return self._web, path
        root, _, name = path.rpartition("/")
        if root.startswith("file:"):
            name = unquote(name)
        store = self._stores.get(root)
        if store is None:
            store = self._stores.setdefault(root, self._counted(open_store(root)))
        return store, name

    def _counted(self, store: Store) -> Store:
        return store.counted(self._counters) if isinstance(store, _Counted) else store


class PairedBytes:
    """The shards of two views as one table: those of the first, then those of the second."""

    def __init__(self, first: ShardBytes, second: ShardBytes, shards: int) -> None:
        self._first, self._second, self._shards = first, second, shards

    @property
    def counters(self) -> Counts:
        """What both readers' reads took in this process."""
        return sum((one.counters for one in (self._first, self._second) if isinstance(one, Counting)), Counts())

    def read(self, shard: int, start: int, stop: int) -> memoryview:
        reader, number = self._place(shard)
        return reader.read(number, start, stop)

    def map(self, shard: int) -> memoryview | None:
        reader, number = self._place(shard)
        return reader.map(number)

    def _place(self, shard: int) -> tuple[ShardBytes, int]:
        return (self._first, shard) if shard < self._shards else (self._second, shard - self._shards)


@runtime_checkable
class _Counted(Protocol):
    """A store that counts, for one reader, what its reads take."""

    def counted(self, counters: Counters) -> Store: ...


@runtime_checkable
class _Receiving(Protocol):
    """A store that gives bytes by pieces."""

    def receive(self, path: str, start: int, stop: int, pieces: Pieces, /) -> None: ...


class _Web:
    """Objects at plain http(s) URLs: on web servers, or presigned."""

    def __init__(self, counters: Counters) -> None:
        self._client, self._counters = RangeClient(), counters

    def read(self, url: str, start: int, stop: int) -> memoryview:
        return self._client.read(lambda _: url, start, stop, self._counters)

    def receive(self, url: str, start: int, stop: int, pieces: Pieces) -> None:
        self._client.receive(lambda _: url, start, stop, self._counters, pieces)

    def size(self, url: str) -> int:
        return self._client.size(lambda _: url, self._counters)
