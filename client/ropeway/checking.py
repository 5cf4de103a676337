"""Compares the checksums of a burst's samples with the index's."""

from functools import partial
from itertools import chain

import numpy as np
import numpy.typing as npt

from ropeway.bursts import Burst
from ropeway.cache.disk import CachedBytes
from ropeway.checksum import crc32c
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
        once: bool (rows,), which samples were found right; None where bytes are fetched anew each time.
    """

    def __init__(self, table: Samples, reader: ShardBytes, once: npt.NDArray[np.bool_] | None) -> None:
        self._table, self._reader, self._once = table, reader, once

    def wrong(self, burst: Burst, movers: Crew) -> list[int]:
        """The places of a burst whose bytes are damaged; those that nobody has looked at before are looked at."""
        rows = burst.rows
        places = np.arange(len(rows)) if self._once is None else np.flatnonzero(~self._once[rows])
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
        damaged = [place for place in places[sums != expected].tolist() if not self._mended(burst, place)]
        if self._once is not None:
            self._once[rows[places]] = True
            self._once[rows[damaged]] = False
        return damaged

    def _mended(self, burst: Burst, place: int) -> bool:
        """Whether a damaged sample is sound when it is fetched once more: then the way here had damaged it.

        What lies in mapped memory is what there is. A disk cache that may hold the damage forgets it first.
        """
        if self._once is not None:
            return False
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
