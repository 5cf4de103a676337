"""The bytes of a foreign shard, as a scan asks for them: all of them, or no more than headers and a few members."""

from collections.abc import Callable
from typing import Protocol

FIRST, MOST = 16 << 10, 4 << 20
"""Bytes read at a time: where members are large, and where they are small."""

WORTH = 1 << 20
"""Bytes that take a store about as long as one more request: a smaller gap is read through, a larger one leapt over."""


_GROWS = 4


class Source(Protocol):
    """A shard's bytes.

    Attributes:
        size: of the shard.
        taken: bytes that were read of it so far.
        whole: whether it is there to be read through, for checksums.
    """

    @property
    def size(self) -> int: ...

    @property
    def taken(self) -> int: ...

    @property
    def whole(self) -> bool: ...

    def read(self, start: int, stop: int) -> memoryview:
        """Bytes `start` to `stop` (exclusive)."""
        ...


class Whole:
    """A shard that is in memory, or mapped into it."""

    whole = True

    def __init__(self, content: memoryview) -> None:
        self._content = content
        self.size = self.taken = content.nbytes

    def read(self, start: int, stop: int) -> memoryview:
        return self._content[start:stop]


class Skimmed:
    """A shard of which what is asked for is read, and ahead of that as much as pays.

    Pieces grow while each read begins within `WORTH` of where the one before ended; after a longer leap they are small
    again. So of small members nearly all is read, in few requests, and of large ones little more than their headers.

    Args:
        fetch: reads bytes `start` to `stop`.
        size: of the shard.
        most: bytes of the largest piece.
    """

    whole = False

    def __init__(self, fetch: Callable[[int, int], memoryview], size: int, most: int = MOST) -> None:
        self._fetch, self.size, self._most = fetch, size, most
        self._piece, self._start, self._ahead = memoryview(b""), 0, FIRST // _GROWS
        self._stop, self._leapt = 0, False
        self.taken = 0

    def read(self, start: int, stop: int) -> memoryview:
        self._leapt |= start - self._stop > WORTH
        self._stop = stop
        if not self._start <= start <= stop <= self._start + len(self._piece):
            self._ahead = FIRST if self._leapt else min(self._most, _GROWS * self._ahead)
            self._leapt = False
            self._piece = self._fetch(start, min(self.size, max(stop, start + self._ahead)))
            self._start = start
            self.taken += len(self._piece)
        return self._piece[start - self._start : stop - self._start]
