"""Things that are made when somebody first asks for them: once, however many ask; and anew after a failure."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Generic, TypeVar

from ropeway.mount.threads import Threads

T = TypeVar("T")


class Kept(Generic[T]):
    """One thing per name.

    Args:
        make: makes it.
        threads: make it; who asks waits no longer than they let him.
    """

    def __init__(self, make: Callable[[str], T], threads: Threads[T]) -> None:
        self._make, self._threads = make, threads
        self._lock = threading.Lock()
        self._made: dict[str, Future[T]] = {}

    def begin(self, name: str) -> Future[T]:
        """Have it made, unless it is there or under way."""
        with self._lock:
            future = self._made.get(name)
            if future is None or (future.done() and future.exception() is not None):
                self._made[name] = future = self._threads.begin(partial(self._make, name))
            return future

    def get(self, name: str) -> T:
        """The thing of that name.

        Raises:
            StoreError: it takes too long; the making goes on. Else what making it raised.
        """
        return self._threads.result(self.begin(name))
