"""Which byte ranges to read: pure, no I/O."""

from dataclasses import dataclass

import numpy as np

from ropeway.samples import Ints, Samples

MAX_GAP = 32 << 10
"""Bytes between two samples that are read along rather than asked for apart: about what a request costs in time."""

MAX_REQUEST = 8 << 20
"""Bytes of one request, as object stores advise; a longer sample is one longer request."""


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

    Neighbours share a range when no other sample of the view lies between them (that one is for another rank, or for
    later), they are at most `max_gap` bytes apart, and the range stays within `max_request` bytes. So an unfiltered
    view is read without a byte too much, and a sparse one through its gaps.
    """
    rows = np.sort(rows)  # rows are numbered in storage order
    shards, starts = table.shard[rows], table.offset[rows]
    stops = starts + table.length[rows]
    between = (np.diff(shards) != 0) | (np.diff(rows) > 1) | (starts[1:] - stops[:-1] > max_gap)
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
