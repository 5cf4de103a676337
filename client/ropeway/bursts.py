"""Steps with the bytes of their samples: where shards are local files, they are mapped.

Steps travel in bursts: several small ones together, so that thousands of samples share what Python does per step.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeAlias

import numpy as np

from ropeway.buffers import address
from ropeway.errors import FormatError, StoreError
from ropeway.samples import Bytes, Ints, Samples
from ropeway.shard_bytes import ShardBytes
from ropeway.steps import Step

BURST_BYTES = 32 << 20
BURST_STEPS = 64
"""A burst has as many steps as stay within both. The first ones are smaller: nobody waits for a burst to begin."""


_NONE = np.empty(0, np.int64)

Group: TypeAlias = tuple[list[Step], Ints]
"""Some steps, one after the other, and the rows of all of them."""


@dataclass
class Burst:
    """Steps, and where the bytes of their samples are.

    Attributes:
        steps: some steps, one after the other.
        rows: int64 (n,), the rows of all of them.
        addresses: int64 (n,), where each row's span begins in memory, as long as this burst is there.
        lengths: int64 (n,), bytes of each span.
        buffers: memory by number, uint8 arrays.
        where: tells of rows in which buffer each one's span lies, and where it begins there, int64 (n,) each. It is
            asked when that is first needed: for what is only moved the addresses are enough.
        damaged: int64, places whose checksums differed from the index's when their ranges arrived, if they are checked.
    """

    steps: list[Step]
    rows: Ints
    addresses: Ints
    lengths: Ints
    buffers: dict[int, Bytes]
    where: Callable[[Ints], tuple[Ints, Ints]]
    damaged: Ints

    @cached_property
    def _places(self) -> tuple[Ints, Ints]:
        return self.where(self.rows)

    def spans(self, places: Ints) -> list[Bytes]:
        """The bytes of rows' spans, without copying; they stay as long as anybody refers to them."""
        numbers, starts = (column[places] for column in self._places)
        columns = numbers, starts, starts + self.lengths[places]
        found = zip(*(column.tolist() for column in columns), strict=True)
        return [self.buffers[number][start:stop] for number, start, stop in found]

    def put(self, place: int, span: Bytes) -> None:
        """Let a row's span be these bytes, of the same length."""
        numbers, starts = self._places
        numbers[place], starts[place] = max(self.buffers) + 1, 0
        self.buffers[int(numbers[place])], self.addresses[place] = span, address(span)


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
            none, _ = _nowhere(rows)
            yield Burst(steps, rows, none, none, {}, _nowhere, _NONE)


def _nowhere(rows: Ints) -> tuple[Ints, Ints]:
    none = np.zeros(len(rows), np.int64)
    return none, none


class Mapped:
    """Shards that are local files, mapped into memory when a sample of theirs first comes up, and kept so."""

    def __init__(self, table: Samples, reader: ShardBytes) -> None:
        self._table, self._reader = table, reader
        self._shards: dict[int, Bytes] = {}
        self._addresses = np.zeros(len(table), np.int64)
        """Where each row's span begins in memory; 0 while its shard is not mapped."""

    def bursts(self, groups: Iterable[Group]) -> Iterator[Burst]:
        for steps, rows in groups:
            addresses = self._addresses[rows]
            if not addresses.all():
                for shard in np.unique(self._table.shard[rows[addresses == 0]]).tolist():
                    self._map(shard)
                addresses = self._addresses[rows]
            yield Burst(steps, rows, addresses, self._table.length[rows], self._shards, self._where, _NONE)

    def _where(self, rows: Ints) -> tuple[Ints, Ints]:
        return self._table.shard[rows].astype(np.int64), self._table.offset[rows]

    def _map(self, shard: int) -> None:
        content = self._reader.map(shard)
        if content is None:
            raise StoreError("not a local file, though others in its place are", shard=self._table.shards[shard].path)
        here = slice(*np.searchsorted(self._table.shard, [shard, shard + 1]).tolist())
        _check_size(self._table, shard, here, len(content))
        self._shards[shard] = mapped = np.frombuffer(content, np.uint8)
        self._addresses[here] = address(mapped) + self._table.offset[here]


def _check_size(table: Samples, shard: int, rows: slice, size: int) -> None:
    """Raise FormatError when samples lie past a shard's end: their addresses would be anybody's."""
    stop = int((table.offset[rows] + table.length[rows]).max())
    if stop > size:
        ref = table.shards[shard]
        raise FormatError(f"shard has {size} bytes, the index has samples up to {stop}: it was cut short; run "
                          "`ropeway verify`", dataset=ref.dataset, shard=ref.path)  # fmt: skip
