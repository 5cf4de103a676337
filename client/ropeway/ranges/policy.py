"""How long a range is tried for, and when a second request is worth sending: plain values."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Retry:
    """What a read puts up with. All times are seconds.

    Attributes:
        deadline: in total, until a read that has no luck fails. Far below NCCL's ten minutes: the rank whose store is
            gone says so, rather than all ranks their collective.
        slowest: bytes per second of a link that still counts as working; a read of n bytes has n / slowest more.
        unreached: instead of `deadline` where the host has never answered: a wrong address is told soon.
        first, cap: after the n-th failure a random time up to first · 2ⁿ⁻¹ is waited, and up to `cap` ("full jitter").
        connect: until a connection must be there.
        stall: without a single byte.
    """

    deadline: float = 60.0
    slowest: float = 64 << 10
    unreached: float = 5.0
    first: float = 0.1
    cap: float = 5.0
    connect: float = 5.0
    stall: float = 10.0

    def limit(self, size: int) -> float:
        """Seconds that a read of so many bytes may take."""
        return self.deadline + size / self.slowest

    def pause(self, failures: int) -> float:
        """Seconds to wait after so many failures in a row, at least one."""
        return random.uniform(0, min(self.cap, self.first * 2 ** min(failures - 1, 30)))


@dataclass(frozen=True, slots=True)
class Hedge:
    """When a late request gets a second one beside it.

    Attributes:
        multiple: of the time that all but the slowest twentieth of such requests take.
        floor: seconds below which nothing is late.
        share: of all requests that may have a second one: a server that is slow for everybody is not asked twice.
        saved: second requests that may be sent in a burst, after a time without any.
        learn: requests that must have been seen before any is judged.
    """

    multiple: float = 2.0
    floor: float = 0.05
    share: float = 0.03
    saved: float = 4.0
    learn: int = 20


RETRY = Retry()
HEDGE = Hedge()
