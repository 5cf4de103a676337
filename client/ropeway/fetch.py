"""Brings the bytes of a rank's steps: mapped where shards are local files, read ahead by range where they are not."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from ropeway import plan
from ropeway.order import OPEN_BYTES
from ropeway.samples import Bytes, Ints, Samples
from ropeway.shard_bytes import ShardBytes
from ropeway.steps import Step

GROUP_BYTES = 8 << 20
"""Ranges are planned for at least so many bytes at a time, so that neighbours find each other in small views."""


def mapped(steps: Iterable[Step], table: Samples, reader: ShardBytes) -> Iterator[tuple[Step, list[Bytes]]] | None:
    """Steps with the spans of their samples as views of memory-mapped shards, or None where a shard is not local."""
    if not len(table) or reader.map(int(table.shard[0])) is None:
        return None
    return _mapped(steps, table, reader)


def _mapped(steps: Iterable[Step], table: Samples, reader: ShardBytes) -> Iterator[tuple[Step, list[Bytes]]]:
    shards: dict[int, Bytes] = {}
    for step in steps:
        numbers = table.shard[step.rows]
        for shard in set(numbers.tolist()) - shards.keys():
            content = reader.map(shard)
            if content is None:
                content = reader.read(shard, 0, table.shards[shard].bytes)
            shards[shard] = np.frombuffer(content, np.uint8)
        starts = table.offset[step.rows]
        stops = starts + table.length[step.rows]
        yield (
            step,
            [
                shards[shard][start:stop]
                for shard, start, stop in zip(numbers.tolist(), starts.tolist(), stops.tolist(), strict=True)
            ],
        )


def fetched(
    steps: Iterable[Step], table: Samples, reader: ShardBytes, *, memory: int, requests: int
) -> Iterator[tuple[Step, list[Bytes]]]:
    """Steps with the spans of their samples, read ahead.

    A window of the order is read as whole ranges when its first sample comes up, and each range is let go with its last
    sample.

    Args:
        steps: the rank's steps.
        table, reader: the view's samples and access to their bytes.
        memory: bytes of ranges that may be held or under way; only what a step itself needs may go beyond.
        requests: ranges read at once.
    """
    pool = ThreadPoolExecutor(requests, thread_name_prefix="ropeway-fetch")
    try:
        yield from _Fetcher(steps, table, reader, memory, pool).run()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass(slots=True)
class _Range:
    """A range under way or held. `left` counts the samples that are still to be handed out."""

    read: plan.Read
    content: Future[memoryview] | None
    left: int


class _Fetcher:
    """Three pointers into the rank's steps: scanned (its windows are known), planned (its ranges are), handed out."""

    def __init__(
        self, steps: Iterable[Step], table: Samples, reader: ShardBytes, memory: int, pool: ThreadPoolExecutor
    ) -> None:
        self._steps, self._table, self._reader = iter(steps), table, reader
        self._memory, self._pool = memory, pool
        self._scanned: deque[Step] = deque()
        self._scanned_bytes = 0
        self._windows: dict[int, list[Ints]] = {}
        self._planned: deque[Step] = deque()
        self._waiting: deque[_Range] = deque()
        self._held: dict[int, _Range] = {}
        self._held_bytes = 0

    def run(self) -> Iterator[tuple[Step, list[Bytes]]]:
        while True:
            while (not self._planned or len(self._waiting) < 64) and self._plan():
                pass
            if not self._planned:
                return
            step = self._planned.popleft()
            yield step, self._spans(step)

    def _scan(self) -> bool:
        """Look one step further, and note its rows by window."""
        step = next(self._steps, None)
        if step is None:
            return False
        order = np.argsort(step.windows, kind="stable")
        windows, firsts = np.unique(step.windows[order], return_index=True)
        for window, rows in zip(windows.tolist(), np.split(step.rows[order], firsts)[1:], strict=True):
            self._windows.setdefault(window, []).append(rows)
        self._scanned.append(step)
        self._scanned_bytes += int(self._table.length[step.rows].sum())
        return True

    def _plan(self) -> bool:
        """Plan the ranges of the windows that the next steps begin, some megabytes together."""
        rows: list[Ints] = []
        size = 0
        while size < GROUP_BYTES:
            while self._scanned_bytes < OPEN_BYTES and self._scan():
                pass
            if not self._scanned:
                break
            step = self._scanned.popleft()
            self._scanned_bytes -= int(self._table.length[step.rows].sum())
            begun = [self._windows.pop(window) for window in set(step.windows.tolist()) & self._windows.keys()]
            if begun:
                fresh = np.concatenate([some for window in begun for some in window])
                size += int(self._table.length[fresh].sum())
                rows.append(fresh)
            self._planned.append(step)
        if not rows:
            return False
        wanted, counts = np.unique(np.concatenate(rows), return_counts=True)
        left = dict(zip(wanted.tolist(), counts.tolist(), strict=True))
        again = [row for row in left if row in self._held]
        for row in again:
            self._held[row].left += left[row]
        new = wanted[~np.isin(wanted, again)]
        for read in plan.coalesce(self._table, new) if len(new) else ():
            part = _Range(read, None, sum(left[row] for row in read.rows.tolist()))
            self._held.update(dict.fromkeys(read.rows.tolist(), part))
            self._waiting.append(part)
        self._submit()
        return True

    def _submit(self) -> None:
        """Start waiting ranges as far as memory allows."""
        while self._waiting:
            size = self._waiting[0].read.stop - self._waiting[0].read.start
            if self._held_bytes and self._held_bytes + size > self._memory:
                return
            self._start(self._waiting.popleft())

    def _start(self, part: _Range) -> Future[memoryview]:
        read = part.read
        part.content = self._pool.submit(self._reader.read, read.shard, read.start, read.stop)
        self._held_bytes += read.stop - read.start
        return part.content

    def _spans(self, step: Step) -> list[Bytes]:
        rows = step.rows.tolist()
        for row in rows:
            part = self._held[row]
            if part.content is None:  # past the memory bound, but this step cannot do without
                self._waiting.remove(part)
                self._start(part)
        starts = self._table.offset[step.rows]
        stops = starts + self._table.length[step.rows]
        spans = []
        for row, start, stop in zip(rows, starts.tolist(), stops.tolist(), strict=True):
            part = self._held[row]
            assert part.content is not None
            content = np.frombuffer(part.content.result(), np.uint8)
            spans.append(content[start - part.read.start : stop - part.read.start])
        for row in rows:
            self._release(self._held[row])
        self._submit()
        return spans

    def _release(self, part: _Range) -> None:
        part.left -= 1
        if part.left == 0:
            for row in part.read.rows.tolist():
                del self._held[row]
            self._held_bytes -= part.read.stop - part.read.start
