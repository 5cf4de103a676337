"""`DiskCache`: ranges of remote shards on a node's own disk, shared by all processes of a user on the node."""

import logging
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ropeway.buffers import Pool
from ropeway.cache.counters import Counters, Tally
from ropeway.cache.entry import ENTRY, Content
from ropeway.cache.folder import Folder
from ropeway.cache.reading import Fetch, Keeper, Reading
from ropeway.cache.seals import PAGE, Checked, Encrypted
from ropeway.samples import ShardRef
from ropeway.shard_bytes import ShardBytes

PAUSE = 30.0
"""Seconds for which nothing is cached after the disk failed."""

_IDLE = 64 << 20
"""Bytes of read buffers that are kept for the next read."""

_log = logging.getLogger(__name__)


class DiskCache:
    """Keeps what is read of remote shards, for later epochs and for the other processes of the node.

    The folder is a local disk's. It is made for its owner alone, and refused when others may write to it. No server, no
    names outside the folder: processes meet in files and in locks that end with them, so any of them may be killed at
    any moment.

    - The bytes on disk stay within the limit, of all processes together; what was used least recently goes first, and
      never what is being read.
    - Entries are found by content: the same shard in another version, view or job is not fetched again.
    - Every page of 32 KiB is verified whenever it is read. A damaged one is never given to anybody: its entry is
      deleted, counted, and fetched again.
    - When the disk fails (full, gone, read-only), reads go on from the source; that is counted and logged once, and
      caching pauses for half a minute.

    Args:
        folder: a path; made if need be.
        limit: bytes that the folder may take on disk, of this and all other processes. Of several who give different
            ones each keeps its own.
        key: 16, 24 or 32 bytes to encrypt what is cached with AES-GCM; the names of datasets and the digests of shards
            stay readable. None: in the clear.

    Raises:
        UsageError: the limit is too small for one entry, and says what is enough; the folder holds something else, is
            somebody else's, can't be written, or was used with another key.
    """

    def __init__(self, folder: str | Path, limit: int, key: bytes | None = None) -> None:
        self._arguments = (folder, limit, key)
        self._seal = Checked() if key is None else Encrypted(key)
        self._folder = Folder(Path(folder).expanduser().absolute(), limit, self._seal)
        self._tally, self._pool = Tally(), Pool(keep=_IDLE)
        self._paused_until = 0.0
        self._warned = False
        self._keeper = Keeper(self._folder, self._seal, self._tally, self._failed, self._paused)

    @property
    def path(self) -> Path:
        """Its folder."""
        return self._folder.path

    @property
    def limit(self) -> int:
        """Bytes that the folder may take on disk."""
        return self._folder.limit

    def over(self, reader: ShardBytes, shards: Sequence[ShardRef]) -> "CachedBytes":
        """A reader of the same shards that looks here first. Local files are passed through, and never cached."""
        return CachedBytes(self, reader, shards)

    def counters(self) -> Counters:
        """What the cache did in this process so far."""
        return self._tally.snapshot()

    def read(self, content: Content, start: int, stop: int, fetch: Fetch) -> memoryview:
        """Bytes `start` to `stop` of a shard; what is not on disk comes from its source, in whole pages.

        Args:
            content: the shard.
            start, stop: within it.
            fetch: bytes from and to anywhere in the shard, from its source; what it raises is raised.
        """
        first = start // PAGE
        low, high = first * PAGE, min(-(-stop // PAGE) * PAGE, content.bytes)
        buffer = self._pool.take(high - low)
        reading = Reading(self._keeper, content, first, buffer)
        reading.load()
        is_hit = not reading.missing.any()
        reading.fill(fetch)
        self._tally.add(hits=int(is_hit), misses=int(not is_hit))
        return buffer.data[start - low : stop - low]

    def forget(self, content: Content, start: int, stop: int) -> None:
        """Delete what is cached of these bytes of a shard, with all else in the same entries: what came from the source
        was damaged already."""
        try:
            with self._folder.locked() as usage:
                for number in range(start // ENTRY, -(-stop // ENTRY)):
                    usage.drop(self._folder.entry_path(content, number))
        except OSError as error:
            self._failed(error)

    def __reduce__(self) -> tuple[type["DiskCache"], tuple[object, ...]]:
        return DiskCache, self._arguments

    def __repr__(self) -> str:  # without the key
        return f"DiskCache({str(self._folder.path)!r}, limit={self._folder.limit}, {self._seal.name})"

    def _paused(self) -> bool:
        return time.monotonic() < self._paused_until

    def _failed(self, error: OSError) -> None:
        self._tally.add(problems=1)
        self._paused_until = time.monotonic() + PAUSE
        if not self._warned:
            self._warned = True
            _log.warning("the cache %s fails and is left alone for a while; reading from the source: %s",
                         self._folder.path, error.strerror or error)  # fmt: skip


class CachedBytes:
    """Shards read through a cache."""

    def __init__(self, cache: DiskCache, reader: ShardBytes, shards: Sequence[ShardRef]) -> None:
        self._cache, self._reader = cache, reader
        self._contents = [Content.of(shard) for shard in shards]
        self._local: dict[int, bool] = {}

    def read(self, shard: int, start: int, stop: int) -> memoryview:
        content = self._contents[shard]
        if not 0 <= start < stop <= content.bytes or self._is_local(shard):
            return self._reader.read(shard, start, stop)
        return self._cache.read(content, start, stop, partial(self._reader.read, shard))

    def map(self, shard: int) -> memoryview | None:
        return self._reader.map(shard)

    def forget(self, shard: int, start: int, stop: int) -> None:
        """See `DiskCache.forget`: for bytes that proved damaged after they were read."""
        self._cache.forget(self._contents[shard], start, stop)

    def _is_local(self, shard: int) -> bool:
        if shard not in self._local:
            self._local[shard] = self._reader.map(shard) is not None
        return self._local[shard]
