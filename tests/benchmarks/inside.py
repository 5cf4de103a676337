"""What only Ropeway is asked: which bytes it reads, and how long a training step waits for data."""

import gc
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from multiprocessing import get_context
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any

from benchmarks.places import Place
from benchmarks.workloads import Workload

if TYPE_CHECKING:
    import pyarrow as pa

    from ropeway.loader import StreamingLoader
    from ropeway.samples import Layout, Samples
    from ropeway.shard_bytes import ShardBytes
    from ropeway.view import View, ViewSource

Range = tuple[int, int, int]
"""Shard, start, stop."""

SLOWER = 1.2
"""A training step takes so many times as long as its batch takes to make."""

_ROUNDS = 5

_STEPS, _BEGIN = 200, 5
"""Steps that are watched, at most, after the first ones, in which the loader touches its memory for the first time."""


@dataclass(slots=True)
class Notes:
    """What a loader read in an epoch.

    Attributes:
        ranges: in the order in which they were asked for.
        most: ranges that were under way at a time.
        given: bytes of the samples that came of them.
    """

    ranges: list[Range] = field(default_factory=list)
    most: int = 0
    given: int = 0
    _now: int = 0
    _changing: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def under_way(self, asked: Range) -> Iterator[None]:
        with self._changing:
            self.ranges.append(asked)
            self._now += 1
            self.most = max(self.most, self._now)
        try:
            yield
        finally:
            with self._changing:
                self._now -= 1


class Noted:
    """A view's source that notes the ranges read. Its shards are not mapped, so that they are read as from S3."""

    def __init__(self, source: "ViewSource", notes: Notes) -> None:
        self._source, self._notes = source, notes

    def samples(self) -> "Samples":
        return self._source.samples()

    def columns(self, names: Sequence[str]) -> "pa.Table":
        return self._source.columns(names)

    def reader(self, table: "Layout") -> "ShardBytes":
        return NotedBytes(self._source.reader(table), self._notes)


class NotedBytes:
    """The bytes of shards, and a note of each range."""

    def __init__(self, reader: "ShardBytes", notes: Notes) -> None:
        self._reader, self._notes = reader, notes

    def read(self, shard: int, start: int, stop: int) -> memoryview:
        with self._notes.under_way((shard, start, stop)):
            return self._reader.read(shard, start, stop)

    def map(self, shard: int) -> memoryview | None:
        return None


def noted(work: Workload, place: Place) -> "tuple[View, Notes]":
    """A workload's view, and what its loader reads in an epoch."""
    from benchmarks.systems import ropeway as system
    from ropeway.view import View

    view, notes = system.open_view(work, place), Notes()
    table = view.table()
    lengths = dict(zip(table.keys.to_pylist(), table.length.tolist(), strict=True))
    for batch in system.open_loader(work, View(view.info, Noted(view.source, notes))):
        notes.given += sum(lengths[key] for key in batch["__key__"])
    return view, notes


@cache
def asked(work: Workload, place: Place) -> tuple[list[Range], int]:
    """The ranges that a workload's loader asks for in an epoch, and how many were under way at a time.

    Found out in another process: in this one nothing is reached yet, and no memory is there to be used again.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as apart:
        return apart.submit(_asked, work, place).result()


def _asked(work: Workload, place: Place) -> tuple[list[Range], int]:
    _, notes = noted(work, place)
    return notes.ranges, notes.most


def reads(work: Workload, place: Place) -> dict[str, Any]:
    """Bytes read in an epoch, bytes of the samples given, bytes of all shards."""
    view, notes = noted(work, place)
    return {
        "read_bytes": sum(stop - start for _, start, stop in notes.ranges),
        "matching_bytes": notes.given,
        "dataset_bytes": sum(shard.bytes for shard in view.table().shards),
        "requests": len(notes.ranges),
    }


def data_wait(work: Workload, place: Place) -> dict[str, Any]:
    """Share of the time that a training loop waits, whose steps are somewhat longer than a batch takes to make, in an
    epoch that is not the first: that one has checksums to compare, and takes longer for a batch.

    They have to be so still when the loop ends: a round in which the machine became slower than that, as a virtual one
    may within seconds, says nothing, and is followed by another.
    """
    from benchmarks.systems import ropeway as system

    loader = system.open_loader(work, system.open_view(work, place))
    _full_speed(loader)
    gc.collect()  # of what imports have left: it takes as long as a hundred batches, once, whoever comes to meet it
    making = _full_speed(loader)
    for _ in range(_ROUNDS):
        step = SLOWER * making
        share = _waiting(loader, step)
        making = _full_speed(loader)
        if making <= step:
            return {"data_wait": share, "step_seconds": step}
    return {"missing": f"the machine kept becoming slower than the steps, in each of {_ROUNDS} rounds"}


def _full_speed(loader: "StreamingLoader") -> float:
    """Seconds that a batch takes to make in an epoch."""
    began = perf_counter()
    batches = sum(1 for _ in loader)
    return (perf_counter() - began) / batches


def _waiting(loader: "StreamingLoader", step: float) -> float:
    """Share of the time that steps of so many seconds wait."""
    batches = iter(loader)
    for _ in islice(batches, _BEGIN):
        sleep(step)
    before = loader.stats()
    for _ in islice(batches, _STEPS):
        sleep(step)  # the training: elsewhere, and without the interpreter
    after = loader.stats()
    return (after.wait - before.wait) / (after.elapsed - before.elapsed)
