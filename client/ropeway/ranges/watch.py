"""Calls back when something takes too long: one thread for all that is under way, there only while it is needed."""

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

_LINGER = 1.0
"""Seconds that the thread stays after the last read, so that reads one after the other don't start one each."""


class Watch:
    """Deadlines of what is under way. `late` runs in the watching thread and must be short."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: dict[int, tuple[float, Callable[[], None]]] = {}
        self._numbers = itertools.count()
        self._wakes = 0.0
        self._running = False

    @contextmanager
    def over(self, seconds: float, late: Callable[[], None]) -> Iterator[None]:
        """Call `late` once if the block takes longer than that; not after it has ended, but perhaps as it does."""
        number, due = next(self._numbers), monotonic() + seconds
        with self._changed:
            self._due[number] = due, late
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="ropeway-watch", daemon=True).start()
            elif due < self._wakes:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._due.pop(number, None)

    def _run(self) -> None:
        while True:
            with self._changed:
                now, idle = monotonic(), not self._due
                ended = [number for number, (due, _) in self._due.items() if due <= now]
                late = [self._due.pop(number)[1] for number in ended]
                if not late:
                    self._wakes = min((due for due, _ in self._due.values()), default=now + _LINGER)
                    if not self._changed.wait(self._wakes - now) and idle and not self._due:
                        self._running = False
                        return
            for call in late:
                call()
