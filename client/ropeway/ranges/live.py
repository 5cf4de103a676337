"""What a range client holds in one process."""

import os
import ssl
from collections.abc import Callable

from ropeway.buffers import Pool, small_pages
from ropeway.ranges.connections import Connections
from ropeway.ranges.pace import Pace
from ropeway.ranges.policy import Hedge, Retry
from ropeway.ranges.watch import Watch


class Live:
    """Connections, buffers, the watch, and what was learned. Of a parent's nothing but the last is of use to a child.

    Args:
        retry, hedge, trust: as `RangeClient` takes them.
        reached: hosts that were reached before.
    """

    def __init__(
        self, retry: Retry, hedge: Hedge, trust: Callable[[], ssl.SSLContext], reached: frozenset[str] = frozenset()
    ) -> None:
        self.process = os.getpid()
        self.retry, self.hedge, self.trust = retry, hedge, trust
        self.connections = Connections(connect=retry.connect, trust=trust)
        self.pace, self.watch = Pace(hedge), Watch()
        self.buffers = Pool(keep=None, make=small_pages)
        self.reached = set(reached)

    def here(self) -> "Live":
        """This one, or in a forked child a new one."""
        if self.process == os.getpid():
            return self
        return Live(self.retry, self.hedge, self.trust, frozenset(self.reached))
