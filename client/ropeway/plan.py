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


def coalesce(table: Samples, rows: Ints, *, max_gap: int = MAX_GAP, max_request: int = MAX_REQUEST) -> list[Read]:
    """Ranges that cover the samples of `rows` (distinct, any order), in storage order.

    Neighbours at most `max_gap` bytes apart share a range as long as it stays within `max_request` bytes.
    """
    rows = np.sort(rows)  # rows are numbered in storage order
    shards, starts = table.shard[rows], table.offset[rows]
    stops = starts + table.length[rows]
    apart = np.flatnonzero((np.diff(shards) != 0) | (starts[1:] - stops[:-1] > max_gap)) + 1
    reads = []
    for first, last in zip([0, *apart], [*apart, len(rows)], strict=True):
        low = first
        while low < last:
            fits = int(np.searchsorted(stops[low:last], starts[low] + max_request, side="right"))
            high = low + max(1, fits)
            reads.append(Read(int(shards[low]), int(starts[low]), int(stops[high - 1]), rows[low:high]))
            low = high
    return reads
