"""How long requests take here, learned as they go, and how many second ones may be sent."""

import threading
from collections import deque

from ropeway.ranges.policy import Hedge

_RECENT = 128
"""Requests that count: old ones say nothing about today's network."""

_AGAIN = 16
"""Requests after which the estimate is worked out anew."""

_BODY = 256 << 10
"""Bytes from which a body says something about throughput: smaller ones arrive with their head."""


class Pace:
    """A running estimate of first-byte times and throughput, and the budget of second requests. Thread-safe."""

    def __init__(self, hedge: Hedge) -> None:
        self._hedge, self._lock = hedge, threading.Lock()
        self._firsts: deque[float] = deque(maxlen=_RECENT)
        self._rates: deque[float] = deque(maxlen=_RECENT)
        self._seen = 0
        self._budget = 0.0
        self._slow_first = self._slow_rate = 0.0

    def seen(self, first: float, body: float, size: int) -> None:
        """A request was answered: seconds until its first byte, seconds of its body, bytes of it."""
        with self._lock:
            self._firsts.append(first)
            if size >= _BODY:
                self._rates.append(size / max(body, 1e-6))
            self._seen += 1
            self._budget = min(self._budget + self._hedge.share, self._hedge.saved)
            if self._seen % _AGAIN == 0 or self._seen == self._hedge.learn:
                self._slow_first = sorted(self._firsts)[int(0.95 * len(self._firsts))]
                self._slow_rate = sorted(self._rates)[int(0.05 * len(self._rates))] if self._rates else 0.0

    def patience(self, size: int) -> float | None:
        """Seconds after which a request for so many bytes is late; None while too little is known."""
        if self._seen < self._hedge.learn:
            return None
        body = size / self._slow_rate if self._slow_rate else 0.0
        return max(self._hedge.floor, self._hedge.multiple * (self._slow_first + body))

    def spend(self) -> bool:
        """Whether one more second request is within the budget; it is then taken from it."""
        with self._lock:
            if self._budget < 1:
                return False
            self._budget -= 1
            return True
