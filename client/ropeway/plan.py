"""Which byte ranges to read: pure, no I/O."""

from dataclasses import dataclass

import numpy as np

from ropeway.samples import Ints, Samples

MAX_GAP = 32 << 10
"""Bytes between two samples that are read along rather than asked for apart: about what a request costs in time."""

LITTLE = 64
"""A foreign sample is read over where the neighbours on either side are so many times as large."""

MAX_REQUEST = 16 << 20
"""Bytes of one request, the larger of the two sizes that Amazon S3's performance guide calls typical of range requests,
8 and 16 MB: half as many cost a store and its reader a tenth less. A longer sample is one longer request."""


@dataclass(frozen=True, slots=True)
class Read:
    """One byte range of a shard, and the rows whose samples lie in it."""

    shard: int
    start: int
    stop: int
    rows: Ints

    @property
    def size(self) -> int:
        """Bytes of the range."""
        return self.stop - self.start


def coalesce(table: Samples, rows: Ints, *, max_gap: int = MAX_GAP, max_request: int = MAX_REQUEST) -> list[Read]:
    """Ranges that cover the samples of `rows` (any order), in storage order.

    Neighbours share a range when they are at most `max_gap` bytes apart and it stays within `max_request` bytes.
    Where another sample of the view lies between them (for another rank, for later, or dropped), what is read over is
    also little beside what is wanted around it. So an unfiltered view is read with hardly a byte too much, and a sparse
    one through its gaps.
    """
    rows = np.sort(rows)  # rows are numbered in storage order
    shards, starts = table.shard[rows], table.offset[rows]
    stops = starts + table.length[rows]
    gaps = starts[1:] - stops[:-1]
    between = (np.diff(shards) != 0) | (gaps > max_gap)
    foreign = np.diff(rows) > 1
    runs = np.diff(np.concatenate([[0], np.flatnonzero(between | foreign) + 1, [len(rows)]]))
    sizes = np.add.reduceat(table.length[rows], np.cumsum(runs) - runs) if len(rows) else runs
    beside = np.repeat(sizes, runs)  # of the run of neighbours that each row is in
    between |= foreign & (gaps * LITTLE > np.minimum(beside[1:], beside[:-1]))
    apart = np.flatnonzero(between) + 1
    reads = []
    for first, last in zip([0, *apart], [*apart, len(rows)], strict=True):
        low = first
        while low < last:
            fits = int(np.searchsorted(stops[low:last], starts[low] + max_request, side="right"))
            high = low + max(1, fits)
            reads.append(Read(int(shards[low]), int(starts[low]), int(stops[high - 1]), rows[low:high]))
            low = high
    return reads
