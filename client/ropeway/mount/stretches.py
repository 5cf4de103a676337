"""Files that are stretches of shards, and how they are read: what is asked for, or ahead of it where reads go on.

A file of up to `WHOLE` bytes is fetched whole by the first read of it. Of a larger one just the bytes asked for are,
until reads go through a shard: then whole blocks are fetched, more and more ahead. It is the shard that counts and not
the file, so that members read in their order in the shard are as fast as the shard itself.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from ropeway.mount.flows import Flows
from ropeway.mount.threads import Threads
from ropeway.plan import MAX_GAP
from ropeway.samples import Samples
from ropeway.shard_bytes import ShardBytes

BLOCK = 4 << 20
"""Bytes of a block: what object stores serve well in one request."""

WHOLE = 1 << 20
"""Bytes up to which a file is fetched whole: kernels ask for 128 KiB at a time, and a request costs more than the rest
of such a file."""

AHEAD = 8
"""Blocks on their way for one flow of reads, at most."""

FLOW = 2
"""Reads that must have led to a place before anything is read ahead: an image and its mask are no flow yet."""

LEAP = 1 << 20
"""Bytes that reads of one large file may leap over and still be a flow: kernels send them side by side."""

REQUESTS = 32
"""Range requests at once."""

Place: TypeAlias = tuple[str, int, int]
"""A shard's path, and the bytes `start` to `stop` of it."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A file: bytes `start` to `start + size` of a shard."""

    reads: "Stretches"
    reader: ShardBytes
    shard: int
    path: str
    """Of the shard, as the view names it."""
    end: int
    """Bytes of the shard."""
    start: int
    size: int

    @property
    def is_shard(self) -> bool:
        """Whether it is a whole shard."""
        return self.start == 0 and self.size == self.end

    def read(self, offset: int, size: int) -> bytes | memoryview:
        """Up to `size` bytes from `offset` on; fewer at the file's end.

        Raises:
            RopewayError: the shard can't be read, or not in time.
        """
        return self.reads.read(self, self.start + offset, self.start + min(offset + size, self.size))


class Stretches:
    """Reads stretches for all files of a mount. Safe to use from threads.

    Args:
        memory: bytes of blocks held or under way.
        deadline: seconds until a read fails.
    """

    def __init__(self, memory: int, deadline: float) -> None:
        self._memory = memory
        self._threads: Threads[memoryview] = Threads(REQUESTS, deadline)
        self._flows = Flows()
        self._lock = threading.Lock()
        self._held: OrderedDict[Place, Future[memoryview]] = OrderedDict()
        self._bytes = 0
        self._local: dict[str, bool] = {}

    def stretch(self, reader: ShardBytes, table: Samples, shard: int, start: int, size: int) -> Stretch:
        """A file over a stretch of a shard of a table."""
        ref = table.shards[shard]
        return Stretch(self, reader, shard, ref.path, ref.bytes, start, size)

    def close(self) -> None:
        """Fail whatever is waited for, now."""
        self._threads.close()

    def read(self, file: Stretch, start: int, stop: int) -> bytes | memoryview:
        """Bytes `start` to `stop` of a file's shard; raises as `Stretch.read` does."""
        if start >= stop:
            return b""
        if self._is_local(file):
            return file.reader.read(file.shard, start, stop)
        small = file.size <= WHOLE
        unit = (file.start, file.start + file.size) if small else (start, stop)
        run = self._flows.seen(file.path, *unit, slack=max(MAX_GAP, file.size) if small else LEAP)
        if file.is_shard and (run or start == 0):  # who begins to read a tar mostly reads it through
            run += FLOW
        if run >= FLOW:
            return self._in_blocks(file, start, stop, run)
        if not small:
            return self._threads.result(self._fetch(file, start, stop))
        whole = self._waited((file.path, *unit), self._begun(file, *unit))
        return whole[start - file.start : stop - file.start]

    def _in_blocks(self, file: Stretch, start: int, stop: int, run: int) -> bytes | memoryview:
        ahead = min(AHEAD, 2 ** min(run - FLOW, 6), max(1, self._memory // BLOCK // self._flows.active() - 1))
        wanted = range(start // BLOCK, -(-stop // BLOCK))
        begun = [(first, last, self._begun(file, first, last)) for first, last in _blocks(wanted, file.end)]
        for first, last in _blocks(range(wanted.stop, wanted.stop + ahead), file.end):
            self._begun(file, first, last)
        self._let_go(file, wanted.start - 2)
        pieces = [
            self._waited((file.path, first, last), future)[max(start - first, 0) : stop - first]
            for first, last, future in begun
        ]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _let_go(self, file: Stretch, number: int) -> None:
        """Drop a block that a flow is through with: the kernel has it, and its memory serves the next one."""
        with self._lock:
            for first, last in _blocks(range(max(number, 0), number + 1), file.end):
                if (file.path, first, last) in self._held:
                    self._drop((file.path, first, last))

    def _begun(self, file: Stretch, start: int, stop: int) -> Future[memoryview]:
        """A range that is held, or under way from now on; one that failed is tried anew."""
        place = (file.path, start, stop)
        with self._lock:
            future = self._held.get(place)
            if future is not None and future.done() and future.exception() is not None:
                self._drop(place)
                future = None
            if future is None:
                self._held[place] = future = self._fetch(file, start, stop)
                self._bytes += stop - start
            self._held.move_to_end(place)
            while self._bytes > self._memory and len(self._held) > 1:
                self._drop(next(iter(self._held)))
            return future

    def _drop(self, place: Place) -> None:
        del self._held[place]
        self._bytes -= place[2] - place[1]

    def _waited(self, place: Place, future: Future[memoryview]) -> memoryview:
        try:
            return self._threads.result(future)
        except BaseException:
            with self._lock:
                if self._held.get(place) is future:  # so that the next read asks anew
                    self._drop(place)
            raise

    def _fetch(self, file: Stretch, start: int, stop: int) -> Future[memoryview]:
        return self._threads.begin(partial(file.reader.read, file.shard, start, stop))

    def _is_local(self, file: Stretch) -> bool:
        """Whether the shard is a file of this machine: its kernel reads ahead and caches as it is."""
        if file.path not in self._local:
            self._local[file.path] = file.reader.map(file.shard) is not None
        return self._local[file.path]


def _blocks(numbers: range, end: int) -> Iterator[tuple[int, int]]:
    """Start and stop of those blocks of a shard with `end` bytes."""
    for number in numbers:
        if number * BLOCK < end:
            yield number * BLOCK, min((number + 1) * BLOCK, end)
