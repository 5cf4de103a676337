"""Brings the bytes of a rank's steps where shards are read by range: ahead of their use, and within bounds."""

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ropeway import plan
from ropeway.bursts import Burst, Group
from ropeway.order import SMALL_BYTES
from ropeway.samples import Ints, Samples
from ropeway.shard_bytes import ShardBytes
from ropeway.steps import Step
from ropeway.tuning import Tuning

GROUP_BYTES, WHOLE = SMALL_BYTES, 1 << 19
"""Ranges are planned for at least so many bytes at a time, so that neighbours find each other; for the whole epoch in a
view of up to so many samples that fits into memory."""

SCANNED = 1 << 15
"""Samples that are sorted by window together."""

EARLY_BYTES, EARLY = 768 << 20, 32
"""The first burst's samples are read by themselves where the ranges they lie in are so large, and so many times their
size: else every lane's first block would have to be there before the first batch."""

WAITING = 64
"""Ranges that are planned ahead of those under way."""


class Fetched:
    """Shards that are read by range, ahead of the steps.

    A window of the order is read as whole ranges before its first sample comes up, and each range is let go with its
    last sample.

    Args:
        table: the view's samples; `offset` and `length` say what of each is wanted.
        reader: access to their bytes.
        memory: bytes of ranges that may be held or under way; only what a burst itself needs may go beyond.
        look: samples that are looked ahead, to know a window's before its ranges are planned.
        tuning: ranges read at once, and bytes of one.
    """

    def __init__(self, table: Samples, reader: ShardBytes, *, memory: int, look: int, tuning: Tuning) -> None:
        self._table, self._reader = table, reader
        self._memory, self._look, self._tuning = memory, look, tuning

    def bursts(self, groups: Iterable[Group]) -> Iterator[Burst]:
        pool = ThreadPoolExecutor(self._tuning.requests, thread_name_prefix="ropeway-fetch")
        try:
            yield from _Fetcher(
                groups,
                self._table,
                self._reader,
                memory=self._memory,
                look=self._look,
                part=self._tuning.part,
                pool=pool,
            ).run()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@dataclass(slots=True)
class _Range:
    """A range waiting, under way or held. `left` counts the samples that are still to be handed out."""

    read: plan.Read
    left: int
    content: Future[memoryview] | None = None


