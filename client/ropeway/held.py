"""Ranges of shards from when they are planned until their last sample was handed out, within a bound of bytes."""

import heapq
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ropeway import plan
from ropeway.buffers import address
from ropeway.bursts import Burst, Group
from ropeway.samples import Bytes, Ints, Samples
from ropeway.shard_bytes import ShardBytes

EARLY_BYTES, EARLY = 768 << 20, 32
"""The first burst's samples are read by themselves where the ranges they lie in are so large, and so many times their
size: else every lane's first block would have to be there before the first batch."""

Check: TypeAlias = Callable[[plan.Read, Bytes], list[int]]
"""Which rows of a range are damaged; it is asked where the range arrived, while its bytes are in the cache."""

Coming: TypeAlias = Future[tuple[Bytes, list[int]]]
"""A range's bytes, and its damaged rows."""


@dataclass(slots=True)
class _Range:
    """A range waiting, under way or held. `left` counts the samples that are still to be handed out."""

    read: plan.Read
    left: int
    content: Coming | None = None


class Held:
    """The ranges of one rank's epoch.

    Args:
        table: the view's samples; `offset` and `length` say what of each is wanted.
        reader: access to their bytes.
        pool: reads ranges, as many at once as it has threads.
        memory: bytes of ranges that may be held or under way; only what a burst itself needs may go beyond.
        part: bytes of a range, at most, unless a sample is longer.
        check: of each range, or None where nothing is checked.
    """

    def __init__(
        self, table: Samples, reader: ShardBytes, pool: Executor, *, memory: int, part: int, check: Check | None
    ) -> None:
        self._table, self._reader, self._pool, self._check = table, reader, pool, check
        self._memory, self._part = memory, part
        self._ranges: dict[int, _Range] = {}
        self._range_of = np.full(len(table), -1, np.int64)
        self._waiting: list[tuple[int, int]] = []
        self._numbered = self._bytes = 0

    @property
    def waiting(self) -> int:
        """Ranges that are planned ahead of those under way."""
        return len(self._waiting)

    def expect(self, rows: Ints, turns: Ints) -> None:
        """Make ranges of rows; `turns` says how early each is needed."""
        order = np.lexsort((turns, rows))
        wanted, firsts, counts = np.unique(rows[order], return_index=True, return_counts=True)
        turns = turns[order][firsts]
        there = self._range_of[wanted]
        for number, count in zip(there[there >= 0].tolist(), counts[there >= 0].tolist(), strict=True):
            self._ranges[number].left += count
        wanted, turns, counts = wanted[there < 0], turns[there < 0], counts[there < 0]
        at = 0
        for read in plan.coalesce(self._table, wanted, max_request=self._part):
            stop = at + len(read.rows)
            self._ranges[self._numbered] = _Range(read, int(counts[at:stop].sum()))
            self._range_of[read.rows] = self._numbered
            heapq.heappush(self._waiting, (int(turns[at:stop].min()), self._numbered))
            self._numbered += 1
            at = stop

    def _submit(self) -> None:
        """Start waiting ranges, the soonest needed first, as far as memory allows."""
        while self._waiting:
            part = self._ranges.get(self._waiting[0][1])
            if part is not None and part.content is None:
                if self._bytes and self._bytes + part.read.size > self._memory:
                    return
                self._start(part)
            heapq.heappop(self._waiting)  # or a burst could not wait for its turn

    def burst(self, group: Group) -> Burst:
        """A group's burst, when its ranges are there. Those that nobody else needs are let go with it."""
        self._submit()
        rows = group[1]
        numbers, which, counts = np.unique(self._range_of[rows], return_inverse=True, return_counts=True)
        ranges = [self._ranges[number] for number in numbers.tolist()]
        coming = [part.content or self._start(part) for part in ranges]  # past the memory bound, if need be
        burst = self._made(group, which, [part.read for part in ranges], coming)
        self._release(numbers, counts)
        self._submit()
        return burst

    def first_burst(self, group: Group) -> Burst:
        """The burst that somebody waits for: its samples by themselves, where the ranges they lie in are far larger."""
        rows = group[1]
        numbers, counts = np.unique(self._range_of[rows], return_counts=True)
        size = sum(self._ranges[number].read.size for number in numbers.tolist())
        if size < EARLY_BYTES or size < EARLY * int(self._table.length[rows].sum()):
            return self.burst(group)
        reads = plan.coalesce(self._table, np.unique(rows), max_request=self._part)
        coming = [self._begin(read) for read in reads]
        self._submit()
        self._release(numbers, counts)
        which = np.searchsorted([read.rows[0] for read in reads], rows, side="right") - 1
        return self._made(group, which, reads, coming)

    def _start(self, part: _Range) -> Coming:
        part.content = self._begin(part.read)
        self._bytes += part.read.size
        return part.content

    def _begin(self, read: plan.Read) -> Coming:
        return self._pool.submit(self._bring, read)

    def _bring(self, read: plan.Read) -> tuple[Bytes, list[int]]:
        content = np.frombuffer(self._reader.read(read.shard, read.start, read.stop), np.uint8)
        return content, [] if self._check is None else self._check(read, content)

    def _made(self, group: Group, which: Ints, reads: Sequence[plan.Read], coming: Sequence[Coming]) -> Burst:
        """A burst of ranges that are waited for; `which` of them each row lies in."""
        steps, rows = group
        arrived = [one.result() for one in coming]
        buffers = {place: content for place, (content, _) in enumerate(arrived)}
        damaged = np.flatnonzero(np.isin(rows, np.array([row for _, some in arrived for row in some], np.int64)))
        bases = np.array([address(buffer) for buffer in buffers.values()], np.int64)
        starts = self._table.offset[rows] - np.array([read.start for read in reads], np.int64)[which]
        which = which.astype(np.int64)
        addresses, lengths = bases[which] + starts, self._table.length[rows]
        return Burst(steps, rows, addresses, lengths, buffers, lambda _: (which, starts), damaged)

    def _release(self, numbers: Ints, counts: Ints) -> None:
        """Some samples of ranges were handed out: ranges without any left are let go."""
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            part = self._ranges[number]
            part.left -= count
            if part.left == 0:
                self._range_of[part.read.rows] = -1
                self._bytes -= part.read.size if part.content is not None else 0
                del self._ranges[number]
