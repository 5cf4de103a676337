"""Files that are stretches of shards, and how they are read: what is asked for, or ahead of it where reads go on.

A file of up to `WHOLE` bytes is fetched whole by the first read of it. Of a larger one just the bytes asked for are,
until reads go through a shard: then runs of blocks are, longer and further ahead the longer that lasts, and each block
is given as soon as it has come. It is the shard that counts and not the file, so that members read in their order in
the shard are as fast as the shard itself. What was given is let go: the kernel keeps it.
"""

from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from time import monotonic

from ropeway.mount.blocks import GRID, Block, Blocks
from ropeway.mount.flows import Flows
from ropeway.mount.runs import Run
from ropeway.mount.threads import Threads
from ropeway.plan import MAX_GAP
from ropeway.ranges import Pieces
from ropeway.samples import Samples
from ropeway.shard_bytes import Receiving, ShardBytes

WHOLE = 1 << 20
"""Bytes up to which a file is fetched whole: kernels ask for 128 KiB at a time, and a request costs more than the rest
of such a file."""

LONGEST = 32 << 20
"""Bytes of the longest run, which one request is for. A request costs an object store about as much as some megabytes
more do."""

AHEAD = 4
"""Longest runs on their way for one flow of reads, at most, beside the one that it reads."""

ENOUGH = 400e6
"""Bytes per second that the requests under way should bring together. Where one brings as many, more of them take turns
for what there is, and fill memory with what nobody waits for."""

START = LONGEST - GRID
"""Bytes ahead of a shard's first read: who begins with it mostly reads it through."""

FLOW = 2
"""Reads that must have led to a place before anything is read ahead: an image and its mask are no flow yet."""

LEAP = 4 << 20
"""Bytes that reads of one large file may leap over and still be a flow: kernels send them side by side."""

REQUESTS = 32
"""Range requests at once."""

_GUESS = 100e6
"""Bytes per second of a request, before one has come: what large object stores give."""

_NEWEST = 0.25
"""What the newest run says of a request's rate; those before say the rest."""


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
        self._threads: Threads[None] = Threads(REQUESTS, deadline)
        self._flows = Flows()
        self._blocks = Blocks(memory)
        self._rate = _GUESS
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
        flow = self._flows.seen(file.path, *unit, slack=max(MAX_GAP, file.size) if small else LEAP)
        if flow.run >= FLOW or (file.is_shard and (flow.run or start < LEAP)):
            return self._in_blocks(file, start, stop, flow.bytes)
        if not small:
            ((_, content),) = self._fetch(file, start, stop, stop - start)
            return self._threads.result(content)
        return self._given(self._blocks.exactly(file.path, *unit, partial(self._fetch, file)), start, stop)

    def _in_blocks(self, file: Stretch, start: int, stop: int, come: int) -> bytes | memoryview:
        """Bytes `start` to `stop` for a flow that has come through so many; about twice as many are read ahead.

        What is waited for comes in the shortest runs, what is ahead in longer ones.
        """
        cover = partial(self._blocks.cover, file.path, end=file.end, fetch=partial(self._fetch, file))
        blocks = cover(start, stop, size_at=lambda _: GRID)
        if blocks[-1].is_new:  # once per block is often enough
            share = self._memory // self._flows.active()
            longest, window = reach(share, self._rate, 2 * come + (START if file.is_shard else 0))
            usual = _rounded(window + GRID)
            cover(blocks[-1].stop, stop + window, size_at=lambda at: min(longest - at % longest, usual))
        pieces = [self._given(block, max(start, block.start), min(stop, block.stop)) for block in blocks]
        self._blocks.passed(file.path, start)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _given(self, block: Block, start: int, stop: int) -> memoryview:
        try:
            content = self._threads.result(block.content)
        except BaseException:
            self._blocks.failed(block)
            raise
        self._blocks.given(block, stop - start)
        return content[start - block.start : stop - block.start]

    def _fetch(self, file: Stretch, start: int, stop: int, size: int) -> list[tuple[int, Future[memoryview]]]:
        run = Run(start, stop, size)
        blocks = run.blocks()
        run.follow(self._threads.begin(partial(self._receive, file, start, stop, run.pieces)))
        return blocks

    def _receive(self, file: Stretch, start: int, stop: int, pieces: Pieces) -> None:
        begun, reader = monotonic(), file.reader
        if isinstance(reader, Receiving):
            reader.receive(file.shard, start, stop, pieces)
        else:
            pieces.cut(start, reader.read(file.shard, start, stop))
        if stop - start >= GRID:
            self._rate += _NEWEST * ((stop - start) / max(monotonic() - begun, 1e-6) - self._rate)

    def _is_local(self, file: Stretch) -> bool:
        """Whether the shard is a file of this machine: its kernel reads ahead and caches as it is."""
        if file.path not in self._local:
            self._local[file.path] = file.reader.map(file.shard) is not None
        return self._local[file.path]


def reach(share: int, rate: float, wanted: int) -> tuple[int, int]:
    """How a flow is read ahead.

    Args:
        share: bytes of memory for it.
        rate: bytes per second of one request.
        wanted: bytes ahead that its past is worth.

    Returns:
        Bytes of its longest runs: as much as a request brings in a second, in the share with those before and after
        them; and bytes from a read on that should be there or on their way.
    """
    ahead = min(AHEAD, 1 + int(ENOUGH / rate))
    longest = _rounded(min(LONGEST, share // (ahead + 2), int(rate)))
    return longest, max(0, min(ahead * longest, share - 2 * longest, wanted))


def _rounded(size: int) -> int:
    """A size down to a power of two, but at least `GRID`."""
    return 1 << max(GRID, size).bit_length() - 1