class _Fetcher:
    """Three pointers into the rank's steps: scanned (its windows are known), planned (its ranges are), handed out."""

    def __init__(
        self,
        groups: Iterable[Group],
        table: Samples,
        reader: ShardBytes,
        *,
        memory: int,
        look: int,
        part: int,
        pool: Executor,
    ) -> None:
        self._groups, self._table, self._reader = iter(groups), table, reader
        self._memory, self._part, self._pool = memory, part, pool
        total = int(table.length.sum())
        whole = total <= memory and len(table) <= WHOLE
        self._group = total if whole else min(GROUP_BYTES, memory)
        self._look = look
        self._scanned: deque[tuple[Group, int]] = deque()
        self._seen = self._passed = 0
        self._windows: dict[int, list[tuple[Ints, Ints]]] = {}
        self._begun: deque[tuple[int, int]] = deque()
        self._planned: deque[Group] = deque()
        self._range_of = np.full(len(table), -1, np.int64)
        self._ranges: dict[int, _Range] = {}
        self._numbered = 0
        self._waiting: list[tuple[int, int]] = []
        self._held_bytes = 0

    def run(self) -> Iterator[Burst]:
        begun = False
        while True:
            while (not self._planned or len(self._waiting) < WAITING) and self._plan():
                pass
            if not self._planned:
                return
            steps, rows = self._planned.popleft()
            early = () if begun else self._early(rows)
            self._submit()
            yield self._early_burst(steps, rows, early) if early else self._burst(steps, rows)
            begun = True

    def _scan(self) -> bool:
        """Look some groups further, and note their rows by window, with how early each comes up."""
        rows, windows, first = list[Ints](), list[Ints](), self._seen
        while self._seen - first < SCANNED and (group := next(self._groups, None)) is not None:
            rows.append(group[1])
            windows += [step.windows for step in group[0]]
            self._seen += len(group[1])
            self._scanned.append((group, self._seen))
        if not rows:
            return False
        together = np.concatenate(windows)
        order = np.argsort(together, kind="stable")
        names, firsts = np.unique(together[order], return_index=True)
        mine, turns = np.split(np.concatenate(rows)[order], firsts)[1:], np.split(first + order, firsts)[1:]
        begun = []
        for window, some, when in zip(names.tolist(), mine, turns, strict=True):
            if window not in self._windows:
                begun.append((int(when[0]), window))
            self._windows.setdefault(window, []).append((some, when))
        self._begun.extend(sorted(begun))
        return True

    def _plan(self) -> bool:
        """Plan the ranges of the windows that the next groups begin, some megabytes together."""
        fresh: list[tuple[Ints, Ints]] = []
        size = 0
        while size < self._group:
            while self._seen - self._passed < self._look and self._scan():
                pass
            if not self._scanned:
                break
            group, self._passed = self._scanned.popleft()
            while self._begun and self._begun[0][0] < self._passed:
                pieces = self._windows.pop(self._begun.popleft()[1])
                fresh += pieces
                size += sum(int(self._table.length[mine].sum()) for mine, _ in pieces)
            self._planned.append(group)
        if not fresh:
            return bool(self._scanned)
        self._add(np.concatenate([rows for rows, _ in fresh]), np.concatenate([turns for _, turns in fresh]))
        return True

    def _add(self, rows: Ints, turns: Ints) -> None:
        """Make ranges of rows; `turns` says how early each is needed."""
        order = np.lexsort((turns, rows))
        wanted, firsts, counts = np.unique(rows[order], return_index=True, return_counts=True)
        turns = turns[order][firsts]
        held = self._range_of[wanted]
        for number, count in zip(held[held >= 0].tolist(), counts[held >= 0].tolist(), strict=True):
            self._ranges[number].left += count
        wanted, turns, counts = wanted[held < 0], turns[held < 0], counts[held < 0]
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
                if self._held_bytes and self._held_bytes + part.read.size > self._memory:
                    return
                self._start(part)
            heapq.heappop(self._waiting)  # or a burst could not wait for its turn

    def _start(self, part: _Range) -> Future[memoryview]:
        read = part.read
        part.content = self._pool.submit(self._reader.read, read.shard, read.start, read.stop)
        self._held_bytes += read.size
        return part.content

    def _early(self, rows: Ints) -> list[tuple[plan.Read, Future[memoryview]]]:
        """Start reading the first burst's samples by themselves, where the ranges they lie in are far larger."""
        ranges = [self._ranges[number] for number in np.unique(self._range_of[rows]).tolist()]
        size = sum(part.read.size for part in ranges)
        if size < EARLY_BYTES or size < EARLY * int(self._table.length[rows].sum()):
            return []
        reads = plan.coalesce(self._table, np.unique(rows), max_request=self._part)
        return [(read, self._pool.submit(self._reader.read, read.shard, read.start, read.stop)) for read in reads]

    def _early_burst(self, steps: list[Step], rows: Ints, early: list[tuple[plan.Read, Future[memoryview]]]) -> Burst:
        """The first burst; what of its ranges nobody else needs is let go."""
        which = np.searchsorted([read.rows[0] for read, _ in early], rows, side="right") - 1
        self._release(*np.unique(self._range_of[rows], return_counts=True))
        return self._made(steps, rows, which, [read for read, _ in early], [content for _, content in early])

    def _burst(self, steps: list[Step], rows: Ints) -> Burst:
        numbers, which, counts = np.unique(self._range_of[rows], return_inverse=True, return_counts=True)
        ranges = [self._ranges[number] for number in numbers.tolist()]
        coming = [part.content or self._start(part) for part in ranges]  # past the memory bound, if need be
        burst = self._made(steps, rows, which, [part.read for part in ranges], coming)
        self._release(numbers, counts)
        self._submit()
        return burst

    def _made(
        self, steps: list[Step], rows: Ints, which: Ints, reads: list[plan.Read], coming: list[Future[memoryview]]
    ) -> Burst:
        """A burst of ranges that are waited for; `which` of them each row lies in."""
        buffers = {place: np.frombuffer(content.result(), np.uint8) for place, content in enumerate(coming)}
        starts = self._table.offset[rows] - np.array([read.start for read in reads], np.int64)[which]
        return Burst(steps, rows, buffers, which.astype(np.int64), starts, self._table.length[rows])

    def _release(self, numbers: Ints, counts: Ints) -> None:
        """Some samples of ranges were handed out: ranges without any left are let go."""
        for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
            part = self._ranges[number]
            part.left -= count
            if part.left == 0:
                self._range_of[part.read.rows] = -1
                self._held_bytes -= part.read.size if part.content is not None else 0
                del self._ranges[number]
