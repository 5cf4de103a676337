"""Which ranges of its shards a loader reads, and how many at once."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias, cast

import pyarrow as pa

from ropeway.layouts import Details
from ropeway.ranges import Counts
from ropeway.samples import Ints, Layout, Samples
from ropeway.shard_bytes import Counting, ShardBytes
from ropeway.view import Distant, View

Range: TypeAlias = tuple[int, int, int]
"""Shard, start, stop."""


@dataclass(slots=True)
class Notes:
    """What a loader read.

    Attributes:
        ranges: in the order in which they were asked for; none where shards are mapped.
        most: ranges that were under way at a time.
    """

    ranges: list[Range] = field(default_factory=list)
    most: int = 0
    _now: int = 0
    _changing: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def under_way(self, asked: Range) -> Iterator[None]:
        """A range is being read."""
        with self._changing:
            self.ranges.append(asked)
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            yield
        finally:
            with self._changing:
                self._now -= 1


def noted(view: View, notes: Notes) -> View:
    """The same view, of which is noted what is read."""
    source = _Distant(view, notes) if isinstance(view.source, Distant) else _Noted(view, notes)
    return View(view.info, source)


class _Noted:
    """The source of a view that knows its samples already."""

    def __init__(self, view: View, notes: Notes) -> None:
        self._view, self._notes = view, notes

    def samples(self) -> Samples:
        return self._view.table()

    def columns(self, names: Sequence[str]) -> pa.Table:
        return self._view.columns(names)

    def reader(self, table: Layout) -> "_NotedBytes":
        return _NotedBytes(self._view.reader(), self._notes)


class _Distant(_Noted):
    """The same of a view that is told piece by piece."""

    def layout(self) -> Layout:
        return self._view.layout()

    def spans(self, part: str, layout: Layout) -> tuple[Ints, Ints]:
        return cast("Distant", self._view.source).spans(part, layout)

    def details(self, rows: Ints) -> Details:
        return cast("Distant", self._view.source).details(rows)


class _NotedBytes:
    """The bytes of shards, and a note of each range."""

    def __init__(self, reader: ShardBytes, notes: Notes) -> None:
        self._reader, self._notes = reader, notes

    @property
    def counters(self) -> Counts:
        return self._reader.counters if isinstance(self._reader, Counting) else Counts()

    def read(self, shard: int, start: int, stop: int) -> memoryview:
        with self._notes.under_way((shard, start, stop)):
            return self._reader.read(shard, start, stop)

    def map(self, shard: int) -> memoryview | None:
        return self._reader.map(shard)
