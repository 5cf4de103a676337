"""How large requests are and how many are under way at once: from what a view reads, and from the network.

By Little's law, bytes under way = bandwidth · time each is under way. A request of s bytes takes `latency + s / stream`
on its connection, so that reaching the bandwidth B takes

    requests = B · (latency + s / stream) / s = B · latency / s  +  B / stream

at once: the first term is what distance costs, and falls with larger requests; the second is the connections that B is
made of, and no size of requests lowers it. So requests are as large as the view's ranges and the memory allow.
"""

from dataclasses import dataclass
from math import ceil

from ropeway.plan import MAX_REQUEST

MIN_REQUEST = 1 << 20
"""Bytes below which ranges are not split: requests have a price of their own."""

MOST = 64
"""Requests at once, of which each takes a thread; more of those only get into each other's way."""


@dataclass(frozen=True, slots=True)
class Network:
    """What lies between this host and a store.

    Attributes:
        latency: seconds until the first byte of an answer.
        stream: bytes per second of one connection.
        bandwidth: bytes per second that all of them together are meant to reach.
    """

    latency: float = 0.02
    stream: float = 90e6
    bandwidth: float = 1.25e9


OBJECT_STORE = Network()
"""S3 and its like from the same region, at 10 Gbit/s."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """How ranges are asked for.

    Attributes:
        part: bytes of one request, at most; `plan.coalesce` takes it as `max_request`.
        requests: under way at once.
    """

    part: int
    requests: int


def suggest(range_bytes: int, *, memory: int, network: Network = OBJECT_STORE, largest: int = MAX_REQUEST) -> Tuning:
    """Part size and concurrency for a view.

    Args:
        range_bytes: median bytes of the contiguous ranges that the view is read by, before any is split.
        memory: bytes that may be held or under way; half of it is left to what waits for its turn in a batch.
        network: what is assumed of it.
        largest: bytes of a request, at most.
    """
    under_way = max(1, memory // 2)
    streams = ceil(network.bandwidth / network.stream)
    part = max(MIN_REQUEST, min(largest, under_way // streams))
    size = max(1, min(range_bytes, part))
    wanted = ceil(network.bandwidth * network.latency / size + network.bandwidth / network.stream)
    return Tuning(part, max(1, min(wanted, MOST, under_way // size)))
