"""Compares samples' checksums with the index's: those of ranges as they arrive, those of mapped shards once."""

from functools import partial
from itertools import chain

import numpy as np
import numpy.typing as npt

from ropeway.bursts import Burst
from ropeway.cache.disk import CachedBytes
from ropeway.checksum import crc32c
from ropeway.plan import Read
from ropeway.rows import Crew
from ropeway.samples import UNREAD, Bytes, Samples
from ropeway.shard_bytes import ShardBytes

SHARED = 16 << 10
"""Bytes of a sample from which on checksums are shared between threads: below, they would only hinder one another."""


class Checksums:
    """Of one view's samples.

    Args:
        table: the view's samples.
        reader: access to the shards, to fetch once more what came damaged.
        once: bool (rows,), which samples of mapped shards were found right; None where ranges are checked.
    """

    def __init__(self, table: Samples, reader: ShardBytes, once: npt.NDArray[np.bool_] | None) -> None:
        self._table, self._reader, self._once = table, reader, once

    def of_range(self, read: Read, content: Bytes) -> list[int]:
        """Which rows of a range are damaged. While it has only just arrived, it is in the processor's cache."""
        rows, expected = read.rows, self._table.crc32c[read.rows]
        recorded = expected != UNREAD
        rows, expected = rows[recorded], expected[recorded]
        starts = self._table.offset[rows] - read.start
        spans = zip(starts.tolist(), (starts + self._table.length[rows]).tolist(), strict=True)
        whole = content.data
        sums = np.array([crc32c(whole[start:stop]) for start, stop in spans], np.uint32)
        damaged: list[int] = rows[sums != expected].tolist()
        return damaged

    def wrong(self, burst: Burst, movers: Crew) -> list[int]:
        """The places of a burst whose bytes are damaged: of a range also after it was fetched once more, for the way
        here may have damaged it. What lies in mapped memory is what there is; it is looked at once.
        """
        if self._once is None:
            return [place for place in burst.damaged.tolist() if not self._mended(burst, place)]
        rows, once = burst.rows, self._once
        places = np.flatnonzero(~once[rows])
        expected = self._table.crc32c[rows[places]]
        recorded = expected != UNREAD
        places, expected = places[recorded], expected[recorded]
        if not len(places):
            return []
        spans = burst.spans(places)

        def found(some: list[Bytes]) -> list[int]:
            return [crc32c(span) for span in some]

        share = len(spans) if burst.lengths[places].mean() < SHARED else -(-len(spans) // movers.threads)
        jobs = [partial(found, spans[at : at + share]) for at in range(0, len(spans), share)]
        sums = np.array(list(chain.from_iterable(movers.run(jobs))), np.uint32)
        damaged: list[int] = places[sums != expected].tolist()
        once[rows[places]] = True
        once[rows[damaged]] = False
        return damaged

    def _mended(self, burst: Burst, place: int) -> bool:
        """Whether a damaged sample is sound when it is fetched once more. A disk cache forgets it before."""
        table, row = self._table, int(burst.rows[place])
        shard, start = int(table.shard[row]), int(table.offset[row])
        stop = start + int(table.length[row])
        if isinstance(self._reader, CachedBytes):
            self._reader.forget(shard, start, stop)
        again = np.frombuffer(self._reader.read(shard, start, stop), np.uint8)
        if crc32c(again) != int(table.crc32c[row]):
            return False
        burst.put(place, again)
        return True
