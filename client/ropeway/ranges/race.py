"""The race between a late request and a second one for the same bytes."""

import threading
from collections.abc import Callable

from ropeway.errors import StoreError
from ropeway.ranges.answer import Ended, Passing, Refused
from ropeway.ranges.connections import Connection
from ropeway.ranges.pace import Pace
from ropeway.ranges.target import Target


class Race:
    """Who takes part, and who was first: only the first winner counts, and all others are broken off. Thread-safe.

    Args:
        pace: has the budget of second requests.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._lock, self._over = threading.Lock(), threading.Event()
        self._winner: Target | None = None
        self._racing: set[Connection] = set()

    @property
    def over(self) -> bool:
        """Whether there is a winner, or nobody wants one any more."""
        return self._over.is_set()

    @property
    def winner(self) -> Target:
        """The target that was filled first, once there is one."""
        assert self._winner is not None
        return self._winner

    def late(self, send: Callable[[], Target]) -> None:
        """Send a second request, if the first may have one. Runs in the watching thread.

        Args:
            send: does so and waits for the answer, in a thread of its own; gives what it filled.
        """
        waiting = bool(self._racing)  # rather than pausing, as the server may have asked
        if waiting and not self.over and self._pace.spend():
            threading.Thread(target=self._second, args=(send,), name="ropeway-hedge", daemon=True).start()

    def _second(self, send: Callable[[], Target]) -> None:
        """What becomes of it is nobody's concern unless it is the first to finish."""
        try:
            target = send()
        except (Passing, Refused, Ended, StoreError):  # the first one will see for itself
            return
        self.end(target)

    def join(self, connection: Connection) -> bool:
        """Take part by a connection; False when the race is over."""
        with self._lock:
            if not self._over.is_set():
                self._racing.add(connection)
            return not self._over.is_set()

    def leave(self, connection: Connection) -> bool:
        """Take no part any more; False when the connection may have been broken off."""
        with self._lock:
            self._racing.discard(connection)
            return not self._over.is_set()

    def end(self, winner: Target | None) -> None:
        """End the race, unless it has ended, and break off all who still run."""
        with self._lock:
            if self._over.is_set():
                return
            self._winner = winner
            self._over.set()
            for connection in self._racing:
                connection.abort()

    def wait(self, seconds: float) -> None:
        """Wait so long, or until the race is over."""
        self._over.wait(seconds)
