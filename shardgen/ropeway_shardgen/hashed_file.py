"""A shard's file, hashed while it is written: SHA-256 takes as long as all else that a large sample costs, so it has a
thread of its own."""

import hashlib
from collections.abc import Iterable
from queue import SimpleQueue
from threading import Thread
from typing import BinaryIO, Self

from ropeway_shardgen.reading import rest

BLOCK = 512 << 10
"""Bytes that smaller pieces are put together to: small samples cost no call each, and what is written is still in the
processor's cache."""


class HashedFile:
    """Takes what is written to a file, and its hash. The thread ends with the context.

    What was written last is hashed while the next sample is read, and no more than that: memory that is given back and
    taken anew for each large sample costs more than further overlap would bring.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._filled, self._other = memoryview(bytearray(BLOCK)), memoryview(bytearray(BLOCK))
        self._size = 0
        self._given: SimpleQueue[tuple[bytes | memoryview, ...] | None] = SimpleQueue()
        self._taken: SimpleQueue[None] = SimpleQueue()
        self._hashing = False
        self._thread = Thread(target=self._hash, name="ropeway-hash", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._given.put(None)
        self._thread.join()

    def write(self, pieces: Iterable[bytes]) -> None:
        """Write what comes next, in pieces.

        Raises:
            OSError: the file does not take it.
        """
        for piece in pieces:
            size = len(piece)
            if size > BLOCK:
                self._put(piece)
                continue
            if self._size + size > BLOCK:
                self._put()
            end = self._size + size
            self._filled[self._size : end] = piece
            self._size = end

    def hexdigest(self) -> str:
        """The hash of all that was written; nothing more is."""
        self._put()
        self._wait()
        return self._digest.hexdigest()

    def _put(self, *large: bytes) -> None:
        """Hash and write what the block holds, and then a large piece."""
        blocks: tuple[bytes | memoryview, ...] = (self._filled[: self._size], *large)
        rest()  # no raw file is slow where the store is
        self._wait()
        self._given.put(blocks)
        self._hashing = True
        for block in blocks:
            self._file.write(block)
        self._filled, self._other, self._size = self._other, self._filled, 0

    def _wait(self) -> None:
        """Until all that was put is hashed."""
        if self._hashing:
            self._taken.get()
            self._hashing = False

    def _hash(self) -> None:
        while self._take(self._given.get()):
            self._taken.put(None)  # by now this thread keeps no block any more, so its memory can be used again

    def _take(self, blocks: tuple[bytes | memoryview, ...] | None) -> bool:
        """Hash blocks; whether there were any."""
        for block in blocks or ():
            self._digest.update(block)
        return blocks is not None
