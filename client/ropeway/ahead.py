"""Work done ahead by a thread, as far as memory allows."""

import atexit
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

T = TypeVar("T")

AHEAD = 128 << 20
"""Bytes of batches that are kept ready, at most: more would only push one another out of the processor's caches."""


_BEGINNING = 1.0
"""Seconds within which a thread begins that was started at all."""

_LEFT: ContextVar["Future[None] | None"] = ContextVar("left", default=None)
"""Comes in a thread of `ahead`, when nobody takes any more of what it makes."""


class Left(Exception):
    """Nobody takes any more of what is made ahead."""


def awaited(coming: "Future[T]") -> T:
    """What comes. A source of `ahead` waits no longer than somebody takes what it makes.

    Raises:
        Left: nobody does any more.
    """
    left = _LEFT.get()
    if left is not None:
        either: list[Future[Any]] = [coming, left]
        wait(either, return_when=FIRST_COMPLETED)
        if not coming.done():
            raise Left
    return coming.result()


def ahead(source: Callable[[], Iterator[list[T]]], size: Callable[[T], int], limit: int) -> Iterator[T]:
    """The items of a source one by one, made by a thread that ends with this generator.

    Args:
        source: makes the items, some at a time; runs and is closed in the thread.
        size: bytes of an item.
        limit: bytes of items that may wait to be taken. Two items may wait in any case.
    """
    ready, left, ended = _Ready[T](limit), Future[None](), threading.Event()

    def work() -> None:
        _LEFT.set(left)
        items = source()
        try:
            for some in items:
                if not ready.put([(item, size(item)) for item in some]):
                    break
        except BaseException as error:  # noqa: BLE001 - handed to the consuming thread, which raises it
            ready.end(error)
        else:
            ready.end(None)
        finally:
            items.close()  # type: ignore[attr-defined]
            ended.set()

    worker = threading.Thread(target=work, name="ropeway-loader", daemon=True)

    def leave() -> None:
        ready.leave()
        if not left.done():
            left.set_result(None)
        if not worker.is_alive():  # it has ended, or an interrupt came while it was being started
            ended.wait(_BEGINNING)
        if worker.is_alive():
            worker.join()

    # Where the program ends in the middle of an epoch, by an error that keeps this generator alive. A thread that is in
    # torch when the interpreter is taken down aborts the process: "terminate called without an active exception".
    atexit.register(leave)
    try:
        worker.start()
        yield from ready
    finally:
        atexit.unregister(leave)
        leave()


class _Ready(Generic[T]):
    """Items made and not yet taken."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: deque[tuple[T, int]] = deque()
        self._size = 0
        self._error: BaseException | None = None
        self._ended = self._left = False
        self._changed = threading.Condition()

    def put(self, items: list[tuple[T, int]]) -> bool:
        """Add items when there is room; False once the consumer has left."""
        with self._changed:
            self._changed.wait_for(lambda: self._left or len(self._items) < 2 or self._size < self._limit)
            self._items.extend(items)
            self._size += sum(size for _, size in items)
            self._changed.notify_all()
            return not self._left

    def end(self, error: BaseException | None) -> None:
        """No more items will come, perhaps because of an error."""
        with self._changed:
            self._error, self._ended = error, True
            self._changed.notify_all()

    def leave(self) -> None:
        """Nobody will take items any more."""
        with self._changed:
            self._left = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._ended)
                if not self._items:
                    break
                item, size = self._items.popleft()
                self._size -= size
                self._changed.notify_all()
            yield item
            del item
        if self._error is not None:
            raise self._error
