"""Steps with the bytes of their samples: where shards are local files, they are mapped.

Steps travel in bursts: several small ones together, so that thousands of samples share what Python does per step.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np

from ropeway.buffers import address
from ropeway.errors import FormatError, StoreError
from ropeway.samples import Bytes, Ints, Samples
from ropeway.shard_bytes import ShardBytes
from ropeway.steps import Step

BURST_BYTES = 8 << 20
BURST_STEPS = 64
"""A burst has as many steps as stay within both. The first ones are smaller: nobody waits for a burst to begin."""


Group: TypeAlias = tuple[list[Step], Ints]
"""Some steps, one after the other, and the rows of all of them."""


@dataclass(slots=True)
class Burst:
    """Steps, and where the bytes of their samples are.

    Attributes:
        steps: some steps, one after the other.
        rows: int64 (n,), the rows of all of them.
        buffers: memory by number, uint8 arrays.
        bases: int64, by number, where each buffer begins in memory.
        buffer, start: int64 (n,), in which buffer each row's span lies, and where it begins there.
        lengths: int64 (n,), bytes of each span.
    """

    steps: list[Step]
    rows: Ints
    buffers: dict[int, Bytes]
    bases: Ints
    buffer: Ints
    start: Ints
    lengths: Ints

    def span(self, place: int) -> Bytes:
        """The bytes of a row's span, without copying; they stay as long as anybody refers to them."""
        first = int(self.start[place])
        return self.buffers[int(self.buffer[place])][first : first + int(self.lengths[place])]

    def put(self, place: int, span: Bytes) -> None:
        """Let a row's span be these bytes, of the same length."""
        number = len(self.bases)
        self.buffers[number] = span
        self.bases = np.append(self.bases, address(span))
        self.buffer[place], self.start[place] = number, 0

    def addresses(self) -> Ints:
        """Where each row's span begins in memory, as long as this burst is there."""
        return self.bases[self.buffer] + self.start


class Supply(Protocol):
    """Where bursts come from: one for each way in which a view's shards can be reached."""

    def bursts(self, groups: Iterable[Group]) -> Iterator[Burst]:
        """Groups of steps with their bytes, in order.

        Raises:
            StoreError: a shard can't be read.
            FormatError: a shard is shorter than its index says.
        """
        ...


def grouped(steps: Iterable[Step], weights: Ints, limit: int = BURST_BYTES) -> Iterator[Group]:
    """Steps in groups of about `limit` bytes; `weights` says how much each row weighs."""
    most, size, begun = 1, 0, list[Step]()
    each = int(weights[0]) if len(weights) and (weights == weights[0]).all() else None
    for step in steps:
        begun.append(step)
        size += int(weights[step.rows].sum()) if each is None else each * len(step.rows)
        if len(begun) >= most or size >= limit:
            yield begun, _rows(begun)
            most, size, begun = min(2 * most, BURST_STEPS), 0, []
    if begun:
        yield begun, _rows(begun)


def _rows(steps: list[Step]) -> Ints:
    return steps[0].rows if len(steps) == 1 else np.concatenate([step.rows for step in steps])


class Nothing:
    """Steps without bytes: for keys and labels alone, or parts that are read bit by bit."""

    def bursts(self, groups: Iterable[Group]) -> Iterator[Burst]:
        for steps, rows in groups:
            none = np.zeros(len(rows), np.int64)
            yield Burst(steps, rows, {}, none, none, none, none)


class Mapped:
    """Shards that are local files, mapped into memory when a sample of theirs first comes up, and kept so."""

    def __init__(self, table: Samples, reader: ShardBytes) -> None:
        self._table, self._reader = table, reader
        self._shards: dict[int, Bytes] = {}
        self._bases = np.zeros(len(table.shards), np.int64)

    def bursts(self, groups: Iterable[Group]) -> Iterator[Burst]:
        for steps, rows in groups:
            shards = self._table.shard[rows].astype(np.int64)
            unmapped = self._bases[shards] == 0
            if unmapped.any():
                for shard in np.unique(shards[unmapped]).tolist():
                    self._map(shard)
            offsets, lengths = self._table.offset[rows], self._table.length[rows]
            yield Burst(steps, rows, self._shards, self._bases, shards, offsets, lengths)

    def _map(self, shard: int) -> None:
        content = self._reader.map(shard)
        if content is None:
            raise StoreError("not a local file, though others in its place are", shard=self._table.shards[shard].path)
        _check_size(self._table, shard, len(content))
        self._shards[shard] = mapped = np.frombuffer(content, np.uint8)
        self._bases[shard] = address(mapped)


def _check_size(table: Samples, shard: int, size: int) -> None:
    """Raise FormatError when samples lie past a shard's end: their addresses would be anybody's."""
    first, last = np.searchsorted(table.shard, [shard, shard + 1])
    stop = int((table.offset[first:last] + table.length[first:last]).max())
    if stop > size:
        ref = table.shards[shard]
        raise FormatError(f"shard has {size} bytes, the index has samples up to {stop}: it was cut short; run "
                          "`ropeway verify`", dataset=ref.dataset, shard=ref.path)  # fmt: skip
