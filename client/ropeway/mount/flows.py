"""Tells reads that go through a shard from reads here and there, whoever does them and through whichever files."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple

_BACK = 4 << 20
"""Bytes behind where a flow is that still belong to it: kernels send the reads of one file side by side."""

_PER_SHARD = 8
"""Flows told apart in one shard; of more, the one that rested longest is forgotten."""

_SHARDS = 4096
"""Shards of which flows are remembered."""

_ACTIVE = 2.0
"""Seconds after which a flow no longer counts."""


class Come(NamedTuple):
    """How a flow has come to a read: by `run` reads before it, each beginning about where the one before had ended,
    through so many `bytes`."""

    run: int
    bytes: int


@dataclass(slots=True)
class _Flow:
    start: int
    at: int
    run: int
    used: float


class Flows:
    """Where shards are being read. Safe to use from threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shards: OrderedDict[str, list[_Flow]] = OrderedDict()

    def seen(self, shard: str, start: int, stop: int, slack: int) -> Come:
        """Note a read of bytes `start` to `stop`.

        Args:
            slack: bytes that it may have leapt over.
        """
        now = monotonic()
        with self._lock:
            flows = self._shards.setdefault(shard, [])
            self._shards.move_to_end(shard)
            for flow in flows:
                if flow.at - _BACK <= start <= flow.at + slack:
                    flow.run += stop > flow.at
                    flow.at, flow.used = max(flow.at, stop), now
                    return Come(flow.run, flow.at - flow.start)
            if len(flows) == _PER_SHARD:
                flows.remove(min(flows, key=lambda flow: flow.used))
            flows.append(_Flow(start, stop, 0, now))
            if len(self._shards) > _SHARDS:
                self._shards.popitem(last=False)
        return Come(0, 0)

    def active(self) -> int:
        """How many flows were seen a moment ago, at least one."""
        since = monotonic() - _ACTIVE
        with self._lock:
            return max(1, sum(flow.run > 0 and flow.used > since for flows in self._shards.values() for flow in flows))
