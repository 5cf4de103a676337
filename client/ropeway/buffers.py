"""Memory for bytes on their way: reusable buffers, and rows gathered from anywhere in memory.

A batch is made of rows that lie all over the mapped shards or fetched ranges. Copying them one by one costs more in
Python than in memory. So the whole address space is seen as one array of overlapping rows, one beginning at each byte:
indexing it by addresses is a gather of any rows from any buffers, in one call and at the speed of memory.
"""

import ctypes
import mmap
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from ropeway.samples import Array, Bytes, Ints

_SPACE = 1 << 48
"""Addresses of a process lie below, on every 64-bit machine."""

_ORIGIN = 4096
"""Where the array of all memory begins; nothing is ever mapped below."""

GATHERED = (1 << 15) - 1
"""Rows up to that many bytes are gathered by NumPy (its arrays are limited to 2⁶³ bytes); longer ones are moved one by
one, which for them is as fast."""


_SHARED, _WORTH, _PIECE = 500, 1 << 20, 2048
"""Gathers of more items let other threads run; from so many bytes on that is wanted; pieces are at least that large."""


_LARGEST = (32 << 20) - (64 << 10)
"""Bytes of the largest array by which glibc learns, with room for its page's rest."""


def reuse_freed() -> None:
    """Let large arrays be made of memory that others were freed from.

    glibc takes fresh pages for an array that is larger than any it has seen freed, up to 32 MiB, and gives them back as
    soon as the array is let go (mallopt(3), M_MMAP_THRESHOLD): clearing them would cost about as much as the copying.
    So it is shown one, which nobody touches.
    """
    np.empty(_LARGEST, np.uint8)


def address(buffer: Array) -> int:
    """Where an array's bytes begin. Whoever keeps the number has to keep the array."""
    return int(buffer.__array_interface__["data"][0])


@lru_cache(maxsize=256)
def _everywhere(size: int) -> Array:
    """All memory as rows of `size` bytes: item i is the row that begins at address i + `_ORIGIN`."""

    memory = SimpleNamespace(
        __array_interface__={
            "version": 3,
            "typestr": f"|V{size}",
            "shape": (_SPACE - _ORIGIN,),
            "strides": (1,),
            "data": (_ORIGIN, True),
        }
    )
    return np.asarray(memory)


def gather(addresses: Ints, size: int) -> Bytes:
    """Copy rows of equal size into one new array.

    The caller answers for every address: `size` bytes from there must be mapped, as the spans of a checked table in
    buffers that it holds are.

    Args:
        addresses: int64 (n,), where each row begins.
        size: bytes of a row, at most `GATHERED`.

    Returns:
        uint8 (n, size).
    """
    count, pieces = len(addresses), _pieces(len(addresses), size)
    starts = addresses - _ORIGIN
    if pieces > 1:
        size //= pieces
        starts = (starts[:, None] + np.arange(pieces) * size).ravel()
    return _everywhere(size)[starts].view(np.uint8).reshape(count, pieces * size)


def _pieces(count: int, size: int) -> int:
    """Into how many pieces to cut each row: NumPy lets other threads run only while it gathers more than 500."""
    if count * size < _WORTH or count > _SHARED:
        return 1
    enough = range(_SHARED // count + 1, 2 * _SHARED // count + 8)
    return next((pieces for pieces in enough if size % pieces == 0 and size // pieces >= _PIECE), 1)


def move(addresses: Ints, size: int, into: Bytes) -> None:
    """Copy rows of equal size into `into`, uint8 (n · size,), contiguous; as `gather`, for rows of any size."""
    if size <= GATHERED:
        step = max(1, (256 << 10) // max(1, size))  # through a piece that stays in the processor's cache
        rows = into.reshape(len(addresses), size)
        for first in range(0, len(addresses), step):
            rows[first : first + step] = gather(addresses[first : first + step], size)
        return
    target = address(into)
    for source in addresses.tolist():
        ctypes.memmove(target, source, size)
        target += size


def copied(start: int, size: int) -> Bytes:
    """A copy of one run of memory, uint8 (size,); the caller answers for the address."""
    return np.frombuffer(ctypes.string_at(start, size), np.uint8)


_MALLOC = 128 << 10
"""Bytes below which memory does not come from the system one by one (mallopt(3), M_MMAP_THRESHOLD)."""


def _ordinary(size: int) -> Bytes:
    return np.empty(size, np.uint8)


def small_pages(size: int) -> Bytes:
    """Fresh memory, uint8 (size,), of the system's smallest pages.

    NumPy asks for huge ones from 4 MiB on. What is filled once in a while from a network gains nothing by them, and a
    machine has to find and clear 2 MiB in a piece for each: on a virtual one that took twice as long as the filling.
    """
    if size < _MALLOC:
        return _ordinary(size)
    return np.frombuffer(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS), np.uint8)


class Pool:
    """Buffers that are used again: one comes back by itself when nobody refers to it any more.

    A user who keeps a batch keeps its buffer; one who lets go of it returns it. Safe to use from threads.

    Args:
        keep: bytes of idle buffers that are kept; None: as many as keep all buffers, lent and idle, within what was
            lent at a time once.
        make: makes a new buffer of so many bytes; by default of ordinary memory.
        pinned: whether that is memory which a GPU can copy from by itself.
    """

    def __init__(self, *, keep: int | None, make: Callable[[int], Bytes] = _ordinary, pinned: bool = False) -> None:
        self._keep, self._make, self.pinned = keep, make, pinned
        self._most = 0
        self._idle: dict[int, list[Bytes]] = {}
        self._lent: dict[int, dict[int, tuple[object, Bytes]]] = {}

    def take(self, size: int) -> Bytes:
        """A writable buffer, uint8 (size,), contents arbitrary."""
        whole = _rounded(size)
        try:
            memory = self._idle.setdefault(whole, []).pop()
        except IndexError:
            self._make_room(whole)
            memory = self._make(whole)
        lease: Any = (ctypes.c_ubyte * whole).from_buffer(memory.data)
        back = weakref.ref(lease, partial(self._back, whole, id(lease)))
        self._lent.setdefault(whole, {})[id(lease)] = back, memory
        return np.frombuffer(lease, np.uint8, size)

    @property
    def idle(self) -> int:
        """Bytes of the buffers that nobody uses."""
        return sum(size * len(alike) for size, alike in list(self._idle.items()))

    @property
    def lent(self) -> int:
        """Bytes of the buffers that somebody uses."""
        return sum(size * len(alike) for size, alike in list(self._lent.items()))

    def _make_room(self, size: int) -> None:
        """Let idle buffers of other sizes go, so that they and a new one stay within what is kept."""
        room = self._keep
        if room is None:
            needed = size + self.lent
            self._most = max(self._most, needed)
            room = size + self._most - needed
        for other, buffers in list(self._idle.items()):
            while buffers and self.idle + size > room:
                with suppress(IndexError):  # another thread was faster
                    self._idle[other].pop()

    def _back(self, size: int, number: int, _: object) -> None:
        """Runs wherever the last reference is dropped, in the midst of anything: so it takes no lock. A program that
        ends may have lost its modules' names by then: so it uses none.
        """
        _, memory = self._lent[size].pop(number)
        if self._keep is None or self.idle + size <= self._keep:
            self._idle[size].append(memory)


def _rounded(size: int) -> int:
    """A size up to an eighth larger, so that few different ones are kept."""
    step = 1 << max(12, (size - 1).bit_length() - 3)
    return -(-max(1, size) // step) * step
