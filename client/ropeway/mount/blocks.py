"""Ranges of shards that are held or under way: which bytes they cover, and which go when memory runs out.

Blocks that lie one after the other come by one request. Each is waited for, given, and let go by itself: so there is
little memory in use at a time, and it is used again while the processor still has it in its cache.
"""

import threading
from bisect import bisect_right, insort
from collections import OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeAlias

GRID = 4 << 20
"""Blocks begin and end at multiples of so many bytes, or where their range does."""

Place: TypeAlias = tuple[str, int, int]
"""A shard's path, and the bytes `start` to `stop` of it."""

Fetch: TypeAlias = Callable[[int, int, int], Iterable[tuple[int, Future[memoryview]]]]
"""Begins to fetch bytes `start` to `stop` of a shard by blocks of a `size`: where each begins, and its content."""


@dataclass(slots=True, eq=False)
class Block:
    """A range of a shard; `unread` bytes of it were given to nobody yet."""

    place: Place
    content: Future[memoryview]
    unread: int

    @property
    def start(self) -> int:
        return self.place[1]

    @property
    def stop(self) -> int:
        return self.place[2]

    @property
    def is_new(self) -> bool:
        """Whether nobody was given any of it."""
        return self.unread == self.stop - self.start


class Blocks:
    """What is held of all shards of a mount. Safe to use from threads.

    Args:
        memory: bytes held or under way; what was used least recently goes first.
    """

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._lock = threading.Lock()
        self._held: OrderedDict[Place, Block] = OrderedDict()
        self._covering: dict[str, list[Place]] = {}
        self._bytes = 0

    @property
    def bytes(self) -> int:
        """Held or under way."""
        return self._bytes

    def exactly(self, path: str, start: int, stop: int, fetch: Fetch) -> Block:
        """A range as it is; begun unless it is there. What failed is begun anew."""
        with self._lock:
            found = self._usable((path, start, stop))
            if found is None:
                ((_, content),) = fetch(start, stop, stop - start)
                found = self._keep((path, start, stop), content)
            return found

    def cover(
        self, path: str, start: int, stop: int, end: int, size_at: Callable[[int], int], fetch: Fetch
    ) -> list[Block]:
        """Blocks that cover bytes `start` to `stop` of a shard with `end` bytes, in order, none overlapping.

        Args:
            size_at: bytes to ask for at once where blocks are missing from that multiple of `GRID` on; itself a
                multiple.
            fetch: begins those that are missing. What failed is begun anew.
        """
        found: list[Block] = []
        with self._lock:
            while start < min(stop, end):
                block = self._at(path, start)
                if block is None:
                    first = start // GRID * GRID
                    last = min(first + size_at(first), end, self._next(path, first))
                    block = self._begin(path, first, last, fetch)
                found.append(block)
                start = block.stop
        return found

    def given(self, block: Block, size: int) -> None:
        """Note that so many bytes of a block were given: once all were, it goes, since the kernel has them."""
        with self._lock:
            block.unread -= size
            if block.unread <= 0:
                self._drop(block)

    def passed(self, path: str, start: int) -> None:
        """Let blocks go that reads which are at `start` now are through with: nobody wanted all of them.

        What lies just behind them may still be asked for: kernels send the reads of one file side by side.
        """
        with self._lock:
            places = self._covering.get(path, [])
            first = bisect_right(places, start - 4 * GRID, key=lambda place: place[1])
            last = bisect_right(places, start - GRID, key=lambda place: place[2])
            for place in places[first:last]:
                self._drop(self._held[place])

    def failed(self, block: Block) -> None:
        """Let a block go, so that the next read asks anew."""
        with self._lock:
            self._drop(block)

    def _at(self, path: str, start: int) -> Block | None:
        """The block that has a byte, from now on the one used last."""
        places = self._covering.get(path, ())
        number = bisect_right(places, start, key=lambda place: place[1]) - 1
        return self._usable(places[number]) if number >= 0 and places[number][2] > start else None

    def _next(self, path: str, start: int) -> int:
        """Where the next block begins after a place; far away if there is none."""
        places = self._covering.get(path, ())
        number = bisect_right(places, start, key=lambda place: place[1])
        return places[number][1] if number < len(places) else 1 << 62

    def _usable(self, place: Place) -> Block | None:
        block = self._held.get(place)
        if block is not None and block.content.done() and block.content.exception() is not None:
            self._drop(block)
            return None
        if block is not None:
            self._held.move_to_end(place)
        return block

    def _begin(self, path: str, start: int, stop: int, fetch: Fetch) -> Block:
        """Have blocks of a range come, by one request; the first of them."""
        blocks = []
        for at, content in fetch(start, stop, GRID):
            place = path, at, min(at + GRID, stop)
            insort(self._covering.setdefault(path, []), place)
            blocks.append(self._keep(place, content))
        return blocks[0]

    def _keep(self, place: Place, content: Future[memoryview]) -> Block:
        self._held[place] = block = Block(place, content, place[2] - place[1])
        self._bytes += block.unread
        while self._bytes > self._memory and len(self._held) > 1:
            self._drop(next(iter(self._held.values())))
        return block

    def _drop(self, block: Block) -> None:
        """Let a block go, if it is held."""
        if self._held.get(block.place) is not block:
            return
        del self._held[block.place]
        self._bytes -= block.stop - block.start
        places = self._covering.get(block.place[0], [])
        if block.place in places:
            places.remove(block.place)
            if not places:
                del self._covering[block.place[0]]
