"""Threads that fetch. Nobody waits for them longer than told, and none keeps the process from ending."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Generic, TypeVar

from ropeway.errors import StoreError

T = TypeVar("T")
R = TypeVar("R")


class Threads(Generic[T]):
    """So many threads, started as they are needed.

    Unlike the standard library's pool, one that is stuck in a read of a dead store doesn't hold up the process's end.

    Args:
        count: at most.
        deadline: seconds that `result` waits.
    """

    def __init__(self, count: int, deadline: float) -> None:
        self._count, self._deadline = count, deadline
        self._calls: SimpleQueue[tuple[Callable[[], T], Future[T]] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._pending: set[Future[T]] = set()
        self._started, self._closed = 0, False

    def begin(self, call: Callable[[], T]) -> Future[T]:
        """Have a call made; after `close` it fails at once."""
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                future.set_exception(_unmounted())
                return future
            self._pending.add(future)
            if self._started < min(self._count, len(self._pending)):
                self._started += 1
                threading.Thread(target=self._work, name="ropeway-mount", daemon=True).start()
        self._calls.put((call, future))
        return future

    def result(self, future: Future[R]) -> R:
        """What a call gave, or one of the results that it gives before its end.

        Raises:
            StoreError: it takes too long, or was ended by `close`; else what it raised.
        """
        try:
            return future.result(self._deadline)
        except TimeoutError as error:
            if future.done():  # then it is the call's own
                raise
            raise StoreError(f"no answer within {self._deadline:g} s: is the store reachable?") from error

    def close(self) -> None:
        """Fail whatever is waited for, now; the threads end as soon as they can."""
        with self._lock:
            self._closed = True
            for future in self._pending:
                future.set_exception(_unmounted())
            self._pending.clear()
            for _ in range(self._started):
                self._calls.put(None)

    def _work(self) -> None:
        while (asked := self._calls.get()) is not None:
            self._make(*asked)
            del asked  # while it waits for the next call, a thread holds nothing of this one

    def _make(self, call: Callable[[], T], future: Future[T]) -> None:
        try:
            result = call()
        except BaseException as error:  # noqa: BLE001 - it travels to who waits
            if self._is_open(future):
                future.set_exception(error)
        else:
            if self._is_open(future):
                future.set_result(result)

    def _is_open(self, future: Future[T]) -> bool:
        """Whether a call may be answered: `close` has not done it. True once only."""
        with self._lock:
            there = future in self._pending
            self._pending.discard(future)
        return there


def _unmounted() -> StoreError:
    return StoreError("unmounted while it was read")
