"""How fast a view's bytes are reached when nothing else is done with them: by range, or where shards are mapped."""

import mmap
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import cycle
from time import monotonic

import numpy as np

from ropeway import buffers
from ropeway.bench.limits import Limit, together
from ropeway.bench.noting import Notes
from ropeway.doctor.speed import read_ranges
from ropeway.parts import PartReader
from ropeway.samples import Bytes, Ints, Samples
from ropeway.shard_bytes import ShardBytes
from ropeway.view import View

_SHARDS = 64
"""Shards that are gone through, at most: more than a moment suffices for."""

_PAGES = 1 << 14
"""Pages that are touched in one call."""


def by_range(view: View, notes: Notes, sample: float, seconds: float) -> Limit:
    """The ranges that a loader asked for, in its order and as many at once, by its own reader.

    Args:
        view: of which they are.
        notes: of the loader.
        sample: bytes that a loader reads for a sample.
        seconds: how long is read, at most.
    """
    begun = monotonic()
    count = read_ranges(view.reader(), notes.ranges, max(1, notes.most), begun + seconds)
    rate = count / max(monotonic() - begun, 1e-9)
    return Limit("reading", rate / sample, rate)


def mapped(view: View, parts: Sequence[PartReader], threads: int, seconds: float) -> Limit:
    """Touching each page of what is wanted of mapped shards: what the disk gives, or the page cache.

    Args:
        view: whose shards are local files.
        parts: what is wanted.
        threads: of them.
        seconds: how long.
    """
    shards, spans = dict[int, Bytes](), wanted_spans(view.table(), parts)
    addresses, size = _pages(view.reader(), *spans, shards)
    pieces = np.array_split(addresses, -(-len(addresses) // _PAGES))
    order = np.random.default_rng(0).permutation(len(pieces)).tolist()
    stripes = [
        cycle([pieces[number] for number in order[first::threads]]) for first in range(min(threads, len(pieces)))
    ]

    def touch(stripe: Iterator[Ints]) -> int:
        return len(buffers.gather(next(stripe), 1))

    rate = together([partial(touch, stripe) for stripe in stripes], seconds) * size / len(addresses)
    return Limit("reading", rate / (int(spans[2].sum()) / view.samples), rate)


def wanted_spans(table: Samples, parts: Sequence[PartReader]) -> tuple[Ints, Ints, Ints]:
    """Shard, offset and length of what is wanted of each sample and its partners, of those that have any of it."""
    sides = [_of_one(side, parts) for side in (table, *table.partners)]
    shard, offset, length = (np.concatenate(column) for column in zip(*sides, strict=True))
    return shard, offset, length


def _of_one(side: Samples, parts: Sequence[PartReader]) -> tuple[Ints, Ints, Ints]:
    low, high = np.full(len(side), np.iinfo(np.int64).max), np.zeros(len(side), np.int64)
    for part in parts:
        if part.part.name in side.parts:
            offset, length = side.parts[part.part.name]
            there = offset >= 0
            low = np.where(there, np.minimum(low, offset), low)
            high = np.where(there, np.maximum(high, offset + length), high)
    found = high > low
    return side.shard[found].astype(np.int64), low[found], (high - low)[found]


def _pages(reader: ShardBytes, shard: Ints, offset: Ints, length: Ints, shards: dict[int, Bytes]) -> tuple[Ints, int]:
    """Where the pages of spans begin in memory, each once, and bytes of these spans; `shards` is where they stay."""
    pages, size = list[Ints](), 0
    for number in np.random.default_rng(0).permutation(np.unique(shard))[:_SHARDS].tolist():
        shards[number] = np.frombuffer(reader.map(number) or b"", np.uint8)
        here = shard == number
        first, last = offset[here] // mmap.PAGESIZE, (offset + length - 1)[here] // mmap.PAGESIZE
        counts = last - first + 1
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        touched = np.unique(np.repeat(first, counts) + within)
        pages.append(buffers.address(shards[number]) + touched * mmap.PAGESIZE)
        size += int(length[here].sum())
    return np.concatenate(pages), size
