"""Brings the bytes of a rank's steps where shards are read by range: ahead of their use, and within bounds."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ropeway.bursts import Burst, Group
from ropeway.held import Check, Held
from ropeway.order import SMALL_BYTES
from ropeway.samples import Samples
from ropeway.shard_bytes import ShardBytes
from ropeway.tuning import Tuning
from ropeway.upcoming import Needed, Upcoming

GROUP_BYTES, WHOLE = SMALL_BYTES, 1 << 19
"""Ranges are planned for at least so many bytes at a time, so that neighbours find each other; for the whole epoch in a
view of up to so many samples that fits into memory."""

WAITING = 64
"""Ranges that are planned ahead of those under way."""


class Fetched:
    """Shards that are read by range, ahead of the steps.

    A window of the order is read as whole ranges before its first sample comes up, and each range is let go with its
    last sample.

    Args:
        table: the view's samples; `offset` and `length` say what of each is wanted.
        reader: access to their bytes.
        memory: bytes of ranges that may be held or under way; only what a burst itself needs may go beyond.
        look: samples that are looked ahead, to know a window's before its ranges are planned.
        tuning: ranges read at once, and bytes of one.
        check: of each range when it arrives; None where nothing is checked.
    """

    def __init__(
        self, table: Samples, reader: ShardBytes, *, memory: int, look: int, tuning: Tuning, check: Check | None = None
    ) -> None:
        self._table, self._reader, self._check = table, reader, check
        self._memory, self._look, self._tuning = memory, look, tuning
        total = int(table.length.sum())
        self._together = max(1, total) if total <= memory and len(table) <= WHOLE else min(GROUP_BYTES, memory)

    def bursts(self, groups: Iterable[Group]) -> Iterator[Burst]:
        pool = ThreadPoolExecutor(self._tuning.requests, thread_name_prefix="ropeway-fetch")
        memory, part, check = self._memory, self._tuning.part, self._check
        held = Held(self._table, self._reader, pool, memory=memory, part=part, check=check)
        upcoming, planned = Upcoming(groups, self._look), deque[Group]()
        make = held.first_burst
        try:
            while True:
                while (not planned or held.waiting < WAITING) and self._plan(upcoming, held, planned):
                    pass
                if not planned:
                    return
                yield make(planned.popleft())
                make = held.burst
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _plan(self, upcoming: Upcoming, held: Held, planned: deque[Group]) -> bool:
        """Plan the ranges of the windows that the next groups begin, some megabytes together; False after the last."""
        needed, size, before = list[Needed](), 0, len(planned)
        while size < self._together and (following := upcoming.following()) is not None:
            group, begun = following
            planned.append(group)
            needed += begun
            size += sum(int(self._table.length[rows].sum()) for rows, _ in begun)
        if needed:
            held.expect(np.concatenate([rows for rows, _ in needed]), np.concatenate([turns for _, turns in needed]))
        return len(planned) > before
