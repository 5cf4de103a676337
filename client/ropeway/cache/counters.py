"""What a cache did in this process."""

import os
import threading
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Counters:
    """Counts since the cache was made, or since this process was forked or got it by pickle.

    Attributes:
        hits: reads that the disk answered alone.
        misses: reads that needed the source.
        disk_bytes: read from the disk and verified.
        fetched_bytes: read from the source.
        evictions: entries deleted to make room.
        corrupt: entries found damaged, deleted and fetched again.
        problems: times the disk failed (full, gone, read-only); the source answered, and caching paused.
    """

    hits: int = 0
    misses: int = 0
    disk_bytes: int = 0
    fetched_bytes: int = 0
    evictions: int = 0
    corrupt: int = 0
    problems: int = 0


class Tally:
    """Counters that threads add to. A forked child starts anew: its parent's threads may hold the lock."""

    def __init__(self) -> None:
        self._begin()

    def add(self, **counts: int) -> None:
        """Add to the counters of these names."""
        self._check_process()
        with self._lock:
            for name, count in counts.items():
                self._counts[name] += count

    def snapshot(self) -> Counters:
        """The counts so far."""
        self._check_process()
        with self._lock:
            return Counters(**self._counts)

    def _begin(self) -> None:
        self._process, self._lock = os.getpid(), threading.Lock()
        self._counts = {field.name: 0 for field in fields(Counters)}

    def _check_process(self) -> None:
        if self._process != os.getpid():
            self._begin()
